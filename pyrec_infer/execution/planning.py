"""From a model's compiled graph to a plan for one split of its inputs, ready to run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyrec_infer.backends.base import Fallbacks
from pyrec_infer.backends.select import make_executor, make_pool, skips_zero_groups
from pyrec_infer.errors import ModelError
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import Graph
from pyrec_infer.passes import (
    EVERY,
    Aim,
    Change,
    Context,
    State,
    States,
    Watch,
    compile_graph,
    finish_graphs,
    select_graph,
    split_graphs,
)
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.finish.find_product import find_product, request_graph
from pyrec_infer.passes.finish.screen_layers import Screened
from pyrec_infer.passes.split.record_layout import RECORDS
from pyrec_infer.plan import Plan, ProductPlan
from pyrec_infer.plan.cost import join_plans
from pyrec_infer.plan.planner import build_plan, with_derived


def plan_graph(graph: Graph, context: Context) -> Plan:
    """The plan of a graph that no step of a split is for."""
    finished = finish_graphs({EVERY: State(graph, context)})
    return _joined(finished, 1)[0]


def _joined(states: States, threads: int) -> tuple[Plan, frozenset[Aim]]:
    """One plan of all that a graph has become, which takes the best of them for each call, and the key of
    the graph that it is made of where candidates are many."""
    plans = {key: build_plan(state.graph, state.context.request) for key, state in states.items()}
    for key in [key for key in plans if Aim.HIDDEN in key]:
        # What serves the requests for which hidden positions cannot be left out.
        pruned = key - {Aim.HIDDEN}
        plans[pruned] = replace(plans[pruned], alternative=plans[key])
    spared = frozenset({Aim.MANY})
    if spared not in plans:
        return plans[EVERY], EVERY
    plan = join_plans(plans[EVERY], plans[spared], threads)
    return plan, spared if plan is plans[spared] else EVERY


def make_plan(states: States, backend: str, pool: Any, watch: Watch | None = None) -> Plan:
    """The plan of split graphs; see `split_graphs`."""
    return make_plans(states, backend, pool, watch)[0]


def make_plans(
    states: States, backend: str, pool: Any, watch: Watch | None = None
) -> tuple[Plan, frozenset[Aim]]:
    """The plan of split graphs, and the key of the graph that it is made of where candidates are many."""
    context = states[EVERY].context
    skips = skips_zero_groups(backend, context.precision)
    ready = {
        key: State(state.graph, replace(state.context, skips_groups=skips)) for key, state in states.items()
    }
    finished = finish_graphs(ready, watch)
    plan, key = _joined(finished, 1 if pool is None else pool.threads)
    if RECORDS in states[EVERY].graph.inputs:
        plan = replace(plan, product=_product_of(finished))
    own = Context(strict_ids=context.strict_ids)
    derived = [(part, plan_graph(part.graph, own)) for part in context.derived]
    return with_derived(plan, derived, context.one_request), key


def make_near_plan(state: State, plan: Plan, backend: str) -> tuple[Plan | None, Screened]:
    """A plan whose scores are near those of the plan that `make_plans` made of split graphs, this one where
    candidates are many, and what bounds how far they are; None where nothing does, and then why.

    Both plans make the inputs of the first layer that is in int8 alike, in every bit.
    """
    context = state.context
    reasons = (
        (context.precision != "fp32", f"the layers run in {context.precision}"),
        (backend == "numba", "this backend makes int8 scores no faster"),
        (not plan.selects_in_tiles, "the score does not come out of tiles"),
        (bool(plan.derived or plan.one_request), "some inputs are made for a whole call"),
        (plan.alternative is not None, "positions that a mask hides are left out"),
    )
    for found, why_not in reasons:
        if found:
            return None, Screened(state.graph, why_not=why_not)
    skips = skips_zero_groups(backend, "int8")
    near = State(state.graph, replace(context, screens=True, skips_groups=skips))
    made = finish_graphs({EVERY: near})[EVERY]
    screened = made.context.screened
    assert screened is not None
    return None if screened.why_not else build_plan(made.graph, made.context.request), screened


def _product_of(finished: States) -> ProductPlan | str:
    """The product that the score of a catalogue rises with, or why it cannot be searched by."""
    graph, context = finished[EVERY].graph, finished[EVERY].context
    if len(finished) > 1 or context.derived:
        return "it is made in more than one way"
    product = find_product(graph)
    if isinstance(product, str):
        return product
    return ProductPlan(product, build_plan(request_graph(graph, product), context.request))


def make_ready(
    graph: Graph, context: Context, backend: str, pool: Any, max_bytes: int, fallbacks: Fallbacks
) -> ReadyPlan:
    """The plan of what is asked for of a graph, ready to run; see `select_graph`."""
    repeated: frozenset[str] = frozenset()
    if _runs_blocks(graph):
        # Each block is made of full rows, and of its own: threads may not cut it.
        repeated, pool = context.request & set(graph.inputs), make_pool(backend, 1)
    plan = _plan_of(graph, context, backend, pool)
    return ReadyPlan(plan, make_executor(plan, backend, pool, fallbacks, max_bytes), repeated)


def _runs_blocks(graph: Graph) -> bool:
    """Whether the graph is run for several rows at a time, with the request repeated for each."""
    return graph.static_rows > 1


def _plan_of(graph: Graph, context: Context, backend: str, pool: Any, watch: Watch | None = None) -> Plan:
    context = replace(context, sides=Sides()) if _runs_blocks(graph) else context
    return make_plan(split_graphs(graph, context, watch), backend, pool, watch)


def watch_passes(
    imported: Graph, compiled: Graph, loaded: Context, asked: Context, backend: str, pool: Any
) -> list[Change]:
    """Make a plan again to see what each step changes.

    Parameters
    ----------
    imported, compiled : Graph
        The model's graph before and after it was compiled.
    loaded : Context
        What it was compiled with.
    asked : Context
        What is asked for, and on which sides.
    backend, pool
        Of the model.

    Raises
    ------
    ModelError
        If the imported graph becomes another one than it was compiled to.
    """
    changes: list[Change] = []
    made = compile_graph(imported, replace(loaded, sides=asked.sides), changes.append)
    if _form(made) != _form(compiled):
        raise ModelError("passes: the model's file has changed since it was loaded")
    asked = replace(asked, further=loaded.further)
    _plan_of(select_graph(made, asked, changes.append), asked, backend, pool, changes.append)
    return changes


def _form(graph: Graph) -> tuple[list[str], list[tuple[int, ...]]]:
    """What a graph keeps where further inputs are added to it."""
    return [node.op for node in graph.nodes], sorted(value.shape for value in graph.constants.values())


__all__ = ["make_near_plan", "make_plan", "make_plans", "make_ready", "plan_graph", "watch_passes"]
