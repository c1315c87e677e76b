"""What the analysis of a graph says when a rule of an operator refuses a node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pyrec_infer.errors import IdRangeError, ModelError, ShapeError
from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Rows, fault, reworded
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core import registry
from pyrec_infer.ops.core.inference import analyze, constant_info

INFO = Info(np.dtype(np.float32), (2,))


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_an_error_names_its_node_once(named: bool, inside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(node: Node, *given: object) -> list[Info]:
        raise fault(ModelError, node, "no type") if named else ModelError("no type")

    monkeypatch.setitem(registry._operators, "Neg", replace(OPS["Neg"], infer=refuse))
    node = Node("Neg", ("x",), ("y",), name="it")
    graph = Graph(("x",), ("y",), (node,), {}, {"x": INFO})
    if inside:
        choice = Node("If", ("c", "x"), ("z",), {"captures": 1}, (graph, graph), name="outer")
        infos = {"x": INFO, "c": Info(np.dtype(np.bool_), ())}
        graph = Graph(("c", "x"), ("z",), (choice,), {}, infos)
    with pytest.raises(ModelError) as caught:
        analyze(graph)
    assert str(caught.value) == "node 'it' (Neg): no type"


def test_a_label_replaces_the_node_that_an_error_is_about_and_no_other() -> None:
    node, other = (Node("Gather", (), (), name=name) for name in ("it", "other"))
    error = fault(IdRangeError, node, "node 'it' (Gather): has 3 rows", 7)
    assert str(error) == "node 'it' (Gather): node 'it' (Gather): has 3 rows (row 7)"
    assert str(reworded(error, node, "input 'x'")) == "input 'x': node 'it' (Gather): has 3 rows (row 7)"
    assert reworded(error, node, "input 'x'").row == 7
    assert reworded(error, node, "input 'x'", 70).row == 70
    assert str(reworded(error, other, "input 'x'")) == f"input 'x': {error}"
    assert str(reworded(ShapeError("rank 2"), node, "")) == "rank 2"


def test_a_constant_whose_rows_are_known_by_now_is_another_finding() -> None:
    """What a fold left of a slice by sizes has the same numbers, but belongs to no rows any more."""
    batch = Info(np.dtype(np.float32), (Dim.symbol(BATCH), 2), 0)
    weights = constant_info(np.ones((2, 3), np.float32))
    graph = Graph(("x", "w"), ("y",), (Node("MatMul", ("x", "w"), ("y",)),), {}, {"x": batch})
    found = [analyze(graph, {"w": weights.with_rows(rows)}) for rows in (Rows.OPAQUE, Rows.INVARIANT)]
    assert [each.infos["y"].rows for each in found] == [Rows.OPAQUE, 0]
    assert [bool(each.coupled) for each in found] == [True, False]
