"""Concatenations that narrow layers read by part, and those that stay."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.split_concatenations import split_concatenations

pytestmark = pytest.mark.once

REQUEST = Sides(frozenset("u"))
CONCAT = Node("Concat", ("x", "z"), ("c",), {"axis": 1})
WEIGHTS = {"w": np.linspace(-1, 1, 14, dtype=F32).reshape(7, 2), "b": np.asarray([0.5, -2], F32)}


def test_a_narrow_layer_reads_the_parts_of_a_concatenation() -> None:
    layer = Node("pyrec.Dense", ("c", "w", "b"), ("y",), {"activation": "Sigmoid"})
    graph = graph_of([CONCAT, layer], WEIGHTS, x=(3,), z=(4,))
    assert ops(applied(split_concatenations, graph, REQUEST)) == ["pyrec.Dense", "pyrec.Dense"]
    bare = graph_of([CONCAT, Node("pyrec.Dense", ("c", "w"), ("y",))], WEIGHTS, x=(3,), z=(4,))
    assert ops(applied(split_concatenations, bare, REQUEST)) == ["pyrec.Dense", "pyrec.Dense"]


def test_a_concatenation_in_the_middle_of_a_shape_is_read_by_part_along_the_last_axis_only() -> None:
    layer = Node("pyrec.Dense", ("c", "w"), ("y",))
    last = [Node("Concat", ("x", "z"), ("c",), {"axis": -1}), layer]
    assert (
        ops(applied(split_concatenations, graph_of(last, WEIGHTS, x=(5, 3), z=(5, 4)), REQUEST))
        == ["pyrec.Dense"] * 2
    )
    middle = [Node("Concat", ("x", "z"), ("c",), {"axis": 1}), layer]
    graph = graph_of(middle, WEIGHTS, x=(2, 7), z=(3, 7))
    assert ops(applied(split_concatenations, graph, REQUEST)) == ["Concat", "pyrec.Dense"]


def test_wide_layers_and_shared_concatenations_stay() -> None:
    wide = {"w": np.ones((7, 5), F32)}
    graph = graph_of([CONCAT, Node("pyrec.Dense", ("c", "w"), ("y",))], wide, x=(3,), z=(4,))
    assert ops(applied(split_concatenations, graph, REQUEST)) == ["Concat", "pyrec.Dense"]
    nodes = [CONCAT, Node("pyrec.Dense", ("c", "w"), ("s",)), Node("Identity", ("c",), ("y",))]
    shared = graph_of(nodes, WEIGHTS, ("y", "s"), x=(3,), z=(4,))
    assert ops(applied(split_concatenations, shared, REQUEST)) == ["Concat", "pyrec.Dense", "Identity"]
