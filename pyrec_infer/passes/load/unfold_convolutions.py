"""Convolutions of small rows as matrix products, which are made fast and divided between rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyrec_infer.ir import BATCH, Array, Dim, Graph, Info, Node, same_size
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.convolution import places_seen
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.common.writer import Writer

_MOST = 1 << 13
"""Numbers that the windows of a row may hold together, so that they stay in the first-level cache.

Windows of one number take no room of their own, however many there are, nor do windows side by side of
positions whose channels lie together: they are what was there, in another order.
"""


def _sizes(node: Node, infos: Mapping[str, Info], together: bool) -> list[int] | None:
    """The sizes of channels and spatial axes, of a convolution that is unfolded.

    ``together`` says that the channels of a position are read as one.
    """
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
    most = max(_MOST, int(np.prod(sizes, dtype=object))) if together else _MOST
    return sizes if numbers <= most or np.prod(positions) * sizes[0] == numbers else None


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


def _seen_together(writer: Writer, positions: str, sizes: list[int], places: Array) -> str:
    """The same of [N, positions, channels], whose windows hold position after position."""
    # Of a place in the first channel; the others see the same positions.
    taken = places.reshape(len(places), sizes[0], -1)[:, 0]
    inside = int(np.prod(sizes[1:]))
    if (taken < 0).any():
        positions = writer.node("Pad", positions, writer.constant([0, 0, 0, 0, 1, 0], np.int64))
        taken = np.where(taken < 0, inside, taken)
    elif np.array_equal(taken, np.arange(inside)[:, None]):
        return positions
    windows = writer.node("Gather", positions, writer.constant(taken, np.int64), axis=1)
    return writer.node("Reshape", windows, writer.constant([0, len(taken), -1], np.int64))


def _of_rows(writer: Writer, positions: str, info: Info, made: Node) -> None:
    """A value [N, channels, ...] from [N, positions, channels], under the name of a node's result."""
    turned = writer.node("Transpose", positions, perm=(0, 2, 1))
    assert info.shape is not None
    shape = writer.constant([0, *info.shape[1:]], np.int64)
    writer.add(Node("Reshape", (turned, shape), made.outputs, name=made.name))


def _unfold(writer: Writer, node: Node, sizes: list[int], weights: Array, together: str | None) -> str:
    """The result of a convolution as [N, positions, channels]; ``together`` is its operand in that form."""
    _, places = places_seen(node, sizes, weights.shape[2:])
    if together is None:
        seen = _seen(writer, node.inputs[0], sizes, places)
        matrix = weights.reshape(len(weights), -1).T
    else:
        seen = _seen_together(writer, together, sizes, places)
        matrix = np.moveaxis(weights.reshape(*weights.shape[:2], -1), 0, 2)
        matrix = matrix.swapaxes(0, 1).reshape(-1, len(weights))
    made = writer.node("MatMul", seen, writer.constant(matrix))
    return writer.node("Add", made, node.inputs[2]) if len(node.inputs) > 2 and node.inputs[2] else made


def unfold_convolutions(graph: Graph) -> Graph:
    """``Conv`` to the numbers under each window, side by side, times a matrix of the weights.

    Between convolutions the channels of a position stay together, also through elementwise operators of
    one operand; the form in which a file has them is made beside it, for those who read it.

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
    together: dict[str, str] = {}
    for node in graph.nodes:
        writer.begin(node.outputs[0], node.name)
        positions = together.get(node.inputs[0]) if node.inputs else None
        sizes = _sizes(node, infos, positions is not None)
        weights = infos[node.inputs[1]].constant if sizes is not None else None
        if sizes is not None and weights is not None:
            made = _unfold(writer, node, sizes, weights, positions)
        elif positions is not None and len(node.inputs) == 1 and has(node, Trait.ELEMENTWISE):
            made = writer.add(replace(node, inputs=(positions,), outputs=(writer.fresh(),)))
        else:
            writer.add(node)
            continue
        together[node.outputs[0]] = made
        _of_rows(writer, made, infos[node.outputs[0]], node)
    return graph.with_(nodes=tuple(writer.nodes), constants={**graph.constants, **writer.constants})
