"""Bags that no batch is named for: they are rows where they meet rows, and not where that gains nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, I64, N, alike

from pyrec_infer.ir import Dim, Graph, Info, Node, Rows
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.load.place_bags import place_bags, unfit

pytestmark = pytest.mark.once

INFOS = {
    "ids": Info(I64, (Dim.symbol("L"),)),
    "offsets": Info(I64, (Dim.symbol("K"),)),
    "x": Info(F32, (N, 2), 0),
}
BAG = (
    Node("pyrec.BagBounds", ("offsets", "ids"), ("b",), {"last": 1}),
    Node("pyrec.EmbeddingBag", ("table", "ids", "b"), ("e",)),
)
GIVEN = {
    "ids": np.asarray([0, 3, 8, 2, 2]),
    "offsets": np.asarray([0, 2, 2, 5]),
    "x": np.asarray([[1, 2], [3, 4], [5, 6]], F32),
}


def graph_of_bags(*nodes: Node, bag: tuple[Node, ...] = BAG, **more: Any) -> Graph:
    constants = {"table": np.arange(18, dtype=F32).reshape(9, 2), "axes": np.asarray([0])}
    return Graph(tuple(INFOS), ("y",), (*bag, *nodes), constants, INFOS, **more)


def test_bags_that_meet_rows_are_rows() -> None:
    graph = graph_of_bags(Node("Add", ("e", "x"), ("y",)))
    found = alike(graph, place_bags(graph), rows=3, **GIVEN)
    assert found.nodes[0].attributes == {"last": 1, "by_row": 1}
    assert unfit(found) < unfit(graph)
    assert analyze(found).infos["y"].rows == 0


def test_bags_that_a_sum_joins_stay_where_they_are() -> None:
    total = Node("ReduceSum", ("e", "axes"), ("s",), {"keepdims": 1})
    graph = graph_of_bags(total, Node("Add", ("s", "x"), ("y",)))
    assert place_bags(graph) is graph
    assert analyze(graph).infos["s"].rows == Rows.INVARIANT


def test_graphs_without_loose_bags_stay() -> None:
    known = graph_of_bags(Node("Neg", ("e",), ("y",)), bag=(Node("Identity", ("x",), ("e",)),))
    assert place_bags(known) is known
    fixed = graph_of_bags(Node("Add", ("e", "x"), ("y",)), static_rows=3)
    assert place_bags(fixed) is fixed
