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
    KernelSpec("max_f32", in_double(np.max), max_f32, EXACT, _cases(1)),
    KernelSpec("min_f32", in_double(np.min), min_f32, EXACT, _cases(1)),
)
