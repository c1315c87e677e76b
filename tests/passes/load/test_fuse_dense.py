"""Products, biases, normalisations and activations in one layer, and what a layer cannot hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, alike, applied, graph_of, ops

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.load.fuse_dense import fuse_dense

pytestmark = pytest.mark.once

WEIGHTS: dict[str, Any] = {
    "w": np.arange(6, dtype=F32).reshape(2, 3) / 4,
    "row": np.asarray([1, -2, 3], F32),
    "column": np.asarray([[1], [-2], [3]], F32),
    "number": F32.type(0.5),
    **{name: np.asarray([0.5, 1, 2], F32) for name in ("scale", "shift", "mean", "variance")},
}
PRODUCT = Node("MatMul", ("x", "w"), ("d",))
NORMAL = Node("BatchNormalization", ("d", "scale", "shift", "mean", "variance"), ("y",))


def fused(graph: Graph) -> list[str]:
    return ops(remove_dead(applied(fuse_dense, graph)))


@pytest.mark.parametrize(
    "nodes",
    [
        [Node("MatMul", ("x", "w"), ("y",))],
        [PRODUCT, Node("Add", ("d", "row"), ("y",))],
        [PRODUCT, Node("Add", ("number", "d"), ("a",)), Node("Relu", ("a",), ("y",))],
        [PRODUCT, NORMAL],
        [Node("Gemm", ("x", "w", "row"), ("y",), {"alpha": 0.5, "beta": 2.0})],
        [Node("Gemm", ("x", "turned"), ("d",), {"transB": 1}), Node("Sigmoid", ("d",), ("y",))],
        [Node("Gemm", ("x", "w", "row"), ("y",), {"beta": 0.0})],
    ],
    ids=["product", "bias", "number", "normalisation", "factors", "turned", "no bias"],
)
def test_a_layer_is_one_step(nodes: list[Node]) -> None:
    graph = graph_of(nodes, {**WEIGHTS, "turned": WEIGHTS["w"].T}, x=(2,))
    assert fused(graph) == ["pyrec.Dense"]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([PRODUCT, Node("Add", ("d", "row"), ("y",))], ("y", "d")),
        ([PRODUCT, Node("Relu", ("d",), ("r",)), Node("Add", ("d", "r"), ("y",))], ("y",)),
        ([PRODUCT, Node("Relu", ("d",), ("r",)), Node("Add", ("r", "row"), ("y",))], ("y",)),
        ([PRODUCT, Node("LeakyRelu", ("d",), ("y",))], ("y",)),
        ([PRODUCT, Node("Sub", ("d", "row"), ("y",))], ("y",)),
    ],
    ids=["an output", "read twice", "behind an activation", "another activation", "subtracted"],
)
def test_what_a_layer_cannot_hold_stays(nodes: list[Node], outputs: tuple[str, ...]) -> None:
    assert fused(graph_of(nodes, WEIGHTS, outputs, x=(2,)))[1:]


def test_a_column_that_is_added_is_no_bias() -> None:
    nodes = [PRODUCT, Node("Add", ("d", "column"), ("y",))]
    assert fused(graph_of(nodes, WEIGHTS, x=(3, 2))) == ["pyrec.Dense", "Add"]
    rows = Node("Gemm", ("x", "w", "column"), ("y",))
    graph = graph_of([rows], WEIGHTS, x=(2,))
    fixed = graph.with_(infos={"x": Info(F32, (3, 2))})
    assert ops(alike(fixed, fuse_dense(fixed), rows=3)) == ["Gemm"]


def test_weights_of_the_graphs_inputs_and_other_shapes_stay_products() -> None:
    assert fused(graph_of([Node("MatMul", ("x", "z"), ("y",))], x=(3, 2), z=(2, 3))) == ["MatMul"]
    many = {"w": np.ones((4, 2, 3), F32)}
    assert fused(graph_of([Node("MatMul", ("x", "w"), ("y",))], many, x=(4, 5, 2))) == ["MatMul"]
    turned = Node("Gemm", ("v", "x"), ("y",), {"transA": 1})
    graph = graph_of([turned], {"v": np.ones((2, 3), F32)}, x=(3,))
    fixed = graph.with_(infos={"x": Info(F32, (2, 3))})
    assert ops(alike(fixed, fuse_dense(fixed), rows=2)) == ["Gemm"]


@pytest.mark.parametrize(
    "nodes",
    [
        [PRODUCT, Node("BatchNormalization", ("d", "huge", "none", "none", "one"), ("y",))],
        [Node("Gemm", ("x", "w"), ("y",), {"alpha": 1e30})],
        [Node("Gemm", ("x", "w", "huge"), ("y",), {"beta": 1e30})],
    ],
    ids=["normalisation", "factor", "factor of the bias"],
)
def test_constants_whose_product_overflows_stay_apart(nodes: list[Node]) -> None:
    """Where the inputs are small, the model's own steps do not overflow."""
    w = np.full((2, 3), 1e30, F32)
    huge, none = np.full(3, 1e30, F32), np.zeros(3, F32)
    graph = graph_of(nodes, {"w": w, "huge": huge, "none": none, "one": np.ones(3, F32)}, x=(2,))
    found = alike(graph, fuse_dense(graph), x=np.full((5, 2), 1e-30, F32))
    assert ops(remove_dead(found))[-1] == nodes[-1].op
