"""Read embedding rows straight into the matrix, or the sum, that they were gathered for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node, Rate
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import constant_integers
from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
from pyrec_infer.passes.common.sides import Sides, find_rates

_IDS = (np.dtype(np.int64), np.dtype(np.int32))


class _Finder:
    """What the values of a graph are looked up from."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.infos: Mapping[str, Info] = analyze(graph).infos

    def by_row(self, name: str) -> int | None:
        """The numbers that a value has for each row, if it holds the rows at its first axis."""
        info = self.infos[name]
        if info.shape is None or info.rows != 0:
            return None
        width = 1
        for size in info.shape[1:]:
            if not isinstance(size, int):
                return None
            width *= size
        return width

    def unviewed(self, name: str) -> str:
        """The value that a value is a reshaped view of, with the rows at the first axis throughout."""
        node = self.graph.producers.get(name)
        while node is not None and has(node, Trait.VIEW) and self.by_row(name) is not None:
            if self.by_row(node.inputs[0]) != self.by_row(name):
                break
            name = node.inputs[0]
            node = self.graph.producers.get(name)
        return name

    def column_of(self, ids: str) -> tuple[str, int] | None:
        """The matrix and its column that hold one id for each row, or a vector and -1."""
        ids = self.unviewed(ids)
        info, node = self.infos[ids], self.graph.producers.get(ids)
        if self.by_row(ids) != 1 or info.dtype not in _IDS or info.shape is None:
            return None
        if node is not None and node.op in ("Gather", "Slice"):
            data = self.infos[node.inputs[0]]
            if data.shape is not None and len(data.shape) == 2 and data.rows == 0 and data.dtype in _IDS:
                column = self._picked(node, data.shape[1])
                if column is not None:
                    return node.inputs[0], column
        return (ids, -1) if len(info.shape) <= 2 else None

    def _picked(self, node: Node, width: object) -> int | None:
        """The one column that a Gather or a Slice takes of a matrix."""
        if not isinstance(width, int):
            return None
        if node.op == "Gather":
            chosen = constant_integers(self.infos[node.inputs[1]])
            if node.attribute("axis", 0) % 2 != 1 or chosen is None or len(chosen) != 1:
                return None
            return chosen[0] % width if -width <= chosen[0] < width else None
        operands = [constant_integers(self.infos[name]) if name else None for name in node.inputs[1:]]
        if (
            len(operands) < 3
            or operands[0] is None
            or operands[1] is None
            or operands[2] not in ((1,), (-1,))
        ):
            return None
        if len(operands) > 3 and node.inputs[4] and operands[3] != (1,):
            return None
        first, last, _ = slice(operands[0][0], operands[1][0]).indices(width)
        return first if last == first + 1 else None

    def parts_of(self, name: str) -> list[LookupPart] | None:
        """The parts, side by side, that a value is made of once its rows are flattened."""
        width = self.by_row(name)
        if width is None or self.infos[name].dtype != np.float32:
            return None
        origin = self.unviewed(name)
        node = self.graph.producers.get(origin)
        if node is not None and node.op == "Gather" and node.attribute("axis", 0) == 0:
            found = self._gathered(node)
            if found is not None:
                return found
        shape = self.infos[name].shape
        flat = name if shape is not None and len(shape) == 2 else origin
        shape = self.infos[flat].shape
        return [LookupPart.numbers(flat, width)] if shape is not None and len(shape) == 2 else None

    def _gathered(self, node: Node) -> list[LookupPart] | None:
        table, ids = self.graph.constants.get(node.inputs[0]), self.infos[node.inputs[1]]
        if table is None or table.ndim != 2 or table.dtype != np.float32 or table.shape[1] == 0:
            return None
        columns = self.by_row(node.inputs[1])
        if columns == 1:
            column = self.column_of(node.inputs[1])
            return (
                None if column is None else [LookupPart(column[0], node.inputs[0], column[1], table.shape[1])]
            )
        if columns is None or ids.shape is None or len(ids.shape) != 2 or ids.dtype not in _IDS:
            return None
        return [
            LookupPart(node.inputs[1], node.inputs[0], column, table.shape[1]) for column in range(columns)
        ]


def _joined(node: Node, finder: _Finder) -> list[LookupPart] | None:
    """The parts of a concatenation whose rows, flattened, are those of its inputs side by side."""
    if node.op != "Concat":
        return None
    info = finder.infos[node.outputs[0]]
    if info.rank is None or finder.by_row(node.outputs[0]) is None:
        return None
    axis = node.attribute("axis", 0) % info.rank
    leading = () if info.shape is None else info.shape[1:axis]
    if axis == 0 or any(size != 1 for size in leading):
        return None
    found: list[LookupPart] = []
    for name in node.inputs:
        parts = finder.parts_of(name)
        if parts is None:
            return None
        found += parts
    return found if any(part.table for part in found) and len(found) > 1 else None


