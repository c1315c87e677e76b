"""What no output needs."""

from __future__ import annotations

import pytest
from support.graphs import F32, XZ, applied, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.clean.remove_dead import keep_outputs, remove_dead

pytestmark = pytest.mark.once


def test_remove_dead() -> None:
    nodes = [Node("Neg", ("x",), ("unused",)), Node("Abs", ("x",), ("y",)), Node("Exp", ("y",), ("late",))]
    graph = graph_of(nodes, {"spare": F32.type(1)}, **XZ)
    found = applied(remove_dead, graph)
    assert ops(found) == ["Abs"]
    assert not found.constants
    assert found.inputs == ("x", "z")
    both = graph_of(nodes, outputs=("y", "late"), **XZ)
    assert ops(keep_outputs(both, ("late",))) == ["Abs", "Exp"]
