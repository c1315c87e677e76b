"""Layers that are given a lower precision, and those that keep float32."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32
from support.towers import normal

from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.finish.choose_precision import choose_precision

pytestmark = pytest.mark.once


def layers(*widths: int, nodes: tuple[Node, ...] = ()) -> Graph:
    """Dense layers in a row, from x to y, then other nodes."""
    names = ["x", *(f"h{i}" for i in range(len(widths) - 2)), "y"]
    made = [
        Node("pyrec.Dense", (names[i], f"w{i}"), (names[i + 1],), {"activation": "Relu"})
        for i in range(len(widths) - 1)
    ]
    constants = {f"w{i}": normal(*widths[i : i + 2]) for i in range(len(widths) - 1)}
    infos = {"x": Info(F32, (Dim.symbol("N"), widths[0]), 0)}
    return Graph(("x",), ("y",), (*made, *nodes), constants, infos)


def chosen(graph: Graph, precision: str = "int8", request: tuple[str, ...] = ()) -> list[str]:
    made = choose_precision(graph, Sides(frozenset(request)), precision)
    return [node.op.removeprefix("pyrec.") for node in made.nodes]


def test_all_layers_but_the_last_are_chosen() -> None:
    assert chosen(layers(64, 48, 32, 1)) == ["DenseInt8", "DenseInt8", "Dense"]
    assert chosen(layers(64, 48, 32, 40), "bf16") == ["DenseBf16", "DenseBf16", "Dense"]
    assert chosen(layers(64, 48, 32, 1), "fp32") == ["Dense"] * 3
    assert chosen(layers(64, 32)) == ["Dense"]


def test_small_layers_and_those_of_the_request_stay() -> None:
    assert chosen(layers(31, 64, 31, 64, 1)) == ["Dense"] * 4
    assert chosen(layers(64, 48, 32, 1), request=("x",)) == ["Dense"] * 3


def test_layers_whose_weights_are_not_known_or_not_finite_stay() -> None:
    graph = layers(32, 32, 32, 1)
    infos = {**graph.infos, "w0": Info(F32, (32, 32))}
    constants = {name: value for name, value in graph.constants.items() if name != "w0"}
    given = graph.with_(inputs=("x", "w0"), infos=infos, constants=constants)
    assert chosen(given) == ["Dense", "DenseInt8", "Dense"]
    constants = {**graph.constants, "w1": np.full((32, 32), np.inf, F32)}
    assert chosen(graph.with_(constants=constants)) == ["DenseInt8", "Dense", "Dense"]


def test_layers_of_matrices_that_a_request_lays_out() -> None:
    n = Dim.symbol("N")
    nodes = (
        Node("pyrec.Pack", ("m",), ("p",)),
        Node("pyrec.Dense", ("x", "p"), ("h",), {"columns": 40}),
        Node("pyrec.Dense", ("h", "w"), ("y",)),
    )
    for inner, expected in ((32, "DenseInt8"), (31, "Dense")):
        infos = {"x": Info(F32, (n, 1, inner), 0), "m": Info(F32, (n, inner, 40), 0)}
        graph = Graph(("x", "m"), ("y",), nodes, {"w": normal(40, 1)}, infos)
        assert chosen(graph, request=("m",)) == ["Pack", expected, "Dense"]
        made = choose_precision(graph, Sides(frozenset("m")), "int8")
        assert made.nodes[0].attribute("precision", "fp32") == ("int8" if inner == 32 else "fp32")
        assert chosen(graph) == ["Pack", expected, "Dense"]
        assert chosen(graph, request=("m", "x")) == ["Pack", "Dense", "Dense"]


def test_a_layer_that_feeds_an_output_beside_the_last_layer_counts_by_the_path_to_it() -> None:
    graph = layers(64, 48, 32, nodes=(Node("Relu", ("h0",), ("z",)),))
    assert chosen(graph.with_(outputs=("y", "z"))) == ["DenseInt8", "Dense", "Relu"]
    assert chosen(graph.with_(outputs=("z",))) == ["Dense", "Dense", "Relu"]
