"""From a model's compiled graph to a plan for one split of its inputs, ready to run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyrec_infer.backends.base import Fallbacks
from pyrec_infer.backends.select import make_pool, make_runnable, skips_zero_groups
from pyrec_infer.cost import join_plans
from pyrec_infer.execution import Executable
from pyrec_infer.ir import Graph
from pyrec_infer.passes import EVERY, Aim, Context, State, States, Watch, finish_graphs, split_graphs
from pyrec_infer.passes.split import Sides
from pyrec_infer.plan import Plan, build_plan, with_derived


def plan_graph(graph: Graph, context: Context) -> Plan:
    """The plan of a graph that no step of a split is for."""
    finished = finish_graphs({EVERY: State(graph, context)})
    return _joined(finished, 1)


def _joined(states: States, threads: int) -> Plan:
    """One plan of all that a graph has become, which takes the best of them for each call."""
    plans = {key: build_plan(state.graph, state.context.request) for key, state in states.items()}
    for key in [key for key in plans if Aim.HIDDEN in key]:
        # What serves the requests for which hidden positions cannot be left out.
        pruned = key - {Aim.HIDDEN}
        plans[pruned] = replace(plans[pruned], alternative=plans[key])
    few = plans.get(frozenset({Aim.MANY}))
    return plans[EVERY] if few is None else join_plans(plans[EVERY], few, threads)


def make_plan(states: States, backend: str, pool: Any, watch: Watch | None = None) -> Plan:
    """The plan of split graphs; see `split_graphs`."""
    context = states[EVERY].context
    skips = skips_zero_groups(backend, context.precision)
    ready = {
        key: State(state.graph, replace(state.context, skips_groups=skips)) for key, state in states.items()
    }
    plan = _joined(finish_graphs(ready, watch), 1 if pool is None else pool.threads)
    own = Context(strict_ids=context.strict_ids)
    derived = [(part, plan_graph(part.graph, own)) for part in context.derived]
    return with_derived(plan, derived, context.one_request)


def make_executable(
    graph: Graph, context: Context, backend: str, pool: Any, max_bytes: int, fallbacks: Fallbacks
) -> Executable:
    """The plan of what is asked for of a graph, ready to run; see `select_graph`."""
    repeated: frozenset[str] = frozenset()
    if graph.static_rows > 1:
        # Each block is made of full rows, and of its own: threads may not cut it.
        repeated = context.request & set(graph.inputs)
        context, pool = replace(context, sides=Sides()), make_pool(backend, 1)
    plan = make_plan(split_graphs(graph, context), backend, pool)
    return Executable(plan, make_runnable(plan, backend, pool, fallbacks, max_bytes), repeated)


__all__ = ["make_executable", "make_plan", "plan_graph"]
