"""Linear quantisation to 8 and 16 bits, and matrix products of quantised operands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.ir import Array, Info, Node, Rows, fault, same_size
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import (
    Op,
    RowFlow,
    RowRule,
    boolean,
    couples,
    element_type,
    optional,
    required,
)
from pyrec_infer.ops.core.shapes import axis_of
from pyrec_infer.ops.core.traits import of_product
from pyrec_infer.ops.linear_algebra import matmul_shape, rows_of_gemm, rows_of_matmul

_BYTES = (np.dtype(np.int8), np.dtype(np.uint8))
_QUANTIZED = (*_BYTES, np.dtype(np.int16), np.dtype(np.uint16))
_FLOAT32 = np.dtype(np.float32)
_UINT8 = np.dtype(np.uint8)
_INT32 = np.dtype(np.int32)


def check_8_bits(node: Node, *dtypes: np.dtype[Any] | None) -> None:
    for dtype in dtypes:
        if dtype is not None and dtype not in _BYTES:
            raise fault(ModelError, node, f"does not take {dtype}")


def without_zero_point(x: Array, zero_point: Array | None) -> Array:
    """The integers as int32 less their zero point, which must broadcast."""
    wide = x.astype(np.int32)
    if zero_point is None:
        return wide
    zero = zero_point.astype(np.int32)
    return np.asarray(wide - (zero.reshape(()) if zero.size == 1 else zero))


def _rounded(value: Array, zero_point: Array | int, dtype: np.dtype[Any]) -> Array:
    """Half to even, plus the zero point, saturated; NaN gives the smallest value."""
    limits = np.iinfo(dtype)
    zero = np.asarray(zero_point, np.int64)
    lowest = (limits.min - zero).astype(np.float32)
    highest = (limits.max - zero).astype(np.float32)
    with np.errstate(invalid="ignore"):
        inside = np.minimum(np.where(value > lowest, value, lowest), highest)
    return np.asarray(np.rint(inside).astype(np.int64) + zero).astype(dtype)


def requantized(value: Array, zero_point: Array) -> Array:
    """Rounds scaled sums to the zero point's type."""
    if zero_point.size != 1:
        raise ModelError(f"a zero point of shape {zero_point.shape}")
    return _rounded(value, zero_point.reshape(()), zero_point.dtype)


