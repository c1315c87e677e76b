"""Reshapes around products whose operands are quantised, and those that stay where they are."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import applied, ops

from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.load.expose_products import expose_products
from pyrec_infer.passes.load.unflatten_products import unflatten_products

pytestmark = pytest.mark.once


def layer(scale: object = np.float32(0.1), outer: int = 3, *further: Node, output: str = "y") -> Graph:
    """A layer over [outer, N, 4] as exporters write it and quantisers change it."""
    random = np.random.default_rng(0)
    nodes = (
        Node("Reshape", ("x", "flat"), ("r",)),
        Node("QuantizeLinear", ("r", "s", "z"), ("q",)),
        Node("DequantizeLinear", ("q", "s", "z"), ("d",)),
        Node("Gemm", ("d", "w", "b"), ("p",)),
        Node("QuantizeLinear", ("p", "one", "u"), ("pq",)),
        Node("DequantizeLinear", ("pq", "one", "u"), ("pd",)),
        Node("Reshape", ("pd", "back"), ("y",)),
        *further,
    )
    constants = {
        "flat": np.asarray([-1, 4]),
        "back": np.asarray([outer, -1, 2]),
        "s": scale,
        "z": np.full(np.shape(scale), 128, np.uint8),
        "one": np.float32(0.05),
        "u": np.uint8(128),
        "w": random.normal(size=(4, 2)).astype(np.float32),
        "b": np.asarray([0.5, -0.25], np.float32),
    }
    x = Info(np.dtype(np.float32), (outer, Dim.symbol(BATCH), 4), rows=1)
    return Graph(
        ("x",), (output,), nodes, {name: np.asarray(value) for name, value in constants.items()}, {"x": x}
    )


EXPOSED = [
    "QuantizeLinear",
    "DequantizeLinear",
    "Reshape",
    "Gemm",
    "Reshape",
    "QuantizeLinear",
    "DequantizeLinear",
]


@pytest.mark.parametrize("scale", [np.float32(0.1), np.asarray([0.1], np.float32)], ids=["scalar", "vector"])
def test_rows_can_be_told_apart_then(scale: object) -> None:
    graph = layer(scale)
    assert analyze(graph).infos["y"].rows < 0
    found = applied(expose_products, graph)
    assert ops(remove_dead(found)) == EXPOSED
    assert analyze(unflatten_products(remove_dead(found))).infos["y"].rows == 1


def test_two_readers_of_a_product_are_reshaped_each() -> None:
    graph = layer(np.float32(0.1), 3, Node("Reshape", ("pd", "back"), ("z2",)))
    graph = graph.with_(outputs=("y", "z2"))
    found = remove_dead(applied(expose_products, graph))
    assert ops(found).count("QuantizeLinear") == 3


def test_two_products_that_share_a_reshape() -> None:
    """What stands between them is behind the first one, or in front of the second, and not both."""
    further = (
        Node("QuantizeLinear", ("y", "s", "z"), ("q2",)),
        Node("DequantizeLinear", ("q2", "s", "z"), ("d2",)),
        Node("Gemm", ("d2", "w2"), ("a",)),
    )
    graph = layer(np.float32(0.1), 3, *further, output="a")
    constants = {**graph.constants, "back": np.asarray([-1, 2]), "w2": np.ones((2, 2), np.float32)}
    found = remove_dead(applied(expose_products, graph.with_(constants=constants)))
    assert ops(found)[-4:] == ["DequantizeLinear", "QuantizeLinear", "DequantizeLinear", "Gemm"]


REST = ["QuantizeLinear", "DequantizeLinear"]


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (layer(outer=1), ["Reshape", *REST, "Gemm", *REST, "Reshape"]),
        (layer(np.full(4, 0.1, np.float32)), ["Reshape", *REST, "Gemm", "Reshape", *REST]),
        (
            layer(np.float32(0.1), 3, Node("Relu", ("pd",), ("a",)), output="a"),
            [*REST, "Reshape", "Gemm", *REST, "Relu"],
        ),
    ],
    ids=["rows that can be told apart", "a scale for each column", "a reader that is no reshape"],
)
def test_others_stay(graph: Graph, expected: list[str]) -> None:
    assert ops(remove_dead(expose_products(graph))) == expected
