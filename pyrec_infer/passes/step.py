"""Steps of the pipeline: a pass, what it takes beside the graph, and the condition under which it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeAlias

from pyrec_infer.errors import ModelError, PyrecError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Graph, verify
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.context import Condition, Context, always


class Aim(Enum):
    """The calls for which a step pays, where it does not pay for all; the others do without it."""

    MANY = "many candidates"
    """It does more for a request in order to do less for each candidate."""
    HIDDEN = "hidden positions"
    """It leaves out what a request's mask hides, and gives up where the scores that are left are too low."""


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes
    ----------
    apply : callable
        The pass. It is given the graph and gives the graph that takes its place, or what ``cut`` takes.
    takes : tuple of str
        Attributes of the context that the pass is given too.
    when : callable
        The condition under which it runs.
    aim : Aim, optional
        The calls that it is for; all calls by default.
    clean : bool
        Whether `CLEAN_UP` follows where it has changed something.
    cut : callable, optional
        Of a pass that takes something out: the graph that is left, and the context with what was taken.
    """

    apply: Callable[..., Any]
    takes: tuple[str, ...] = ()
    when: Condition = always
    aim: Aim | None = None
    clean: bool = False
    cut: Callable[[Any, Context], tuple[Graph, Context]] | None = None

    @property
    def name(self) -> str:
        name: str = self.apply.__name__
        return name


@dataclass(frozen=True)
class State:
    """A graph and its context, between two steps."""

    graph: Graph
    context: Context


States: TypeAlias = Mapping[frozenset[Aim], State]
"""For each set of aims that calls do without, where they do without any, what is made for them."""

EVERY: frozenset[Aim] = frozenset()
"""The key of what went through all steps."""


@dataclass(frozen=True)
class Change:
    """What a step has made of a graph.

    Attributes
    ----------
    stage, step : str
    without : frozenset of Aim
        The key of the graph in `States`.
    before, after : Graph
    before_sides, after_sides : Sides
    """

    stage: str
    step: str
    without: frozenset[Aim]
    before: Graph
    after: Graph
    before_sides: Sides
    after_sides: Sides


Watch: TypeAlias = Callable[[Change], None]


def _same(a: Graph, b: Graph) -> bool:
    """Whether a pass has left a graph as it was."""
    constants = a.constants
    kept = len(constants) == len(b.constants) and all(
        constants.get(name) is value for name, value in b.constants.items()
    )
    typed = len(a.infos) == len(b.infos) and all(a.infos.get(name) is info for name, info in b.infos.items())
    shape = [(graph.nodes, graph.inputs, graph.outputs, graph.static_rows) for graph in (a, b)]
    return kept and typed and shape[0] == shape[1]


def _applied(step: Step, state: State) -> State:
    """What one pass makes, with the verifier after it; the state itself if it has changed nothing."""
    graph, context = state.graph, state.context
    if not step.when(graph, context):
        return state
    try:
        made = step.apply(graph, *(getattr(context, name) for name in step.takes))
        if step.cut is not None:
            made, context = step.cut(made, context)
    except (PyrecError, MemoryError):
        raise
    except Exception as error:
        let_interrupts_pass(error)
        raise ModelError(f"in {step.name}: the model is inconsistent: {error}") from error
    if _same(made, graph):
        return state if context is state.context else State(graph, context)
    verify(made, step.name)
    return State(made, context)


def _chain(step: Step, state: State, clean: Sequence[Step]) -> Iterator[tuple[Step, State, State]]:
    """A step and what follows it, each with the states before and after."""
    made = _applied(step, state)
    yield step, state, made
    for after in clean if step.clean and made.graph is not state.graph else ():
        state, made = made, _applied(after, made)
        yield after, state, made


def run(
    steps: Sequence[Step],
    states: States,
    clean: Sequence[Step] = (),
    stage: str = "",
    watch: Watch | None = None,
) -> States:
    """Run steps, with the verifier after each that has changed something.

    Parameters
    ----------
    steps : sequence of Step
    states : mapping of frozenset of Aim to State
    clean : sequence of Step
        What follows each step that asks for it and has changed something.
    stage : str
        The steps' name for ``watch``.
    watch : callable, optional
        Is given what each step changed.

    Raises
    ------
    ModelError
        If a pass leaves a graph that breaks a rule, or fails on a damaged one; the message names the
        pass.
    """
    for step in steps:
        made: dict[frozenset[Aim], State] = {}
        changed = False
        for key, state in states.items():
            made[key] = state
            if step.aim in key:
                continue
            for part, before, after in _chain(step, state, clean):
                made[key] = after
                if watch is not None and after.graph is not before.graph:
                    sides = before.context.sides, after.context.sides
                    watch(Change(stage, part.name, key, before.graph, after.graph, *sides))
            changed = changed or made[key].graph is not state.graph
        if step.aim is not None and changed:
            for key, state in states.items():
                made.setdefault(key | {step.aim}, state)
        states = made
    return states


__all__ = ["EVERY", "Aim", "Change", "State", "States", "Step", "Watch", "run"]
