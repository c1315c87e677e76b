"""From a model's compiled graph to a plan for one split of its inputs, ready to run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pyrec_infer.backends.base import Fallbacks
from pyrec_infer.backends.select import make_runnable, skips_zero_groups
from pyrec_infer.execution import Executable
from pyrec_infer.ir import Graph
from pyrec_infer.passes import finish_graph, keep_outputs, prune_graph, split_graphs
from pyrec_infer.passes.bypass_sigmoid import bypass_sigmoid
from pyrec_infer.passes.choose_precision import choose_precision
from pyrec_infer.passes.repeat import separate_bounds
from pyrec_infer.passes.split import Sides, find_rates
from pyrec_infer.plan import Plan, build_plan, check_ids, read_inputs, with_derived
from pyrec_infer.tools.flops import join_plans


def narrow(graph: Graph, outputs: tuple[str, ...], strict_ids: bool, logit: bool) -> Graph:
    """The part of a compiled graph that makes some outputs."""
    graph = keep_outputs(graph, outputs)
    if logit:
        graph = bypass_sigmoid(graph)
    if strict_ids:
        graph = check_ids(graph)
    return graph.with_(inputs=read_inputs(graph))


def make_plan(
    graphs: tuple[Graph, Graph | None], request: frozenset[str], precision: str, backend: str, pool: Any
) -> Plan:
    """The plan of split graphs; see `split_graphs`."""

    def planned(graph: Graph, ordered: bool = False) -> Plan:
        plan = build_plan(finish_graph(graph, request, ordered), request)
        # Where hidden positions can be left out, a plan without them.
        pruned = prune_graph(graph, request)
        if pruned is graph:
            return plan
        return replace(build_plan(finish_graph(pruned, request, ordered), request), alternative=plan)

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
    fallbacks: Fallbacks,
    precision: str,
    request: frozenset[str],
    outputs: tuple[str, ...],
    strict_ids: bool,
    logit: bool = False,
) -> Executable:
    ragged = separate_bounds(narrow(graph, outputs, strict_ids, logit), request)
    plan = make_plan(split_graphs(ragged.graph, ragged.request), ragged.request, precision, backend, pool)
    plan = with_derived(plan, ragged.derived, ragged.one_request)
    return Executable(plan, make_runnable(plan, backend, pool, fallbacks))


__all__ = ["make_executable", "make_plan", "narrow"]