def _spread(node: Node, parameter: Array, shape: tuple[int, ...]) -> Array:
    """A scale or zero point in a form that broadcasts to the shape."""
    if parameter.ndim <= 1 and parameter.size == 1:
        return parameter.reshape(())
    axis = axis_of(node, int(node.attribute("axis", 1)), len(shape))
    block = int(node.attribute("block_size", 0))
    size = shape[axis]
    expected: tuple[int, ...] = (size,)
    if block > 0:
        expected = (*shape[:axis], -(-size // block), *shape[axis + 1 :])
    if block < 0 or parameter.shape != expected:
        raise fault(ModelError, node, f"a parameter of shape {parameter.shape}")
    if block > 0:
        return parameter.repeat(block, axis).take(np.arange(size), axis)
    return parameter.reshape(-1, *(1,) * (len(shape) - axis - 1))


def _quantized_type(node: Node, zero_point: Info | Array | None) -> np.dtype[Any] | None:
    dtype = element_type(node, "output_dtype", "uint8") if zero_point is None else zero_point.dtype
    if dtype is not None and dtype not in _QUANTIZED:
        raise fault(UnsupportedModelError, node, f"quantisation to {dtype}")
    return dtype


def _infer_quantize(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [Info(_quantized_type(node, optional(inputs, 2)), required(node, inputs, 0).shape)]


def _quantize(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, scale, zero_point = required(node, inputs, 0), required(node, inputs, 1), optional(inputs, 2)
    dtype = _quantized_type(node, zero_point)
    assert dtype is not None
    zero = 0 if zero_point is None else _spread(node, zero_point, x.shape)
    with np.errstate(all="ignore"):
        ratio = x.astype(np.float32) / _spread(node, scale.astype(np.float32), x.shape)
    return [_rounded(ratio, zero, dtype)]


def _check_dequantize(node: Node, x: np.dtype[Any] | None, scale: np.dtype[Any] | None) -> None:
    if x is not None and x not in (*_QUANTIZED, _INT32):
        raise fault(UnsupportedModelError, node, f"dequantisation of {x}")
    if scale is not None and scale not in (_FLOAT32, np.dtype(np.float16)):
        raise fault(UnsupportedModelError, node, f"a scale of {scale}")


def _infer_dequantize(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x, scale = required(node, inputs, 0), required(node, inputs, 1)
    _check_dequantize(node, x.dtype, scale.dtype)
    return [Info(scale.dtype, x.shape)]


def _dequantize(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, scale, zero_point = required(node, inputs, 0), required(node, inputs, 1), optional(inputs, 2)
    _check_dequantize(node, x.dtype, scale.dtype)
    value = x.astype(np.int64)
    if zero_point is not None:
        if zero_point.dtype != x.dtype:
            raise fault(ModelError, node, f"operands of {x.dtype} and {zero_point.dtype}")
        value = value - _spread(node, zero_point, x.shape)
    factor = _spread(node, scale.astype(np.float32), x.shape)
    with np.errstate(all="ignore"):
        return [np.asarray(value.astype(np.float32) * factor).astype(scale.dtype)]


def _infer_dynamic(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x = required(node, inputs, 0)
    if x.dtype is not None and x.dtype != _FLOAT32:
        raise fault(ModelError, node, f"does not take {x.dtype}")
    return [Info(_UINT8, x.shape), Info(_FLOAT32, ()), Info(_UINT8, ())][: len(node.outputs)]


def _dynamic(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = required(node, inputs, 0)
    _infer_dynamic(node, [Info(x.dtype, x.shape)])
    lowest = np.float32(min(0.0, x.min(initial=0.0)))
    highest = np.float32(max(0.0, x.max(initial=0.0)))
    with np.errstate(all="ignore"):
        scale = np.float32(1) if highest == lowest else (highest - lowest) / np.float32(255)
        zero = _rounded(np.asarray(-lowest / scale), 0, _UINT8)
        y = _rounded(np.asarray(x / scale), zero, _UINT8)
    return [y, np.asarray(scale, np.float32), zero]


def _infer_matmul_integer(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    a, b = required(node, inputs, 0), required(node, inputs, 1)
    check_8_bits(node, a.dtype, b.dtype)
    return [Info(_INT32, matmul_shape(node, a.shape, b.shape))]


def _row_parameter(node: Node, parameter: Array, a: Array) -> Array:
    """One value, or one for each row of the left operand, so that it broadcasts with rows."""
    if parameter.size == 1:
        return parameter.reshape(())
    if a.ndim < 2 or parameter.size != a.shape[-2]:
        raise fault(ModelError, node, f"a parameter of shape {parameter.shape}")
    return parameter.reshape(-1, 1)


def _column_parameter(node: Node, parameter: Array, b: Array) -> Array:
    """One value, or one for each column of the right operand."""
    if parameter.size == 1:
        return parameter.reshape(())
    if b.ndim < 2 or parameter.size != b.shape[-1]:
        raise fault(ModelError, node, f"a parameter of shape {parameter.shape}")
    return parameter.reshape(-1)


def _integer_product(node: Node, a: Array, a_zero: Array | None, b: Array, b_zero: Array | None) -> Array:
    check_8_bits(node, a.dtype, b.dtype)
    matmul_shape(node, a.shape, b.shape)
    left = without_zero_point(a, None if a_zero is None else _row_parameter(node, a_zero, a))
    right = without_zero_point(b, None if b_zero is None else _column_parameter(node, b_zero, b))
    return np.asarray(np.matmul(left, right))


def _matmul_integer(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, b = required(node, inputs, 0), required(node, inputs, 1)
    return [_integer_product(node, a, optional(inputs, 2), b, optional(inputs, 3))]


def _infer_qlinear_matmul(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    a, b, zero = (required(node, inputs, i) for i in (0, 3, 7))
    check_8_bits(node, a.dtype, b.dtype, zero.dtype)
    return [Info(zero.dtype, matmul_shape(node, a.shape, b.shape))]


def _qlinear_matmul(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = (required(node, inputs, i) for i in range(8))
    check_8_bits(node, y_zero.dtype)
    sums = _integer_product(node, a, a_zero, b, b_zero)
    left = _row_parameter(node, a_scale.astype(np.float32), a)
    right = _column_parameter(node, b_scale.astype(np.float32), b)
    factor = left * right / y_scale.reshape(()).astype(np.float32)
    with np.errstate(all="ignore"):
        return [requantized(np.asarray(sums.astype(np.float32) * factor), y_zero)]


def _qgemm_shapes(node: Node, a: Info, b: Info) -> tuple[Info, Info]:
    """The operands as they are multiplied."""

    def turned(info: Info, key: str) -> Info:
        if info.shape is None:
            return info
        if len(info.shape) != 2:
            raise fault(ModelError, node, f"takes matrices, got {info.shape}")
        return Info(info.dtype, info.shape[::-1] if boolean(node.attribute(key, 0)) else info.shape)

    return turned(a, "transA"), turned(b, "transB")


def _infer_qgemm(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    a, b = _qgemm_shapes(node, required(node, inputs, 0), required(node, inputs, 3))
    check_8_bits(node, a.dtype, b.dtype)
    zero = optional(inputs, 8)
    dtype: np.dtype[Any] | None = _FLOAT32
    if optional(inputs, 7) is not None:
        dtype = a.dtype if zero is None else zero.dtype
    return [Info(dtype, matmul_shape(node, a.shape, b.shape))]


def _qgemm(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    a, a_scale, a_zero, b, b_scale, b_zero = (required(node, inputs, i) for i in range(6))
    a = a.T if boolean(node.attribute("transA", 0)) else a
    b = b.T if boolean(node.attribute("transB", 0)) else b
    if a.ndim != 2 or b.ndim != 2:
        raise fault(ModelError, node, "takes matrices")
    c, y_scale, y_zero = (optional(inputs, i) for i in (6, 7, 8))
    sums = _integer_product(node, a, a_zero, b, b_zero)
    if c is not None:
        sums = sums + c
    columns = _column_parameter(node, b_scale.astype(np.float32), b)
    factor = np.float32(node.attribute("alpha", 1.0)) * a_scale.reshape(()).astype(np.float32) * columns
    if y_scale is None:
        return [np.asarray(sums.astype(np.float32) * factor, np.float32)]
    scaled = sums.astype(np.float32) * (factor / y_scale.reshape(()).astype(np.float32))
    return [requantized(np.asarray(scaled), np.zeros((), a.dtype) if y_zero is None else y_zero)]


def _scalar(info: Info | None) -> bool:
    return info is None or (info.shape is not None and all(same_size(size, 1) for size in info.shape))


def _product_rule(matrices: tuple[int, int], left: Sequence[int], right: Sequence[int]) -> RowRule:
    """The row rule of a product of two inputs with parameters of the left one's rows, the right's columns."""

    def rule(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
        a, b = (required(node, inputs, i) for i in matrices)
        others = [info for i, info in enumerate(inputs) if i not in matrices]
        positional = (*(left if a.rows >= 0 else ()), *(right if b.rows >= 0 else ()))
        if any(info is not None and info.rows != Rows.INVARIANT for info in others) or not all(
            _scalar(optional(inputs, i)) for i in positional
        ):
            return couples(node, inputs, outputs)
        product = rows_of_gemm if node.op == "com.microsoft.QGemm" else rows_of_matmul
        addend = [optional(inputs, 6)] if node.op == "com.microsoft.QGemm" else []
        return product(node, [a, b, *addend], outputs)

    return rule


def _rows_of_dynamic_quantize(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowFlow:
    """The scale and zero point come from all rows; the quantised values still lie row by row."""
    first = inputs[0]
    if first is None or first.rows < 0:
        return couples(node, inputs, outputs)
    return RowFlow((first.rows, Rows.INVARIANT, Rows.INVARIANT)[: len(outputs)], coupled=True)


OPS = (
    Op("QuantizeLinear", _infer_quantize, _quantize, rows.elementwise),
    Op("DequantizeLinear", _infer_dequantize, _dequantize, rows.elementwise),
    Op("DynamicQuantizeLinear", _infer_dynamic, _dynamic, _rows_of_dynamic_quantize),
    Op(
        "MatMulInteger",
        _infer_matmul_integer,
        _matmul_integer,
        _product_rule((0, 1), (2,), (3,)),
        flops=of_product,
    ),
    Op("QLinearMatMul", _infer_qlinear_matmul, _qlinear_matmul, _product_rule((0, 3), (1, 2), (4, 5))),
    Op("com.microsoft.QGemm", _infer_qgemm, _qgemm, _product_rule((0, 3), (1, 2), (4, 5))),
)
