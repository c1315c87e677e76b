"""Half precision in graphs, which is computed in float32."""

from __future__ import annotations

import pytest
from support.graphs import F16, XZ, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.load.widen_half import widen_half

pytestmark = pytest.mark.once


def test_widen_half() -> None:
    nodes = [Node("Exp", ("x",), ("e",)), Node("Neg", ("e",), ("y",))]
    assert ops(widen_half(graph_of(nodes, dtype=F16, **XZ))) == ["Cast", "Exp", "Neg", "Cast"]
    plain = graph_of(nodes, **XZ)
    assert widen_half(plain) is plain


def test_widen_half_leaves_what_another_runtime_runs() -> None:
    found = widen_half(graph_of([Node("Unknown", ("x",), ("y",))], dtype=F16, **XZ))
    assert ops(found) == ["Unknown"]
