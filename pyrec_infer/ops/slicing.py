"""Operators that join, cut and turn round along an axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array, Dim, Info, Node, RowAxis, Size, Undecidable, fault, has_symbol, same_size
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowRule, optional, required
from pyrec_infer.ops.core.shapes import (
    axis_of,
    constant_integers,
    dtype_of,
    fresh,
    integers,
    length_of,
    quotient,
)
from pyrec_infer.ops.core.traits import MOVES, VARIADIC, no_flops
from pyrec_infer.ops.layout import integer_list

UNBOUNDED = 2**31 - 1
"""Exporters write this or a larger bound for "to the end" of an axis of any size."""


def _infer_concat(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    dtype = dtype_of(inputs)
    shapes = [info.shape for info in inputs if info is not None and info.shape is not None]
    if not shapes:
        return [Info(dtype, None)]
    rank = len(shapes[0])
    if any(len(shape) != rank for shape in shapes):
        raise fault(ModelError, node, f"ranks {[len(shape) for shape in shapes]} differ")
    axis = axis_of(node, int(node.attribute("axis", 0)), rank)
    sizes = list(shapes[0])
    for shape in shapes[1:]:
        for i, size in enumerate(shape):
            if i == axis or isinstance(size, Dim):
                continue
            known = sizes[i]
            if isinstance(known, int) and known != size:
                raise fault(ModelError, node, f"sizes {known} and {size} of axis {i} differ")
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
        raise fault(ModelError, node, f"shapes {shape_list} differ beside axis {axis}")
    return [np.concatenate(parts, axis)]


def _split_sizes(node: Node, size: int, sizes: Sequence[int] | None) -> list[int]:
    count = len(node.outputs)
    if sizes is None:
        if int(node.attribute("num_outputs", count)) != count:
            raise fault(ModelError, node, f"num_outputs differs from its {count} outputs")
        chunk = -(-size // count)
        return [max(min(chunk, size - chunk * i), 0) for i in range(count)]
    if len(sizes) != count or sum(sizes) != size or min(sizes) < 0:
        raise fault(ModelError, node, f"parts {list(sizes)} of an axis of size {size}")
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
            raise fault(ModelError, node, f"{len(sizes)} parts and {count} outputs")
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
        raise fault(ModelError, node, f"{count} starts do not fit axes {found} of rank {rank}")
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
        raise fault(ModelError, node, "starts, ends and steps differ in length")
    sizes = list(data.shape)
    for i, axis in enumerate(axes):
        size = None
        if steps is not None and _is_zero(steps[i]):
            raise fault(ModelError, node, "a step of 0")
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
        raise fault(ModelError, node, f"{len(starts)} starts, {len(ends)} ends, steps {steps}")
    index = [slice(None)] * data.ndim
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        first, count = _slice_bounds(start, end, step, data.shape[axis])
        last = first + count * step
        index[axis] = slice(first, None if last < 0 else last, step) if count else slice(0, 0)
    return [data[tuple(index)]]


def _infer_reverse_sequence(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, lengths = required(node, inputs, 0), required(node, inputs, 1)
    if data.shape is not None and lengths.shape is not None:
        _, batch_axis = _time_and_batch(node, len(data.shape))
        count, size = data.shape[batch_axis], lengths.shape[0] if lengths.shape else 0
        if isinstance(count, int) and isinstance(size, int) and count != size:
            raise fault(ModelError, node, f"{size} lengths of {count} sequences")
    return [Info(data.dtype, data.shape)]


def _time_and_batch(node: Node, rank: int) -> tuple[int, int]:
    time, batch = int(node.attribute("time_axis", 0)), int(node.attribute("batch_axis", 1))
    if rank < 2 or {time, batch} != {0, 1}:
        raise fault(ModelError, node, f"time axis {time}, batch axis {batch}, rank {rank}")
    return time, batch


def _reverse_sequence(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, lengths = required(node, inputs, 0), required(node, inputs, 1)
    time, batch = _time_and_batch(node, data.ndim)
    steps = data.shape[time]
    if lengths.shape != (data.shape[batch],) or np.any(lengths < 0) or np.any(lengths > steps):
        raise fault(ModelError, node, f"expected {data.shape[batch]} lengths in [0, {steps}]")
    position = np.arange(steps)[:, None]
    index = np.where(position < lengths, lengths - 1 - position, position)
    if time == 1:
        index = index.T
    index = index.reshape(index.shape + (1,) * (data.ndim - 2))
    return [np.take_along_axis(data, index, time)]


@rows.guarded()
def _rows_of_concat(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """All inputs carry the rows at the same axis, and another axis is joined."""
    axes = {info.rows for info in inputs if info is not None}
    ranks = {info.rank for info in inputs if info is not None}
    if len(axes) != 1 or len(ranks) != 1 or None in ranks:
        return None
    (axis,), (rank,) = axes, ranks
    if rank is None or node.attribute("axis", 0) % rank == axis:
        return None
    return axis


@rows.guarded(shape_inputs=(1, 2))
def _rows_of_slice(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Slices of other axes, or all of the row axis."""
    first = rows.single(inputs)
    if first is None or first.shape is None:
        return None
    starts, ends = integers(optional(inputs, 1)), integers(optional(inputs, 2))
    axes_input, steps_input = optional(inputs, 3), optional(inputs, 4)
    if starts is None or ends is None:
        return None
    axes = tuple(range(len(starts))) if axes_input is None else constant_integers(axes_input)
    steps = (1,) * len(starts) if steps_input is None else constant_integers(steps_input)
    if axes is None or steps is None:
        return None
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=False):
        if axis % len(first.shape) != first.rows:
            if has_symbol(start) or has_symbol(end):
                return None
            continue
        whole = same_size(end, first.shape[first.rows]) or (isinstance(end, int) and end >= 2**31 - 1)
        if not (isinstance(start, int) and start == 0 and step == 1 and whole):
            return None
    return first.rows


_rows_of_split: RowRule = rows.guarded()(
    rows.keeps_unless(lambda node, inputs, rank: [node.attribute("axis", 0)])
)


@rows.guarded()
def _rows_of_reverse_sequence(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Sequences that are rows, each with its own length; or of rows on a later axis, with common ones."""
    data, lengths = optional(inputs, 0), optional(inputs, 1)
    if data is None or lengths is None or data.rank is None or not rows.batched(data):
        return None
    _, batch = _time_and_batch(node, data.rank)
    if data.rows == batch:
        return batch if lengths.rows == 0 else None
    return data.rows if data.rows > 1 and not rows.batched(lengths) else None


OPS = (
    Op("Concat", _infer_concat, _concat, _rows_of_concat, True, MOVES | VARIADIC, no_flops),
    Op("Split", _infer_split, _split, _rows_of_split, True, MOVES, no_flops),
    Op("Slice", _infer_slice, _slice, _rows_of_slice, True, MOVES, no_flops),
    Op(
        "ReverseSequence",
        _infer_reverse_sequence,
        _reverse_sequence,
        _rows_of_reverse_sequence,
        traits=MOVES,
        flops=no_flops,
    ),
)
