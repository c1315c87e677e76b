"""Products of lower precision: int8 with a scale for each row and column, and bfloat16.

The last argument of each kernel is None or a row of numbers, in whose order a row's products are added.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.codecs.bf16 import round_bf16, widen_bf16
from pyrec_infer.kernels.dense import SHAPES
from pyrec_infer.kernels.spec import (
    EXACT,
    LENGTHS,
    SPECIAL,
    Array,
    KernelSpec,
    compiled,
    normal,
    reduction,
    shifted,
)

ZERO_POINT = 64
"""Of rows that have a number with a sign bit; that of other rows is 0."""

_ROW_LEVELS = np.float32(127)
_SIGNED_ROW_LEVELS = np.float32(63)
_COLUMN_LEVELS = np.float32(127)

_ALIGNMENT = 16
_TAIL = 16
_TINY = np.float32(2.0**-100)
_HUGE = np.float32(np.finfo(np.float32).max)


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


@compiled
def _quantize_loop(x: Any, whole: Any, scales: Any, zeros: Any) -> None:
    rows, n = x.shape
    for i in range(rows):
        largest = np.float32(0)
        signed = False
        finite = True
        for j in range(n):
            magnitude = abs(x[i, j])
            finite = finite and magnitude <= _HUGE
            largest = max(largest, magnitude)
            signed = signed or np.signbit(x[i, j])
        levels = _SIGNED_ROW_LEVELS if signed else _ROW_LEVELS
        zeros[i] = ZERO_POINT if signed else 0
        scales[i] = largest / levels if largest >= _TINY else np.float32(0)
        if not finite:
            scales[i] = np.nan
        usable = finite and largest >= _TINY
        inverse = levels / largest if usable else np.float32(0)
        for j in range(n):
            whole[i, j] = np.rint(x[i, j] * inverse) if usable else np.float32(0)


def quantize_rows(x: Array) -> tuple[Array, Array, Array]:
    """Each row as whole numbers (held as float32) times a scale, and the zero point of its uint8 form."""
    whole = np.empty(x.shape, np.float32)
    scales, zeros = np.empty(len(x), np.float32), np.empty(len(x), np.int32)
    _quantize_loop(x, whole, scales, zeros)
    return whole, scales, zeros


def _records(whole: Array, scales: Array, zeros: Array) -> Array:
    """Rows in the layout of the native kernels: uint8, zero points as padding, scale, zero point."""
    rows, count = whole.shape
    width = _padded(count)
    made = np.zeros((rows, width + _TAIL), np.uint8)
    made[:, :width] = zeros[:, None]
    made[:, :count] = whole + zeros[:, None]
    made[:, width : width + 4] = scales.astype(np.float32).reshape(-1, 1).view(np.uint8)
    made[:, width + 4 : width + 8] = zeros.astype(np.int32).reshape(-1, 1).view(np.uint8)
    return made


def quantize_rows_u8(x: Array, row: None) -> Array:
    """The rows' bytes with their scales and zero points, in no order of their own."""
    return _records(*quantize_rows(x))


def _measured(rows: Array, lengths: Array) -> Array:
    """Records as numbers: their bytes, the scale, the zero point, and both lengths where there is a scale."""
    width = rows.shape[1] - _TAIL
    scales = rows[:, width : width + 4].copy().view(np.float32)
    zeros = rows[:, width + 4 : width + 8].copy().view(np.int32)
    return np.concatenate([rows[:, :width], scales, zeros, np.where(scales > 0, lengths, scales)], axis=1)


def measure_rows_u8(x: Array, row: None) -> Array:
    """The rows' bytes with their scales and zero points, as float32; then of each row its length as it is
    rounded, and the length of what rounding takes from it.
    """
    whole, scales, _ = quantize_rows(x)
    with np.errstate(all="ignore"):
        steps = x * (np.float32(1) / scales[:, None])
        lengths = [scales * np.linalg.norm(each, axis=1) for each in (whole, steps - whole)]
    return _measured(quantize_rows_u8(x, row), np.stack(lengths, axis=1)).astype(np.float32)


def _quantized(x: Array, levels: Any, axis: int) -> tuple[Array, Array]:
    largest = np.abs(x).max(axis, initial=0, keepdims=True)
    with np.errstate(all="ignore"):
        usable = np.isfinite(largest) & (largest >= _TINY)
        whole = np.where(usable, np.rint(x * np.where(usable, levels / largest, 0).astype(np.float32)), 0)
        scales = np.where(usable, largest / levels, np.where(np.isfinite(largest), 0, np.nan))
    return np.asarray(whole, np.float32), np.asarray(scales, np.float32)


def _row_levels(x: Array) -> Array:
    return np.where(np.signbit(x).any(-1, keepdims=True), _SIGNED_ROW_LEVELS, _ROW_LEVELS)


def _quantize_rows(x: Array, row: None) -> Array:
    levels = _row_levels(x)
    whole, scales = _quantized(x, levels, 1)
    return _records(whole, scales[:, 0], np.where(levels[:, 0] == _ROW_LEVELS, 0, ZERO_POINT))


