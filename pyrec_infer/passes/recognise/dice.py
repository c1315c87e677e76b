"""The Dice activation, ``p x + alpha (1 - p) x`` with a gate p, in three steps instead of five."""

from __future__ import annotations

from collections import Counter

import numpy as np

from pyrec_infer.ir import Node
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.rules import Site

_FACTORS = 3
"""Of the longer product of a Dice."""


def _factors(name: str, site: Site) -> list[str]:
    """The factors of a product, as far as nobody else reads the partial products."""
    found, products = list[str](), [name]
    while products and len(found) + len(products) <= _FACTORS:
        item = products.pop()
        node = site.source(item, "Mul")
        if node is not None and site.alone(item):
            products += node.inputs
        else:
            found.append(item)
    return found + products


def _gate(name: str, site: Site) -> str | None:
    """p of ``1 - p``."""
    node = site.source(name, "Sub")
    one = None if node is None else site.known(node.inputs[0])
    if node is None or one is None or one.size != 1 or not np.all(one == 1):
        return None
    # A one of more axes would give them to the sum.
    return node.inputs[1] if same_shape(site.shape(node.inputs[1]), site.shape(name)) else None


def merge_dice(node: Node, site: Site) -> str | None:
    """``p x + alpha (1 - p) x = x (alpha + (1 - alpha) p)``, in any order of the factors.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2), 0)
    >>> nodes = (Node("Mul", ("p", "x"), ("a",)), Node("Sub", ("one", "p"), ("q",)),
    ...          Node("Mul", ("alpha", "q"), ("b",)), Node("Mul", ("b", "x"), ("c",)),
    ...          Node("Add", ("a", "c"), ("y",)))
    >>> constants = {"one": np.float32(1), "alpha": np.float32([0.25, 0.5])}
    >>> graph = Graph(("x", "p"), ("y",), nodes, constants, {"x": info, "p": info})
    >>> [node.op for node in apply_rules(graph, RULES).nodes]
    ['Mul', 'Add', 'Mul']
    """
    if len(node.inputs) != 2:
        return None
    for first, second in (node.inputs, node.inputs[::-1]):
        open_gate, closed_gate = _factors(first, site), _factors(second, site)
        for closed in closed_gate:
            p = _gate(closed, site)
            if p is None or len(open_gate) != 2 or p not in open_gate:
                continue
            (x,) = (Counter(open_gate) - Counter([p])).elements()
            rest = list((Counter(closed_gate) - Counter([closed, x])).elements())
            alpha = site.known(rest[0]) if len(rest) == 1 else None
            if alpha is None or alpha.dtype != np.float32 or len(closed_gate) != 3:
                continue
            opened = site.node("Mul", p, site.constant(1 - alpha.astype(np.float64), np.float32))
            return site.node("Mul", x, site.node("Add", opened, rest[0]))
    return None


RULES = {"Add": (merge_dice,)}
