"""Transpositions around what runs as well without them."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, graph_of, ops, recognised

from pyrec_infer.ir import Node

pytestmark = pytest.mark.once


def test_normalisation_between_transpositions() -> None:
    order = {"perm": (0, 2, 1)}
    nodes = [
        Node("Transpose", ("x",), ("t",), order),
        Node("BatchNormalization", ("t", "s", "b", "m", "v"), ("n",)),
        Node("Sigmoid", ("n",), ("p",)),
        Node("Transpose", ("p",), ("y",), order),
    ]
    constants = {"s": [1, 2], "b": [3, 4], "m": [5, 6], "v": [7, 8]}
    floats = {name: np.asarray(value, F32) for name, value in constants.items()}
    assert ops(recognised(graph_of(nodes, floats, x=(5, 2)))) == ["Mul", "Add", "Sigmoid"]
    plain = [Node("BatchNormalization", ("x", "s", "b", "m", "v"), ("y",))]
    assert ops(recognised(graph_of(plain, floats, x=(2, 5)))) == ["BatchNormalization"]


def test_different_transpositions_stay() -> None:
    nodes = [
        Node("Transpose", ("x",), ("t",), {"perm": (0, 2, 1)}),
        Node("Add", ("t", "z"), ("y",)),
    ]
    assert ops(recognised(graph_of(nodes, x=(3, 3), z=(3, 3)))) == ["Transpose", "Add"]
