"""Dot products between fields of different rates: those of the request alone are computed once for it."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.passes.common.rules import Site, apply_rules
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.rate_groups import by_rate, position_rates, restricted


def split_dots(node: Node, site: Site) -> str | None:
    """One node for each pair of rates, and a Gather that puts the columns in order again."""
    a, b = node.inputs[:2]
    places = [site.known(name) for name in node.inputs[2:]]
    if site.rate(node.outputs[0]) != Rate.PAIR or any(value is None for value in places):
        return None
    left, right = (value for value in places if value is not None)
    rates = [position_rates(name, 1, site) for name in (a, b)]
    groups = [by_rate(item) for item in rates]
    if not all(rates) or all(len(group) == 1 for group in groups):
        return None
    blocks: dict[tuple[Rate, Rate], list[tuple[int, int, int]]] = {}
    for column, (i, j) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        i, j = i % len(rates[0]), j % len(rates[1])
        first, second = rates[0][i].in_call, rates[1][j].in_call
        if a == b and first.order > second.order:
            i, j, first, second = j, i, second, first
        blocks.setdefault((first, second), []).append((column, i, j))
    parts, order = [], []
    for (first, second), dots in sorted(
        blocks.items(), key=lambda item: [rate.order for rate in (item[0][0].join(item[0][1]), *item[0])]
    ):
        part = _block(groups[0][first], groups[1][second], dots, (a, b), site)
        if part is None:
            return None
        parts.append(part)
        order += [column for column, _, _ in dots]
    joined = site.concat(parts, 1)
    if order == sorted(order):
        return joined
    return site.node("Gather", joined, site.constant(np.argsort(order), np.int64), axis=1)


def _block(
    rows: list[int],
    columns: list[int],
    dots: list[tuple[int, int, int]],
    values: tuple[str, str],
    site: Site,
) -> str | None:
    """The dot products of the fields ``rows`` of one value and ``columns`` of the other."""
    a, b = (restricted(name, 1, chosen, site) for name, chosen in zip(values, (rows, columns), strict=True))
    if a is None or b is None:
        return None
    left = site.constant([rows.index(i) for _, i, _ in dots], np.int64)
    right = site.constant([columns.index(j) for _, _, j in dots], np.int64)
    return site.node("pyrec.PairDots", a, b, left, right)


def split_pair_dots(graph: Graph, sides: Sides) -> Graph:
    """Split the dot products of fields by when the fields are known.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2, 4), 0)
    >>> nodes = (Node("Concat", ("u", "i"), ("t",), {"axis": 1}),
    ...          Node("pyrec.PairDots", ("t", "t", "left", "right"), ("y",)))
    >>> constants = {"left": np.asarray([1, 2, 3]), "right": np.asarray([0, 0, 2])}
    >>> graph = Graph(("u", "i"), ("y",), nodes, constants, {"u": info, "i": info})
    >>> [node.inputs[:2] for node in split_pair_dots(graph, Sides(frozenset("u"))).nodes][:3]
    [('u', 'u'), ('u', 'i'), ('i', 'i')]
    """
    return apply_rules(graph, {"pyrec.PairDots": (split_dots,)}, sides)
