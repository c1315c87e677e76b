"""Operators that repeat a tensor or add to its ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import (
    Array,
    Info,
    Node,
    RowAxis,
    Size,
    Undecidable,
    blank_of,
    fault,
    has_symbol,
    same_size,
)
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowRule, optional, required
from pyrec_infer.ops.core.shapes import (
    axis_of,
    broadcast_sizes,
    constant_integers,
    fresh,
    fresh_shape,
    integers,
    length_of,
)
from pyrec_infer.ops.core.traits import MOVES, no_flops
from pyrec_infer.ops.layout import integer_list


def _infer_tile(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, repeats = required(node, inputs, 0), required(node, inputs, 1)
    counts = integers(repeats)
    if data.shape is None or counts is None:
        rank = length_of(repeats) if data.shape is None else len(data.shape)
        return [Info(data.dtype, fresh_shape(node, rank))]
    if len(counts) != len(data.shape):
        raise fault(ModelError, node, f"{len(counts)} repeats of a value of rank {len(data.shape)}")
    sizes = (size * count for size, count in zip(data.shape, counts, strict=True))
    return [Info(data.dtype, tuple(sizes))]


def _tile(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, repeats = required(node, inputs, 0), integer_list(required(node, inputs, 1))
    if len(repeats) != data.ndim or any(count < 0 for count in repeats):
        raise fault(ModelError, node, f"repeats {repeats} of a value of rank {data.ndim}")
    return [np.tile(data, repeats)]


def _infer_expand(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, target = required(node, inputs, 0), required(node, inputs, 1)
    sizes = integers(target)
    if data.shape is None or sizes is None:
        length = length_of(target) if sizes is None else len(sizes)
        rank = None if data.shape is None or length is None else max(len(data.shape), length)
        return [Info(data.dtype, fresh_shape(node, rank))]
    rank = max(len(data.shape), len(sizes))
    from_shape = (1,) * (rank - len(data.shape)) + data.shape
    to_shape = (1,) * (rank - len(sizes)) + sizes
    pairs = [broadcast_sizes(a, b) for a, b in zip(from_shape, to_shape, strict=True)]
    return [
        Info(data.dtype, tuple(fresh(node, 0, i) if size is None else size for i, size in enumerate(pairs)))
    ]


def _expand(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, sizes = required(node, inputs, 0), integer_list(required(node, inputs, 1))
    try:
        if any(size < 0 for size in sizes):
            raise ValueError("negative size")
        return [np.broadcast_to(data, np.broadcast_shapes(data.shape, tuple(sizes)))]
    except ValueError as error:
        let_interrupts_pass(error)
        raise fault(ModelError, node, f"shape {data.shape} to {sizes}") from error


def _pads(node: Node, pads: Sequence[Size], axes: Sequence[int] | None, rank: int) -> list[tuple[Size, Size]]:
    numbers = range(rank) if axes is None else [axis_of(node, axis, rank) for axis in axes]
    count = len(numbers)
    if len(pads) != 2 * count or len(set(numbers)) != count:
        raise fault(ModelError, node, f"{len(pads)} pads do not fit {count} axes of rank {rank}")
    both: list[tuple[Size, Size]] = [(0, 0)] * rank
    for i, axis in enumerate(numbers):
        both[axis] = (pads[i], pads[i + count])
    return both


def _infer_pad(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, pads, axes = required(node, inputs, 0), integers(required(node, inputs, 1)), optional(inputs, 3)
    if data.shape is None:
        return [Info(data.dtype, None)]
    numbers = constant_integers(axes)
    if pads is None or (axes is not None and numbers is None):
        return [Info(data.dtype, fresh_shape(node, len(data.shape)))]
    sizes: list[Size] = []
    for i, (before, after) in enumerate(_pads(node, pads, numbers, len(data.shape))):
        try:
            size: Size = data.shape[i] + (before + after)
        except Undecidable:
            size = fresh(node, 0, i)
        if isinstance(size, int) and size < 0:
            raise fault(ModelError, node, f"size {size} of axis {i}")
        sizes.append(size)
    return [Info(data.dtype, tuple(sizes))]


def _pad_source(node: Node, size: int, before: int, after: int, mode: str) -> tuple[int, int, Array]:
    """The kept range of one axis, and for each position of the result its source index."""
    low = min(max(-before, 0), size)
    high = max(size - max(-after, 0), low)
    kept = high - low
    index = np.arange(size + before + after) - before - low
    if mode == "constant" or index.size == 0:
        return low, high, index + low
    if kept == 0:
        raise fault(ModelError, node, f"mode {mode} of an empty axis")
    if mode == "edge":
        index = np.clip(index, 0, kept - 1)
    elif mode == "wrap":
        index = index % kept
    elif mode == "reflect":
        period = max(2 * (kept - 1), 1)
        index = index % period
        index = np.minimum(index, period - index) if kept > 1 else index * 0
    else:
        raise fault(ModelError, node, f"unknown mode {mode!r}")
    return low, high, index + low


def _pad(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, pads = required(node, inputs, 0), integer_list(required(node, inputs, 1))
    value, axes = optional(inputs, 2), optional(inputs, 3)
    mode = str(node.attribute("mode", "constant"))
    both = _pads(node, pads, None if axes is None else integer_list(axes), data.ndim)
    amounts = [(int(before), int(after)) for before, after in both]
    shape = [size + before + after for size, (before, after) in zip(data.shape, amounts, strict=True)]
    if any(size < 0 for size in shape):
        raise fault(ModelError, node, f"shape {shape}")
    sources = [
        _pad_source(node, size, before, after, mode)
        for size, (before, after) in zip(data.shape, amounts, strict=True)
    ]
    if mode != "constant":
        for axis, (_, _, index) in enumerate(sources):
            data = data.take(index, axis)
        return [data]
    padded = np.full(shape, blank_of(data) if value is None else value.reshape(()), data.dtype)
    inside = tuple(
        slice(low + before, max(high, low) + before)
        for (low, high, _), (before, _) in zip(sources, amounts, strict=True)
    )
    padded[inside] = data[tuple(slice(low, high) for low, high, _ in sources)]
    return [padded]


@rows.guarded(shape_inputs=(1,))
def _rows_of_expand(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Broadcasting to a shape that may name the batch; the rows of a constant are all alike."""
    first, target = inputs[0], outputs[0].shape
    axis = rows.only_batch_axis(target)
    if (
        first is None
        or first.shape is None
        or target is None
        or axis is None
        or rows.batched(optional(inputs, 1))
    ):
        return None
    if rows.batched(first):
        moved = first.rows + len(target) - len(first.shape)
        return axis if moved == axis and same_size(first.shape[first.rows], target[axis]) else None
    return axis if rows.constant_size(first, len(target) - axis) else None


