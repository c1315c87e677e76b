"""From the row that a score's last layer takes back to a layer that it is made of, through gates and sums."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.writer import Writer

MOST_GATES = 3
"""Numbers of a row multiply no more gates, so that a bound of each bounds what they do to tiny numbers."""


Steps: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Operators with their other operands."""


@dataclass(frozen=True)
class Gates:
    """How a row ``y`` is made of another one ``h``: ``y = (... (h * gate + addend) ...)``.

    Attributes
    ----------
    source : str
        The row h.
    steps : tuple of (str, tuple of str)
        "Mul" or "Add" with the other operand, from y back to h. Two names are an operand of "Add" that is the
        product of both.
    """

    source: str
    steps: Steps

    @property
    def multiplies(self) -> int:
        """Gates that an element passes."""
        return sum(op == "Mul" for op, _ in self.steps)


class _Follower:
    def __init__(self, graph: Graph, infos: Mapping[str, Info], layers: frozenset[str]) -> None:
        self._graph, self._infos, self._layers = graph, infos, layers

    def _alone(self, name: str) -> bool:
        readers = self._graph.consumers.get(name, ())
        return len(readers) == 1 and readers[0].inputs.count(name) == 1 and name not in self._graph.outputs

    def _ways(self, node: Node) -> list[tuple[str, Steps]]:
        """Each operand of a node, and what becomes of it, last first."""
        if node.op in ("Mul", "Add"):
            pairs = (node.inputs, node.inputs[::-1])
            return [(inner, ((node.op, (other,)),)) for inner, other in pairs]
        if node.op == "pyrec.MultiplyAdd":
            a, b, addend = node.inputs
            through = [(a, (("Add", (addend,)), ("Mul", (b,)))), (b, (("Add", (addend,)), ("Mul", (a,))))]
            return [*through, (addend, (("Add", (a, b)),))]
        return []

    def follow(self, name: str, steps: Steps = ()) -> Gates | None:
        """The way to a layer that only this value is made of."""
        if not self._alone(name) or len(steps) > 2 * MOST_GATES:
            return None
        if name in self._layers:
            made = Gates(name, steps)
            return made if 0 < made.multiplies <= MOST_GATES else None
        node = self._graph.producers.get(name)
        shape = self._infos[name].shape
        if node is None or not all(same_shape(self._infos[item].shape, shape) for item in node.inputs):
            return None
        for inner, further in self._ways(node):
            found = self.follow(inner, (*steps, *further))
            if found is not None:
                return found
        return None


def follow_gates(graph: Graph, infos: Mapping[str, Info], row: str, layers: frozenset[str]) -> Gates | None:
    """How a row is made of a layer's result by products and sums with rows of the same shape.

    Parameters
    ----------
    graph : Graph
    infos : mapping of str to Info
        Of its values.
    row : str
    layers : frozenset of str
        Results of layers that may be at the other end.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 8), 0)
    >>> nodes = (Node("Mul", ("g", "h"), ("m",)), Node("Add", ("m", "a"), ("y",)),
    ...          Node("Abs", ("y",), ("z",)))
    >>> graph = Graph(("g", "h", "a"), ("z",), nodes, {}, dict.fromkeys(["g", "h", "a", "m", "y"], info))
    >>> follow_gates(graph, graph.infos, "y", frozenset({"h"})).steps
    (('Add', ('a',)), ('Mul', ('g',)))
    """
    return _Follower(graph, infos, layers).follow(row)


def measure_gates(gates: Gates, weights: str, name: str, writer: Writer) -> str:
    """Write what bounds a change of the layer's row in the weighted sum of y: [N, 3].

    These are the length of the row's weights in the sum, the sum of the magnitudes of all other addends, and
    the sum of the lengths of all other rows.

    Parameters
    ----------
    gates : Gates
    weights : str
        A constant row: what the elements of y are summed with.
    name : str
        Of the result.
    writer : Writer
    """
    axis = writer.constant([1], np.int64)
    factor = weights
    sizes, lengths = [], []
    for op, operands in gates.steps:
        made = operands[0] if len(operands) == 1 else writer.node("Mul", *operands)
        if op == "Mul":
            factor = writer.node("Mul", made, factor)
            lengths.append(writer.node("ReduceL2", made, axis, keepdims=1))
        else:
            sizes.append(writer.node("ReduceL1", writer.node("Mul", made, factor), axis, keepdims=1))
            lengths += [writer.node("ReduceL2", each, axis, keepdims=1) for each in operands]
    reach = writer.node("ReduceL2", factor, axis, keepdims=1)
    totals = [_sum(parts, writer) for parts in (sizes or [reach], lengths)]
    writer.add(Node("Concat", (reach, *totals), (name,), {"axis": 1}))
    return name


def _sum(parts: list[str], writer: Writer) -> str:
    total = parts[0]
    for part in parts[1:]:
        total = writer.node("Add", total, part)
    return total
