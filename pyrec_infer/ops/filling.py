"""Operators that make tensors of numbers that no input holds, or clear parts of one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.ir import (
    STRING,
    Array,
    Dim,
    Info,
    Node,
    RowAxis,
    Size,
    Undecidable,
    blank_of,
    fault,
    holds_strings,
)
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowRule, boolean, check_count, element_type, optional, required
from pyrec_infer.ops.core.shapes import (
    dtype_of,
    fresh,
    fresh_shape,
    integers,
    length_of,
    quotient,
)
from pyrec_infer.ops.core.traits import no_flops
from pyrec_infer.ops.layout import INT64, integer_list


def _infer_constant_of_shape(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    target = required(node, inputs, 0)
    sizes = integers(target)
    if sizes is not None and any(isinstance(size, int) and size < 0 for size in sizes):
        raise fault(ModelError, node, f"shape {list(sizes)}")
    shape = fresh_shape(node, length_of(target)) if sizes is None else sizes
    value = _fill(node)
    return [Info(STRING if holds_strings(value) else value.dtype, shape)]


def _fill(node: Node) -> Array:
    value = node.attribute("value")
    found = np.zeros(1, np.float32) if value is None else np.asarray(value)
    if found.size != 1:
        raise fault(ModelError, node, f"value of {found.size} elements, expected 1")
    return found.reshape(())


def _constant_of_shape(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    sizes = integer_list(required(node, inputs, 0))
    if any(size < 0 for size in sizes):
        raise fault(ModelError, node, f"shape {sizes}")
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
        raise fault(ShapeError, node, f"input {index} is not a scalar")
    return np.asarray(value).reshape(())


def _range_count(node: Node, start: Any, limit: Any, delta: Any) -> int:
    first, last, step = (_scalar(node, i, item).item() for i, item in enumerate((start, limit, delta)))
    if step == 0:
        raise fault(ModelError, node, "a delta of 0")
    if isinstance(step, int):
        return int(max(-((first - last) // step), 0))
    count = (last - first) / step
    if not math.isfinite(count) or count >= 2.0**48:
        raise fault(ModelError, node, "bounds that are not finite")
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
        raise fault(ModelError, node, f"rank {data.ndim}, expected at least 2")
    diagonal = 0 if k is None else int(k.reshape(()))
    height, width = data.shape[-2:]
    distance = np.arange(width) - np.arange(height)[:, None]
    keep = distance >= diagonal if boolean(node.attribute("upper", 1)) else distance <= diagonal
    return [np.where(keep, data, blank_of(data))]


def _eye_type(node: Node, given: Any) -> Any:
    return element_type(node, "dtype") if "dtype" in node.attributes else given


def _infer_eye_like(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    return [Info(_eye_type(node, data.dtype), data.shape)]


def _eye_like(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data = required(node, inputs, 0)
    if data.ndim != 2:
        raise fault(ModelError, node, f"rank {data.ndim}, expected 2")
    height, width = data.shape
    diagonal = int(node.attribute("k", 0))
    on = np.arange(width) - np.arange(height)[:, None] == diagonal
    return [on.astype(_eye_type(node, data.dtype))]


def _infer_dim_values(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    sizes = node.attribute("sizes", ())
    contents = np.empty(len(sizes), object)
    for i, size in enumerate(sizes):
        contents[i] = size if size.symbols else size.coefficient
    shaped = contents.reshape(()) if boolean(node.attribute("scalar", 0)) else contents
    return [Info(INT64, shaped.shape, contents=shaped)]


def _dim_values(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    raise fault(ModelError, node, "needs the sizes of a run")


@rows.guarded(shape_inputs=(0,))
def _rows_of_constant_of_shape(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """A fill whose rows are all alike."""
    return rows.only_batch_axis(outputs[0].shape)


_rows_of_trilu: RowRule = rows.guarded()(rows.keeps_unless(lambda node, inputs, rank: [rank - 2, rank - 1]))


OPS = (
    Op("ConstantOfShape", _infer_constant_of_shape, _constant_of_shape, _rows_of_constant_of_shape),
    Op("Range", _infer_range, _range),
    Op("Trilu", _same_type, _trilu, _rows_of_trilu),
    Op("EyeLike", _infer_eye_like, _eye_like),
    Op("pyrec.DimValues", _infer_dim_values, _dim_values, flops=no_flops),
)