@rows.guarded(shape_inputs=(1,))
def _rows_of_tile(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Tiling of other axes, or of a constant along the batch."""
    first, repeats = inputs[0], integers(optional(inputs, 1))
    if first is None or first.shape is None or repeats is None or len(repeats) != len(first.shape):
        return None
    sized = [axis for axis, repeat in enumerate(repeats) if has_symbol(repeat)]
    if rows.batched(first):
        repeat = repeats[first.rows]
        return first.rows if not sized and isinstance(repeat, int) and repeat == 1 else None
    return sized[0] if len(sized) == 1 else None


def _padded_axes(node: Node, inputs: rows.Inputs, rank: int) -> list[int] | None:
    pads = constant_integers(optional(inputs, 1))
    chosen = optional(inputs, 3)
    axes = tuple(range(rank)) if chosen is None else constant_integers(chosen)
    if pads is None or axes is None or len(pads) != 2 * len(axes):
        return None
    return [axis for i, axis in enumerate(axes) if pads[i] or pads[i + len(axes)]]


_rows_of_pad: RowRule = rows.guarded()(rows.keeps_unless(_padded_axes))


OPS = (
    Op("Tile", _infer_tile, _tile, _rows_of_tile, False, MOVES, no_flops),
    Op("Expand", _infer_expand, _expand, _rows_of_expand, True, MOVES, no_flops),
    Op("Pad", _infer_pad, _pad, _rows_of_pad, flops=no_flops),
)
