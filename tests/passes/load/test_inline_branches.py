"""Branches that a constant chooses, and those that data choose."""

from __future__ import annotations

import pytest
from support.graphs import F32, XZ, applied, graph_of, ops

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.passes.load.inline_branches import inline_branches

pytestmark = pytest.mark.once


def _branches() -> Node:
    def body(op: str) -> Graph:
        return Graph(("outer",), ("r",), (Node(op, ("outer",), ("r",)),), {}, {"outer": Info(None, None)})

    return Node("If", ("condition", "x"), ("y",), {"captures": 1}, (body("Neg"), body("Abs")))


@pytest.mark.parametrize(("condition", "op"), [(True, "Neg"), (False, "Abs")])
def test_inline_branches(condition: bool, op: str) -> None:
    found = applied(inline_branches, graph_of([_branches()], {"condition": condition}, **XZ))
    assert ops(found) == [op, "Identity"]


def test_branches_on_data_stay() -> None:
    any_positive = [
        Node("ReduceMax", ("z",), ("m",), {"keepdims": 0}),
        Node("Greater", ("m", "zero"), ("condition",)),
    ]
    found = applied(inline_branches, graph_of([*any_positive, _branches()], {"zero": F32.type(0)}, **XZ))
    assert ops(found)[-1] == "If"
