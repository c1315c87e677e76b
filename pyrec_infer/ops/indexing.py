"""Operators that read or write elements at positions given as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

import numpy as np

from pyrec_infer.errors import IdRangeError, ModelError
from pyrec_infer.ir import Array, Info, Node, RowAxis, Shape, Size, fault, holds_strings
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, boolean, check_count, id_error, required
from pyrec_infer.ops.core.shapes import axis_of, fresh, integers, product
from pyrec_infer.ops.core.traits import MOVES, no_flops
from pyrec_infer.ops.layout import INT64


def checked_ids(node: Node, indices: Array, size: int, rows: Array | None = None) -> Array:
    """Indices brought into [0, size); a strict node takes none that count from the end.

    Errors name the place of a wrong one in ``rows`` or along the first axis.
    """
    lowest = 0 if node.attribute("strict") else -size
    outside = (indices < lowest) | (indices >= size)
    if np.any(outside):
        place = np.argwhere(outside)[0]
        if rows is not None:
            # A place among all ids, whatever rows the node runs on.
            rule = _outside(size, lowest, place, ()).message
            raise IdRangeError(f"{rule} (row {rows[place[0]]})")
        raise _outside(size, lowest, place, indices.shape)
    return np.where(indices < 0, indices + size, indices).astype(np.int64)


def _outside(size: int, lowest: int, place: Array, shape: tuple[int, ...]) -> IdRangeError:
    return id_error(f"id outside a table of {size} rows (expected {lowest} <= id < {size})", place, shape)


def _differ(a: Size, b: Size) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a != b


# Gather


def _infer_gather(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, indices = required(node, inputs, 0), required(node, inputs, 1)
    if data.shape is None or indices.shape is None:
        return [Info(data.dtype, None)]
    axis = axis_of(node, int(node.attribute("axis", 0)), len(data.shape))
    return [Info(data.dtype, data.shape[:axis] + indices.shape + data.shape[axis + 1 :])]


def _gather(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, indices = required(node, inputs, 0), required(node, inputs, 1)
    axis = axis_of(node, int(node.attribute("axis", 0)), data.ndim)
    return [np.asarray(data.take(checked_ids(node, indices, data.shape[axis]), axis), data.dtype)]


def _infer_gather_elements(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, indices = required(node, inputs, 0), required(node, inputs, 1)
    if data.shape is not None and indices.shape is not None:
        _check_elements(node, data.shape, indices.shape)
    return [Info(data.dtype, indices.shape)]


def _check_elements(node: Node, data: Shape, indices: Shape) -> int:
    """The axis, after a check that the indices cover no more than the data along the others."""
    if len(data) != len(indices):
        raise fault(ModelError, node, f"data of rank {len(data)}, indices {len(indices)}")
    axis = axis_of(node, int(node.attribute("axis", 0)), len(data))
    for i, (size, count) in enumerate(zip(data, indices, strict=True)):
        if i != axis and isinstance(size, int) and isinstance(count, int) and count > size:
            raise fault(ModelError, node, f"{count} indices for axis {i} of size {size}")
    return axis


def _coordinates(node: Node, indices: Array, axis: int, size: int) -> list[Array]:
    """For each axis the coordinates of the elements that GatherElements' indices stand for."""
    found: list[Array] = list(np.indices(indices.shape, sparse=True))
    found[axis] = checked_ids(node, indices, size)
    return found


