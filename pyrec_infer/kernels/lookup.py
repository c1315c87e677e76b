"""Rows of tables side by side or summed.

A part of a lookup is a table (float32, or bytes), the first byte to read of each row, the rows or None
for all in order, the number of elements and a codec (see `pyrec_infer.codecs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.codecs import CODECS, decode, find_codec
from pyrec_infer.kernels.dense import ACTIVATIONS
from pyrec_infer.kernels.quantized import quantize_rows_u8, round_rows_bf16
from pyrec_infer.kernels.spec import EXACT, Array, KernelSpec, compiled, normal, reduction
from pyrec_infer.kernels.transcendental import sigmoid

Part: TypeAlias = tuple[Array, int, Array | None, int, str]

F32 = np.dtype(np.float32)


@compiled
def _add_loop(numbers: Any, rows: Any, out: Any) -> None:
    for i in range(rows.size):
        for j in range(out.shape[1]):
            out[i, j] += numbers[rows[i], j]


def numbers_of(part: Part, n: int) -> tuple[Array, Array]:
    """A matrix of float32 numbers and the rows of it that make the part."""
    table, offset, rows, width, codec = part
    if rows is not None and table.dtype != F32:
        table, rows = table[rows], None
    return decode(table, offset, width, codec), np.arange(n) if rows is None else rows


def lookup_f32(parts: Sequence[Part], n: int) -> Array:
    """The n rows of all parts side by side; the rows must be in their tables."""
    out = np.zeros((n, sum(part[3] for part in parts)), np.float32)
    begin = 0
    for part in parts:
        numbers, rows = numbers_of(part, n)
        np.take(numbers, rows, axis=0, out=out[:, begin : begin + part[3]], mode="clip")
        begin += part[3]
    return out


def lookup_sum_f32(bias: Array | None, parts: Sequence[Part], n: int, width: int, activation: str) -> Array:
    """``activation(bias + sum of the parts)``, bias a row or a matrix."""
    out = np.zeros((n, width), np.float32)
    if bias is not None:
        out += bias
    for part in parts:
        _add_loop(*numbers_of(part, n), out)
    return out if activation == "none" else ACTIVATIONS[activation](out)


def lookup_sum_bf16(
    bias: Array | None, parts: Sequence[Part], n: int, width: int, activation: str, row: None
) -> Array:
    """The same as rows of `round_rows_bf16`, in no order of their own."""
    return round_rows_bf16(lookup_sum_f32(bias, parts, n, width, activation), row)


def lookup_sum_u8(
    bias: Array | None, parts: Sequence[Part], n: int, width: int, activation: str, row: None
) -> Array:
    """The same as rows of `quantize_rows_u8`, in no order of their own."""
    return quantize_rows_u8(lookup_sum_f32(bias, parts, n, width, activation), row)


def exact_numbers(part: Part, n: int) -> Array:
    """The n rows of a part in float64."""
    table, offset, rows, width, codec = part
    chosen = np.ascontiguousarray(table).view(np.uint8).reshape(len(table), -1)
    chosen = chosen[:n] if rows is None else chosen[rows]
    oracle = find_codec(codec).oracle
    values = [oracle(row[offset:].tobytes(), width) for row in chosen]
    return np.asarray(values, np.float64).reshape(len(chosen), width)


def _lookup(parts: Sequence[Part], n: int) -> Array:
    return np.concatenate([np.zeros((n, 0)), *(exact_numbers(part, n) for part in parts)], axis=1)


def _lookup_sum(bias: Array | None, parts: Sequence[Part], n: int, width: int, activation: str) -> Array:
    with np.errstate(all="ignore"):
        y = sum((exact_numbers(part, n) for part in parts), np.zeros((n, width))) + (
            0 if bias is None else bias
        )
        if activation == "relu":
            y = np.maximum(y, 0)
        elif activation != "none":
            y = sigmoid(y) if activation == "sigmoid" else np.tanh(y)
    return np.asarray(y)


def _lookup_sum_bf16(
    bias: Array | None, parts: Sequence[Part], n: int, width: int, activation: str, row: None
) -> Array:
    exact = _lookup_sum(bias, parts, n, width, activation).astype(np.float32)
    return round_rows_bf16(exact.reshape(n, width), row)


def _lookup_sum_u8(
    bias: Array | None, parts: Sequence[Part], n: int, width: int, activation: str, row: None
) -> Array:
    exact = _lookup_sum(bias, parts, n, width, activation).astype(np.float32)
    return quantize_rows_u8(exact.reshape(n, width), row)


def _sum_terms(bias: Array | None, parts: Sequence[Part], *_: Any) -> float:
    return len(parts) + 1.0


def _sum_scale(bias: Array | None, parts: Sequence[Part], n: int, width: int, activation: str) -> Array:
    magnitude = sum((np.abs(exact_numbers(part, n)) for part in parts), np.zeros((n, width)))
    return np.asarray(magnitude + (0 if bias is None else np.abs(bias)) + (activation != "none"))


WIDTHS = (0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 33, 48, 100)


def random_table(rng: np.random.Generator, count: int, width: int, codec: str) -> tuple[Array, int]:
    """A table and the offset of a part of this width; f32 as a matrix or as records."""
    offset = 4 * int(rng.integers(0, 3))
    if codec == "matrix":
        return normal(rng, count, offset // 4 + width + 1), offset
    found = find_codec(codec)
    end = offset + found.row_bytes(width)
    data = rng.integers(0, 256, (count, -(-end // 64) * 64 or 64), np.uint8)
    data[:, offset:end] = found.encode(normal(rng, count, width))
    return data, offset


def _part(rng: np.random.Generator, n: int, width: int, codec: str, own: bool = False) -> Part:
    count = max(n, 1) if own else 9 + n % 2
    table, offset = random_table(rng, count, width, codec)
    rows = None if own else rng.integers(0, count, n)
    return table, offset, rows, width, "f32" if codec == "matrix" else codec


KINDS = ("matrix", *CODECS)
"""Of tables: a matrix of float32, or records of a codec."""


def _lookup_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    yield (), 3
    for n in (0, 1, 15, 37):
        for width in WIDTHS:
            parts = [_part(rng, n, width, codec) for codec in KINDS]
            yield tuple(parts), n
        alike = (_part(rng, n, 16, KINDS[i % len(KINDS)]) for i in range(7))
        yield (*alike, _part(rng, n, 5, "matrix", True)), n


def _sum_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for count, n in enumerate((0, 1, 2, 40)):
        for i, width in enumerate((*WIDTHS, 129, 300)):
            parts = tuple(_part(rng, n, width, KINDS[(i + j) % len(KINDS)]) for j in range(count))
            bias = (None, normal(rng, width), normal(rng, n, width + 2)[:, :width])[(i + n) % 3]
            yield bias, parts, n, width, ("none", "relu", "sigmoid", "tanh")[i % 4]
    part = _part(rng, 6, 20, "matrix", True)
    part[0][2, 3:7] = np.nan, np.inf, -np.inf, -0.0
    yield None, (part,), 6, 20, "relu"
    yield None, (part, part), 6, 20, "none"


def _exact_sum_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Sums that float32 holds exactly and bfloat16 does not."""
    for bias, parts, n, width, activation in _sum_cases(rng):
        whole: list[Part] = []
        for table, offset, rows, size, codec in parts:
            found, made = find_codec(codec), np.zeros_like(table)
            if found.element is None:
                continue
            numbers = rng.integers(-64, 64, (len(table), size)).astype(np.float32)
            if table.dtype == F32:
                made[:, offset // 4 : offset // 4 + size] = numbers / 128
            else:
                made[:, offset : offset + found.row_bytes(size)] = found.encode(numbers)
            whole.append((made, offset, rows, size, codec))
        exact = None if bias is None else np.round(bias * 64) / 64 + np.float32(0)  # no minus zero
        yield exact, tuple(whole), n, width, "relu" if activation == "relu" else "none", None


KERNELS = (
    KernelSpec("lookup_f32", _lookup, lookup_f32, EXACT, _lookup_cases),
    KernelSpec("lookup_sum_f32", _lookup_sum, lookup_sum_f32, reduction(_sum_terms, _sum_scale), _sum_cases),
    KernelSpec("lookup_sum_bf16", _lookup_sum_bf16, lookup_sum_bf16, EXACT, _exact_sum_cases),
    KernelSpec("lookup_sum_u8", _lookup_sum_u8, lookup_sum_u8, EXACT, _exact_sum_cases),
)
