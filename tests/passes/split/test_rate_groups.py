"""The rates of a value's positions, and what some of them need."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import N, graph_of, site_of
from support.split_graphs import FIELD, FIELDS, ROWS, WITH_ITEMS

from pyrec_infer.ir import Node, Rate
from pyrec_infer.passes.split.rate_groups import position_rates, restricted

pytestmark = pytest.mark.once


def test_restriction_to_positions() -> None:
    graph = graph_of([*FIELDS, Node("Relu", ("e",), ("y",))], FIELD, **ROWS)
    site = site_of(graph, WITH_ITEMS)
    rates = position_rates("y", 1, site)
    assert rates == [Rate.REQUEST, Rate.ITEM, Rate.REQUEST, Rate.ITEM]
    chosen = restricted("y", 1, [0, 2], site)
    assert chosen is not None
    assert site.rate(chosen) == Rate.REQUEST
    assert site.shape(chosen) == (N, 2, 3)
    assert position_rates("y", 0, site) == []


def test_positions_through_layers_transpositions_and_fixed_places() -> None:
    layer = [
        Node("pyrec.Dense", ("e", "w", "b"), ("h",)),
        Node("Gather", ("h", "chosen"), ("g",), {"axis": 1}),
        Node("Transpose", ("g",), ("y",), {"perm": (0, 2, 1)}),
    ]
    chosen = np.asarray([3, -2, 0, 2, 0])
    constants = {**FIELD, "w": np.eye(3, 2, dtype=np.float32), "b": np.ones(2, np.float32), "chosen": chosen}
    graph = graph_of([*FIELDS, *layer], constants, **ROWS)
    site = site_of(graph, WITH_ITEMS)
    assert position_rates("y", 2, site) == [Rate.ITEM, *[Rate.REQUEST] * 4]
    assert position_rates("y", 1, site) == [Rate.PAIR] * 2
    for places in ([2, 3, 1], [1, 2, 3, 4]):
        part = restricted("y", 2, places, site)
        assert part is not None
        assert site.rate(part) == Rate.REQUEST
        assert site.shape(part) == (N, 2, len(places))


def test_places_outside_and_layers_that_others_read_are_taken_as_a_whole() -> None:
    nodes = [
        Node("Gather", ("e", "chosen"), ("g",), {"axis": 1}),
        Node("pyrec.Dense", ("e", "w"), ("h",)),
        Node("Relu", ("h",), ("y",)),
        Node("Neg", ("h",), ("z",)),
    ]
    constants = {**FIELD, "w": np.eye(3, 2, dtype=np.float32), "chosen": np.asarray([0, 4])}
    site = site_of(graph_of([*FIELDS, *nodes], constants, **ROWS), WITH_ITEMS)
    assert position_rates("g", 1, site) == [Rate.PAIR] * 2
    assert position_rates("y", 1, site) == [Rate.PAIR] * 4