def _gather_elements(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, indices = required(node, inputs, 0), required(node, inputs, 1)
    axis = _check_elements(node, data.shape, indices.shape)
    return [data[tuple(_coordinates(node, indices, axis, data.shape[axis]))]]


def _infer_gather_nd(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, indices = required(node, inputs, 0), required(node, inputs, 1)
    if data.shape is None or indices.shape is None:
        return [Info(data.dtype, None)]
    batch = _batch_dims(node, data.shape, indices.shape)
    width = indices.shape[-1]
    if not isinstance(width, int):
        return [Info(data.dtype, None)]
    _check_width(node, width, len(data.shape) - batch)
    return [Info(data.dtype, indices.shape[:-1] + data.shape[batch + width :])]


def _batch_dims(node: Node, data: Shape, indices: Shape) -> int:
    batch = int(node.attribute("batch_dims", 0))
    if not 0 <= batch < min(len(data), len(indices)):
        raise fault(ModelError, node, f"batch_dims {batch}, ranks {len(data)} and {len(indices)}")
    if any(_differ(a, b) for a, b in zip(data[:batch], indices[:batch], strict=True)):
        raise fault(ModelError, node, f"batch axes of {data} and {indices} differ")
    return batch


def _check_width(node: Node, width: int, rank: int) -> None:
    if not 1 <= width <= rank:
        raise fault(ModelError, node, f"index tuples of {width}, expected 1 to {rank}")


def _gather_nd(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, indices = required(node, inputs, 0), required(node, inputs, 1)
    batch = _batch_dims(node, data.shape, indices.shape)
    width = indices.shape[-1]
    _check_width(node, width, data.ndim - batch)
    grids: list[Array] = list(np.indices(indices.shape[:-1], sparse=True))[:batch]
    tuples = [checked_ids(node, indices[..., i], data.shape[batch + i]) for i in range(width)]
    return [np.asarray(data[tuple(grids + tuples)], data.dtype)]


# Scatter

_REDUCTIONS: Mapping[str, Callable[[Array, Array, Array], None]] = {
    "add": np.add.at,
    "mul": np.multiply.at,
    "max": np.maximum.at,
    "min": np.minimum.at,
}


def _scatter(node: Node, data: Array, positions: Array, updates: Array) -> Array:
    """``data`` [rows, width] with ``updates`` [count, width] combined in at ``positions``, in order."""
    reduction = str(node.attribute("reduction", "none"))
    if reduction == "none":
        result = data.astype(np.result_type(data, updates), copy=True)
        result[positions] = updates
        return result
    combine = _REDUCTIONS.get(reduction)
    if combine is None or holds_strings(data):
        raise fault(ModelError, node, f"reduction {reduction!r} of {data.dtype}")
    wide = np.float32 if data.dtype == np.float16 else data.dtype
    result = data.astype(wide, copy=True)
    combine(result, positions, updates.astype(wide))
    return result.astype(data.dtype)


def _infer_scatter(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    return [Info(data.dtype, data.shape)]


def _scatter_elements(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, indices, updates = (required(node, inputs, i) for i in range(3))
    axis = _check_elements(node, data.shape, indices.shape)
    if updates.shape != indices.shape:
        raise fault(ModelError, node, f"updates {updates.shape}, expected {indices.shape}")
    flat = data.reshape(-1, 1)
    if indices.size == 0:
        return [data.copy()]
    steps = np.array([prod(data.shape[i + 1 :]) for i in range(data.ndim)])
    coordinates = _coordinates(node, indices, axis, data.shape[axis])
    positions = sum(part * step for part, step in zip(coordinates, steps, strict=True))
    where = np.broadcast_to(positions, indices.shape).reshape(-1)
    return [_scatter(node, flat, where, updates.reshape(-1, 1)).reshape(data.shape)]


def _scatter_nd(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, indices, updates = (required(node, inputs, i) for i in range(3))
    if data.ndim < 1 or indices.ndim < 1:
        raise fault(ModelError, node, f"ranks {data.ndim} and {indices.ndim}, expected >= 1")
    width = indices.shape[-1]
    _check_width(node, width, data.ndim)
    expected = indices.shape[:-1] + data.shape[width:]
    if updates.shape != expected:
        raise fault(ModelError, node, f"updates {updates.shape}, expected {expected}")
    if updates.size == 0:
        return [data.copy()]
    positions = np.zeros(indices.shape[:-1], np.int64)
    for i in range(width):
        positions = positions * data.shape[i] + checked_ids(node, indices[..., i], data.shape[i])
    inner = prod(data.shape[width:])
    flat = data.reshape(-1, inner)
    return [_scatter(node, flat, positions.reshape(-1), updates.reshape(-1, inner)).reshape(data.shape)]


# OneHot, Compress, NonZero and Unique


def _infer_one_hot(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    indices, depth, values = (required(node, inputs, i) for i in range(3))
    if indices.shape is None:
        return [Info(values.dtype, None)]
    axis = axis_of(node, int(node.attribute("axis", -1)), len(indices.shape) + 1)
    found = integers(depth)
    size: Size = fresh(node, 0, axis) if found is None or len(found) != 1 else found[0]
    return [Info(values.dtype, (*indices.shape[:axis], size, *indices.shape[axis:]))]


def _one_hot(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    indices, depth, values = (required(node, inputs, i) for i in range(3))
    axis = axis_of(node, int(node.attribute("axis", -1)), indices.ndim + 1)
    if depth.size != 1 or values.shape != (2,) or int(depth.reshape(())) < 0:
        raise fault(ModelError, node, "expected one depth >= 0 and two values")
    count = int(depth.reshape(()))
    check_count(node, count)
    chosen = indices.astype(np.int64)
    if node.attribute("strict") and (chosen < 0).any():
        raise _outside(count, 0, np.argwhere(chosen < 0)[0], chosen.shape)
    chosen = np.expand_dims(chosen, axis)
    classes = np.arange(count).reshape([-1 if i == axis else 1 for i in range(indices.ndim + 1)])
    return [np.where((chosen == classes) | (chosen == classes - count), values[1:], values[:1])]


def _infer_compress(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, condition = required(node, inputs, 0), required(node, inputs, 1)
    axis = node.attribute("axis")
    place = 0 if axis is None or data.shape is None else axis_of(node, int(axis), len(data.shape))
    known = condition.constant
    count: Size = fresh(node, 0, place) if known is None else int(np.count_nonzero(known))
    if axis is None:
        return [Info(data.dtype, (count,))]
    if data.shape is None:
        return [Info(data.dtype, None)]
    return [Info(data.dtype, (*data.shape[:place], count, *data.shape[place + 1 :]))]


def _compress(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, condition = required(node, inputs, 0), required(node, inputs, 1)
    axis = node.attribute("axis")
    if axis is None:
        data, place = data.reshape(-1), 0
    else:
        place = axis_of(node, int(axis), data.ndim)
    chosen = np.flatnonzero(condition)
    if condition.ndim != 1 or (chosen.size and chosen[-1] >= data.shape[place]):
        size = data.shape[place]
        raise fault(ModelError, node, f"condition {condition.shape} of {size} entries")
    return [data.take(chosen, place)]


def _infer_non_zero(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    rank = required(node, inputs, 0).rank
    return [Info(INT64, (fresh(node, 0, 0) if rank is None else rank, fresh(node, 0, 1)))]


def _non_zero(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data = required(node, inputs, 0)
    if data.ndim == 0:
        return [np.zeros((0, int(bool(data))), INT64)]
    return [np.array(np.nonzero(data), INT64)]


def _infer_unique(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, axis = required(node, inputs, 0), node.attribute("axis")
    named = next((i for i, name in enumerate(node.outputs) if name), 0)
    count = fresh(node, named, 0)
    shape: Shape | None = (count,)
    total: Size = fresh(node, named, 1)
    if data.shape is not None and axis is None:
        total = product(data.shape)
    elif axis is not None:
        shape = None
        if data.shape is not None:
            place = axis_of(node, int(axis), len(data.shape))
            shape = (*data.shape[:place], count, *data.shape[place + 1 :])
            total = data.shape[place]
    infos = [Info(data.dtype, shape), Info(INT64, (count,)), Info(INT64, (total,)), Info(INT64, (count,))]
    return infos[: len(node.outputs)]


def _unique(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, axis = required(node, inputs, 0), node.attribute("axis")
    place = 0 if axis is None else axis_of(node, int(axis), data.ndim)
    if axis is None:
        data = data.reshape(-1)
    # Ranks instead of values, so that NaNs are one value and last along an axis too.
    ranks = np.unique(data, return_inverse=True)[1].reshape(data.shape)
    items = np.moveaxis(ranks, place, 0).reshape(data.shape[place], -1 if data.size else 0)
    if items.shape[1] == 0:
        items = np.zeros((data.shape[place], 1), np.int64)
    _, first, inverse, counts = np.unique(
        items, return_index=True, return_inverse=True, return_counts=True, axis=0
    )
    inverse = inverse.reshape(-1)
    if not boolean(node.attribute("sorted", 1)):
        order = np.argsort(first)
        first, counts = first[order], counts[order]
        inverse = np.argsort(order)[inverse]
    found = [data.take(first, place), first.astype(INT64), inverse.astype(INT64), counts.astype(INT64)]
    return found[: len(node.outputs)]


@rows.guarded()
def _rows_of_gather(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Batched ids into a table, or fixed positions of a batched value."""
    data, indices = inputs[0], inputs[1]
    if data is None or indices is None or not data.rank or indices.rank is None:
        return None
    axis = node.attribute("axis", 0) % data.rank
    if rows.batched(indices):
        return None if rows.batched(data) else axis + indices.rows
    if axis == data.rows:
        return None
    return data.rows if data.rows < axis else data.rows + indices.rank - 1


@rows.guarded()
def _rows_of_gather_elements(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """GatherElements along another axis, or with batched ids along the table's axis."""
    data, indices = inputs[0], inputs[1]
    if data is None or indices is None or not data.rank:
        return None
    axis = node.attribute("axis", 0) % data.rank
    if rows.batched(data) and rows.batched(indices):
        return data.rows if data.rows == indices.rows != axis else None
    return indices.rows if indices.rows == axis and not rows.batched(data) else None


@rows.guarded()
def _rows_of_scatter_elements(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Everything batched at one axis, scattered along another."""
    axes = {info.rows for info in inputs if info is not None}
    data = inputs[0]
    if len(axes) != 1 or data is None or not data.rank:
        return None
    (axis,) = axes
    return None if node.attribute("axis", 0) % data.rank == axis else axis


@rows.guarded()
def _rows_of_gather_nd(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """GatherND whose coordinates do not run over the row axis."""
    data, indices = inputs[0], inputs[1]
    if data is None or indices is None or indices.shape is None or data.rank is None:
        return None
    batch_dims = node.attribute("batch_dims", 0)
    if rows.batched(data) and rows.batched(indices):
        return data.rows if data.rows == indices.rows < batch_dims else None
    if batch_dims:
        return None
    last = len(indices.shape) - 1
    if rows.batched(indices):
        return indices.rows if indices.rows < last else None
    width = indices.shape[-1]
    if not isinstance(width, int) or data.rows < width:
        return None
    return last + data.rows - width


@rows.guarded()
def _rows_of_one_hot(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Batched indices; the new axis may be in front of the rows."""
    first = rows.single(inputs)
    if first is None or first.rank is None:
        return None
    axis = node.attribute("axis", -1) % (first.rank + 1)
    return first.rows + int(axis <= first.rows)


OPS = (
    Op("Gather", _infer_gather, _gather, _rows_of_gather, True, MOVES, no_flops, ids=1),
    Op(
        "GatherElements",
        _infer_gather_elements,
        _gather_elements,
        _rows_of_gather_elements,
        False,
        MOVES,
        no_flops,
        ids=1,
    ),
    Op("GatherND", _infer_gather_nd, _gather_nd, _rows_of_gather_nd, False, MOVES, no_flops, ids=1),
    Op("ScatterElements", _infer_scatter, _scatter_elements, _rows_of_scatter_elements, ids=1),
    Op("ScatterND", _infer_scatter, _scatter_nd, ids=1),
    Op("OneHot", _infer_one_hot, _one_hot, _rows_of_one_hot, ids=0, symbolic=True),
    Op("Compress", _infer_compress, _compress),
    Op("NonZero", _infer_non_zero, _non_zero),
    Op("Unique", _infer_unique, _unique),
)
