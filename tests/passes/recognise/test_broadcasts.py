"""Repetitions that arithmetic makes by itself, and those that give a shape."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import AXES, F32, graph_of, ops, recognised

from pyrec_infer.ir import Node

pytestmark = pytest.mark.once


def test_a_repeated_query_is_broadcast() -> None:
    nodes = [
        Node("Unsqueeze", ("q", "two"), ("u",)),
        Node("Tile", ("u", "repeats"), ("t",)),
        Node("Reshape", ("t", "shape"), ("e",)),
        Node("Sub", ("e", "k"), ("y",)),
    ]
    constants = {**AXES, "repeats": [1, 1, 7, 1], "shape": [-1, 7, 4]}
    after = recognised(graph_of(nodes, constants, q=(1, 4), k=(7, 4)))
    assert [(node.op, node.inputs) for node in after.nodes] == [("Sub", ("q", "k"))]


def test_a_repetition_that_gives_the_shape_stays() -> None:
    nodes = [Node("Expand", ("q", "shape"), ("e",)), Node("Exp", ("e",), ("y",))]
    assert "Expand" in ops(recognised(graph_of(nodes, {"shape": [1, 7, 1]}, q=(1, 4))))


def test_a_slope_is_not_the_shape() -> None:
    nodes = [Node("Expand", ("q", "shape"), ("e",)), Node("PRelu", ("e", "slope"), ("y",))]
    constants = {"shape": [1, 7, 1], "slope": np.ones((7, 1), F32)}
    assert "Expand" in ops(recognised(graph_of(nodes, constants, q=(1, 4))))
