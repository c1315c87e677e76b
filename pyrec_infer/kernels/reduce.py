"""Reductions of all elements of an array."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.elementwise import in_double
from pyrec_infer.kernels.spec import (
    EXACT,
    LENGTHS,
    SPECIAL,
    Array,
    Cases,
    KernelSpec,
    compiled,
    normal,
    reduction,
    shifted,
)


def _sum_loop(x: Any) -> Any:
    total = np.float32(0)
    for i in range(x.size):
        total += x[i]
    return total


def _sum_squares_loop(x: Any) -> Any:
    total = np.float32(0)
    for i in range(x.size):
        total += x[i] * x[i]
    return total


@compiled
def _row_squares_loop(x: Any, factors: Any, squares: Any) -> None:
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            scaled = x[i, j] * factors[i]
            left = scaled - np.rint(scaled)
            squares[i, 0] += x[i, j] * x[i, j]
            squares[i, 1] += left * left


def _max_loop(x: Any) -> Any:
    largest = x[0]
    for i in range(x.size):
        if x[i] > largest or x[i] != x[i]:
            largest = x[i]
        if largest != largest:
            break
    return largest


def _min_loop(x: Any) -> Any:
    smallest = x[0]
    for i in range(x.size):
        if x[i] < smallest or x[i] != x[i]:
            smallest = x[i]
        if smallest != smallest:
            break
    return smallest


def _reduction(loop: Callable[..., Any]) -> Callable[..., Array]:
    function = compiled(loop)

    def call(x: Array) -> Array:
        return np.asarray(function(np.ascontiguousarray(x).reshape(-1)), dtype=np.float32)

    return call


sum_f32 = _reduction(_sum_loop)
sum_squares_f32 = _reduction(_sum_squares_loop)


def row_squares_f32(x: Array, factors: Array) -> Array:
    """Of each row the sum of squares, and that of what rounding takes from each number times its factor."""
    squares = np.zeros((len(x), 2), np.float32)
    _row_squares_loop(x, factors, squares)
    return squares


max_f32 = _reduction(_max_loop)
min_f32 = _reduction(_min_loop)


def _cases(smallest: int) -> Cases:
    def cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        for n in LENGTHS:
            if n < smallest:
                continue
            x = normal(rng, n)
            yield (x,)
            if 0 < n < 50:
                for value in (np.nan, np.inf, -np.inf):
                    for place in (0, n // 2, n - 1):
                        changed = shifted(x)
                        changed[place] = value
                        yield (changed,)
        yield (shifted(SPECIAL),)

    return cases


def _row_squares(x: Array, factors: Array) -> Array:
    scaled = x.astype(np.float64) * factors[:, None]
    return np.stack([np.square(rows).sum(1) for rows in (x.astype(np.float64), scaled - np.rint(scaled))], 1)


def _row_squares_scale(x: Array, factors: Array) -> Array:
    squares = np.square(x.astype(np.float64)).sum(1)
    # A product's own rounding moves what is left of it.
    rounding = x.shape[1] * (1 + np.abs(x * factors[:, None]).max(1, initial=0))
    return np.stack([squares, rounding], 1)


def _row_squares_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for n in LENGTHS:
        yield normal(rng, 3, n), np.asarray([40.0, 0.3, 0.0], np.float32)
        yield normal(rng, 2, n + 5)[:, 3 : 3 + n], np.asarray([0.7, 12.0], np.float32)
    yield np.asarray([[0.5, -0.5, 1.5, 126.5, 3.0, 0.0, 1e-40]], np.float32), np.ones(1, np.float32)
    yield np.empty((0, 4), np.float32), np.empty(0, np.float32)


KERNELS = (
    KernelSpec(
        "sum_f32",
        in_double(np.sum),
        sum_f32,
        reduction(lambda x: x.size, lambda x: np.abs(x.astype(np.float64)).sum()),
        _cases(0),
    ),
    KernelSpec(
        "sum_squares_f32",
        in_double(lambda x: np.sum(x * x)),
        sum_squares_f32,
        reduction(lambda x: x.size, lambda x: np.square(x.astype(np.float64)).sum()),
        _cases(0),
    ),
    KernelSpec(
        "row_squares_f32",
        _row_squares,
        row_squares_f32,
        reduction(lambda x, _: x.shape[1], _row_squares_scale),
        _row_squares_cases,
    ),
    KernelSpec("max_f32", in_double(np.max), max_f32, EXACT, _cases(1)),
    KernelSpec("min_f32", in_double(np.min), min_f32, EXACT, _cases(1)),
)
