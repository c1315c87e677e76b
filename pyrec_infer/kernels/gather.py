"""Rows of embedding tables."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.spec import EXACT, Array, KernelSpec, compiled, normal, reduction


@compiled
def _gather_loop(table: Any, rows: Any, out: Any) -> None:
    for i in range(rows.size):
        for j in range(table.shape[1]):
            out[i, j] = table[rows[i], j]


def gather_rows_f32(table: Array, rows: Array) -> Array:
    """``table[rows]``; the rows must be in the table."""
    out = np.empty((rows.size, table.shape[1]), np.float32)
    _gather_loop(table, rows, out)
    return out


@compiled
def _bag_loop(table: Any, rows: Any, weights: Any, out: Any) -> None:
    for i in range(rows.size):
        for j in range(table.shape[1]):
            out[j] += weights[i] * table[rows[i], j]


def bag_sum_f32(table: Array, rows: Array, weights: Array | None) -> Array:
    """Sum of the rows, each times its weight; the rows must be in the table."""
    out = np.zeros(table.shape[1], np.float32)
    weights = np.ones(rows.size, np.float32) if weights is None else weights
    _bag_loop(table, rows, weights, out)
    return out


def _gather_rows(table: Array, rows: Array) -> Array:
    return np.asarray(table.astype(np.float64)[rows])


def _bag_sum(table: Array, rows: Array, weights: Array | None) -> Array:
    factors = np.ones(rows.size) if weights is None else weights.astype(np.float64)
    return np.asarray(factors @ table.astype(np.float64)[rows])


def _bag_scale(table: Array, rows: Array, weights: Array | None) -> Array:
    return _bag_sum(np.abs(table), rows, None if weights is None else np.abs(weights))


WIDTHS = (*range(50), 64, 65, 100, 128, 257)


def _gather_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for width in WIDTHS:
        for n in (0, 1, 15, 40):
            yield normal(rng, 20, width), rng.integers(0, 20, n)
    yield normal(rng, 1, 8), np.zeros(33, np.int64)


def _bag_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for table, rows in _gather_cases(rng):
        yield table, rows, None
        yield table, rows, normal(rng, rows.size)


KERNELS = (
    KernelSpec("gather_rows_f32", _gather_rows, gather_rows_f32, EXACT, _gather_cases),
    KernelSpec(
        "bag_sum_f32",
        _bag_sum,
        bag_sum_f32,
        reduction(lambda _, rows, *__: rows.size, _bag_scale),
        _bag_cases,
    ),
)
