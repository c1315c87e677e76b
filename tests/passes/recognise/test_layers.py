"""Constants that a dense layer can hold, and layers in other forms."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import AXES, F32, alike, graph_of, ops, recognised

from pyrec_infer.ir import Node
from pyrec_infer.passes.recognise import recognise

pytestmark = pytest.mark.once

W23, ROW3 = np.arange(6, dtype=np.float32).reshape(2, 3), np.asarray([1, 2, 3], F32)
LAYER = {"w": W23, "row": ROW3, "pair": np.asarray([3, -2], F32), "half": F32.type(0.5)}


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_constants_fold_into_a_layer(op: str) -> None:
    before = [
        Node(op, ("x", "pair"), ("a",)),
        Node("pyrec.Dense", ("a", "w", "row"), ("y",), {"activation": "Relu"}),
    ]
    after = recognised(graph_of(before, LAYER, x=(2,)))
    assert ops(after) == ["pyrec.Dense"]
    assert after.nodes[0].attributes["activation"] == "Relu"
    behind = [Node("pyrec.Dense", ("x", "w"), ("a",)), Node(op, ("a", "row"), ("y",))]
    assert ops(recognised(graph_of(behind, LAYER, x=(2,)))) == ["pyrec.Dense"]
    assert ops(recognised(graph_of(behind, LAYER, x=(5, 2)))) == ["pyrec.Dense"]


def test_a_scaled_part_folds_into_a_layer() -> None:
    nodes = [
        Node("Mul", ("x", "half"), ("a",)),
        Node("Concat", ("a", "z"), ("c",), {"axis": 1}),
        Node("pyrec.Dense", ("c", "w"), ("y",)),
    ]
    assert ops(recognised(graph_of(nodes, LAYER, x=(1,), z=(1,)))) == ["Concat", "pyrec.Dense"]


@pytest.mark.parametrize(
    "nodes",
    [
        [Node("pyrec.Dense", ("x", "w"), ("a",), {"activation": "Relu"}), Node("Mul", ("a", "row"), ("y",))],
        [
            Node("pyrec.Dense", ("x", "w"), ("a",)),
            Node("Mul", ("a", "row"), ("b",)),
            Node("Mul", ("a", "b"), ("y",)),
        ],
        [Node("Div", ("half", "x"), ("a",)), Node("pyrec.Dense", ("a", "w"), ("y",))],
        [Node("Mul", ("x", "column"), ("a",)), Node("pyrec.Dense", ("a", "w"), ("y",))],
    ],
)
def test_what_a_layer_cannot_hold_stays(nodes: list[Node]) -> None:
    constants = {**LAYER, "column": np.asarray([[[1], [2]]], F32)}
    graph = graph_of(nodes, constants, x=(2, 2))
    assert ops(recognised(graph)) == [node.op for node in nodes]


def test_layers_of_folded_rows_and_columns() -> None:
    nodes = [
        Node("Reshape", ("x", "flat"), ("a",)),
        Node("pyrec.Dense", ("a", "w"), ("b",)),
        Node("Reshape", ("b", "back"), ("c",)),
        Node("Add", ("c", "row"), ("y",)),
    ]
    constants = {**LAYER, "flat": [-1, 2], "back": [-1, 5, 3]}
    assert ops(recognised(graph_of(nodes, constants, x=(5, 2)))) == ["pyrec.Dense"]
    left = [
        Node("MatMul", ("turned", "x"), ("a",)),
        Node("Add", ("a", "column"), ("b",)),
        Node("Squeeze", ("b", "two"), ("y",)),
    ]
    constants = {**AXES, "turned": W23.T, "column": ROW3[:, None]}
    assert ops(recognised(graph_of(left, constants, x=(2, 1)))) == ["Reshape", "pyrec.Dense"]


@pytest.mark.parametrize(
    ("equation", "shape", "sizes"),
    [("bd,edh->beh", (3, 2, 4), (2,)), ("bij,jk->bik", (2, 4), (5, 2)), ("bij,ijk->bk", (5, 2, 4), (5, 2))],
)
def test_einsum_of_a_constant_is_a_layer(
    equation: str, shape: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    weights = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    nodes = [Node("Einsum", ("x", "w"), ("y",), {"equation": equation})]
    assert "pyrec.Dense" in ops(recognised(graph_of(nodes, {"w": weights}, x=sizes)))


@pytest.mark.parametrize("equation", ["bd,edh->bhe", "bd,bdh->bh", "bd,ed->e"])
def test_other_equations_stay(equation: str) -> None:
    shape = {"e": 3, "d": 2, "h": 4, "b": 5}
    weights = np.ones([shape[letter] for letter in equation.split(",")[1].split("->")[0]], F32)
    nodes = [Node("Einsum", ("x", "w"), ("y",), {"equation": equation})]
    assert ops(recognised(graph_of(nodes, {"w": weights}, x=(2,)))) == ["Einsum"]


@pytest.mark.parametrize(
    "nodes",
    [
        [Node("Mul", ("x", "huge"), ("a",)), Node("pyrec.Dense", ("a", "w"), ("y",))],
        [Node("pyrec.Dense", ("x", "w"), ("a",)), Node("Mul", ("a", "huge"), ("y",))],
    ],
    ids=["before", "behind"],
)
def test_constants_whose_product_overflows_stay_apart(nodes: list[Node]) -> None:
    """Where the inputs are small, the model's own steps do not overflow."""
    constants = {"w": np.full((2, 3), 1e30, F32), "huge": F32.type(1e30)}
    graph = graph_of(nodes, constants, x=(2,))
    found = alike(graph, recognise(graph), x=np.full((5, 2), 1e-30, F32))
    assert ops(found) == [node.op for node in nodes]


def test_a_part_that_is_scaled_before_weights_that_are_not_finite_stays() -> None:
    nodes = [
        Node("Mul", ("x", "half"), ("a",)),
        Node("Concat", ("a", "z"), ("c",), {"axis": 1}),
        Node("pyrec.Dense", ("c", "w"), ("y",)),
    ]
    graph = graph_of(nodes, {**LAYER, "w": np.asarray([[np.inf], [1]], F32)}, x=(1,), z=(1,))
    found = alike(graph, recognise(graph), x=np.ones((5, 1), F32))
    assert ops(found) == ["Mul", "Concat", "pyrec.Dense"]
