"""Graphs of models with bags as they are compiled, compared with the graphs that were imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrec_infer.errors import PyrecError
from pyrec_infer.formats import import_model
from pyrec_infer.ir import Array, Graph
from pyrec_infer.passes import compile_graph
from support.bag_models import SPELLINGS, ragged, with_input
from support.random_graphs import equal, evaluate

LENGTHS = np.asarray([2, 1, 3])


def outcome(graph: Graph, inputs: Mapping[str, Array]) -> Any:
    """The scores; none where they are refused."""
    try:
        return evaluate(graph, inputs, len(LENGTHS))["y"]
    except PyrecError:
        return None


def operators(name: str, *change: Any) -> list[str]:
    """The operators of a spelling's compiled graph, once it is known to give the scores of the model.

    Where a node is changed to read something else at a place, it may refuse to give any instead.
    """
    model = with_input(SPELLINGS[name](), *change) if change else SPELLINGS[name]()
    before = import_model(model).graph
    after = compile_graph(before)
    x = np.random.default_rng(3).normal(size=(len(LENGTHS), 5)).astype(np.float32)
    inputs = {**ragged(name, LENGTHS), "x": x}
    expected, made = (outcome(graph, inputs) for graph in (before, after))
    assert (made is None and change) or (expected is not None and equal(made, expected))
    return [node.op for node in after.nodes]
