"""Operators that join, cut, repeat, pad and make tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.ir import Array, Dim, Info, Node, Shape, Size, Undecidable
from pyrec_infer.ops import rows
from pyrec_infer.ops.layout import INT64, integer_list
from pyrec_infer.ops.registry import Op, boolean, check_count, element_type, optional, required
from pyrec_infer.ops.shapes import (
    axis_of,
    broadcast_sizes,
    constant_integers,
    dtype_of,
    fresh,
    integers,
    quotient,
)
from pyrec_infer.ops.traits import MOVES, VARIADIC, no_flops

UNBOUNDED = 2**31 - 1
"""Exporters write this or a larger bound for "to the end" of an axis of any size."""


def length_of(info: Info | None) -> int | None:
    """The number of elements of a 1-D tensor, where the type says it."""
    if info is None or info.shape is None or len(info.shape) != 1:
        return None
    size = info.shape[0]
    return size if isinstance(size, int) else None


def _fresh_shape(node: Node, rank: int | None) -> Shape | None:
    return None if rank is None else tuple(fresh(node, 0, axis) for axis in range(rank))


# Concat and Split


def _infer_concat(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    dtype = dtype_of(inputs)
    shapes = [info.shape for info in inputs if info is not None and info.shape is not None]
    if not shapes:
        return [Info(dtype, None)]
    rank = len(shapes[0])
    if any(len(shape) != rank for shape in shapes):
        raise ModelError(f"node {node.name!r} (Concat): ranks {[len(shape) for shape in shapes]} differ")
    axis = axis_of(node, int(node.attribute("axis", 0)), rank)
    sizes = list(shapes[0])
    for shape in shapes[1:]:
        for i, size in enumerate(shape):
            if i == axis or isinstance(size, Dim):
                continue
            known = sizes[i]
            if isinstance(known, int) and known != size:
                raise ModelError(f"node {node.name!r} (Concat): sizes {known} and {size} of axis {i} differ")
            sizes[i] = size
    try:
        total: Size = 0
        for shape in shapes:
            total = shape[axis] + total
        complete = len(shapes) == len(inputs)
    except Undecidable:
        complete = False
    sizes[axis] = total if complete else fresh(node, 0, axis)
    return [Info(dtype, tuple(sizes))]


def _concat(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    parts = [required(node, inputs, i) for i in range(max(len(inputs), 1))]
    axis = axis_of(node, int(node.attribute("axis", 0)), parts[0].ndim)
    shapes = {(*part.shape[:axis], 0, *part.shape[axis + 1 :]) for part in parts}
    if len(shapes) != 1:
        shape_list = [part.shape for part in parts]
        raise ModelError(f"node {node.name!r} (Concat): shapes {shape_list} differ beside axis {axis}")
    return [np.concatenate(parts, axis)]


def _split_sizes(node: Node, size: int, sizes: Sequence[int] | None) -> list[int]:
    count = len(node.outputs)
    if sizes is None:
        if int(node.attribute("num_outputs", count)) != count:
            raise ModelError(f"node {node.name!r} (Split): num_outputs differs from its {count} outputs")
        chunk = -(-size // count)
        return [max(min(chunk, size - chunk * i), 0) for i in range(count)]
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 0:
        raise ModelError(f"node {node.name!r} (Split): parts {list(sizes)} of an axis of size {size}")
    return list(sizes)


def _infer_split(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, split = required(node, inputs, 0), optional(inputs, 1)
    count = len(node.outputs)
    if data.shape is None:
        return [Info(data.dtype, None)] * count
    axis = axis_of(node, int(node.attribute("axis", 0)), len(data.shape))
    size = data.shape[axis]
    parts: Sequence[Size | None] = [None] * count
    if split is not None:
        sizes = integers(split)
        if sizes is not None and len(sizes) != count:
            raise ModelError(f"node {node.name!r} (Split): {len(sizes)} parts and {count} outputs")
        parts = sizes or parts
        whole = constant_integers(split)
        if isinstance(size, int) and whole is not None:
            parts = _split_sizes(node, size, whole)
    elif isinstance(size, int):
        parts = _split_sizes(node, size, None)
    else:
        parts = [quotient(size, count)] * count
    return [
        Info(
            data.dtype,
            (*data.shape[:axis], fresh(node, i, axis) if part is None else part, *data.shape[axis + 1 :]),
        )
        for i, part in enumerate(parts)
    ]


def _split(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, split = required(node, inputs, 0), optional(inputs, 1)
    axis = axis_of(node, int(node.attribute("axis", 0)), data.ndim)
    sizes = _split_sizes(node, data.shape[axis], None if split is None else integer_list(split))
    return list(np.split(data, np.cumsum(sizes[:-1], dtype=np.intp), axis))


# Slice


def _bounded(bound: Size, size: Dim) -> bool:
    """Whether 0 <= bound <= size whatever the symbols stand for."""
    if isinstance(bound, Dim):
        return bound.symbols == size.symbols and 0 <= bound.coefficient <= size.coefficient
    return bound == 0


def _slice_bounds(start: int, end: int, step: int, size: int) -> tuple[int, int]:
    """First index and number of indices of one axis, clamped as ONNX says."""
    start += size if start < 0 else 0
    end += size if end < 0 else 0
    if size == 0:
        return 0, 0
    if step > 0:
        start, end = min(max(start, 0), size), min(max(end, 0), size)
        return start, max(-(-(end - start) // step), 0)
    start, end = min(max(start, 0), size - 1), min(max(end, -1), size - 1)
    return start, max(-(-(start - end) // -step), 0)


def _slice_size(start: Size, end: Size, step: Size, size: Size) -> Size | None:
    if isinstance(step, Dim):
        return None
    if isinstance(size, int):
        if isinstance(start, Dim) or isinstance(end, Dim):
            return None
        return _slice_bounds(start, end, step, size)[1]
    if step == -1 and isinstance(start, int) and isinstance(end, int) and start == -1 and end <= -UNBOUNDED:
        return size
    if step != 1:
        return None
    if isinstance(end, int) and end >= UNBOUNDED:
        end = size
    if not _bounded(start, size) or not _bounded(end, size):
        return None
    try:
        length: Size = end - start
    except Undecidable:
        return None
    return 0 if isinstance(length, Dim) and length.coefficient < 0 else length


def _slice_axes(node: Node, axes: Sequence[int] | None, count: int, rank: int) -> list[int]:
    found = list(range(count)) if axes is None else [axis_of(node, axis, rank) for axis in axes]
    if len(found) != count or len(set(found)) != count or count > rank:
        raise ModelError(f"node {node.name!r} (Slice): {count} starts do not fit axes {found} of rank {rank}")
    return found


def _infer_slice(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    if data.shape is None:
        return [Info(data.dtype, None)]
    rank = len(data.shape)
    given = [optional(inputs, i) for i in range(5)]
    starts, ends, steps = integers(given[1]), integers(given[2]), integers(given[4])
    counts = [len(found) for found in (starts, ends, steps) if found is not None]
    count = counts[0] if counts else length_of(given[1])
    numbers = constant_integers(given[3])
    if numbers is not None:
        count = len(numbers) if count is None else count
    if count is None or (given[3] is not None and numbers is None):
        return [Info(data.dtype, tuple(fresh(node, 0, axis) for axis in range(rank)))]
    axes = _slice_axes(node, numbers, count, rank)
    if given[4] is None:
        steps = (1,) * count
    if any(found != count for found in counts):
        raise ModelError(f"node {node.name!r} (Slice): starts, ends and steps differ in length")
    sizes = list(data.shape)
    for i, axis in enumerate(axes):
        size = None
        if steps is not None and _is_zero(steps[i]):
            raise ModelError(f"node {node.name!r} (Slice): a step of 0")
        if starts is not None and ends is not None and steps is not None:
            size = _slice_size(starts[i], ends[i], steps[i], data.shape[axis])
        sizes[axis] = fresh(node, 0, axis) if size is None else size
    return [Info(data.dtype, tuple(sizes))]


def _is_zero(size: Size) -> bool:
    return isinstance(size, int) and size == 0


def _slice(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data = required(node, inputs, 0)
    starts, ends = integer_list(required(node, inputs, 1)), integer_list(required(node, inputs, 2))
    given_axes, given_steps = optional(inputs, 3), optional(inputs, 4)
    axes = _slice_axes(node, None if given_axes is None else integer_list(given_axes), len(starts), data.ndim)
    steps = [1] * len(starts) if given_steps is None else integer_list(given_steps)
    if not len(starts) == len(ends) == len(steps) or 0 in steps:
        raise ModelError(f"node {node.name!r} (Slice): {len(starts)} starts, {len(ends)} ends, steps {steps}")
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        first, count = _slice_bounds(start, end, step, data.shape[axis])
        last = first + count * step
        index[axis] = slice(first, None if last < 0 else last, step) if count else slice(0, 0)
    return [data[tuple(index)]]


# Tile, Expand and Pad


def _infer_tile(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, repeats = required(node, inputs, 0), required(node, inputs, 1)
    counts = integers(repeats)
    if data.shape is None or counts is None:
        rank = length_of(repeats) if data.shape is None else len(data.shape)
        return [Info(data.dtype, _fresh_shape(node, rank))]
    if len(counts) != len(data.shape):
        raise ModelError(
            f"node {node.name!r} (Tile): {len(counts)} repeats of a value of rank {len(data.shape)}"
        )
    sizes = (size * count for size, count in zip(data.shape, counts, strict=True))
    return [Info(data.dtype, tuple(sizes))]


def _tile(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, repeats = required(node, inputs, 0), integer_list(required(node, inputs, 1))
    if len(repeats) != data.ndim or any(count < 0 for count in repeats):
        raise ModelError(f"node {node.name!r} (Tile): repeats {repeats} of a value of rank {data.ndim}")
    return [np.tile(data, repeats)]


def _infer_expand(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, target = required(node, inputs, 0), required(node, inputs, 1)
    sizes = integers(target)
    if data.shape is None or sizes is None:
        length = length_of(target) if sizes is None else len(sizes)
        rank = None if data.shape is None or length is None else max(len(data.shape), length)
        return [Info(data.dtype, _fresh_shape(node, rank))]
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
        raise ModelError(f"node {node.name!r} (Expand): shape {data.shape} to {sizes}") from error


def _pads(node: Node, pads: Sequence[Size], axes: Sequence[int] | None, rank: int) -> list[tuple[Size, Size]]:
    numbers = range(rank) if axes is None else [axis_of(node, axis, rank) for axis in axes]
    count = len(numbers)
    if len(pads) != 2 * count or len(set(numbers)) != count:
        raise ModelError(f"node {node.name!r} (Pad): {len(pads)} pads do not fit {count} axes of rank {rank}")
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
        return [Info(data.dtype, _fresh_shape(node, len(data.shape)))]
    sizes: list[Size] = []
    for i, (before, after) in enumerate(_pads(node, pads, numbers, len(data.shape))):
        try:
            size: Size = data.shape[i] + (before + after)
        except Undecidable:
            size = fresh(node, 0, i)
        if isinstance(size, int) and size < 0:
            raise ModelError(f"node {node.name!r} (Pad): size {size} of axis {i}")
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
        raise ModelError(f"node {node.name!r} (Pad): mode {mode} of an empty axis")
    if mode == "edge":
        index = np.clip(index, 0, kept - 1)
    elif mode == "wrap":
        index = index % kept
    elif mode == "reflect":
        period = max(2 * (kept - 1), 1)
        index = index % period
        index = np.minimum(index, period - index) if kept > 1 else index * 0
    else:
        raise ModelError(f"node {node.name!r} (Pad): unknown mode {mode!r}")
    return low, high, index + low


def _pad(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, pads = required(node, inputs, 0), integer_list(required(node, inputs, 1))
    value, axes = optional(inputs, 2), optional(inputs, 3)
    mode = str(node.attribute("mode", "constant"))
    both = _pads(node, pads, None if axes is None else integer_list(axes), data.ndim)
    amounts = [(int(before), int(after)) for before, after in both]
    shape = [size + before + after for size, (before, after) in zip(data.shape, amounts, strict=True)]
    if any(size < 0 for size in shape):
        raise ModelError(f"node {node.name!r} (Pad): shape {shape}")
    sources = [
        _pad_source(node, size, before, after, mode)
        for size, (before, after) in zip(data.shape, amounts, strict=True)
    ]
    if mode != "constant":
        for axis, (_, _, index) in enumerate(sources):
            data = data.take(index, axis)
        return [data]
    dtype = data.dtype
    if value is not None and dtype.kind == "U":
        dtype = np.result_type(dtype, value.dtype)
    padded = np.zeros(shape, dtype)
    if value is not None:
        padded[...] = value.reshape(())
    inside = tuple(
        slice(low + before, max(high, low) + before)
        for (low, high, _), (before, _) in zip(sources, amounts, strict=True)
    )
    padded[inside] = data[tuple(slice(low, high) for low, high, _ in sources)]
    return [padded]


# Tensors from sizes


def _infer_constant_of_shape(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    target = required(node, inputs, 0)
    sizes = integers(target)
    if sizes is not None and any(isinstance(size, int) and size < 0 for size in sizes):
        raise ModelError(f"node {node.name!r} (ConstantOfShape): shape {list(sizes)}")
    shape = _fresh_shape(node, length_of(target)) if sizes is None else sizes
    return [Info(_fill(node).dtype, shape)]


def _fill(node: Node) -> Array:
    value = node.attribute("value")
    found = np.zeros(1, np.float32) if value is None else np.asarray(value)
    if found.size != 1:
        raise ModelError(f"node {node.name!r} (ConstantOfShape): value of {found.size} elements, expected 1")
    return found.reshape(())


def _constant_of_shape(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    sizes = integer_list(required(node, inputs, 0))
    if any(size < 0 for size in sizes):
        raise ModelError(f"node {node.name!r} (ConstantOfShape): shape {sizes}")
    value = _fill(node)
    return [np.full(sizes, value, value.dtype)]


def _infer_range(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    bounds = [required(node, inputs, i) for i in range(3)]
    dtype = dtype_of(bounds)
    if all(info.constant is not None for info in bounds):
        return [Info(dtype, (_range_count(node, *(info.constant for info in bounds)),))]
    found = [integers(info) if info.dtype is not None and info.dtype.kind == "i" else None for info in bounds]
    length: Size | None = None
    if all(item is not None and len(item) == 1 for item in found):
        start, limit, delta = (item[0] for item in found if item is not None)
        try:
            difference: Size = limit - start
            length = quotient(difference, delta)
            if isinstance(length, (int, Dim)) and not bool(length >= 0):
                length = 0
        except Undecidable:
            length = None
    return [Info(dtype, (fresh(node, 0, 0) if length is None else length,))]


def _scalar(node: Node, index: int, value: Any) -> Array:
    if np.size(value) != 1:
        raise ShapeError(f"node {node.name!r} ({node.op}): input {index} is not a scalar")
    return np.asarray(value).reshape(())


def _range_count(node: Node, start: Any, limit: Any, delta: Any) -> int:
    first, last, step = (_scalar(node, i, item).item() for i, item in enumerate((start, limit, delta)))
    if step == 0:
        raise ModelError(f"node {node.name!r} (Range): a delta of 0")
    if isinstance(step, int):
        return int(max(-((first - last) // step), 0))
    count = (last - first) / step
    if not math.isfinite(count) or count >= 2.0**48:
        raise ModelError(f"node {node.name!r} (Range): bounds that are not finite")
    return int(max(math.ceil(count), 0))


def _range(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    start, limit, delta = (_scalar(node, i, required(node, inputs, i)) for i in range(3))
    count = _range_count(node, start, limit, delta)
    check_count(node, count)
    wide = np.float32 if start.dtype == np.float16 else start.dtype
    steps = np.arange(count).astype(wide) * delta.astype(wide)
    return [np.asarray(start.astype(wide) + steps).astype(start.dtype)]


def _same_type(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    return [Info(data.dtype, data.shape)]


def _trilu(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, k = required(node, inputs, 0), optional(inputs, 1)
    if data.ndim < 2:
        raise ModelError(f"node {node.name!r} (Trilu): rank {data.ndim}, expected at least 2")
    diagonal = 0 if k is None else int(k.reshape(()))
    height, width = data.shape[-2:]
    distance = np.arange(width) - np.arange(height)[:, None]
    keep = distance >= diagonal if boolean(node.attribute("upper", 1)) else distance <= diagonal
    return [np.where(keep, data, np.zeros((), data.dtype))]


def _infer_eye_like(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, code = required(node, inputs, 0), node.attribute("dtype")
    return [Info(data.dtype if code is None else element_type(node, int(code)), data.shape)]


def _eye_like(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, code = required(node, inputs, 0), node.attribute("dtype")
    if data.ndim != 2:
        raise ModelError(f"node {node.name!r} (EyeLike): rank {data.ndim}, expected 2")
    height, width = data.shape
    diagonal = int(node.attribute("k", 0))
    on = np.arange(width) - np.arange(height)[:, None] == diagonal
    return [on.astype(data.dtype if code is None else element_type(node, int(code)))]


def _infer_reverse_sequence(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, lengths = required(node, inputs, 0), required(node, inputs, 1)
    if data.shape is not None and lengths.shape is not None:
        _, batch_axis = _time_and_batch(node, len(data.shape))
        count, size = data.shape[batch_axis], lengths.shape[0] if lengths.shape else 0
        if isinstance(count, int) and isinstance(size, int) and count != size:
            raise ModelError(f"node {node.name!r} (ReverseSequence): {size} lengths of {count} sequences")
    return [Info(data.dtype, data.shape)]


def _time_and_batch(node: Node, rank: int) -> tuple[int, int]:
    time, batch = int(node.attribute("time_axis", 0)), int(node.attribute("batch_axis", 1))
    if rank < 2 or {time, batch} != {0, 1}:
        raise ModelError(
            f"node {node.name!r} (ReverseSequence): time axis {time}, batch axis {batch}, rank {rank}"
        )
    return time, batch


def _reverse_sequence(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, lengths = required(node, inputs, 0), required(node, inputs, 1)
    time, batch = _time_and_batch(node, data.ndim)
    steps = data.shape[time]
    if lengths.shape != (data.shape[batch],) or np.any(lengths < 0) or np.any(lengths > steps):
        raise ModelError(
            f"node {node.name!r} (ReverseSequence): expected {data.shape[batch]} lengths in [0, {steps}]"
        )
    position = np.arange(steps)[:, None]
    index = np.where(position < lengths, lengths - 1 - position, position)
    if time == 1:
        index = index.T
    index = index.reshape(index.shape + (1,) * (data.ndim - 2))
    return [np.take_along_axis(data, index, time)]


def _infer_dim_values(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    coefficients, sizes = node.attribute("coefficients", ()), node.attribute("sizes", ())
    contents = np.empty(len(coefficients), object)
    for i, (coefficient, names) in enumerate(zip(coefficients, sizes, strict=True)):
        symbols = tuple(name for name in names.split("*") if name)
        contents[i] = Dim(coefficient, symbols) if symbols else coefficient
    shaped = contents.reshape(()) if boolean(node.attribute("scalar", 0)) else contents
    return [Info(INT64, shaped.shape, contents=shaped)]


def _dim_values(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    raise ModelError(f"node {node.name!r} (pyrec.DimValues) needs the sizes of a run")


OPS = (
    Op("Concat", _infer_concat, _concat, rows.concat, True, MOVES | VARIADIC, no_flops),
    Op("Split", _infer_split, _split, rows.split, True, MOVES, no_flops),
    Op("Slice", _infer_slice, _slice, rows.slice_, True, MOVES, no_flops),
    Op("Tile", _infer_tile, _tile, rows.tile, False, MOVES, no_flops),
    Op("Expand", _infer_expand, _expand, rows.expand, True, MOVES, no_flops),
    Op("Pad", _infer_pad, _pad, rows.pad, flops=no_flops),
    Op("ConstantOfShape", _infer_constant_of_shape, _constant_of_shape, rows.constant_of_shape),
    Op("Range", _infer_range, _range),
    Op("Trilu", _same_type, _trilu, rows.trilu),
    Op("EyeLike", _infer_eye_like, _eye_like),
    Op("ReverseSequence", _infer_reverse_sequence, _reverse_sequence),
    Op("pyrec.DimValues", _infer_dim_values, _dim_values, flops=no_flops),
)
