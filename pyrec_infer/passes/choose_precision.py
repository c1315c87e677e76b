"""Give dense layers the precision that the caller chose, but for the last ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyrec_infer.errors import InputError
from pyrec_infer.ir import Graph, Node, Rate

PRECISIONS = ("fp32", "bf16", "int8")

_LAYERS = {"bf16": "pyrec.DenseBf16", "int8": "pyrec.DenseInt8"}

NARROW_LAYERS = frozenset(_LAYERS.values())
"""Operators of layers that are not in float32."""

_SMALLEST = 32
"""Features and columns of a layer below which rounding its rows takes as long as it saves."""


def require_precision(precision: str) -> str:
    """The name itself, if it is one of `PRECISIONS`.

    Raises
    ------
    InputError
        It is not.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    return precision


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


def _fits(node: Node, graph: Graph, rates: Mapping[str, Rate]) -> bool:
    weights = graph.constants.get(node.inputs[1]) if node.op == "pyrec.Dense" else None
    return (
        weights is not None
        and weights.dtype == np.float32
        and weights.ndim == 2
        and min(weights.shape) >= _SMALLEST
        and rates[node.outputs[0]] == Rate.PAIR
        and bool(np.isfinite(weights).all())
    )


def choose_precision(graph: Graph, rates: Mapping[str, Rate], precision: str) -> Graph:
    """Replace dense layers that run for each candidate and are not the last by narrower ones.

    Parameters
    ----------
    graph : Graph
        Its layers have to be ``pyrec.Dense``.
    rates : mapping of str to Rate
        Of every value; see `find_rates`.
    precision : str
        One of `PRECISIONS`.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> from pyrec_infer.passes.split import Sides, find_rates
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 32), 0)
    >>> nodes = (Node("pyrec.Dense", ("x", "w"), ("a",)), Node("pyrec.Dense", ("a", "w"), ("y",)))
    >>> graph = Graph(("x",), ("y",), nodes, {"w": np.eye(32, dtype=np.float32)}, {"x": info})
    >>> rates = find_rates(graph, Sides(frozenset()))
    >>> [node.op for node in choose_precision(graph, rates, "int8").nodes]
    ['pyrec.DenseInt8', 'pyrec.Dense']
    """
    if require_precision(precision) == "fp32":
        return graph
    before = _before_layers(graph)
    nodes = tuple(
        replace(node, op=_LAYERS[precision])
        if node.outputs[0] in before and _fits(node, graph, rates)
        else node
        for node in graph.nodes
    )
    return graph.with_(nodes=nodes)
