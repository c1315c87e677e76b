"""Graphs that are taken to be the same, so that tests of one stand for the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import XZ, graph_of
from support.likeness import digest

from pyrec_infer.ir import Graph, Node

pytestmark = pytest.mark.once

WEIGHTS = np.random.default_rng(0).standard_normal((4, 4), np.float32)
FEW = WEIGHTS[0].copy()


def graph(op: str = "Add", weights: Any = WEIGHTS, few: Any = FEW, made: str = "h", **said: Any) -> Graph:
    nodes = [
        Node("MatMul", ("x", "w"), (made,)),
        Node(op, (made, "z"), ("s",)),
        Node("Mul", ("s", "few"), ("m",)),
        Node("Softmax", ("m",), ("y",), said),
    ]
    return graph_of(nodes, {"w": weights, "few": few}, **XZ)


def test_names_weights_and_what_is_said_by_default_make_no_difference() -> None:
    assert digest(graph()) == digest(graph(made="other", weights=WEIGHTS + 1, axis=-1))


@pytest.mark.parametrize(
    "other",
    [
        graph("Sub"),
        graph(axis=0),
        graph(few=FEW + 1),
        graph(weights=np.where(WEIGHTS > 1, 0, WEIGHTS).astype(np.float32)),
        graph(weights=WEIGHTS.astype(np.float64)),
        graph_of([Node("Add", ("z", "x"), ("y",))], {}, **XZ),
    ],
    ids=["operator", "attribute", "few numbers", "zeros", "type", "steps"],
)
def test_what_passes_may_act_on_makes_a_difference(other: Graph) -> None:
    assert digest(other) != digest(graph())


def test_sides_of_an_operator_are_told_apart() -> None:
    one, two = (graph_of([Node("Sub", sides, ("y",))], {}, **XZ) for sides in (("x", "z"), ("z", "x")))
    assert digest(one) != digest(two)
