"""A ReLU in two halves gives the same sums, and stays whole where halves do not help."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32
from support.random_graphs import evaluate
from support.towers import normal

from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.common.writer import Writer
from pyrec_infer.passes.finish.halve_relu import halve_relu, linear_half
from pyrec_infer.passes.finish.screen_layers import Screened, screen_layers

pytestmark = pytest.mark.once


@pytest.mark.parametrize("bias", [None, normal(1), normal(9)])
@pytest.mark.parametrize("ends", [(), ("c",), ("d",)])
def test_halves_make_the_same_sums(bias: np.ndarray | None, ends: tuple[str, ...]) -> None:
    weights, last, x = normal(7, 9), normal(9, 1), normal(20, 7)
    hidden = Node("pyrec.Dense", ("x", "w", *(() if bias is None else ("b",))), ("h",))
    sums = Node("pyrec.Dense", ("h", "v", *ends), ("y",), {"skip_zeros": 1})
    writer = Writer("y/near")
    made = halve_relu(hidden, sums, linear_half(weights, bias, last), last, writer)
    constants = {"w": weights, "v": last, "c": normal(1), **writer.constants}
    if bias is not None:
        constants["b"] = bias
    infos = {"x": Info(F32, (Dim.symbol("N"), 7), 0), "d": Info(F32, (Dim.symbol("N"), 1), 0)}
    given = {"x": x, "d": normal(20, 1)}
    relu = Node("Relu", ("h",), ("r",))
    whole = Node("pyrec.Dense", ("r", "v", *ends), ("y",))
    results = [
        evaluate(Graph(("x", "d"), ("y",), nodes, constants, infos), given, 20)["y"]
        for nodes in ((hidden, relu, whole), (hidden, *writer.nodes, made))
    ]
    np.testing.assert_allclose(results[1], results[0], rtol=1e-5, atol=1e-5)
    assert "skip_zeros" not in made.attributes


def _screened(*columns: int, activation: str = "Relu", size: float = 1.0) -> Screened:
    names = ["x", *(f"h{place}" for place in range(len(columns))), "y"]
    widths = (48, *columns, 1)
    constants = {f"w{place}": normal(*widths[place : place + 2]) for place in range(len(columns) + 1)}
    constants[f"w{len(columns)}"] *= np.float32(size)
    nodes = [
        Node("pyrec.Dense", (names[place], f"w{place}"), (names[place + 1],), {"activation": activation})
        for place in range(len(columns))
    ]
    nodes.append(Node("pyrec.Dense", (names[-2], f"w{len(columns)}"), ("y",)))
    infos = {"x": Info(F32, (Dim.symbol("N"), 48), 0)}
    return screen_layers(Graph(("x",), ("y",), tuple(nodes), constants, infos), Sides(frozenset()))


def test_a_layer_that_alone_is_in_int8_is_halved() -> None:
    made = _screened(40)
    assert [node.op for node in made.graph.nodes] == ["pyrec.DenseInt8", "Abs", "pyrec.Dense", "pyrec.Dense"]
    assert [layer.halved for layer in made.layers] == [True, False]
    assert made.graph.nodes[0].attribute("activation", "") == ""


@pytest.mark.parametrize(
    "made",
    [_screened(40, 40), _screened(40, 20), _screened(40, activation=""), _screened(40, size=1e38)],
    ids=["two in int8", "one in float32 behind it", "no ReLU", "too large"],
)
def test_others_stay_whole(made: Screened) -> None:
    assert not any(layer.halved for layer in made.layers)
    assert "Abs" not in [node.op for node in made.graph.nodes]
