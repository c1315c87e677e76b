"""Conversion between binary16, held as uint16, and float32.

Numba has no float16 on CPUs, and NumPy's conversion is vectorised: the fallback is NumPy's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.spec import EXACT, LENGTHS, SPECIAL, Array, KernelSpec, normal, shifted


def half_to_f32(x: Array) -> Array:
    """The float32 values of binary16 bits."""
    return x.view(np.float16).astype(np.float32)


def f32_to_half(x: Array) -> Array:
    """The bits of float32 values rounded to binary16."""
    with np.errstate(all="ignore"):
        return x.astype(np.float16).view(np.uint16)


def _half_value(x: Array) -> Array:
    """By the definition of the format."""
    bits = x.astype(np.int64)
    exponent, mantissa = (bits >> 10) & 31, bits & 1023
    value = np.ldexp(np.where(exponent > 0, mantissa + 1024.0, mantissa), np.maximum(exponent, 1) - 25)
    value = np.where(exponent == 31, np.where(mantissa == 0, np.inf, np.nan), value)
    return np.asarray(np.where(bits >> 15 == 1, -value, value))


def _nearest_half(x: Array) -> Array:
    """The nearest of all binary16 values, the even one of two; NaN becomes the quiet NaN of its sign."""
    finite = _half_value(np.arange(0x7C01, dtype=np.uint16))
    finite[-1] = 65536.0  # where infinity would be if it were finite
    magnitude = np.abs(x.astype(np.float64))
    above = np.clip(np.searchsorted(finite, magnitude), 1, 0x7C00)
    low, high = magnitude - finite[above - 1], finite[above] - magnitude
    nearest = np.where((low < high) | ((low == high) & (above % 2 == 1)), above - 1, above)
    nearest = np.where(np.isnan(x), 0x7E00, nearest)
    return np.asarray(nearest + np.where(np.signbit(x), 0x8000, 0))


def _half_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    yield (shifted(np.arange(65536, dtype=np.uint16)),)
    for n in LENGTHS:
        yield (shifted(rng.integers(0, 0x7C00, n, np.uint16)),)


def _float_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    values = _half_value(np.arange(0x7C00, dtype=np.uint16))
    ties = ((values[:-1] + values[1:]) / 2).astype(np.float32)
    yield (shifted(values.astype(np.float32)),)
    for x in (ties, np.nextafter(ties, np.float32(0)), np.nextafter(ties, np.float32(np.inf)), SPECIAL):
        yield (shifted(x),)
        yield (shifted(-x),)
    yield (np.array([65504, 65519.996, 65520, 65536, 1e9], np.float32),)
    for n in LENGTHS:
        yield (normal(rng, n, scale=100.0),)


KERNELS = (
    KernelSpec("half_to_f32", _half_value, half_to_f32, EXACT, _half_cases),
    KernelSpec("f32_to_half", _nearest_half, f32_to_half, EXACT, _float_cases),
)
