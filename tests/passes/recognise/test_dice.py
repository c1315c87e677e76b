"""The activation Dice, and what differs from it in a constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, graph_of, ops, recognised

from pyrec_infer.ir import Node

pytestmark = pytest.mark.once

DICE = [
    Node("Sigmoid", ("z",), ("p",)),
    Node("Sub", ("one", "p"), ("q",)),
    Node("Mul", ("alpha", "q"), ("a",)),
    Node("Mul", ("a", "x"), ("b",)),
    Node("Mul", ("x", "p"), ("c",)),
]


def test_dice() -> None:
    constants = {"one": F32.type(1), "alpha": np.asarray([0.25, 0.5], F32)}
    for order in (("b", "c"), ("c", "b")):
        graph = graph_of([*DICE, Node("Add", order, ("y",))], constants, x=(2,), z=(2,))
        assert ops(recognised(graph)) == ["Sigmoid", "Mul", "Add", "Mul"]
    other = graph_of(
        [*DICE, Node("Add", ("b", "c"), ("y",))], {**constants, "one": F32.type(2)}, x=(2,), z=(2,)
    )
    assert len(ops(recognised(other))) == 6


@pytest.mark.parametrize(
    ("one", "alpha"),
    [(np.ones((1, 1, 1), F32), np.asarray([0.25, 0.5], F32)), (np.asarray([1, 1], F32), F32.type(0.5))],
    ids=["with more axes", "one for each column"],
)
def test_another_one_than_a_number_stays(one: Any, alpha: Any) -> None:
    nodes = [*DICE, Node("Add", ("b", "c"), ("y",))]
    assert len(ops(recognised(graph_of(nodes, {"one": one, "alpha": alpha}, x=(2,), z=(2,))))) == 6


def test_products_that_others_read_stay() -> None:
    nodes = [*DICE, Node("Add", ("b", "c"), ("s",)), Node("Mul", ("s", "a"), ("y",))]
    constants = {"one": F32.type(1), "alpha": np.asarray([0.25, 0.5], F32)}
    assert len(ops(recognised(graph_of(nodes, constants, x=(2,), z=(2,))))) == 7
