"""Sums over fields that are known at different rates: each rate's fields are summed when they are known."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.rules import Rules, Site, apply_rules, for_ops, joined
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.recognise import concatenations, views
from pyrec_infer.passes.split.rate_groups import by_rate, position_rates, restricted

_TOGETHER: Mapping[str, str] = {
    "ReduceSum": "Add",
    "ReduceMean": "Add",
    "ReduceSumSquare": "Add",
    "ReduceMax": "Max",
    "ReduceMin": "Min",
}
"""The operator that puts two partial reductions together."""

_SUMS = ("Add", "Sub", "Sum")
_LINEAR = (*_SUMS, "ReduceSum", "pyrec.Dense")
"""What takes the addends of a sum one by one."""

_MAX_TERMS = 512


def _only_axis(node: Node, site: Site) -> int | None:
    rank = site.infos[node.inputs[0]].rank
    axes = site.integers(node.inputs[1]) if len(node.inputs) > 1 else None
    return axes[0] % rank if rank and axes is not None and len(axes) == 1 else None


def _is_float(name: str, site: Site) -> bool:
    dtype = site.infos[name].dtype
    return dtype is not None and dtype.kind == "f"


def split_reduction(node: Node, site: Site) -> str | None:
    """A reduction over positions of several rates, as one reduction for each rate."""
    axis = _only_axis(node, site)
    if axis is None or site.rate(node.outputs[0]) != Rate.PAIR or not _is_float(node.inputs[0], site):
        return None
    rates = position_rates(node.inputs[0], axis, site)
    groups = by_rate(rates)
    if len(groups) < 2 or site.coupled(node):
        return None
    total = ""
    for positions in groups.values():
        part = restricted(node.inputs[0], axis, positions, site)
        if part is None:
            return None
        op = "ReduceSum" if node.op == "ReduceMean" else node.op
        reduced = site.node(op, part, *node.inputs[1:], **node.attributes)
        total = site.node(_TOGETHER[node.op], total, reduced) if total else reduced
    if node.op == "ReduceMean":
        total = site.node("Mul", total, site.constant(1 / len(rates), site.infos[node.inputs[0]].dtype))
    return total


def _terms(name: str, site: Site, scale: float, found: list[tuple[str, float]]) -> None:
    """The addends of a pair's value, down to those that are known earlier or that others read too."""
    node = site.source(name, *_SUMS, "Mul")
    late = site.rate(name) == Rate.PAIR and len(found) < _MAX_TERMS
    if node is None or not late or not site.alone(name):
        found.append((name, scale))
    elif node.op == "Mul":
        scaled = _scaled(node, site)
        if scaled is None or site.source(scaled[0], *_SUMS) is None:
            found.append((name, scale))
        else:
            _terms(scaled[0], site, scale * scaled[1], found)
    else:
        _addends(node, site, scale, found)


def _addends(node: Node, site: Site, scale: float, found: list[tuple[str, float]]) -> None:
    for place, item in enumerate(node.inputs):
        sign = -1.0 if node.op == "Sub" and place else 1.0
        _terms(item, site, sign * scale, found)


def _scaled(node: Node, site: Site) -> tuple[str, float] | None:
    """The value that a node multiplies with a number, and the number."""
    for x, other in (node.inputs, node.inputs[::-1]):
        value = site.known(other)
        if value is not None and value.size == 1 and same_shape(site.shape(x), site.shape(node.outputs[0])):
            return x, float(value.reshape(-1)[0])
    return None


def _is_part_of_sum(node: Node, site: Site) -> bool:
    readers = site.readers(node.outputs[0])
    return len(readers) == 1 and site.alone(node.outputs[0]) and readers[0].op in _SUMS


def _sum(terms: list[tuple[str, float]], site: Site) -> tuple[str, float]:
    """A sum of scaled values, and the factor that it still needs."""
    total, factor = terms[0]
    for name, scale in terms[1:]:
        if scale not in (factor, -factor):
            total, factor = _times(total, factor, site), 1.0
            name, scale = _times(name, scale, site), 1.0
        total = site.node("Add" if scale == factor else "Sub", total, name)
    return total, factor


def _times(name: str, factor: float, site: Site) -> str:
    """A value times a number; of dot products, their first operand if that is known earlier."""
    if factor == 1.0:
        return name
    dots = site.source(name, "pyrec.PairDots")
    if dots is not None and site.alone(name) and site.rate(dots.inputs[0]) != site.rate(name):
        return site.node(dots.op, _times(dots.inputs[0], factor, site), *dots.inputs[1:])
    return site.node("Mul", name, site.constant(factor, site.infos[name].dtype))


