"""Products of pairs of elements: as views in any order, transposed before they are made."""

from __future__ import annotations

from typing import Any

import pytest
from support.graphs import alike, graph_of, ops, recognised

from pyrec_infer.ir import Dim, Graph, Node

pytestmark = pytest.mark.once


def einsum(equation: str, **sizes: Any) -> Graph:
    return graph_of([Node("Einsum", tuple(sizes), ("y",), {"equation": equation})], **sizes)


@pytest.mark.parametrize(
    ("equation", "x", "z"),
    [
        ("bhd,bmd->bhmd", (2, 4), (3, 4)),
        ("bhd, bmd -> bdmh", (2, 4), (3, 4)),
        ("bd,bd->bd", (4,), (4,)),
        ("bi,bj->bij", (2,), (3,)),
        ("bi,bj->bji", (2,), (3,)),
        ("b...d,b...d->bd...", (2, 4), (2, 4)),
        ("bhd,bmd->bhmd", (2, 1), (1, 1)),
        ("bhd,bmd->bhmd", (Dim.symbol("L"), 4), (3, 4)),
    ],
)
def test_sums_of_nothing_are_products(equation: str, x: Any, z: Any) -> None:
    graph = einsum(equation, x=x, z=z)
    made = alike(graph, recognised(graph))
    assert "Einsum" not in ops(made)
    assert ops(made).count("Mul") == 1


@pytest.mark.parametrize(
    ("equation", "x", "z"),
    [("bhd,bmd->bhm", (2, 4), (3, 4)), ("bii,bj->bij", (2, 2), (3,)), ("bd,cd->bcd", (4,), (4,))],
)
def test_other_equations_stay(equation: str, x: Any, z: Any) -> None:
    """What is added up, a diagonal, and rows of the batch beside each other."""
    assert "Einsum" in ops(recognised(einsum(equation, x=x, z=z)))


def interaction(**options: Any) -> Graph:
    """A layer of a compressed interaction network, as its convolution is unfolded."""
    read = options.get("read", "t")
    nodes = [
        Node("Unsqueeze", ("x", "two"), ("a",)),
        Node("Unsqueeze", ("z", "one"), ("b",)),
        Node("Mul", ("a", options.get("other", "b")), ("p",)),
        Node("Reshape", ("p", "flat"), ("f",)),
        Node("Transpose", ("f",), ("t",), {"perm": (0, 2, 1)}),
        Node("Neg", (read,), ("y",)),
    ]
    constants = {"one": [1], "two": [2], "flat": options.get("flat", [-1, 6, 4])}
    outputs = ("y", *options.get("outputs", ()))
    return graph_of(nodes, constants, outputs, x=(2, 4), z=(3, 4), w=(2, 3, 4))


def test_pairs_are_made_in_the_order_of_the_layer() -> None:
    graph = interaction()
    made = alike(graph, recognised(graph))
    names = [op for op in ops(made) if op in ("Mul", "Transpose")]
    assert names == ["Transpose", "Transpose", "Mul"]


@pytest.mark.parametrize(
    "options",
    [{"other": "w"}, {"flat": [-1, 4, 6]}, {"flat": [-1, 3, 4]}, {"outputs": ("p",)}, {"outputs": ("f",)}],
)
def test_products_that_stay_before_their_transposition(options: dict[str, Any]) -> None:
    """A factor as large as the product, axes cut or joined with rows, and products that others read."""
    graph = interaction(**options)
    made = alike(graph, recognised(graph))
    product, turned = (next(node for node in made.nodes if node.op == op) for op in ("Mul", "Transpose"))
    assert made.nodes.index(product) < made.nodes.index(turned)


def test_transposed_factors_of_a_larger_product_stay() -> None:
    nodes = [
        Node("Transpose", ("x",), ("a",), {"perm": (0, 2, 3, 1)}),
        Node("Transpose", ("z",), ("b",), {"perm": (0, 2, 3, 1)}),
        Node("Mul", ("a", "b"), ("y",)),
    ]
    graph = graph_of(nodes, x=(2, 3, 1), z=(2, 1, 4))
    made = alike(graph, recognised(graph))
    assert ops(made)[-1] == "Mul"
    assert ops(made).count("Transpose") == 2
