"""All patterns together: random graphs mean the same, and what is none stays itself."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.field_graphs import field_graph, field_inputs
from support.graphs import F32, N
from support.random_graphs import equal, evaluate, inputs_of, random_model

from pyrec_infer.ir import Graph, Info, Node, Shape, verify
from pyrec_infer.passes.common.rules import joined
from pyrec_infer.passes.recognise import (
    broadcasts,
    concatenations,
    dice,
    layers,
    pair_dots,
    recognise,
    transposes,
    views,
)

pytestmark = pytest.mark.once


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(0, 6))
def test_graphs_of_fields_keep_their_meaning(random: Random, rows: int) -> None:
    graph = field_graph(random)
    inputs = field_inputs(graph, rows, rows)
    after = recognise(graph)
    verify(after, "recognise")
    assert equal(evaluate(after, inputs, rows)["y"], evaluate(graph, inputs, rows)["y"])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_random_graphs_keep_their_meaning(random: Random, rows: int) -> None:
    graph = random_model(random).graph
    inputs = inputs_of(rows, rows)
    after = recognise(graph)
    verify(after, "recognise")
    assert equal(evaluate(after, inputs, rows)["y"], evaluate(graph, inputs, rows)["y"])


def test_every_pattern_has_its_own_rules() -> None:
    groups = [broadcasts, concatenations, dice, layers, pair_dots, transposes, views]
    assert set(joined(*(group.RULES for group in groups)))
    shape: Shape = (N, 2)
    graph = Graph(("x",), ("y",), (Node("Softmax", ("x",), ("y",)),), {}, {"x": Info(F32, shape, 0)})
    assert recognise(graph) is graph