def _summed(node: Node, finder: _Finder) -> list[LookupPart] | None:
    """The parts that a ReduceSum adds up, where nothing else reads their concatenation."""
    if node.op != "ReduceSum" or len(node.inputs) < 2:
        return None
    name, source = node.inputs[0], finder.unviewed(node.inputs[0])
    before, after = finder.infos[name].shape, finder.by_row(node.outputs[0])
    joined = finder.graph.producers.get(source)
    axes = constant_integers(finder.infos[node.inputs[1]])
    if joined is None or before is None or axes is None or len(axes) != 1 or after is None:
        return None
    while True:
        if len(finder.graph.consumers.get(name, ())) != 1 or name in finder.graph.outputs:
            return None
        if name == source:
            break
        name = finder.graph.producers[name].inputs[0]
    parts = _joined(joined, finder)
    # Parts as wide as the sum: the axis that goes away counts them.
    if parts is None or any(part.width != after for part in parts):
        return None
    axis = axes[0] % len(before)
    return parts if axis > 0 and all(size == 1 for size in before[1:axis]) else None


class _Fuser:
    """Writes the lookups of one graph."""

    def __init__(self, graph: Graph, sides: Sides) -> None:
        self.finder = _Finder(graph)
        self.rates = find_rates(graph, sides)
        self.constants: dict[str, Array] = dict(graph.constants)
        self.nodes: list[Node] = []

    def rate(self, part: LookupPart) -> Rate:
        return self.rates[part.source].in_call

    def finish(self, node: Node, op: str, parts: Sequence[LookupPart]) -> None:
        """The node that makes what the given one made, in the same shape."""
        result = node.outputs[0]
        shape = self.finder.infos[result].shape
        assert shape is not None
        name = result if len(shape) == 2 else f"{result}/flat"
        self.nodes.append(make_lookup(op, name, parts, label=node.name))
        if len(shape) != 2:
            self.constants[f"{result}/shape"] = np.asarray([0, *shape[1:]], np.int64)
            self.nodes.append(Node("Reshape", (name, f"{result}/shape"), (result,), name=node.name))

    def sum(self, node: Node, parts: Sequence[LookupPart]) -> bool:
        if len({self.rate(part) for part in parts}) > 1:
            return False
        self.finish(node, "pyrec.LookupSum", parts)
        return True

    def join(self, node: Node, parts: Sequence[LookupPart]) -> None:
        """One lookup; what is known earlier than the rest is looked up then, and copied as numbers."""
        rates = {self.rate(part) for part in parts}
        if len(rates) > 1:
            joined: list[LookupPart] = []
            for rate, run in groupby(parts, self.rate):
                group = list(run)
                if rate != Rate.PAIR and (len(group) > 1 or group[0].table):
                    name = f"{node.outputs[0]}/part{len(joined)}"
                    self.nodes.append(_early(group, name, node.name))
                    group = [LookupPart.numbers(name, sum(part.width for part in group))]
                joined += group
            parts = joined
        self.finish(node, "pyrec.Lookup", parts)


def _early(parts: Sequence[LookupPart], name: str, label: str) -> Node:
    """A lookup of its own, or a plain concatenation if no part has a table."""
    if any(part.table for part in parts):
        return make_lookup("pyrec.Lookup", name, parts, label=label)
    return Node("Concat", tuple(part.source for part in parts), (name,), {"axis": 1}, name=label)


def fuse_lookups(graph: Graph, sides: Sides) -> Graph:
    """Make one ``pyrec.Lookup`` of a concatenation of embedding rows, one ``pyrec.LookupSum`` of a sum.

    Gathers whose ids are columns of a matrix read that column where it lies.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim
    >>> ids, numbers = (Info(np.dtype(kind), (Dim.symbol("N"), 2), 0) for kind in ("int64", "float32"))
    >>> nodes = (Node("Gather", ("ids", "one"), ("i",), {"axis": 1}), Node("Gather", ("table", "i"), ("e",)),
    ...          Node("Concat", ("e", "x"), ("y",), {"axis": 1}))
    >>> constants = {"one": np.asarray(1), "table": np.ones((9, 4), np.float32)}
    >>> graph = Graph(("ids", "x"), ("y",), nodes, constants, {"ids": ids, "x": numbers})
    >>> made = fuse_lookups(graph, Sides(frozenset())).producers["y"]
    >>> made.op, made.inputs, made.attributes["columns"]
    ('pyrec.Lookup', ('ids', 'table', 'x', ''), (1, -1))
    """
    fuser = _Fuser(graph, sides)
    for node in graph.nodes:
        summed = _summed(node, fuser.finder)
        if summed is not None and fuser.sum(node, summed):
            continue
        joined = _joined(node, fuser.finder)
        if joined is None:
            fuser.nodes.append(node)
        else:
            fuser.join(node, joined)
    return graph.with_(nodes=tuple(fuser.nodes), constants=fuser.constants)


__all__ = ["fuse_lookups"]
