"""Convolutions of small rows as matrix products, which are made fast and divided between rates."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrec_infer.ir import BATCH, Array, Dim, Graph, Info, Node, same_size
from pyrec_infer.ops.convolution import places_seen
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.common.writer import Writer

_MOST = 1 << 13
"""Numbers that the windows of a row may hold together, so that they stay in the first-level cache.

Windows of one number take no room of their own, however many there are.
"""


def _sizes(node: Node, infos: Mapping[str, Info]) -> list[int] | None:
    """The sizes of channels and spatial axes, of a convolution that is unfolded."""
    if node.op != "Conv" or int(node.attribute("group", 1)) != 1:
        return None
    x, w = (infos[name] for name in node.inputs[:2])
    if w.constant is None or x.shape is None or x.rows != 0 or not same_size(x.shape[0], Dim.symbol(BATCH)):
        return None
    sizes = [size for size in x.shape[1:] if isinstance(size, int)]
    made = infos[node.outputs[0]].shape
    if len(sizes) < len(x.shape) - 1 or made is None:
        return None
    positions = [size for size in made[2:] if isinstance(size, int)]
    numbers = np.prod([*positions, *w.constant.shape[1:]], dtype=object)
    if len(positions) < len(made) - 2 or 0 in (numbers, *sizes):
        return None
    return sizes if numbers <= _MOST or np.prod(positions) * sizes[0] == numbers else None


def _seen(writer: Writer, x: str, sizes: list[int], places: Array) -> str:
    """The numbers under each window: [N, positions, numbers]."""
    everything = np.arange(np.prod(sizes))
    if np.array_equal(places, everything.reshape(sizes[0], -1).T):
        by_channel = writer.node("Reshape", x, writer.constant([0, sizes[0], -1], np.int64))
        return writer.node("Transpose", by_channel, perm=(0, 2, 1))
    row = writer.node("Reshape", x, writer.constant([0, -1], np.int64))
    if (places < 0).any():
        row = writer.node("Pad", row, writer.constant([0, 0, 0, 1], np.int64))
        places = np.where(places < 0, everything.size, places)
    return writer.node("Gather", row, writer.constant(places, np.int64), axis=1)


def unfold_convolutions(graph: Graph) -> Graph:
    """``Conv`` to the numbers under each window, side by side, times a matrix of the weights.

    Examples
    --------
    >>> infos = {"x": Info(np.dtype(np.float32), (Dim.symbol(BATCH), 2, 5), rows=0)}
    >>> nodes = (Node("Conv", ("x", "w"), ("y",)),)
    >>> made = unfold_convolutions(
    ...     Graph(("x",), ("y",), nodes, {"w": np.ones((3, 2, 4), np.float32)}, infos)
    ... )
    >>> [node.op for node in made.nodes], analyze(made).infos["y"].shape
    (['Reshape', 'Gather', 'MatMul', 'Transpose', 'Reshape'], (N, 3, 2))
    """
    if not any(node.op == "Conv" for node in graph.nodes):
        return graph
    infos = analyze(graph).infos
    writer = Writer(taken=infos)
    for node in graph.nodes:
        sizes = _sizes(node, infos)
        weights = infos[node.inputs[1]].constant if sizes is not None else None
        if sizes is None or weights is None:
            writer.add(node)
            continue
        writer.begin(node.outputs[0], node.name)
        counts, places = places_seen(node, sizes, weights.shape[2:])
        seen = _seen(writer, node.inputs[0], sizes, places)
        matrix = writer.constant(weights.reshape(len(weights), -1).T)
        made = writer.node("MatMul", seen, matrix)
        if len(node.inputs) > 2 and node.inputs[2]:
            made = writer.node("Add", made, node.inputs[2])
        turned = writer.node("Transpose", made, perm=(0, 2, 1))
        shape = writer.constant([0, len(weights), *counts], np.int64)
        writer.add(Node("Reshape", (turned, shape), node.outputs, name=node.name))
    return graph.with_(nodes=tuple(writer.nodes), constants={**graph.constants, **writer.constants})
