"""Give dense layers the precision that the caller chose, but for the last ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyrec_infer.codecs import require_precision
from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.finish.screen_layers import SMALLEST

_LAYERS = {"bf16": "pyrec.DenseBf16", "int8": "pyrec.DenseInt8"}

NARROW_LAYERS = frozenset(_LAYERS.values())
"""Operators of layers that are not in float32."""

_PRECISIONS = {op: precision for precision, op in _LAYERS.items()}


def precision_of(node: Node) -> str | None:
    """The precision of a layer that is not in float32; None for other nodes."""
    return _PRECISIONS.get(node.op)


def _is_layer(node: Node, graph: Graph) -> bool:
    if node.op in ("Gemm", "MatMul"):
        return any(name in graph.constants for name in node.inputs[:2])
    return node.op == "pyrec.Dense"


def _before_layers(graph: Graph) -> set[str]:
    """Values from which a further layer is reached on the way to an output."""
    found: set[str] = set()
    alive = set(graph.outputs)
    for node in reversed(graph.nodes):
        if not any(name in alive for name in node.outputs):
            continue
        alive.update(name for name in node.inputs if name)
        if _is_layer(node, graph):
            found.update(node.inputs[:2])
        if any(name in found for name in node.outputs):
            found.update(name for name in node.inputs if name)
    return found


class _Chooser:
    """Finds the layers that can be narrower, and the nodes that lay their weights out for each request."""

    def __init__(self, graph: Graph, rates: Mapping[str, Rate]) -> None:
        self.graph = graph
        self.rates = rates
        self.before = _before_layers(graph)
        packs = any(node.op == "pyrec.Pack" for node in graph.nodes)
        self.infos = analyze(graph).infos if packs else {}

    def pack_of(self, node: Node) -> Node | None:
        """The node that lays the layer's weights out, if they are not constant."""
        source = self.graph.producers.get(node.inputs[1])
        return source if source is not None and source.op == "pyrec.Pack" else None

    def fits(self, node: Node) -> bool:
        if node.op != "pyrec.Dense" or node.outputs[0] not in self.before:
            return False
        if self.rates[node.outputs[0]] != Rate.PAIR:
            return False
        weights, pack = self.graph.constants.get(node.inputs[1]), self.pack_of(node)
        if pack is not None:
            sizes = (self.infos[pack.inputs[0]].shape or (0, 0))[-2:]
            return all(isinstance(size, int) and size >= SMALLEST for size in sizes)
        return (
            weights is not None
            and weights.dtype == np.float32
            and weights.ndim == 2
            and min(weights.shape) >= SMALLEST
            and bool(np.isfinite(weights).all())
        )


def choose_precision(graph: Graph, sides: Sides, precision: str) -> Graph:
    """Replace dense layers that run for each candidate and are not the last by narrower ones.

    Parameters
    ----------
    graph : Graph
        Its layers have to be ``pyrec.Dense``.
    sides : Sides
    precision : str
        One of `pyrec_infer.codecs.PRECISIONS`; layers are in float32 where they cannot have it.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 32), 0)
    >>> nodes = (Node("pyrec.Dense", ("x", "w"), ("a",)), Node("pyrec.Dense", ("a", "w"), ("y",)))
    >>> graph = Graph(("x",), ("y",), nodes, {"w": np.eye(32, dtype=np.float32)}, {"x": info})
    >>> [node.op for node in choose_precision(graph, Sides(frozenset()), "int8").nodes]
    ['pyrec.DenseInt8', 'pyrec.Dense']
    """
    if require_precision(precision) not in _LAYERS:
        return graph
    chooser = _Chooser(graph, find_rates(graph, sides))
    chosen = {node for node in graph.nodes if chooser.fits(node)}
    packs = {chooser.pack_of(node) for node in chosen}
    nodes = []
    for node in graph.nodes:
        if node in chosen:
            node = replace(node, op=_LAYERS[precision])
        elif node in packs:
            node = replace(node, attributes={**node.attributes, "precision": precision})
        nodes.append(node)
    return graph.with_(nodes=tuple(nodes))
