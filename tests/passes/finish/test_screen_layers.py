"""Layers that run in int8 where the score's error can be bounded, and graphs that stay as they are."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32
from support.random_graphs import evaluate
from support.towers import normal

from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.finish.screen_layers import Screened, screen_layers

pytestmark = pytest.mark.once


def layers(*widths: int, end: tuple[Node, ...] = (), **attributes: str) -> Graph:
    """Dense layers in a row, from x to y, then other nodes from y to z."""
    names = ["x", *(f"h{i}" for i in range(len(widths) - 2)), "y"]
    made = [
        Node("pyrec.Dense", (names[i], f"w{i}", f"b{i}"), (names[i + 1],), {"activation": "Relu"})
        for i in range(len(widths) - 1)
    ]
    made[-1] = Node("pyrec.Dense", made[-1].inputs, ("y",), dict(attributes))
    constants = {f"w{i}": normal(*widths[i : i + 2]) for i in range(len(widths) - 1)}
    constants |= {f"b{i}": normal(widths[i + 1]) for i in range(len(widths) - 1)}
    infos = {"x": Info(F32, (Dim.symbol("N"), widths[0]), 0)}
    return Graph(("x",), ("z",) if end else ("y",), (*made, *end), constants, infos)


def screened(graph: Graph, request: tuple[str, ...] = ()) -> Screened:
    return screen_layers(graph, Sides(frozenset(request)))


def test_hidden_layers_from_the_first_wide_one_on_are_followed() -> None:
    made = screened(layers(48, 20, 40, 64, 20, 1, activation="Sigmoid"))
    assert [node.op.removeprefix("pyrec.") for node in made.graph.nodes] == [
        "Dense",
        "Dense",
        "DenseInt8",
        "Dense",
        "Dense",
    ]
    assert [layer.narrow for layer in made.layers] == [True, False, False]
    assert (made.activation, made.graph.outputs) == ("Sigmoid", ("y", "h2/measures"))
    assert made.graph.nodes[-1].attribute("activation", "") == ""


def test_the_sums_are_near_and_measures_are_those_of_the_rows() -> None:
    graph = layers(48, 40, 1, end=(Node("Sigmoid", ("y",), ("s",)), Node("Squeeze", ("s", "axes"), ("z",))))
    graph = graph.with_(constants={**graph.constants, "axes": np.asarray([1])})
    x = np.abs(normal(5, 48))
    exact, near = (evaluate(made, {"x": x}, 5) for made in (graph, screened(graph).graph))
    score, sums, measures = exact["z"], near["y"], near["h0/measures"]
    np.testing.assert_allclose(score, 1 / (1 + np.exp(-sums[:, 0])), atol=0.05)
    scale = x.max(1) / 127
    rounded = np.rint(x / scale[:, None]) * scale[:, None]
    lengths = [np.linalg.norm(rows, axis=1) for rows in (rounded, x - rounded)]
    np.testing.assert_allclose(measures, np.stack([scale, *lengths], 1), rtol=1e-5)


@pytest.mark.parametrize(
    ("graph", "why_not"),
    [
        (layers(48, 40, 2), "several columns"),
        (layers(48, 40, 1, activation="Tanh"), "Tanh of a layer"),
        (layers(48, 40, 1, end=(Node("Exp", ("y",), ("z",)),)), "Exp makes the score"),
        (layers(48, 20, 1), "no layer of 32 features"),
        (layers(48, 40, 1, end=(Node("Add", ("y", "h0"), ("z",)),)), "Add makes the score"),
        (layers(48, 40, 1).with_(outputs=("x",)), "no layer makes the score"),
    ],
)
def test_others_stay_as_they_are_and_say_why(graph: Graph, why_not: str) -> None:
    made = screened(graph)
    assert made.graph is graph
    assert why_not in made.why_not


def test_a_layer_that_others_read_or_whose_bias_is_not_known_is_exact() -> None:
    graph = layers(48, 40, 40, 1)
    shared = graph.with_(
        nodes=(
            *graph.nodes[:-1],
            Node("ReduceSum", ("h0", "axes"), ("r",)),
            _with_bias(graph.nodes[-1], "r"),
        ),
        constants={**graph.constants, "axes": np.asarray([1])},
    )
    assert [layer.narrow for layer in screened(shared).layers] == [True, False]
    given = graph.with_(nodes=(graph.nodes[0], _with_bias(graph.nodes[1], "x2"), graph.nodes[2]))
    given = given.with_(inputs=("x", "x2"), infos={**graph.infos, "x2": Info(F32, (Dim.symbol("N"), 40), 0)})
    assert "no layer of 32 features" in screened(given).why_not
    for value in (np.inf, np.nan, 2.0**50):
        large = graph.with_(constants={**graph.constants, "w1": np.full((40, 40), value, F32)})
        assert "no layer of 32 features" in screened(large).why_not


def _with_bias(node: Node, bias: str) -> Node:
    return Node(node.op, (*node.inputs[:2], bias), node.outputs, dict(node.attributes))
