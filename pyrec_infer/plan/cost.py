"""What a plan costs, and from how many candidates on one is cheaper than another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import ceil
from types import MappingProxyType

from pyrec_infer.ir import Info, Node, Rate, Shape
from pyrec_infer.ops import OPS
from pyrec_infer.plan.data import Plan


def _elements(shape: Shape | None, most: Mapping[str, int]) -> int:
    """Elements for one row; sizes that are only known at run time count as `most`, or one."""
    count = 1
    for size in shape or ():
        count *= size if isinstance(size, int) else size.coefficient
        for name in () if isinstance(size, int) else size.symbols:
            count *= most.get(name, 1)
    return count


def node_flops(node: Node, infos: Mapping[str, Info], most: Mapping[str, int] = MappingProxyType({})) -> int:
    """Floating-point operations of a node for one row; a multiplication and an addition are two.

    Parameters
    ----------
    node : Node
    infos : mapping of str to Info
    most : mapping of str to int
        What sizes that are only known at run time count as; others count as one.
    """
    made = sum(_elements(infos[name].shape, most) for name in node.outputs if name in infos)
    op = OPS.get(node.op)
    if op is None:
        return made
    shapes = [infos[name].shape if name in infos else None for name in node.inputs]
    return op.flops(node, shapes, made, lambda shape: _elements(shape, most))


_COSTS: Mapping[str, float] = {
    "pyrec.DenseBf16": 0.5,
    "pyrec.DenseInt8": 0.25,
    "pyrec.PairDots": 3.0,
}
"""What an operation takes, where that of a float32 product takes 1: dot products are short."""

_PACKED = 32.0
"""The same for each number of a matrix that is made and laid out for a request."""


_REORDERED = 8.0
"""The same for each number of a constant matrix that is reordered for a request."""

_SKIPPED = 0.15
"""Share of the work that a layer saves by that."""


def _costs(plan: Plan) -> tuple[float, float]:
    """What a request costs, and each of its candidates."""
    request = candidate = 0.0
    most = plan.most_positions()
    reordered: set[str] = set()
    for phase in plan.phases:
        for node in phase.nodes:
            cost = node_flops(node, plan.infos, most) * _COSTS.get(node.op, 1.0)
            if node.op == "pyrec.Pack":
                cost = _PACKED * _elements(plan.infos[node.inputs[0]].shape, most)
            elif node.op == "pyrec.PackInOrder":
                cost = _REORDERED * _elements(plan.infos[node.inputs[0]].shape, most)
                reordered.update(node.outputs)
            elif not reordered.isdisjoint(node.inputs):
                cost *= 1 - _SKIPPED
            if plan.rate_of(node).known_by(Rate.REQUEST):
                request += cost
            else:
                candidate += cost
    return request, candidate


def candidate_cost(plan: Plan) -> float:
    """What each candidate costs, in operations of float32 products."""
    return _costs(plan)[1]


def join_plans(many: Plan, few: Plan, threads: int = 1) -> Plan:
    """One plan of two of the same inputs and outputs, which takes the cheaper one for each call.

    Parameters
    ----------
    many : Plan
        Does more for a request than the other in order to do less for each candidate.
    few : Plan
    threads : int
        How many share the candidates; one of them works for the request.

    Returns
    -------
    Plan
        ``many``, with ``few`` for calls of so few candidates that it costs less; ``few`` itself if
        ``many`` never does.
    """
    once, each = (a - b for a, b in zip(_costs(many), _costs(few), strict=True))
    if each >= 0:
        return few
    return replace(many, few=few, few_rows=ceil(threads * once / -each)) if once > 0 else many


__all__ = ["candidate_cost", "join_plans", "node_flops"]
