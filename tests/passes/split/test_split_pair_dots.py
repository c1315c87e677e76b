"""Dot products of fields split by rate: the same values, each at the earliest rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from support.graphs import graph_of
from support.split_graphs import FIELD, FIELDS, ROWS, WITH_ITEMS, WITHOUT, split_fields

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.split_pair_dots import split_pair_dots

pytestmark = pytest.mark.once


def _dots(left: Sequence[int], right: Sequence[int]) -> Graph:
    nodes = [*FIELDS, Node("pyrec.PairDots", ("e", "e", "left", "right"), ("y",))]
    return graph_of(nodes, {**FIELD, "left": np.asarray(left), "right": np.asarray(right)}, **ROWS)


def test_pair_dots_by_rate() -> None:
    after = split_fields(_dots(*np.triu_indices(4, 1)), WITH_ITEMS)
    rates = find_rates(after, WITH_ITEMS)
    made = {rates[node.outputs[0]]: node for node in after.nodes if node.op == "pyrec.PairDots"}
    counts = {rate: after.constants[node.inputs[2]].size for rate, node in made.items()}
    assert counts == {Rate.REQUEST: 1, Rate.ITEM: 1, Rate.PAIR: 4}
    assert after.nodes[-1].op == "Gather"
    assert {rates[name] for name in made[Rate.PAIR].inputs[:2]} == {Rate.REQUEST, Rate.ITEM}


def test_the_order_of_a_pair_does_not_matter() -> None:
    after = split_fields(_dots([0, 1, 3, 2], [1, 0, 2, 3]), WITHOUT)
    assert sum(node.op == "pyrec.PairDots" for node in after.nodes) == 1


def test_dots_of_one_rate_stay() -> None:
    graph = _dots([0, 1], [1, 2])
    assert split_pair_dots(graph, Sides(frozenset("uivj"))) is graph
    assert split_pair_dots(graph, Sides(frozenset())) is graph
