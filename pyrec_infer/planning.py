"""From a model's compiled graph to a plan for one split of its inputs, ready to run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyrec_infer.backends.base import Fallbacks
from pyrec_infer.backends.select import make_pool, make_runnable, skips_zero_groups
from pyrec_infer.execution import Executable
from pyrec_infer.ids import check_ids, require_ids
from pyrec_infer.ir import Graph
from pyrec_infer.passes import finish_graph, keep_outputs, prune_graph, split_graphs
from pyrec_infer.passes.choose_precision import choose_precision
from pyrec_infer.passes.pipeline import CLEAN_UP
from pyrec_infer.passes.repeat import separate_bounds
from pyrec_infer.passes.select_scores import Score, select_scores
from pyrec_infer.passes.split import Sides, find_rates
from pyrec_infer.passes.take_columns import take_columns
from pyrec_infer.plan import Plan, build_plan, read_inputs, with_derived
from pyrec_infer.tools.flops import join_plans


def narrow(graph: Graph, outputs: tuple[str, ...], strict_ids: bool) -> Graph:
    """The part of a compiled graph that makes some outputs."""
    graph = keep_outputs(graph, outputs)
    if strict_ids:
        graph = check_ids(graph)
    return graph.with_(inputs=read_inputs(graph))


def narrow_to_scores(graph: Graph, scores: tuple[Score, ...]) -> Graph:
    """The part of a compiled graph that makes some scores, and nothing beside them."""
    made = select_scores(graph, scores)
    if made.outputs[0] not in graph.outputs:
        for clean in (take_columns, *CLEAN_UP):
            made = clean(made)
    return narrow(made, made.outputs, strict_ids=True)


def make_plan(
    graphs: tuple[Graph, Graph | None],
    request: frozenset[str],
    precision: str,
    backend: str,
    pool: Any,
    strict_ids: bool = True,
) -> Plan:
    """The plan of split graphs; see `split_graphs`."""

    def built(graph: Graph, ordered: bool) -> Plan:
        graph = finish_graph(graph, request, ordered)
        return build_plan(require_ids(graph) if strict_ids else graph, request)

    def planned(graph: Graph, ordered: bool = False) -> Plan:
        plan = built(graph, ordered)
        # Where hidden positions can be left out, a plan without them.
        pruned = prune_graph(graph, request)
        if pruned is graph:
            return plan
        return replace(built(pruned, ordered), alternative=plan)

    many, few = (
        graph and choose_precision(graph, find_rates(graph, Sides(request)), precision) for graph in graphs
    )
    assert many is not None
    plan = planned(many, bool(request) and skips_zero_groups(backend, precision))
    if few is None and not plan.runs("pyrec.PackInOrder"):
        return plan
    return join_plans(plan, planned(few or many), 1 if pool is None else pool.threads)


def make_executable(
    graph: Graph,
    backend: str,
    pool: Any,
    max_bytes: int,
    fallbacks: Fallbacks,
    precision: str,
    request: frozenset[str],
    strict_ids: bool = True,
) -> Executable:
    """The plan of a graph, ready to run; ``request`` names inputs on that side."""
    if graph.static_rows > 1:
        # Each block is made of full rows, and of its own: threads may not cut it.
        plan = make_plan(split_graphs(graph, ()), frozenset(), precision, backend, pool, strict_ids)
        own = request & set(graph.inputs)
        alone = make_pool(backend, 1)
        return Executable(plan, make_runnable(plan, backend, alone, fallbacks, max_bytes), own)
    ragged = separate_bounds(graph, request)
    own, graphs = ragged.request, split_graphs(ragged.graph, ragged.request)
    plan = make_plan(graphs, own, precision, backend, pool, strict_ids)
    derived = tuple(
        replace(part, graph=require_ids(part.graph)) if strict_ids else part for part in ragged.derived
    )
    plan = with_derived(plan, derived, ragged.one_request)
    return Executable(plan, make_runnable(plan, backend, pool, fallbacks, max_bytes))


__all__ = ["make_executable", "make_plan", "narrow", "narrow_to_scores"]
