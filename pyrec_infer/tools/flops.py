"""Where a plan, or a graph before it, spends its arithmetic."""

from __future__ import annotations

from typing import TypedDict

from pyrec_infer.ir import Graph, Node, Rate, Rows
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.lookup_parts import LOOKUPS
from pyrec_infer.ops.masked import most_positions
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.plan import Plan
from pyrec_infer.plan.cost import node_flops


class Work(TypedDict):
    """What one rate costs: floating-point operations, and bytes of weights and tables that they read."""

    flops: int
    weight_bytes: int


def _weight_bytes(node: Node, plan: Plan) -> int:
    """Bytes of constants that one run of the node reads: one row of a table for each id, else all."""
    total = 0
    for place, name in enumerate(node.inputs):
        value = plan.constants.get(name)
        if value is None:
            continue
        looked_up = (node.op == "Gather" and place == 0) or node.op in LOOKUPS
        is_table = looked_up and value.ndim > 1
        total += value.nbytes // max(len(value), 1) if is_table else value.nbytes
    return total


def plan_work(plan: Plan) -> dict[str, Work]:
    """The work of each rate: ``request`` for a request, ``item`` and ``pair`` for a candidate.

    Without a catalogue a candidate costs ``item`` and ``pair`` together. Positions that a mask may hide
    count, and so does what is made once for a call from all rows of one side.
    """
    found = {name: Work(flops=0, weight_bytes=0) for name in ("request", "item", "pair")}
    sides = ((part.plan, Rate.REQUEST if part.request else Rate.ITEM) for part in plan.derived)
    for part, side in ((plan, None), *sides):
        most = part.most_positions()
        for node in (node for phase in part.phases for node in phase.nodes if node.op != "pyrec.DimValues"):
            work = found[(side or part.rate_of(node)).in_call.value]
            work["flops"] += node_flops(node, part.infos, most)
            work["weight_bytes"] += _weight_bytes(node, part)
    return found


def graph_flops(graph: Graph, request: frozenset[str]) -> dict[str, int]:
    """The floating-point operations of each rate, as `plan_work` counts them, of a graph on its way to a
    plan for these inputs of a request."""
    infos = analyze(graph).infos
    by_row = frozenset(name for name in graph.inputs if infos[name].rows != Rows.INVARIANT)
    rates = find_rates(graph, Sides(request, by_row - request))
    most = most_positions(graph.nodes, infos)
    found = {"request": 0, "item": 0, "pair": 0}
    for node in graph.nodes:
        if node.op != "pyrec.DimValues":
            rate = Rate.MODEL.join(*(rates[name] for name in node.outputs if name))
            found[rate.in_call.value] += node_flops(node, infos, most)
    return found


__all__ = ["Work", "graph_flops", "plan_work"]
