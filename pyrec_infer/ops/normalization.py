"""Softmax and the normalisations by mean, variance or norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Info, Node, Size, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Evaluate, Op, RowRule, boolean, optional, required
from pyrec_infer.ops.core.shapes import axis_of
from pyrec_infer.ops.core.traits import DISCONTINUOUS, Trait, one_each_read
from pyrec_infer.ops.elementwise import FLOATS, check_kind, same_type, widened


def _along_axis(function: Callable[[Array, int], Array]) -> Evaluate:
    """An operator of one input that works along its ``axis``."""

    def evaluate(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        data = required(node, inputs, 0)
        check_kind(node, data.dtype, FLOATS)
        axis = axis_of(node, int(node.attribute("axis", -1)), data.ndim)
        if data.size == 0:
            return [data.copy()]
        with np.errstate(all="ignore"):
            return [widened(lambda x: function(x, axis), np.float32, data)]

    return evaluate


def _infer_along_axis(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    (info,) = _same(node, inputs)
    if info.shape is not None:
        axis_of(node, int(node.attribute("axis", -1)), len(info.shape))
    return [info]


def _softmax(x: Array, axis: int) -> Array:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


def _log_softmax(x: Array, axis: int) -> Array:
    centred = x - x.max(axis, keepdims=True)
    return np.asarray(centred - np.log(np.exp(centred).sum(axis, keepdims=True)))


def _hardmax(x: Array, axis: int) -> Array:
    best = np.zeros_like(x)
    # A NaN is never greater than another element, so it wins only where it comes first.
    first_is_nan = np.isnan(x.take([0], axis))
    places = np.where(np.isnan(x), -np.inf, x).argmax(axis, keepdims=True)
    np.put_along_axis(best, np.where(first_is_nan, 0, places), 1, axis)
    return best


def _lp_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    order = int(node.attribute("p", 2))
    if order not in (1, 2):
        raise fault(ModelError, node, "p is neither 1 nor 2")

    def scaled(x: Array, axis: int) -> Array:
        powers = np.abs(x) if order == 1 else x * x
        total = powers.sum(axis, keepdims=True)
        norm = total if order == 1 else np.sqrt(total)
        return np.asarray(x / np.where(norm == 0, x.dtype.type(1), norm))

    return list(_along_axis(scaled)(node, inputs))


def _statistics(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array]:
    mean = x.mean(axes, x.dtype, keepdims=True)
    variance = np.square(x - mean).mean(axes, x.dtype, keepdims=True)
    return mean, np.asarray(1 / np.sqrt(variance + x.dtype.type(epsilon)))


def _check_scale(node: Node, scale: Array, inner: tuple[int, ...]) -> None:
    try:
        fits = np.broadcast_shapes(scale.shape, inner) == inner
    except ValueError as error:
        let_interrupts_pass(error)
        fits = False
    if not fits:
        raise fault(ModelError, node, f"scale or bias of shape {scale.shape}")


def _infer_layer_normalization(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    data = required(node, inputs, 0)
    check_kind(node, data.dtype, FLOATS)
    found = [Info(data.dtype, data.shape)]
    if len(node.outputs) == 1:
        return found
    dtype = np.dtype(np.float32) if data.dtype == np.float16 else data.dtype
    if data.shape is None:
        return [*found, *(Info(dtype, None) for _ in node.outputs[1:])]
    axis = axis_of(node, int(node.attribute("axis", -1)), len(data.shape))
    shape: tuple[Size, ...] = (*data.shape[:axis], *(1 for _ in data.shape[axis:]))
    return [*found, *(Info(dtype, shape) for _ in node.outputs[1:])]


def _layer_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, scale, bias = required(node, inputs, 0), required(node, inputs, 1), optional(inputs, 2)
    check_kind(node, data.dtype, FLOATS)
    axis = axis_of(node, int(node.attribute("axis", -1)), data.ndim)
    for parameter in (scale, *(() if bias is None else (bias,))):
        _check_scale(node, parameter, data.shape[axis:])
    axes = tuple(range(axis, data.ndim))
    x = data.astype(np.float32) if data.dtype == np.float16 else data
    with np.errstate(all="ignore"):
        mean, inverse = _statistics(x, axes, float(node.attribute("epsilon", 1e-5)))
        y = (x - mean) * inverse * scale.astype(x.dtype)
        if bias is not None:
            y = y + bias.astype(x.dtype)
    return [y.astype(data.dtype), mean, inverse][: len(node.outputs)]


def _rms_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, scale = required(node, inputs, 0), required(node, inputs, 1)
    check_kind(node, data.dtype, FLOATS)
    axis = axis_of(node, int(node.attribute("axis", -1)), data.ndim)
    _check_scale(node, scale, data.shape[axis:])
    axes = tuple(range(axis, data.ndim))
    epsilon = float(node.attribute("epsilon", 1e-5))

    def normalized(x: Array, scale: Array) -> Array:
        mean_square = np.square(x).mean(axes, x.dtype, keepdims=True)
        return np.asarray(x / np.sqrt(mean_square + x.dtype.type(epsilon)) * scale.astype(x.dtype))

    with np.errstate(all="ignore"):
        return [widened(normalized, np.float32, data, scale)]


def _channels(node: Node, data: Array, parameters: Sequence[Array]) -> tuple[int, ...]:
    """The shape in which a parameter of each channel broadcasts."""
    if data.ndim < 2:
        raise fault(ModelError, node, f"takes rank 2 or more, got {data.shape}")
    if any(parameter.shape != data.shape[1:2] for parameter in parameters):
        raise fault(ModelError, node, f"a parameter does not fit {data.shape[1]} channels")
    return (1, -1, *(1 for _ in data.shape[2:]))


def _batch_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    if boolean(node.attribute("training_mode", 0)) or len(node.outputs) > 1:
        raise fault(UnsupportedModelError, node, "training mode")
    data = required(node, inputs, 0)
    check_kind(node, data.dtype, FLOATS)
    parameters = [required(node, inputs, i) for i in range(1, 5)]
    shape = _channels(node, data, parameters)
    epsilon = float(node.attribute("epsilon", 1e-5))

    def normalized(x: Array, *given: Array) -> Array:
        gamma, beta, mean, variance = (parameter.astype(x.dtype) for parameter in given)
        scale = gamma / np.sqrt(variance + x.dtype.type(epsilon))
        return np.asarray(x * scale.reshape(shape) + (beta - mean * scale).reshape(shape))

    with np.errstate(all="ignore"):
        return [widened(normalized, np.float32, data, *parameters)]


def _grouped_normalization(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    data, scale, bias = (required(node, inputs, i) for i in range(3))
    check_kind(node, data.dtype, FLOATS)
    shape = _channels(node, data, [scale, bias])
    groups = data.shape[1]
    if node.op == "GroupNormalization":
        groups = int(node.attribute("num_groups", 0))
        if groups < 1 or data.shape[1] % groups:
            raise fault(ModelError, node, "num_groups does not divide the channels")
    if data.size == 0:
        return [data.copy()]
    epsilon = float(node.attribute("epsilon", 1e-5))

    def normalized(x: Array, scale: Array, bias: Array) -> Array:
        parts = x.reshape(x.shape[0], groups, -1)
        mean, inverse = _statistics(parts, (2,), epsilon)
        unit = ((parts - mean) * inverse).reshape(x.shape)
        return np.asarray(unit * scale.reshape(shape) + bias.reshape(shape))

    with np.errstate(all="ignore"):
        return [widened(normalized, np.float32, data, scale, bias)]


_same = same_type(FLOATS)


_rows_of_softmax: RowRule = rows.in_place(
    rows.guarded()(rows.keeps_unless(lambda node, inputs, rank: [node.attribute("axis", -1)]))
)


_rows_of_layer_normalization: RowRule = rows.guarded()(
    rows.keeps_unless(lambda node, inputs, rank: range(node.attribute("axis", -1) % rank, rank))
)


_rows_of_batch_normalization: RowRule = rows.guarded()(rows.keeps_unless(lambda node, inputs, rank: [1]))


OPS = (
    Op("Softmax", _infer_along_axis, _along_axis(_softmax), _rows_of_softmax, flops=one_each_read),
    Op("LogSoftmax", _infer_along_axis, _along_axis(_log_softmax), _rows_of_softmax, flops=one_each_read),
    Op("Hardmax", _infer_along_axis, _along_axis(_hardmax), _rows_of_softmax, traits=DISCONTINUOUS),
    Op("LpNormalization", _infer_along_axis, _lp_normalization, _rows_of_softmax),
    Op(
        "LayerNormalization",
        _infer_layer_normalization,
        _layer_normalization,
        _rows_of_layer_normalization,
        flops=one_each_read,
    ),
    Op("RMSNormalization", _same, _rms_normalization, _rows_of_layer_normalization),
    Op(
        "BatchNormalization",
        _same,
        _batch_normalization,
        _rows_of_batch_normalization,
        traits=frozenset({Trait.AFFINE}),
    ),
    Op("InstanceNormalization", _same, _grouped_normalization, rows.outermost),
    Op("GroupNormalization", _same, _grouped_normalization, rows.outermost),
)
