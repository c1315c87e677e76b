"""Look the request's ids up apart from the candidates' where one table and one node serve both."""

from __future__ import annotations

from pyrec_infer.ir import Array, Graph, Node
from pyrec_infer.ops import Trait, with_trait
from pyrec_infer.passes.common.rules import Rules, Site, apply_rules, for_ops, joined
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.recognise.concatenations import axis_of_concat, widths


def _mixed(name: str, site: Site) -> tuple[Node, int, list[int]] | None:
    """The concatenation of ids of different rates that makes a value, its axis and its parts' widths."""
    node, info = site.source(name, "Concat"), site.infos[name]
    axis = None if node is None else axis_of_concat(node, site)
    if (
        node is None
        or axis is None
        or axis == info.rows
        or len({site.rate(part) for part in node.inputs}) < 2
    ):
        return None
    sizes = widths(node, axis, site)
    return None if sizes is None else (node, axis, sizes)


def _sliced(value: Array, axis_from_right: int, begin: int, end: int) -> Array:
    """The part of a constant that meets some positions of an axis; all of it where it broadcasts there."""
    if value.ndim < axis_from_right or value.shape[-axis_from_right] == 1:
        return value
    index = [slice(None)] * value.ndim
    index[-axis_from_right] = slice(begin, end)
    return value[tuple(index)]


def push_cast(node: Node, site: Site) -> str | None:
    """``Cast([a, b])`` to whole numbers is ``[Cast(a), Cast(b)]``."""
    dtype, found = site.infos[node.outputs[0]].dtype, _mixed(node.inputs[0], site)
    if found is None or dtype is None or dtype.kind not in "iu":
        return None
    source, axis, _ = found
    return site.concat([site.node("Cast", name, **node.attributes) for name in source.inputs], axis)


def push_arithmetic(node: Node, site: Site) -> str | None:
    """``[a, b] + constant`` of whole numbers is ``[a + constant_a, b + constant_b]``."""
    dtype = site.infos[node.outputs[0]].dtype
    if len(node.inputs) != 2 or dtype is None or dtype.kind not in "iu":
        return None
    for place in (0, 1):
        found, value = _mixed(node.inputs[place], site), site.known(node.inputs[1 - place])
        rank = site.infos[node.inputs[place]].rank
        if found is None or value is None or rank is None or value.ndim > rank:
            continue
        source, axis, sizes = found
        parts, first = [], 0
        for name, size in zip(source.inputs, sizes, strict=True):
            own = site.constant(_sliced(value, rank - axis, first, first + size))
            operands = (name, own) if place == 0 else (own, name)
            parts.append(site.node(node.op, *operands, **node.attributes))
            first += size
        return site.concat(parts, axis)
    return None


def push_lookup(node: Node, site: Site) -> str | None:
    """``table[[a, b]]`` is ``[table[a], table[b]]``."""
    table, found = site.known(node.inputs[0]), _mixed(node.inputs[1], site)
    if table is None or found is None or node.attribute("axis", 0) != 0:
        return None
    source, axis, _ = found
    parts = [site.node("Gather", node.inputs[0], name, axis=0) for name in source.inputs]
    return site.concat(parts, axis)


RULES: Rules = joined(
    for_ops(("Cast",), push_cast),
    for_ops(set(with_trait(Trait.ELEMENTWISE)) - {"Cast"}, push_arithmetic),
    for_ops(("Gather",), push_lookup),
)


def split_lookups(graph: Graph, sides: Sides) -> Graph:
    """Split lookups of joined ids whose parts have different rates.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Info
    >>> ids = Info(np.dtype(np.int64), (Dim.symbol("N"), 2), 0)
    >>> nodes = (Node("Concat", ("u", "i"), ("ids",), {"axis": 1}), Node("Gather", ("table", "ids"), ("y",)))
    >>> graph = Graph(("u", "i"), ("y",), nodes, {"table": np.ones((9, 4))}, {"u": ids, "i": ids})
    >>> [node.op for node in split_lookups(graph, Sides(frozenset("u"))).nodes]
    ['Gather', 'Gather', 'Concat']
    """
    return apply_rules(graph, RULES, sides)
