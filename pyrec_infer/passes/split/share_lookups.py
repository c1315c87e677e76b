"""Read a table's rows once where one lookup is a piece of another."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from pyrec_infer.ir import Array, Graph, Node
from pyrec_infer.ops.fused import parts_of
from pyrec_infer.passes.common.sides import Sides, find_rates


def _parts(node: Node) -> list[Hashable]:
    """What each part of a lookup reads, and how."""
    operands = zip(node.inputs[::2], node.inputs[1::2], strict=True)
    return [(*names, *part) for names, part in zip(operands, parts_of(node), strict=True)]


def _columns(piece: Node, whole: Node) -> tuple[int, int] | None:
    """The columns of ``whole`` that ``piece`` makes again."""
    wanted, there = _parts(piece), _parts(whole)
    widths = [width for _, _, width, _ in parts_of(whole)]
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
    >>> part = {"columns": (-1,), "offsets": (0,), "widths": (4,), "codecs": ("f32",)}
    >>> both = {key: value * 2 for key, value in part.items()}
    >>> nodes = (Node("pyrec.Lookup", ("i", "t", "j", "t"), ("a",), both),
    ...          Node("pyrec.Lookup", ("j", "t"), ("b",), part))
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
