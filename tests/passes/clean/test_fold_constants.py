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


@pytest.mark.parametrize("kept", [False, True])
def test_results_take_no_more_memory_than_constants(kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrec_infer.passes.clean.fold_constants._MAX_GROWTH", 0)
    nodes = [Node("Add", (f"c{i}", f"c{i}"), (f"c{i + 1}",)) for i in range(4)]
    read = [f"c{i}" for i in range(1, 5)] if kept else ["c4"]
    nodes += [Node("ReduceSum", (name,), (f"{name}/sum",)) for name in read]
    nodes.append(Node("Sum", ("x", *(f"{name}/sum" for name in read)), ("y",)))
    graph = graph_of(nodes, {"c0": np.zeros(1 << 13, F32.type)}, **XZ)
    # A result that others read stays, so there is room for one beside the constant's.
    assert ops(fold_constants(graph)) == (["Add"] * 2 + ["ReduceSum"] * 2 + ["Sum"] if kept else ["Sum"])
