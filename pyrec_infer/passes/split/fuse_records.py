"""Read records straight into the sums and concatenations that want them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pyrec_infer.codecs import find_codec
from pyrec_infer.ir import Graph, Info, Node, Rows
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.fused import ACTIVATIONS, F32
from pyrec_infer.ops.lookup_parts import LOOKUPS, LookupPart, lookup_parts, make_lookup
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.split.record_layout import RECORDS


class _Fuser:
    """See `fuse_records`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.infos = analyze(graph).infos
        self.made: dict[str, Node] = {}

    def record_parts(self, name: str, op: str = "pyrec.Lookup") -> list[LookupPart]:
        """The parts of a lookup in the records that a value is."""
        node = self.made.get(name)
        if node is None or node.op != op or RECORDS not in node.inputs:
            return []
        return lookup_parts(node)

    def alone(self, name: str) -> bool:
        return name not in self.graph.outputs and len(self.graph.consumers.get(name, ())) == 1

    def is_matrix(self, name: str) -> bool:
        info = self.infos[name]
        return info.rank == 2 and info.rows == 0 and info.dtype == F32

    def fits_bias(self, name: str, total: Info) -> bool:
        info = self.infos[name]
        if info.shape is None or total.shape is None or info.dtype != F32:
            return False
        row = info.rows == Rows.INVARIANT and info.shape in (total.shape[1:], (1, *total.shape[1:]))
        return row or (info.rows == 0 and same_shape(info.shape, total.shape))

    def add(self, node: Node) -> Node:
        total = self.infos[node.outputs[0]]
        for x, bias in (node.inputs, node.inputs[::-1]):
            parts = self.record_parts(x)
            if len(parts) != 1 or not self.is_matrix(node.outputs[0]):
                continue
            if not same_shape(self.infos[x].shape, total.shape) or not self.fits_bias(bias, total):
                continue
            addend = self.made.get(bias)
            others = self.record_parts(bias)
            if len(others) == 1 and x != bias:
                return make_lookup("pyrec.LookupSum", node.outputs[0], [*others, *parts], label=node.name)
            earlier = self.record_parts(bias, "pyrec.LookupSum")
            if addend is not None and earlier and self.alone(bias) and not addend.attribute("activation"):
                parts, bias = [*earlier, *parts], addend.inputs[0]
            return make_lookup("pyrec.LookupSum", node.outputs[0], parts, bias=bias, label=node.name)
        return node

    def activate(self, node: Node) -> Node:
        source = self.made.get(node.inputs[0])
        if source is None or source.op != "pyrec.LookupSum" or source.attribute("activation"):
            return node
        if not self.alone(node.inputs[0]):
            return node
        return replace(source, outputs=node.outputs, attributes={**source.attributes, "activation": node.op})

    def concat(self, node: Node) -> Node:
        if node.attribute("axis", 0) not in (1, -1) or not all(map(self.is_matrix, node.inputs)):
            return node
        parts: list[LookupPart] = []
        for name in node.inputs:
            width = (self.infos[name].shape or ())[1]
            if not isinstance(width, int) or width == 0:
                return node
            parts += self.record_parts(name) or [LookupPart.numbers(name, width)]
        if not any(part.table for part in parts):
            return node
        return make_lookup("pyrec.Lookup", node.outputs[0], _joined(parts), label=node.name)

    def lookup(self, node: Node) -> Node:
        """A lookup, or its sum, some of whose parts are values read from the records."""
        first = int(node.op == "pyrec.LookupSum")
        parts: list[LookupPart] = []
        for part in lookup_parts(node):
            found = [] if part.table else self.record_parts(part.source)
            parts += found if found and (not first or len(found) == 1) else [part]
        if not first:
            parts = _joined(parts)
        bias, activation = node.inputs[0] if first else "", node.attribute("activation", "")
        addend = self.made.get(bias)
        earlier = self.record_parts(bias, "pyrec.LookupSum") if first else []
        if addend is not None and earlier and self.alone(bias) and not addend.attribute("activation"):
            parts, bias = [*earlier, *parts], addend.inputs[0]
        return make_lookup(node.op, node.outputs[0], parts, bias=bias, activation=activation, label=node.name)

    def run(self) -> Graph:
        nodes = []
        for old in self.graph.nodes:
            node = old
            if node.op == "Add":
                node = self.add(node)
            elif node.op in ACTIVATIONS:
                node = self.activate(node)
            elif node.op == "Concat":
                node = self.concat(node)
            elif node.op in LOOKUPS:
                node = self.lookup(node)
            nodes.append(node)
            self.made.update((name, node) for name in node.outputs if name)
        return remove_dead(self.graph.with_(nodes=tuple(nodes)))


def _joined(parts: Sequence[LookupPart]) -> list[LookupPart]:
    """The parts with neighbours in the records made one."""
    found: list[LookupPart] = []
    for part in parts:
        before = found[-1] if found else None
        if before is not None and part.table == RECORDS and part.source == before.source:
            element = find_codec(part.codec).element
            end = before.offset + (element.itemsize * before.width if element else -1)
            if (before.table, before.codec, end) == (RECORDS, part.codec, part.offset):
                found[-1] = replace(before, width=before.width + part.width)
                continue
        found.append(part)
    return found


def fuse_records(graph: Graph) -> Graph:
    """Let sums, concatenations and lookups take values from the records themselves.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2), 0)
    >>> nodes = (Node("Exp", ("i",), ("e",)), Node("Add", ("u", "e"), ("s",)), Node("Relu", ("s",), ("y",)))
    >>> graph = Graph(("u", "i"), ("y",), nodes, {}, {"u": info, "i": info})
    >>> from pyrec_infer.passes.split.separate_items import separate_items
    >>> from pyrec_infer.passes.common.sides import Sides
    >>> pairs = separate_items(graph, Sides(frozenset("u"), frozenset("i"))).pairs
    >>> [node.op for node in pairs.nodes], [node.op for node in fuse_records(pairs).nodes]
    (['pyrec.Lookup', 'Add', 'Relu'], ['pyrec.LookupSum'])
    """
    return _Fuser(graph).run()
