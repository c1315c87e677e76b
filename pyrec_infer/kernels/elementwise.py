"""Functions of one or two elements that are exact or correctly rounded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.spec import (
    EXACT,
    LENGTHS,
    SPECIAL,
    Array,
    Cases,
    KernelSpec,
    normal,
    reduction,
    shifted,
    ufunc,
)

ZERO = np.float32(0)
ONE = np.float32(1)

abs_f32 = ufunc(lambda x: abs(x), 1)
negative_f32 = ufunc(lambda x: -x, 1)
sqrt_f32 = ufunc(lambda x: np.sqrt(x), 1)
reciprocal_f32 = ufunc(lambda x: ONE / x, 1)
floor_f32 = ufunc(lambda x: np.floor(x), 1)
ceil_f32 = ufunc(lambda x: np.ceil(x), 1)
round_f32 = ufunc(lambda x: np.rint(x), 1)
relu_f32 = ufunc(lambda x: ZERO if x < ZERO else x, 1)
add_f32 = ufunc(lambda a, b: a + b, 2)
subtract_f32 = ufunc(lambda a, b: a - b, 2)
multiply_f32 = ufunc(lambda a, b: a * b, 2)
divide_f32 = ufunc(lambda a, b: a / b, 2)
multiply_add_f32 = ufunc(lambda a, b, c: a * b + c, 3)
maximum_f32 = ufunc(lambda a, b: a if a > b or a != a else b, 2)
minimum_f32 = ufunc(lambda a, b: a if a < b or a != a else b, 2)


def in_double(function: Callable[..., Any]) -> Callable[..., Array]:
    """`function` of float32 arrays, computed in float64."""

    def oracle(*arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(function(*(array.astype(np.float64) for array in arrays)))

    return oracle


def unary_cases(scale: float) -> Cases:
    """Every length with values of about `scale`, and the special values."""

    def cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        yield (shifted(SPECIAL),)
        yield (shifted(np.where(np.isnan(SPECIAL), SPECIAL, -SPECIAL)),)
        for n in LENGTHS:
            yield (normal(rng, n, scale=scale),)

    return cases


def binary_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Every length and pairs of special values, each with both operands or one of them repeated."""
    left, right = np.meshgrid(SPECIAL, SPECIAL)
    yield shifted(left.ravel()), shifted(right.ravel())
    for value in SPECIAL:
        yield shifted(SPECIAL), np.array([value])
        yield np.array([value]), shifted(SPECIAL)
    for n in LENGTHS:
        yield normal(rng, n), normal(rng, n)
        yield normal(rng, n), normal(rng, 1)
        yield normal(rng, 1), normal(rng, n)


def _multiply_add_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Every length, with each set of operands repeated; special factors and addends."""
    left, right = np.meshgrid(SPECIAL, SPECIAL)
    yield shifted(left.ravel()), shifted(right.ravel()), normal(rng, left.size)
    # An addend is never of a size with a product that overflows: some instruction sets round twice.
    yield normal(rng, SPECIAL.size), normal(rng, SPECIAL.size), shifted(SPECIAL)
    for n in LENGTHS:
        for repeated in range(8):
            yield tuple(normal(rng, 1 if repeated >> place & 1 else n) for place in range(3))


def _multiply_add_scale(a: Array, b: Array, c: Array) -> Array:
    with np.errstate(all="ignore"):
        scale = np.abs(a.astype(np.float64) * b) + np.abs(c)
    return np.asarray(np.where(np.isfinite(scale), scale, 0))


def _unary(name: str, oracle: Callable[..., Any], fallback: Callable[..., Array]) -> KernelSpec:
    return KernelSpec(name, in_double(oracle), fallback, EXACT, unary_cases(100.0), in_place=True)


def _binary(name: str, oracle: Callable[..., Any], fallback: Callable[..., Array]) -> KernelSpec:
    return KernelSpec(name, in_double(oracle), fallback, EXACT, binary_cases, in_place=True)


KERNELS = (
    _unary("abs_f32", np.abs, abs_f32),
    _unary("negative_f32", np.negative, negative_f32),
    _unary("sqrt_f32", np.sqrt, sqrt_f32),
    _unary("reciprocal_f32", lambda x: 1 / x, reciprocal_f32),
    _unary("floor_f32", np.floor, floor_f32),
    _unary("ceil_f32", np.ceil, ceil_f32),
    _unary("round_f32", np.rint, round_f32),
    _unary("relu_f32", lambda x: np.maximum(x, 0), relu_f32),
    _binary("add_f32", np.add, add_f32),
    _binary("subtract_f32", np.subtract, subtract_f32),
    _binary("multiply_f32", np.multiply, multiply_f32),
    _binary("divide_f32", np.divide, divide_f32),
    KernelSpec(
        "multiply_add_f32",
        in_double(lambda a, b, c: a * b + c),
        multiply_add_f32,
        reduction(lambda *_: 2, _multiply_add_scale),
        _multiply_add_cases,
    ),
    _binary("maximum_f32", np.maximum, maximum_f32),
    _binary("minimum_f32", np.minimum, minimum_f32),
)
