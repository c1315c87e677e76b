"""Products and the additions after them in one step, and products that have other readers."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.fuse_multiply_add import fuse_multiply_add

pytestmark = pytest.mark.once

REQUEST = Sides(frozenset("u"))
MUL = Node("Mul", ("x", "z"), ("m",))


@pytest.mark.parametrize("inputs", [("m", "z"), ("z", "m"), ("m", "x")])
def test_a_product_and_the_addition_after_it_are_one_step(inputs: tuple[str, str]) -> None:
    graph = graph_of([MUL, Node("Add", inputs, ("y",))], x=(4,), z=(4,))
    assert ops(applied(fuse_multiply_add, graph, REQUEST)) == ["pyrec.MultiplyAdd"]


def test_a_product_with_a_constant_row_too() -> None:
    nodes = [Node("Mul", ("x", "row"), ("m",)), Node("Add", ("m", "x"), ("y",))]
    graph = graph_of(nodes, {"row": np.arange(4, dtype=F32)}, x=(4,))
    assert ops(applied(fuse_multiply_add, graph, REQUEST)) == ["pyrec.MultiplyAdd"]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([MUL, Node("Add", ("m", "x"), ("s",)), Node("Mul", ("m", "s"), ("y",))], ("y",)),
        ([MUL, Node("Add", ("m", "x"), ("y",))], ("y", "m")),
        ([MUL, Node("Add", ("m", "m"), ("y",))], ("y",)),
        ([MUL, Node("Sub", ("x", "m"), ("y",))], ("y",)),
    ],
    ids=["read twice", "an output", "added to itself", "subtracted"],
)
def test_other_products_stay_steps_of_their_own(nodes: list[Node], outputs: tuple[str, ...]) -> None:
    graph = graph_of(nodes, outputs=outputs, x=(4,), z=(4,))
    assert "pyrec.MultiplyAdd" not in ops(applied(fuse_multiply_add, graph, REQUEST))


def test_a_product_that_is_smaller_than_the_sum_or_known_earlier_stays() -> None:
    narrow = graph_of([MUL, Node("Add", ("m", "w"), ("y",))], x=(1,), z=(1,), w=(4,))
    assert ops(applied(fuse_multiply_add, narrow, REQUEST)) == ["Mul", "Add"]
    early = graph_of([Node("Mul", ("u", "u"), ("m",)), Node("Add", ("m", "x"), ("y",))], u=(4,), x=(4,))
    assert ops(applied(fuse_multiply_add, early, REQUEST)) == ["Mul", "Add"]
