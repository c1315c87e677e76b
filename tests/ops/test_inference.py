"""What the analysis of a graph says when a rule of an operator refuses a node."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core import registry
from pyrec_infer.ops.core.inference import analyze

INFO = Info(np.dtype(np.float32), (2,))


@pytest.mark.parametrize("rule", ["the node before it has no type", "node 'it' (Neg): no type", "no type"])
@pytest.mark.parametrize("inside", [False, True])
def test_an_error_names_its_node_once(rule: str, inside: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object) -> list[Info]:
        raise ModelError(rule)

    monkeypatch.setitem(registry._operators, "Neg", replace(OPS["Neg"], infer=refuse))
    node = Node("Neg", ("x",), ("y",), name="it")
    graph = Graph(("x",), ("y",), (node,), {}, {"x": INFO})
    if inside:
        choice = Node("If", ("c", "x"), ("z",), {"captures": 1}, (graph, graph), name="outer")
        infos = {"x": INFO, "c": Info(np.dtype(np.bool_), ())}
        graph = Graph(("c", "x"), ("z",), (choice,), {}, infos)
    with pytest.raises(ModelError) as caught:
        analyze(graph)
    assert str(caught.value) == "node 'it' (Neg): " + rule.removeprefix("node 'it' (Neg): ")
