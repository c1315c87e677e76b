"""Dense layers of lower precision, which exist only inside plans: int8 and bfloat16 weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.codecs.bf16 import round_bf16, widen_bf16
from pyrec_infer.ir import Array, Info, Node
from pyrec_infer.ops.core.registry import Op, RowFlow, optional, required
from pyrec_infer.ops.fused import OPS as FUSED
from pyrec_infer.ops.fused import activate

Floats = NDArray[np.float32]

COLUMN_LEVELS = np.float32(127)
"""What the largest weight of a column becomes."""

_ROW_LEVELS = np.float32(127)
_SIGNED_ROW_LEVELS = np.float32(63)
"""What the largest number of a row becomes; the native kernels say why it is not more."""

_TINY = np.float32(2.0**-100)
_EXACT_IN_F32 = 1 << 24

_DENSE = next(op for op in FUSED if op.name == "pyrec.Dense")


def quantize(x: Array, levels: Array | np.float32, axis: int) -> tuple[Floats, Floats]:
    """Whole numbers (held as float32) and the scales that make them the numbers of `x`, nearly.

    Each vector along ``axis`` has a scale of its own, so that its largest number becomes ``levels``.
    The scale is NaN where a number is not finite and 0 where all are tiny; all whole numbers are then 0.
    """
    largest = np.abs(x).max(axis, initial=0, keepdims=True)
    finite = np.isfinite(largest)
    usable = finite & (largest >= _TINY)
    with np.errstate(all="ignore"):
        inverse = np.where(usable, levels / largest, np.float32(0))
        whole = np.where(usable, np.rint(x * inverse), np.float32(0))
        scales = np.where(usable, largest / levels, np.where(finite, np.float32(0), np.float32(np.nan)))
    return whole.astype(np.float32, copy=False), scales.astype(np.float32, copy=False)


def quantize_rows(x: Array) -> tuple[Floats, Floats]:
    """Rows as 7 bits with a sign in effect, or without one where no number has it; see `quantize`."""
    signed = np.signbit(x).any(-1, keepdims=True)
    return quantize(x, np.where(signed, _SIGNED_ROW_LEVELS, _ROW_LEVELS), -1)


def multiply_whole(rows: Array, columns: Array) -> Floats:
    """The exact product of whole numbers held as float32, rounded once."""
    exact = rows.shape[-1] * int(_ROW_LEVELS) * int(COLUMN_LEVELS) <= _EXACT_IN_F32
    kind = np.float32 if exact else np.float64
    product = np.matmul(rows.astype(kind, copy=False), columns.astype(kind, copy=False))
    return np.asarray(product, np.float32)


def _once(matrices: Array) -> Array:
    """Matrices without those that are repeated for each row."""
    sizes = zip(matrices.shape[:-2], matrices.strides, strict=False)
    return matrices[tuple(slice(1) if size > 1 and not stride else slice(None) for size, stride in sizes)]


def _product_int8(x: Array, weights: Array) -> Array:
    rows, row_scales = quantize_rows(x)
    columns, column_scales = quantize(_once(weights), COLUMN_LEVELS, -2)
    with np.errstate(all="ignore"):
        return np.asarray(multiply_whole(rows, columns) * column_scales * row_scales)


def _product_bf16(x: Array, weights: Array) -> Array:
    return np.asarray(np.matmul(x, widen_bf16(round_bf16(_once(weights)))))


def measure_rows(x: Array) -> Array:
    """Of each row the scale by which it is rounded, its length then, and the length of what rounding takes
    from it: [N, 3]. Without a scale above zero all three are the scale.
    """
    whole, scales = quantize_rows(x)
    with np.errstate(all="ignore"):
        rounded = whole * scales
        measured = [np.linalg.norm(rows, axis=-1, keepdims=True) for rows in (rounded, x - rounded)]
        return np.concatenate([scales, *(np.where(scales > 0, each, scales) for each in measured)], axis=-1)


def _infer(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    (made,) = _DENSE.infer(node, inputs)
    shape = None if made.shape is None else (made.shape[0], 3)
    return [made, Info(made.dtype, shape)][: len(node.outputs)]


def _rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    flow = _DENSE.rows(node, inputs, outputs[:1])
    return replace(flow, rows=flow.rows * len(node.outputs))


def _layer(name: str, product: Callable[[Array, Array], Array]) -> Op:
    def evaluate(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x, bias = required(node, inputs, 0), optional(inputs, 2)
        y = product(x, required(node, inputs, 1))
        made = [activate(node, y if bias is None else y + bias)]
        return [*made, measure_rows(x)] if len(node.outputs) > 1 else made

    return Op(name, _infer, evaluate, _rows, flops=_DENSE.flops)


OPS = (
    # pyrec.Dense with a constant matrix of weights, or matrices out of pyrec.Pack with the same precision,
    # rounded to int8 with a scale for each column; each row of x is rounded to 7 bits with a scale of its
    # own. The sums of products are exact. Where x is a matrix of one row for each candidate, a second
    # result may say of each what `measure_rows` measures.
    _layer("pyrec.DenseInt8", _product_int8),
    # The same with weights rounded to bfloat16; a processor that multiplies bfloat16 rounds x as well.
    _layer("pyrec.DenseBf16", _product_bf16),
)