def order_sum(node: Node, site: Site) -> str | None:
    """``(request + pair) + request2`` as ``pair + (request + request2)``.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"),), 0)
    >>> nodes = (Node("Add", ("u", "i"), ("a",)), Node("Add", ("a", "v"), ("y",)))
    >>> graph = Graph(("u", "i", "v"), ("y",), nodes, {}, dict.fromkeys("uiv", info))
    >>> [node.inputs for node in split_sums(graph, Sides(frozenset("uv"))).nodes][0]
    ('u', 'v')
    """
    name = node.outputs[0]
    if site.rate(name) != Rate.PAIR or site.coupled(node) or not _is_float(name, site):
        return None
    if _is_part_of_sum(node, site):
        return None
    terms: list[tuple[str, float]] = []
    if node.op == "Mul":
        scaled = _scaled(node, site)
        if scaled is None:
            return None
        _terms(scaled[0], site, scaled[1], terms)
    else:
        _addends(node, site, 1.0, terms)
    groups: dict[Rate, list[tuple[str, float]]] = {}
    for term in terms:
        groups.setdefault(site.rate(term[0]).in_call, []).append(term)
    early = [len(group) for rate, group in groups.items() if rate != Rate.PAIR]
    # A product with a number is done at the earlier rates too.
    if not early or (max(early) < 2 and (node.op != "Mul" or len(terms) < 2)):
        return None
    sums = [_sum(group, site) for _, group in sorted(groups.items(), key=lambda item: item[0].order)]
    # A sum that is negative as a whole would be a product of a sum again, to be ordered without end.
    sign = -1.0 if all(factor < 0 for _, factor in sums) else 1.0
    signed = [
        (_times(part, sign * abs(factor), site), -1.0 if sign * factor < 0 else 1.0) for part, factor in sums
    ]
    total, factor = _sum(sorted(signed, key=lambda term: -term[1]), site)
    return _times(total, factor, site)


def expand_square(node: Node, site: Site) -> str | None:
    """``(request + item)^2`` as ``request^2 + item^2 + 2 request item``."""
    x = node.inputs[0]
    if node.op == "Pow":
        power = site.known(node.inputs[1])
        if power is None or power.size != 1 or float(power.reshape(-1)[0]) != 2.0:
            return None
    elif node.inputs[1] != x:
        return None
    terms = site.source(x, "Add")
    if terms is None or site.rate(x) != Rate.PAIR or not _is_float(x, site):
        return None
    if any(reader.op not in _LINEAR for reader in site.readers(node.outputs[0])):
        return None
    if {site.rate(item).in_call for item in terms.inputs} != {Rate.REQUEST, Rate.ITEM}:
        return None
    if not all(same_shape(site.shape(item), site.shape(x)) for item in terms.inputs):
        return None
    a, b = sorted(terms.inputs, key=lambda item: site.rate(item).order)
    squares = site.node("Add", site.node("Mul", a, a), site.node("Mul", b, b))
    doubled = site.node("Mul", a, site.constant(2, site.infos[a].dtype))
    return site.node("Add", squares, site.node("Mul", doubled, b))


def sum_of_terms(node: Node, site: Site) -> str | None:
    """A sum over the last axis of a sum of terms: what is known early is summed early."""
    x = site.source(node.inputs[0], "Add", "Sub")
    axis, shape = _only_axis(node, site), site.shape(node.inputs[0])
    if (
        x is None
        or axis is None
        or shape is None
        or axis != len(shape) - 1
        or not _is_float(x.outputs[0], site)
    ):
        return None
    if site.rate(x.outputs[0]) != Rate.PAIR or not site.alone(x.outputs[0]):
        return None
    if all(site.rate(item) == Rate.PAIR for item in x.inputs):
        inner = [site.source(item, "Add", "Sub") for item in x.inputs]
        if not any(
            part is not None and any(site.rate(item) != Rate.PAIR for item in part.inputs) for part in inner
        ):
            return None
    if not all(same_shape(site.shape(item), shape) for item in x.inputs):
        return None
    reduced = [site.node(node.op, item, *node.inputs[1:], **node.attributes) for item in x.inputs]
    return site.node(x.op, *reduced)


def dot_of_rates(node: Node, site: Site) -> str | None:
    """The sum of the products of a request's row and an item's is one dot product."""
    product = site.source(node.inputs[0], "Mul")
    axis, shape = _only_axis(node, site), site.shape(node.inputs[0])
    if product is None or axis is None or shape is None or axis != len(shape) - 1 or len(shape) < 2:
        return None
    rates = {site.rate(item).in_call for item in product.inputs}
    if rates != {Rate.REQUEST, Rate.ITEM} or site.infos[node.inputs[0]].dtype != np.float32:
        return None
    sizes = site.sizes(node.inputs[0])
    if sizes is None or any(not same_shape(site.shape(item), shape) for item in product.inputs):
        return None
    count, width = int(np.prod(sizes[:-1], dtype=np.int64)), sizes[-1]
    a, b = (site.reshape(item, (shape[0], count, width)) for item in product.inputs)
    if a is None or b is None:
        return None
    every = site.constant(np.arange(count), np.int64)
    return site.reshape(site.node("pyrec.PairDots", a, b, every, every), site.shape(node.outputs[0]) or ())


_RULES: Rules = joined(
    views.RULES,
    concatenations.RULES,
    for_ops(_TOGETHER, split_reduction),
    {"ReduceSum": (sum_of_terms, dot_of_rates), "Pow": (expand_square,), "Mul": (expand_square, order_sum)},
    for_ops(_SUMS, order_sum),
)


def split_sums(graph: Graph, sides: Sides) -> Graph:
    """Move sums over fields to the earliest rate: factorisation machines, first-order terms, pooling.

    A machine's square of a sum becomes the request's own part, the item's own part and one dot product
    of the two.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2), 0)
    >>> nodes = (Node("Concat", ("u", "i", "v"), ("c",), {"axis": 1}), Node("Exp", ("c",), ("e",)),
    ...          Node("ReduceSum", ("e", "one"), ("y",)))
    >>> graph = Graph(("u", "i", "v"), ("y",), nodes, {"one": np.asarray([1])}, dict.fromkeys("uiv", info))
    >>> [node.op for node in split_sums(graph, Sides(frozenset("uv"))).nodes]
    ['Concat', 'Exp', 'ReduceSum', 'Exp', 'ReduceSum', 'Add']
    """
    return apply_rules(graph, _RULES, sides)
