"""Dot products of pairs of fields in the forms of exporters, and products that are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import AXES, F32, graph_of, ops, recognised

from pyrec_infer.ir import Node

pytestmark = pytest.mark.once

LOWER = np.tril_indices(3, -1)
PRODUCTS = [
    Node("Transpose", ("e",), ("t",), {"perm": (0, 2, 1)}),
    Node("MatMul", ("e", "t"), ("m",)),
]


@pytest.mark.parametrize(
    "nodes",
    [
        [
            Node("Transpose", ("m",), ("a",), {"perm": (1, 2, 0)}),
            Node("Flatten", ("a",), ("b",), {"axis": 2}),
            Node("Gather", ("b", "flat"), ("c",), {"axis": 0}),
            Node("Transpose", ("c",), ("y",), {"perm": (1, 0)}),
        ],
        [
            Node("Transpose", ("m",), ("a",), {"perm": (1, 2, 0)}),
            Node("GatherND", ("a", "places"), ("b",)),
            Node("Transpose", ("b",), ("y",), {"perm": (1, 0)}),
        ],
        [Node("Flatten", ("m",), ("a",)), Node("Gather", ("a", "flat"), ("y",), {"axis": 1})],
        [Node("Reshape", ("m", "row"), ("a",)), Node("Gather", ("a", "flat"), ("y",), {"axis": 1})],
    ],
)
def test_triangle_of_all_products(nodes: list[Node]) -> None:
    constants = {"flat": LOWER[0] * 3 + LOWER[1], "places": np.stack(LOWER, 1), "row": [-1, 9]}
    after = recognised(graph_of([*PRODUCTS, *nodes], constants, e=(3, 4)))
    assert ops(after) == ["pyrec.PairDots"]
    assert [after.constants[name].tolist() for name in after.nodes[0].inputs[2:]] == [[1, 2, 2], [0, 0, 1]]


def test_attention_stays_a_product() -> None:
    nodes = [
        Node("Transpose", ("k",), ("t",), {"perm": (0, 2, 1)}),
        Node("MatMul", ("q", "t"), ("m",)),
        Node("Squeeze", ("m", "one"), ("y",)),
    ]
    assert "MatMul" in ops(recognised(graph_of(nodes, AXES, q=(1, 4), k=(7, 4))))


@pytest.mark.parametrize("form", ["Gather", "GatherND"])
def test_products_of_chosen_fields(form: str) -> None:
    if form == "Gather":
        chosen = [Node("Gather", ("e", side), (f"{side}/y",), {"axis": 1}) for side in "ij"]
    else:
        chosen = [Node("Transpose", ("e",), ("t",), {"perm": (1, 0, 2)})]
        for side in "ij":
            chosen.append(Node("GatherND", ("t", f"{side}1"), (f"{side}/g",)))
            chosen.append(Node("Transpose", (f"{side}/g",), (f"{side}/y",), {"perm": (1, 0, 2)}))
    tail = [Node("Mul", ("i/y", "j/y"), ("m",)), Node("ReduceSum", ("m", "two"), ("y",), {"keepdims": 0})]
    i, j = np.asarray([0, 0, 1]), np.asarray([1, 2, 2])
    constants = {**AXES, "i": i, "j": j, "i1": i[:, None], "j1": j[:, None]}
    assert ops(recognised(graph_of([*chosen, *tail], constants, e=(3, 4)))) == ["pyrec.PairDots"]


def test_products_of_whole_values_stay() -> None:
    nodes = [Node("Mul", ("a", "b"), ("m",)), Node("ReduceSum", ("m", "two"), ("y",), {"keepdims": 0})]
    assert ops(recognised(graph_of(nodes, AXES, a=(3, 4), b=(3, 4)))) == ["Mul", "ReduceSum"]
    across = [Node("Mul", ("a", "b"), ("m",)), Node("ReduceSum", ("m", "one"), ("y",), {"keepdims": 0})]
    assert ops(recognised(graph_of(across, AXES, a=(3, 4), b=(3, 4)))) == ["Mul", "ReduceSum"]


def _field_weighted() -> tuple[list[Node], dict[str, Any]]:
    nodes = [Node("Unsqueeze", (name, "one"), (f"{name}1",)) for name in "abc"]
    nodes += [Node("Unsqueeze", (name, "two"), (f"{name}2",)) for name in "abc"]
    for left, right in ("ab", "ac", "bc"):
        pair = left + right
        nodes.append(Node("MatMul", (f"{left}1", f"{right}2"), (pair,)))
        nodes.append(Node("Squeeze", (pair, "one"), (f"{pair}/s",)))
        nodes.append(Node("Mul", ("weight", f"{pair}/s"), (f"{pair}/w",)))
    return nodes, {**AXES, "weight": F32.type(2)}


def test_weighted_dots_are_one_step() -> None:
    nodes, constants = _field_weighted()
    nodes.append(Node("Sum", ("ab/w", "ac/w", "bc/w"), ("y",)))
    after = recognised(graph_of(nodes, constants, a=(4,), b=(4,), c=(4,)))
    assert ops(after) == ["Concat", "Reshape", "pyrec.PairDots", "MatMul"]


def test_dots_side_by_side_are_one_step() -> None:
    nodes, constants = _field_weighted()
    nodes = [node for node in nodes if not node.outputs[0].endswith("/w")]
    nodes.append(Node("Concat", ("ab/s", "ac/s", "bc/s"), ("y",), {"axis": 1}))
    after = recognised(graph_of(nodes, constants, a=(4,), b=(4,), c=(4,)))
    assert ops(after) == ["Concat", "Reshape", "pyrec.PairDots"]
