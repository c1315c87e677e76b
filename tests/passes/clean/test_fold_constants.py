"""What depends on the model alone, and what would be too large."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, XZ, applied, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.clean.fold_constants import fold_constants

pytestmark = pytest.mark.once


def test_fold_constants() -> None:
    nodes = [Node("Add", ("a", "a"), ("b",)), Node("Mul", ("x", "b"), ("y",))]
    folded = applied(fold_constants, graph_of(nodes, {"a": F32.type(2)}, **XZ))
    assert ops(folded) == ["Mul"]
    assert folded.constants["b"] == 4
    nodes = [Node("Add", ("x", "a"), ("b",)), Node("Mul", ("x", "b"), ("y",))]
    assert ops(applied(fold_constants, graph_of(nodes, {"a": F32.type(2)}, **XZ))) == ["Add", "Mul"]


def test_a_big_expansion_is_not_folded() -> None:
    nodes = [
        Node("Expand", ("a", "shape"), ("b",)),
        Node("ReduceSum", ("b",), ("c",)),
        Node("Add", ("x", "c"), ("y",)),
    ]
    graph = graph_of(nodes, {"a": F32.type(1), "shape": np.asarray([1 << 10, 1 << 9])}, **XZ)
    assert "Expand" in ops(fold_constants(graph))