def _measure_rows(x: Array, row: None) -> Array:
    records = _quantize_rows(x, row)
    whole, scales = _quantized(x, _row_levels(x), 1)
    with np.errstate(all="ignore"):
        rounded = whole * scales.astype(np.float64)
        lengths = [np.linalg.norm(rows, axis=1) for rows in (rounded, x.astype(np.float64) - rounded)]
    return _measured(records, np.stack(lengths, axis=1))


def _measure_scale(x: Array, row: None) -> Array:
    """Bytes, scales and zero points are exact; a number's own rounding moves what rounding takes from it."""
    made = _measure_rows(x, row)
    scale = np.zeros(made.shape)
    scale[:, -2] = made[:, -2]
    scale[:, -1] = made[:, -1] + 4 * made[:, -2]
    return scale


def _finish(y: Array, bias: Array | None, activation: str) -> Array:
    with np.errstate(all="ignore"):
        y = y if bias is None else y + bias
    return np.maximum(y, 0, dtype=y.dtype) if activation == "relu" else y


def _scaled(sums: Array, row_scales: Array, column_scales: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(sums.astype(np.float32) * column_scales * row_scales)


def gemm_u8s8(a: Array, b: Array, bias: Array | None, activation: str, row: Array | None = None) -> Array:
    """``activation(a @ b + bias)`` with quantised operands; the activation is none or relu."""
    whole, row_scales, _ = quantize_rows(a)
    columns, column_scales = _quantized(b, _COLUMN_LEVELS, 0)
    sums = whole.astype(np.float64) @ columns.astype(np.float64)
    return _finish(_scaled(sums, row_scales[:, None], column_scales), bias, activation)


def _gemm_u8s8(a: Array, b: Array, bias: Array | None, activation: str, row: Array | None = None) -> Array:
    whole, row_scales = _quantized(a, _row_levels(a), 1)
    columns, column_scales = _quantized(b, _COLUMN_LEVELS, 0)
    sums = whole.astype(np.int64) @ columns.astype(np.int64)
    return _finish(_scaled(sums, row_scales, column_scales), bias, activation)


def round_rows_bf16(x: Array, row: None) -> Array:
    """The rows' bfloat16 bits, padded with zeros, in no order of their own."""
    made = np.zeros((len(x), _padded(x.shape[1])), np.uint16)
    made[:, : x.shape[1]] = round_bf16(x)
    return made


def _round_rows(x: Array, row: None) -> Array:
    """By the definition: the nearest number with 8 bits, the even one of two, or zero for subnormal ones."""
    with np.errstate(all="ignore"):
        exponent = np.maximum(np.frexp(x.astype(np.float64))[1], -125)
        step = np.ldexp(1.0, exponent - 8)
        nearest = np.where(np.isfinite(x), np.rint(x / step) * step, x)
        nearest = np.where(np.abs(x) < 2.0**-126, np.copysign(0, x), nearest)
        bits = nearest.astype(np.float32).view(np.uint32) >> 16
    nan = np.ascontiguousarray(x).view(np.uint32) >> 16 | 0x40
    made = np.zeros((len(x), _padded(x.shape[1])), np.uint16)
    made[:, : x.shape[1]] = np.where(np.isnan(x), nan, bits)
    return made


def _rounded(x: Array) -> Array:
    return widen_bf16(round_bf16(x))


def gemm_bf16(a: Array, b: Array, bias: Array | None, activation: str, row: Array | None = None) -> Array:
    """``activation(a @ b + bias)`` with both operands rounded to bfloat16; none or relu."""
    with np.errstate(all="ignore"):
        return _finish(_rounded(a) @ _rounded(b), bias, activation)


def _gemm_bf16(a: Array, b: Array, bias: Array | None, activation: str, row: Array | None = None) -> Array:
    with np.errstate(all="ignore"):
        return _finish(_rounded(a).astype(np.float64) @ _rounded(b).astype(np.float64), bias, activation)


def _bf16_scale(a: Array, b: Array, bias: Array | None, activation: str, row: Array | None = None) -> Array:
    magnitude = np.abs(_rounded(a).astype(np.float64)) @ np.abs(_rounded(b).astype(np.float64))
    return np.asarray(magnitude + (0 if bias is None else np.abs(bias)))


def _row_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for n in LENGTHS:
        x = normal(rng, 3, n)
        x[1] = np.abs(x[1])
        yield x, None
    yield np.tile(SPECIAL, (2, 1)), None
    finite = SPECIAL[np.isfinite(SPECIAL)]
    yield np.stack([finite, np.abs(finite)]), None
    for value in (0.0, -0.0, 1e-35, -1e-45, 3.4028235e38, -np.inf, np.nan):
        yield np.full((2, 19), value, np.float32), None
    ties = np.arange(-63, 63, dtype=np.float32) + np.float32(0.5)
    yield np.stack([np.append(ties, np.float32(63)), np.append(ties + 63, np.float32(127))]), None
    yield normal(rng, 5, 60)[:, 7:40], None
    yield normal(rng, 35, 70), None


def _measured_row_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Without finite rows whose squares are too large for float32."""
    yield from (case for case in _row_cases(rng) if not 1e18 < np.abs(case[0]).max(initial=0) < np.inf)


def _bf16_row_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    yield from _row_cases(rng)
    bits = np.arange(0, 1 << 32, 65521, dtype=np.uint32)
    yield shifted(bits.view(np.float32)).reshape(1, -1), None
    ties = (np.arange(0, 0x7F80, dtype=np.uint32) << 16 | 0x8000).view(np.float32)
    yield np.stack([ties, -ties]), None


def _gemm_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for i, (m, n, k) in enumerate(SHAPES):
        a = normal(rng, m, k)
        a[: m // 2] = np.abs(a[: m // 2])
        yield a, normal(rng, k, n), normal(rng, n) if i % 3 else None, ("none", "relu")[i % 2], None
    for m, n, k in ((1, 70, 9), (9, 33, 5), (21, 1, 40), (5, 100, 600)):
        yield normal(rng, m, k), normal(rng, k, n), normal(rng, m, n + 3)[:, :n], "relu", None
    yield normal(rng, 6, 40)[:, 3:20], normal(rng, 17, 30), None, "none", None
    # The largest products there are, all of one sign.
    for left, right in ((127, -127), (-63, -127), (63, 127), (127, 127)):
        yield np.full((3, 999), left, np.float32), np.full((999, 20), right, np.float32), None, "none", None
    # Products of eight numbers that just fit 16 bits in halves of four, and others that just do not.
    for odd in ((2, 2), (3, 2), (2, 3)):
        b = np.zeros((5, 8, 20), np.float32)
        b[:, 0::4], b[:, 1::4] = 127, 2
        b[::2, 1::4] = np.asarray(odd, np.float32)[:, None]
        b[..., 1::2] *= -1
        yield np.full((9, 39), 127, np.float32), b.reshape(40, 20)[:39], None, "none", None
    # Runs of groups whose sums come near the largest of 16 bits, all products being of one sign.
    for top in (20, 40, 64, 90, 127):
        b = rng.integers(1, top + 1, (203, 57)).astype(np.float32)
        b[0], b[:, ::3] = 127, -b[:, ::3]
        yield np.full((5, 203), 127, np.float32), b, None, "none", None
    a = normal(rng, 6, 40)
    a[1, 2], a[2, 4], a[3, 39] = np.nan, np.inf, -np.inf
    a[4] = 0
    for n in (1, 20, 48):
        yield a, normal(rng, 40, n), normal(rng, n), ("none", "relu")[n % 2], None


def _sparse_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Rows with all shares of zeros, whole ones among them, in the order of any row."""
    yield from _gemm_cases(rng)
    shapes = (
        (70, 128, 256),
        (7, 400, 64),
        (4, 48, 33),
        (2, 33, 100),
        (65, 141, 20),
        (5, 300, 1100),
        (4, 60, 4200),
        (3, 200, 2100),
    )
    for i, (m, n, k) in enumerate(shapes):
        for j, share in enumerate((0.0, 0.1, 0.3, 0.6, 1.0)):
            a = np.where(rng.random((m, k)) < share, normal(rng, m, k), np.float32(0))
            a[m // 2 :] = np.abs(a[m // 2 :]) * np.float32(i % 2)
            row = (None, normal(rng, k), np.tile(SPECIAL, k)[:k])[j % 3]
            bias = (None, normal(rng, n), normal(rng, m, n))[i % 3]
            yield a, normal(rng, k, n), bias, ("none", "relu")[j % 2], row
    a = np.zeros((5, 70), np.float32)
    a[0, 3], a[1, 69], a[2, 64], a[3, 0], a[4, :] = np.nan, np.inf, -0.0, 1e-40, -0.0
    yield a, normal(rng, 70, 130), normal(rng, 130), "relu", normal(rng, 70)


_SUMS = reduction(lambda a, *_: a.shape[1], _bf16_scale)

KERNELS = (
    KernelSpec("quantize_rows_u8", _quantize_rows, quantize_rows_u8, EXACT, _row_cases),
    KernelSpec(
        "measure_rows_u8",
        _measure_rows,
        measure_rows_u8,
        reduction(lambda x, _: x.shape[1], _measure_scale),
        _measured_row_cases,
    ),
    KernelSpec("gemm_u8s8", _gemm_u8s8, gemm_u8s8, EXACT, _gemm_cases),
    KernelSpec("gemm_sparse_u8s8", _gemm_u8s8, gemm_u8s8, EXACT, _sparse_cases),
    KernelSpec("round_rows_bf16", _round_rows, round_rows_bf16, EXACT, _bf16_row_cases),
    KernelSpec("gemm_bf16", _gemm_bf16, gemm_bf16, _SUMS, _gemm_cases),
    KernelSpec("gemm_sparse_bf16", _gemm_bf16, gemm_bf16, _SUMS, _sparse_cases),
)
