"""Numbers in the place of sizes' names, in inputs and in what is made of sizes."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, N, graph_of
from support.random_graphs import equal, evaluate

from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.passes.clean.fold_constants import fold_constants
from pyrec_infer.passes.split.bind_sizes import bind_sizes

pytestmark = pytest.mark.once

LENGTHS, OTHERS = Dim.symbol("L"), Dim.symbol("M")


def test_shapes_keep_what_is_not_told() -> None:
    shape = (N, LENGTHS, Dim(3, ("L", "M")), Dim(2, ("L", "L")), OTHERS, 7)
    graph = Graph(("x",), ("x",), (), {}, {"x": Info(F32, shape, 0)})
    assert bind_sizes(graph, {"L": 5}).infos["x"].shape == (N, 5, Dim(15, ("M",)), 50, OTHERS, 7)
    assert bind_sizes(graph, {"L": 0}).infos["x"].shape == (N, 0, 0, 0, OTHERS, 7)
    assert bind_sizes(graph, {}) is graph


def test_sizes_that_are_read_are_constants_where_all_of_them_are_told() -> None:
    sizes = (LENGTHS, Dim(2, ("L", "M")))
    nodes = [
        Node("pyrec.DimValues", (), ("n",), {"sizes": sizes, "scalar": 0}),
        Node("Cast", ("n",), ("f",), {"to": "float32"}),
        Node("ReduceSum", ("f",), ("s",), {"keepdims": 0}),
        Node("Mul", ("x", "s"), ("y",)),
    ]
    graph = graph_of(nodes, x=(4,), z=(LENGTHS, OTHERS))
    given = {"x": np.ones((2, 4), F32), "z": np.ones((2, 5, 3), F32)}
    for told, left in (({"L": 5}, 4), ({"L": 5, "M": 3}, 1)):
        found = fold_constants(bind_sizes(graph, told))
        assert len(found.nodes) == left
        assert equal(evaluate(found, given, 2)["y"], evaluate(graph, given, 2)["y"])
    assert (evaluate(graph, given, 2)["y"] == 35).all()
