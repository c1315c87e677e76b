"""Codecs of rows: what they store of every number that matters, and how far off it is."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pyrec_infer.backends.select import available_backends
from pyrec_infer.codecs.bf16 import round_bf16, widen_bf16

try:
    from pyrec_infer import _native
except ImportError:
    _native = None

NATIVE = [name for name in available_backends() if name != "numba"]
ISAS = [*NATIVE, "avx512_emulated"] if "avx512" in NATIVE else NATIVE

EVERY_UPPER_HALF = np.arange(1 << 16, dtype=np.uint32)
SMALLEST_NORMAL, INFINITE, SIGN, QUIET = 0x80, 0x7F80, 0x8000, 0x40


def expected_bf16(bits: NDArray[np.uint32]) -> NDArray[np.uint16]:
    """By cases: the nearest of the two numbers that a float32 lies between, the even one if it is amid."""
    upper, lower = bits >> 16, bits & 0xFFFF
    up = (lower > 0x8000) | ((lower == 0x8000) & (upper % 2 == 1))
    made = np.where(up, upper + 1, upper)
    magnitude = bits & 0x7FFFFFFF
    made = np.where(magnitude < SMALLEST_NORMAL << 16, upper & SIGN, made)
    return np.where(magnitude > INFINITE << 16, upper | QUIET, made).astype(np.uint16)


@pytest.mark.parametrize("lower", [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
def test_bf16_rounds_every_number_to_the_nearest_even(lower: int) -> None:
    """Each bfloat16 number, the middle between it and the next, and the float32 numbers beside both."""
    bits = EVERY_UPPER_HALF << 16 | lower
    numbers, expected = bits.view(np.float32), expected_bf16(bits)
    np.testing.assert_array_equal(round_bf16(numbers), expected)
    for isa in ISAS:
        made = _native.run_kernel(isa, "round_rows_bf16", numbers.reshape(16, -1), None)
        np.testing.assert_array_equal(made.reshape(-1), expected)


def test_bf16_keeps_what_it_holds() -> None:
    halves = EVERY_UPPER_HALF.astype(np.uint16)
    numbers = widen_bf16(halves)
    subnormal = np.abs(numbers) < np.finfo(np.float32).tiny
    held = ~subnormal & ~np.isnan(numbers)
    np.testing.assert_array_equal(round_bf16(numbers[held]), halves[held])
    np.testing.assert_array_equal(round_bf16(numbers[subnormal]), halves[subnormal] & SIGN)
    assert np.isnan(widen_bf16(round_bf16(numbers[np.isnan(numbers)]))).all()


def test_bf16_says_what_infinity_and_zeros_become() -> None:
    values = np.asarray(
        [3.3895314e38, 3.3961775e38, -3.4e38, -0.0, -1.1754942e-38, 1.1754944e-38], np.float32
    )
    made = widen_bf16(round_bf16(values)).tolist()
    assert made == [3.3895313892515355e38, np.inf, -np.inf, 0.0, 0.0, 1.1754943508222875e-38]
    assert np.signbit(made).tolist() == [False, False, True, True, True, False]
