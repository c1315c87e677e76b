"""The pipeline as a whole: every step is in a tuple, verified, and runs under its condition."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.random_graphs import equal, evaluate, inputs_of, random_model

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node
from pyrec_infer.passes import (
    EVERY,
    LOAD,
    Aim,
    Change,
    Context,
    State,
    States,
    compile_graph,
    finish_graphs,
    pipeline,
    select_graph,
    split_graphs,
)
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.select.select_scores import Column
from pyrec_infer.passes.step import Step, run

pytestmark = pytest.mark.once

F32 = np.dtype(np.float32)
INFO = Info(F32, (Dim.symbol(BATCH), 3), 0)
GRAPH = Graph(
    ("x", "z"),
    ("y",),
    (Node("Neg", ("x",), ("a",)), Node("Add", ("a", "z"), ("y",))),
    {},
    {"x": INFO, "z": INFO},
)
CONTEXT = Context(scores=(Column("y"),), sides=Sides(frozenset("x")))

STAGES: dict[str, Callable[[], object]] = {
    "LOAD": lambda: compile_graph(GRAPH),
    "SELECT": lambda: select_graph(GRAPH, CONTEXT),
    "SPLIT": lambda: split_graphs(GRAPH, CONTEXT),
    "FINISH": lambda: finish_graphs({EVERY: State(GRAPH, CONTEXT)}),
}


def lose_a_node(graph: Graph) -> Graph:
    return graph.with_(nodes=graph.nodes[1:])


def rename(op: str) -> Callable[[Graph], Graph]:
    """A pass that gives the first node another operator."""

    def renamed(graph: Graph) -> Graph:
        first = Node(op, graph.nodes[0].inputs, graph.nodes[0].outputs)
        return graph.with_(nodes=(first, *graph.nodes[1:]))

    return renamed


def first_ops(states: States) -> dict[frozenset[Aim], str]:
    return {key: state.graph.nodes[0].op for key, state in states.items()}


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("place", [0, -1])
def test_every_stage_is_verified_and_names_the_step(
    stage: str, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    STAGES[stage]()
    steps = list(getattr(pipeline, stage))
    steps.insert(place if place == 0 else len(steps), Step(lose_a_node))
    monkeypatch.setattr(pipeline, stage, tuple(steps))
    with pytest.raises(ModelError, match=r"after lose_a_node: .*'a' before it is made"):
        STAGES[stage]()


@pytest.mark.parametrize("stage", STAGES)
def test_a_step_that_fails_is_named(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(graph: Graph) -> Graph:
        raise KeyError("x")

    monkeypatch.setattr(pipeline, stage, (Step(fail),))
    with pytest.raises(ModelError, match="in fail: the model is inconsistent"):
        STAGES[stage]()


def test_what_was_not_changed_stays_the_same_object() -> None:
    state = State(GRAPH, CONTEXT)

    def copy(graph: Graph) -> Graph:
        return graph.with_(constants=dict(graph.constants))

    changes: list[Change] = []
    made = run(
        [Step(copy), Step(rename("Exp"), when=lambda graph, context: False)],
        {EVERY: state},
        watch=changes.append,
    )
    assert made == {EVERY: state}
    assert made[EVERY] is state
    assert changes == []


@pytest.mark.parametrize("change", [{"static_rows": 4}, {"infos": {"x": Info(F32, (4, 3), 0), "z": INFO}}])
def test_a_change_of_what_is_known_of_inputs_counts(change: dict[str, object]) -> None:
    (made,) = run([Step(lambda graph: graph.with_(**change))], {EVERY: State(GRAPH, CONTEXT)}).values()
    assert made.graph is not GRAPH


def test_each_combination_of_aims_goes_without_their_steps() -> None:
    """A later step that is for some calls only does not bring back what others were spared."""
    many, hidden = frozenset({Aim.MANY}), frozenset({Aim.HIDDEN})
    steps = [
        Step(rename("Exp"), aim=Aim.MANY),
        Step(rename("Exp"), aim=Aim.MANY),
        Step(rename("Abs"), aim=Aim.HIDDEN),
    ]
    made = run(steps[:2], {EVERY: State(GRAPH, CONTEXT)})
    assert first_ops(made) == {EVERY: "Exp", many: "Neg"}
    made = run(steps[2:], made)
    assert first_ops(made) == {EVERY: "Abs", many: "Abs", hidden: "Exp", many | hidden: "Neg"}
    made = run([Step(rename("Exp"), aim=Aim.MANY)], made)
    assert first_ops(made) == {EVERY: "Exp", many: "Abs", hidden: "Exp", many | hidden: "Neg"}


def test_steps_that_change_nothing_make_no_further_graph() -> None:
    made = run([Step(lambda graph: graph, aim=Aim.MANY)], {EVERY: State(GRAPH, CONTEXT)})
    assert list(made) == [EVERY]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_every_pass_keeps_the_meaning(random: Random, rows: int) -> None:
    made = random_model(random)
    graph = made.graph
    inputs = inputs_of(rows, rows)
    expected = evaluate(graph, inputs, rows)["y"]
    for step in LOAD:
        graph = run([step], {EVERY: State(graph, Context())})[EVERY].graph
        assert equal(evaluate(graph, inputs, rows)["y"], expected), (step.name, made)
