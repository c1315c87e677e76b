"""Add values where a product or a lookup starts from them, instead of in steps of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Node, Rate, topological
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.fused import ACTIVATIONS, F32
from pyrec_infer.passes.common.sides import Sides, find_rates

_BIAS = {"pyrec.Dense": 2, "pyrec.LookupSum": 0}
"""Operators that add to a bias, and its place among their inputs."""


@dataclass
class _Sum:
    """The addends of a value: constants, other values, and nodes that are given a bias."""

    constant: Array
    values: list[str] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    merged: list[Node] = field(default_factory=list)


def _with_bias(node: Node, bias: str, output: str) -> Node:
    place = _BIAS[node.op]
    inputs = list(node.inputs) + [""] * (place + 1 - len(node.inputs))
    inputs[place] = bias
    while inputs and not inputs[-1] and node.op == "pyrec.Dense":
        inputs.pop()
    return replace(node, inputs=tuple(inputs), outputs=(output,))


class _Merger:
    """Finds sums and writes them anew; see `merge_sums`."""

    def __init__(self, graph: Graph, sides: Sides) -> None:
        self.graph = graph
        self.infos = analyze(graph).infos
        self.rates = find_rates(graph, sides)
        self.constants: dict[str, Array] = dict(graph.constants)

    def reader(self, name: str) -> Node | None:
        """The only node that reads a value, and reads it once: in ``x + x`` a layer would be made twice."""
        readers = self.graph.consumers.get(name, ())
        only = len(readers) == 1 and name not in self.graph.outputs and readers[0].inputs.count(name) == 1
        return readers[0] if only else None

    def is_sum(self, node: Node) -> bool:
        """Whether a node adds rows [N, H] of float32 and ends with no activation."""
        if node.op not in ("Add", *_BIAS) or node.attribute("activation", ""):
            return False
        info = self.infos[node.outputs[0]]
        shape = info.shape or ()
        return info.dtype == F32 and info.rows == 0 and len(shape) == 2 and isinstance(shape[1], int)

    def rate(self, name: str) -> Rate:
        return self.rates[name].in_call

    def collect(self, name: str, found: _Sum, rate: Rate, root: bool = False) -> None:
        """Add what a value is the sum of, as far as that is computed at the same rate."""
        node = self.graph.producers.get(name)
        value = self.graph.constants.get(name)
        if value is not None and value.size in (1, found.constant.size) and value.shape[-1:] == (value.size,):
            found.constant = found.constant + value.reshape(-1).astype(np.float64)
            return
        inner = node is not None and self.is_sum(node) and (root or self.reader(name) is not None)
        if node is None or not inner or self.rate(name) != rate:
            found.values.append(name)
            return
        if node.op == "Add":
            addends: Sequence[str] = node.inputs
        else:
            place = _BIAS[node.op]
            addends = [item for item in node.inputs[place : place + 1] if item]
        shape = self.infos[name].shape
        if not all(self.fits(item, name) for item in addends) or shape is None:
            found.values.append(name)
            return
        found.merged.append(node)
        if node.op != "Add":
            found.nodes.append(node)
        for item in addends:
            self.collect(item, found, rate)

    def fits(self, name: str, whole: str) -> bool:
        """Whether an addend has the sum's own shape, or is a constant row or number."""
        value, shape = self.graph.constants.get(name), self.infos[whole].shape
        if value is not None:
            return value.dtype == F32 and value.ndim <= 2 and value.size in (1, (shape or (0,))[-1])
        return same_shape(self.infos[name].shape, shape)

    def rewrite(self, root: Node, found: _Sum) -> list[Node]:
        """The sum, from what is known first to what is known last; adds to what was merged."""
        base = root.outputs[0]
        made: list[Node] = []

        def add(total: str, name: str) -> str:
            if not total or not name:
                return total or name
            made.append(Node("Add", (total, name), (f"{base}/sum{len(made)}",), name=root.name))
            return made[-1].outputs[0]

        def start(constant: Array) -> str:
            if not np.any(constant != 0):
                return ""
            name = f"{base}/sum/constant"
            self.constants[name] = constant.astype(np.float32)
            return name

        def chain(total: str, nodes: Sequence[Node]) -> str:
            # A lookup costs less than a product to start from a bias of its own for each row.
            for node in sorted(nodes, key=lambda node: node.op == "pyrec.Dense"):
                made.append(_with_bias(node, total, f"{base}/sum{len(made)}"))
                total = made[-1].outputs[0]
            return total

        groups: dict[Rate, list[str]] = {}
        for name in sorted(found.values, key=lambda name: self.rates[name].order):
            groups.setdefault(self.rate(name), []).append(name)
        total, constant = "", found.constant
        for rate, names in groups.items():
            part = _Sum(constant, names)
            if len(names) > 1 or np.any(constant != 0):
                part = _Sum(constant)
                for name in names:
                    self.collect(name, part, rate)
                found.merged += part.merged
            subtotal = ""
            for name in (*part.values[:1], start(part.constant), *part.values[1:]):
                subtotal = add(subtotal, name)
            total = add(total, chain(subtotal, part.nodes))
            constant = np.zeros_like(constant)
        chain(total or start(constant), found.nodes)
        return made


def merge_sums(graph: Graph, sides: Sides) -> Graph:
    """``Add`` of products, lookups and other values as one chain, each starting from the one before.

    What is known early is added up early. An activation of the sum belongs to its last link.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(F32, (Dim.symbol("N"), 2), 0)
    >>> nodes = (Node("pyrec.Dense", ("x", "w"), ("a",)), Node("Add", ("a", "z"), ("s",)),
    ...          Node("Relu", ("s",), ("y",)))
    >>> graph = Graph(("x", "z"), ("y",), nodes, {"w": np.ones((2, 2), np.float32)}, {"x": info, "z": info})
    >>> (merged,) = merge_sums(graph, Sides(frozenset())).nodes
    >>> merged.inputs, merged.attribute("activation")
    (('x', 'w', 'z'), 'Relu')
    """
    merger = _Merger(graph, sides)
    replaced: dict[Node, list[Node]] = {}
    dropped: set[Node] = set()
    for node in reversed(graph.nodes):
        if node in dropped or not merger.is_sum(node):
            continue
        rate = merger.rate(node.outputs[0])
        width = (merger.infos[node.outputs[0]].shape or (0,))[-1]
        found = _Sum(np.zeros(int(width)))
        merger.collect(node.outputs[0], found, rate, root=True)
        reader = merger.reader(node.outputs[0])
        activated = reader is not None and reader.op in ACTIVATIONS and bool(found.nodes)
        if len(found.merged) < 2 and not activated:
            continue
        if not found.nodes:
            continue
        if rate != Rate.PAIR and not activated and all(node.op in _BIAS for node in found.merged):
            continue
        made = merger.rewrite(node, found)
        if activated and reader is not None:
            attributes = {**made[-1].attributes, "activation": reader.op}
            made[-1] = replace(made[-1], outputs=reader.outputs, attributes=attributes)
            dropped.update((*found.merged, reader))
        else:
            made[-1] = replace(made[-1], outputs=node.outputs)
            dropped.update(found.merged)
        replaced[node] = made
    nodes: list[Node] = []
    for node in graph.nodes:
        if node in replaced:
            nodes += replaced[node]
        elif node not in dropped:
            nodes.append(node)
    ordered = topological(nodes, (*graph.inputs, *merger.constants))
    return graph.with_(nodes=ordered, constants=merger.constants)
