"""Read a table's rows once where one lookup is a piece of another."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Array, Graph, Node
from pyrec_infer.ops.lookup_parts import lookup_parts
from pyrec_infer.passes.common.sides import Sides, find_rates


def _columns(piece: Node, whole: Node) -> tuple[int, int] | None:
    """The columns of ``whole`` that ``piece`` makes again."""
    wanted, there = lookup_parts(piece), lookup_parts(whole)
    widths = [part.width for part in there]
    for first in range(len(there) - len(wanted) + 1):
        if there[first : first + len(wanted)] == wanted:
            begin = sum(widths[:first])
            return begin, begin + sum(widths[first : first + len(wanted)])
    return None


def share_lookups(graph: Graph, sides: Sides) -> Graph:
    """A lookup whose parts stand side by side in an earlier one of the same rate becomes a slice of it.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> ids = Info(np.dtype(np.int64), (Dim.symbol("N"),), 0)
    >>> from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
    >>> first, second = LookupPart("i", "t", -1, 4), LookupPart("j", "t", -1, 4)
    >>> nodes = (make_lookup("pyrec.Lookup", "a", [first, second]),
    ...          make_lookup("pyrec.Lookup", "b", [second]))
    >>> table = {"t": np.ones((9, 4), np.float32)}
    >>> graph = Graph(("i", "j"), ("a", "b"), nodes, table, {"i": ids, "j": ids})
    >>> [node.op for node in share_lookups(graph, Sides(frozenset())).nodes]
    ['pyrec.Lookup', 'Slice']
    """
    rates = find_rates(graph, sides)
    constants: dict[str, Array] = dict(graph.constants)
    before: list[Node] = []
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.append(node)
        if node.op != "pyrec.Lookup":
            continue
        result = node.outputs[0]
        for whole in before:
            columns = _columns(node, whole) if rates[whole.outputs[0]] == rates[result] else None
            if columns is None:
                continue
            bounds = [f"{result}/{name}" for name in ("begin", "end", "axis")]
            for name, value in zip(bounds, (*columns, 1), strict=True):
                constants[name] = np.asarray([value], np.int64)
            nodes[-1] = Node("Slice", (whole.outputs[0], *bounds), node.outputs, name=node.name)
            break
        else:
            before.append(node)
    return graph.with_(nodes=tuple(nodes), constants=constants)
