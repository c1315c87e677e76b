"""Operators that compare or accumulate along an axis: TopK, CumSum, ArgMax and ArgMin."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array, Info, Node, RowAxis, Size, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowRule, boolean, optional, required
from pyrec_infer.ops.core.shapes import axis_of, constant_integers, fresh, integers
from pyrec_infer.ops.core.traits import DISCONTINUOUS
from pyrec_infer.ops.layout import INT64


def _infer_top_k(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, count = required(node, inputs, 0), integers(required(node, inputs, 1))
    if data.shape is None:
        return [Info(data.dtype, None), Info(INT64, None)][: len(node.outputs)]
    axis = axis_of(node, int(node.attribute("axis", -1)), len(data.shape))
    named = next((i for i, name in enumerate(node.outputs) if name), 0)
    size: Size = fresh(node, named, axis) if count is None or len(count) != 1 else count[0]
    whole = data.shape[axis]
    if isinstance(size, int) and (size < 0 or (isinstance(whole, int) and size > whole)):
        raise fault(ModelError, node, f"k is {size} for an axis of size {whole}")
    shape = (*data.shape[:axis], size, *data.shape[axis + 1 :])
    return [Info(data.dtype, shape), Info(INT64, shape)][: len(node.outputs)]


def _top_k(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, count = required(node, inputs, 0), required(node, inputs, 1)
    axis = axis_of(node, int(node.attribute("axis", -1)), data.ndim)
    size = data.shape[axis]
    k = int(count.reshape(())) if count.size == 1 else -1
    if not 0 <= k <= size:
        raise fault(ModelError, node, f"k is {k} for an axis of size {size}")
    # NaN counts as the greatest value; equal values keep the order of their indices.
    if boolean(node.attribute("largest", 1)):
        order = size - 1 - np.flip(np.argsort(np.flip(data, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(data, axis, kind="stable")
    indices = order.take(np.arange(k), axis).astype(INT64)
    return [np.take_along_axis(data, indices, axis), indices][: len(node.outputs)]


def _infer_cumsum(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, axis = required(node, inputs, 0), constant_integers(required(node, inputs, 1))
    if data.shape is not None and axis is not None and len(axis) == 1:
        axis_of(node, axis[0], len(data.shape))
    return [Info(data.dtype, data.shape)]


def _cumsum(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, place = required(node, inputs, 0), required(node, inputs, 1)
    if place.size != 1:
        raise fault(ModelError, node, f"{place.size} axes, expected 1")
    axis = axis_of(node, int(place.reshape(())), data.ndim)
    reverse = boolean(node.attribute("reverse", 0))
    terms = np.flip(data, axis) if reverse else data
    sums = terms.cumsum(axis, dtype=np.float32 if data.dtype == np.float16 else data.dtype)
    if boolean(node.attribute("exclusive", 0)):
        sums = np.roll(sums, 1, axis)
        np.moveaxis(sums, axis, 0)[:1] = 0
    return [(np.flip(sums, axis) if reverse else sums).astype(data.dtype)]


def _infer_arg(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    if data.shape is None:
        return [Info(INT64, None)]
    axis = axis_of(node, int(node.attribute("axis", 0)), len(data.shape))
    kept: tuple[Size, ...] = (1,) if boolean(node.attribute("keepdims", 1)) else ()
    return [Info(INT64, data.shape[:axis] + kept + data.shape[axis + 1 :])]


def _arg(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data = required(node, inputs, 0)
    axis = axis_of(node, int(node.attribute("axis", 0)), data.ndim)
    if data.shape[axis] == 0:
        raise fault(ModelError, node, "an axis of size 0")
    last = boolean(node.attribute("select_last_index", 0))
    terms = np.flip(data, axis) if last else data
    keep = boolean(node.attribute("keepdims", 1))
    found = (np.argmax if node.op == "ArgMax" else np.argmin)(terms, axis, keepdims=keep)
    return [np.asarray(data.shape[axis] - 1 - found if last else found, INT64)]


@rows.guarded()
def _rows_of_arg_reduce(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """ArgMax and ArgMin."""
    first = rows.single(inputs)
    if first is None or not first.rank:
        return None
    axis = node.attribute("axis", 0) % first.rank
    if axis == first.rows:
        return None
    return first.rows - int(not node.attribute("keepdims", 1) and axis < first.rows)


_rows_of_topk: RowRule = rows.guarded()(
    rows.keeps_unless(lambda node, inputs, rank: [node.attribute("axis", -1)])
)


_rows_of_cumsum: RowRule = rows.in_place(
    rows.guarded()(rows.keeps_unless(lambda node, inputs, rank: constant_integers(optional(inputs, 1))))
)


OPS = (
    Op("TopK", _infer_top_k, _top_k, _rows_of_topk, traits=DISCONTINUOUS),
    Op("CumSum", _infer_cumsum, _cumsum, _rows_of_cumsum),
    Op("ArgMax", _infer_arg, _arg, _rows_of_arg_reduce, traits=DISCONTINUOUS),
    Op("ArgMin", _infer_arg, _arg, _rows_of_arg_reduce, traits=DISCONTINUOUS),
)
