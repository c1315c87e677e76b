"""Reshapes that meet activations and reductions."""

from __future__ import annotations

import pytest
from support.graphs import AXES, graph_of, ops, recognised

from pyrec_infer.ir import Node

pytestmark = pytest.mark.once


def test_an_activation_meets_its_layer() -> None:
    nodes = [Node("Squeeze", ("x", "one"), ("a",)), Node("Sigmoid", ("a",), ("y",))]
    assert ops(recognised(graph_of(nodes, AXES, x=(1,)))) == ["Sigmoid", "Reshape"]


def test_a_reduction_sees_through_a_view() -> None:
    nodes = [
        Node("Unsqueeze", ("x", "two"), ("a",)),
        Node("ReduceSum", ("a", "one"), ("y",), {"keepdims": 0}),
    ]
    assert ops(recognised(graph_of(nodes, AXES, x=(4,)))) == ["ReduceSum"]
