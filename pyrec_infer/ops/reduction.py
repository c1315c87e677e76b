"""Reductions over given axes: sums, means, extremes, products, norms and logarithms of sums.

Of no elements they give what ONNX says of their opset 20 forms, and 0 for a mean, which ONNX leaves open.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array, Info, Node, RowAxis, Size, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, boolean, optional, required
from pyrec_infer.ops.core.shapes import axis_of, constant_integers, product
from pyrec_infer.ops.core.traits import REDUCES, one_each_read
from pyrec_infer.ops.elementwise import NUMBERS, check_kind, widened

Axes: TypeAlias = tuple[int, ...]
Reduce: TypeAlias = Callable[[Array, Axes, bool], Any]

_EXTREMES = ("ReduceMax", "ReduceMin")
_PRODUCT = "ReduceProd"
"""Exporters make a number of elements of a shape by it, so it takes named sizes too."""


def _axes(node: Node, given: Sequence[int], rank: int) -> Axes:
    if not given:
        return () if boolean(node.attribute("noop_with_empty_axes", 0)) else tuple(range(rank))
    axes = tuple(axis_of(node, axis, rank) for axis in given)
    if len(set(axes)) != len(axes):
        raise fault(ModelError, node, "an axis is reduced twice")
    return axes


def _infer(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data, given = required(node, inputs, 0), optional(inputs, 1)
    check_kind(node, data.dtype, NUMBERS + "b" if node.op in _EXTREMES else NUMBERS)
    if data.shape is None:
        return [Info(data.dtype, None)]
    keep = boolean(node.attribute("keepdims", 1))
    known = () if given is None else constant_integers(given)
    if known is None:
        return [Info(data.dtype, None)]
    axes = _axes(node, known, len(data.shape))
    shape: list[Size] = []
    for axis, size in enumerate(data.shape):
        if axis not in axes:
            shape.append(size)
        elif keep:
            shape.append(1)
    return [Info(data.dtype, tuple(shape))]


def _sum(x: Array, axes: Axes, keep: bool) -> Any:
    return np.sum(x, axes, x.dtype, keepdims=keep)


def _mean(x: Array, axes: Axes, keep: bool) -> Any:
    """The mean of nothing is 0, as onnxruntime has it and as PyTorch has it of an empty bag."""
    total = _sum(x, axes, keep)
    count = max(int(product([x.shape[axis] for axis in axes])), 1)
    if x.dtype.kind == "f":
        return total / x.dtype.type(count)
    # Integer division that truncates toward zero.
    return np.sign(total) * (np.abs(total) // x.dtype.type(count))


def _lowest(dtype: np.dtype[Any]) -> Any:
    return -np.inf if dtype.kind == "f" else np.iinfo(dtype).min


def _highest(dtype: np.dtype[Any]) -> Any:
    return np.inf if dtype.kind == "f" else np.iinfo(dtype).max


def _max(x: Array, axes: Axes, keep: bool) -> Any:
    if x.dtype == np.bool_:
        return np.any(x, axes, keepdims=keep)
    return np.max(x, axes, keepdims=keep, initial=_lowest(x.dtype))


def _min(x: Array, axes: Axes, keep: bool) -> Any:
    if x.dtype == np.bool_:
        return np.all(x, axes, keepdims=keep)
    return np.min(x, axes, keepdims=keep, initial=_highest(x.dtype))


def _prod(x: Array, axes: Axes, keep: bool) -> Any:
    return np.prod(x, axes, x.dtype, keepdims=keep)


def _l1(x: Array, axes: Axes, keep: bool) -> Any:
    return _sum(np.abs(x), axes, keep)


def _sum_square(x: Array, axes: Axes, keep: bool) -> Any:
    return _sum(x * x, axes, keep)


def _in_float(function: Reduce) -> Reduce:
    """Integers are computed in float64 and truncated."""

    def reduce(x: Array, axes: Axes, keep: bool) -> Any:
        with np.errstate(all="ignore"):
            if x.dtype.kind == "f":
                return function(x, axes, keep)
            return np.asarray(function(x.astype(np.float64), axes, keep)).astype(x.dtype)

    return reduce


@_in_float
def _l2(x: Array, axes: Axes, keep: bool) -> Any:
    return np.sqrt(_sum_square(x, axes, keep))


@_in_float
def _log_sum(x: Array, axes: Axes, keep: bool) -> Any:
    return np.log(_sum(x, axes, keep))


@_in_float
def _log_sum_exp(x: Array, axes: Axes, keep: bool) -> Any:
    largest = np.asarray(_max(x, axes, True))
    shift = np.where(np.isfinite(largest), largest, x.dtype.type(0))
    total = np.log(_sum(np.exp(x - shift), axes, True)) + shift
    return total if keep else np.squeeze(total, axes)


_REDUCTIONS: Mapping[str, Reduce] = {
    "ReduceSum": _sum,
    "ReduceMean": _mean,
    "ReduceMax": _max,
    "ReduceMin": _min,
    "ReduceProd": _prod,
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceSumSquare": _sum_square,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
}


def _evaluate(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, given = required(node, inputs, 0), optional(inputs, 1)
    check_kind(node, data.dtype, NUMBERS + {_PRODUCT: "O"}.get(node.op, "b" if node.op in _EXTREMES else ""))
    axes = _axes(node, () if given is None else [int(axis) for axis in given.reshape(-1)], data.ndim)
    keep = boolean(node.attribute("keepdims", 1))
    function = _REDUCTIONS[node.op]
    return [widened(lambda x: np.asarray(function(x, axes, keep)), np.float32, data)]


def _reduced_axes(node: Node, inputs: rows.Inputs, rank: int) -> tuple[int, ...] | None:
    axes_input = optional(inputs, 1)
    if axes_input is None:
        return () if node.attribute("noop_with_empty_axes", 0) else tuple(range(rank))
    axes = constant_integers(axes_input)
    if axes is None:
        return None
    if not axes:
        return () if node.attribute("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(axis % rank for axis in axes) if rank else ()


@rows.guarded()
def _rows_of_reduce(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """Reductions over axes that do not hold the rows."""
    first = rows.single(inputs)
    if first is None or first.rank is None:
        return None
    axes = _reduced_axes(node, inputs, first.rank)
    if axes is None or first.rows in axes:
        return None
    if node.attribute("keepdims", 1):
        return first.rows
    return first.rows - sum(axis < first.rows for axis in set(axes))


OPS = tuple(
    Op(
        name,
        _infer,
        _evaluate,
        _rows_of_reduce,
        symbolic=name == _PRODUCT,
        traits=REDUCES,
        flops=one_each_read,
    )
    for name in _REDUCTIONS
)
