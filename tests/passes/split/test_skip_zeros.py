"""Layers that read what a ReLU made, and those that read anything else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of

from pyrec_infer.ir import Graph, Node
from pyrec_infer.passes.split.skip_zeros import skip_zeros

pytestmark = pytest.mark.once

WEIGHTS: dict[str, Any] = {"w": np.arange(12, dtype=F32).reshape(4, 3), "flat": np.asarray([-1, 4])}
LAYER = Node("pyrec.Dense", ("h", "w"), ("y",))


def skips(nodes: list[Node], **sizes: tuple[int, ...]) -> list[int]:
    found = applied(skip_zeros, graph_of(nodes, WEIGHTS, **{"x": (4,), **sizes}))
    return [int(node.attribute("skip_zeros", 0)) for node in found.nodes]


def test_a_layer_behind_a_relu_skips_its_zeros() -> None:
    assert skips([Node("Relu", ("x",), ("h",)), LAYER]) == [0, 1]
    before = {"activation": "Relu"}
    square = Node("pyrec.Dense", ("x", "v"), ("h",), before)
    constants = {**WEIGHTS, "v": np.ones((4, 4), F32)}
    found = applied(skip_zeros, graph_of([square, LAYER], constants, x=(4,)))
    assert [node.attribute("skip_zeros", 0) for node in found.nodes] == [0, 1]
    views = [Node("Relu", ("x",), ("r",)), Node("Reshape", ("r", "flat"), ("h",)), LAYER]
    assert skips(views, x=(2, 2)) == [0, 0, 1]


@pytest.mark.parametrize(
    "nodes",
    [
        [Node("Sigmoid", ("x",), ("h",)), LAYER],
        [Node("Relu", ("x",), ("r",)), Node("Add", ("r", "x"), ("h",)), LAYER],
        [Node("Relu", ("x",), ("h",)), Node("Mul", ("h", "x"), ("y",))],
        [Node("pyrec.Dense", ("x", "w"), ("y",), {"activation": "Relu"})],
    ],
    ids=["sigmoid", "a sum", "no layer", "its own activation"],
)
def test_other_layers_multiply_all(nodes: list[Node]) -> None:
    assert not any(skips(nodes))


def test_a_layer_of_the_requests_matrix_multiplies_all() -> None:
    nodes = [
        Node("Relu", ("x",), ("h",)),
        Node("pyrec.Pack", ("m",), ("p",)),
        Node("pyrec.Dense", ("h", "p"), ("y",), {"columns": 3}),
    ]
    graph: Graph = graph_of(nodes, x=(1, 4), m=(4, 3))
    assert skip_zeros(graph).nodes == graph.nodes
