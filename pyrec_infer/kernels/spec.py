"""What is known of a kernel besides its native code: its meaning, its fallback and its tests' cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Cases = Callable[[np.random.Generator], Iterator[tuple[Any, ...]]]

EPSILON = float(np.finfo(np.float32).eps)


@dataclass(frozen=True)
class Tolerance:
    """How far a result may be from the oracle's.

    Parameters
    ----------
    family
        ``exact``: the oracle's value rounded to the result's type. ``elementwise``: within `ulps` units of
        the last place. ``reduction``: within ``terms * eps * scale``, where the arguments give both.
    """

    family: str
    ulps: float = 0.0
    terms: Callable[..., float] | None = None
    scale: Callable[..., Any] | None = None

    def bound(self, expected: Array, dtype: np.dtype[Any], arguments: tuple[Any, ...]) -> Any:
        """Largest allowed absolute difference from `expected`, for each element."""
        if self.family == "elementwise":
            rounded = np.abs(expected).astype(dtype)
            return self.ulps * np.spacing(np.where(np.isfinite(rounded), rounded, 0)).astype(np.float64)
        if self.terms is not None and self.scale is not None:
            return (self.terms(*arguments) + 4) * EPSILON * self.scale(*arguments)
        return 0.0

    def violations(self, actual: Array, expected: Array, arguments: tuple[Any, ...]) -> npt.NDArray[np.bool_]:
        """Where `actual` is not the oracle's `expected` result of `arguments`."""
        with np.errstate(all="ignore"):
            rounded = expected.astype(actual.dtype)
            same = (actual == rounded) | ((actual != actual) & (rounded != rounded))
            close = np.abs(actual.astype(np.float64) - expected) <= self.bound(
                expected, actual.dtype, arguments
            )
            wrong: npt.NDArray[np.bool_] = ~(same | (close & np.isfinite(expected)))
        return wrong


EXACT = Tolerance("exact")


def elementwise(ulps: float) -> Tolerance:
    """Within `ulps` units of the last place."""
    return Tolerance("elementwise", ulps=ulps)


def reduction(terms: Callable[..., float], scale: Callable[..., Any]) -> Tolerance:
    """Within ``terms(*arguments) * eps * scale(*arguments)``."""
    return Tolerance("reduction", terms=terms, scale=scale)


@dataclass(frozen=True)
class KernelSpec:
    """One kernel of the native table.

    Parameters
    ----------
    name
        Its field in the table.
    oracle
        The meaning: takes the arguments of ``run_kernel`` and computes in float64.
    fallback
        The same in float32 with Numba, which is imported and compiles at the first call.
    in_place
        The result may be written over the first argument.
    """

    name: str
    oracle: Callable[..., Array]
    fallback: Callable[..., Array]
    tolerance: Tolerance
    cases: Cases
    in_place: bool = False


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A loop for Numba, which compiles it at the first call."""

    @cache
    def build() -> Callable[..., Any]:
        import numba

        loop: Callable[..., Any] = numba.njit(nogil=True, error_model="numpy")(function)
        return loop

    def call(*arguments: Any) -> Any:
        return build()(*arguments)

    return call


def ufunc(function: Callable[..., Any], inputs: int) -> Callable[..., Array]:
    """A broadcasting float32 function from one of scalars, compiled by Numba at the first call."""

    @cache
    def build() -> Callable[..., Any]:
        import numba

        signature = f"float32({', '.join(['float32'] * inputs)})"
        vectorize: Any = numba.vectorize
        vectorized: Callable[..., Any] = vectorize([signature], nopython=True)(function)
        return vectorized

    def call(*arrays: Array) -> Array:
        with np.errstate(all="ignore"):
            return np.asarray(build()(*arrays), dtype=np.float32)

    return call


LENGTHS = (*range(50), 64, 255, 1000, 4099)


def shifted(values: Array) -> Array:
    """A copy whose memory starts one element off any alignment but its own."""
    memory: Array = np.empty(values.size + 64, dtype=values.dtype)
    first = next(i for i in range(64) if memory[i:].ctypes.data % 64 == values.itemsize)
    copy = memory[first : first + values.size].reshape(values.shape)
    copy[...] = values
    return copy


def normal(rng: np.random.Generator, *shape: int, scale: float = 1.0) -> Array:
    """A float32 sample of any alignment."""
    return shifted((rng.standard_normal(shape) * scale).astype(np.float32))


SPECIAL = np.array(
    [
        *(0.0, -0.0, 0.5, -0.5, 1.5, 2.5, -1.5, -2.5, 0.49999997, -0.49999997, 1.0, -1.0, 3.7, -3.7),
        *(np.inf, -np.inf, np.nan, 1e-45, -1e-45, 1.1754942e-38, 1.1754944e-38, -1e-40, 1e-10, -1e-10),
        *(3.4028235e38, -3.4028235e38, 8388607.5, -8388607.5, 8388609.0, 16777217.0, 2e9, -2e9, 1e20),
        *(88.0, 88.72283, 88.72284, 89.0, 104.0, -87.3, -87.4, -88.8, -103.0, -103.9, -104.0, -150.0, 0.625),
        *(0.6249999, 0.925, 0.9249999, 4.0, 3.9999998, -4.0, 0.41421356, 0.70710677, 1.4142135, 20.0, -20.0),
    ],
    dtype=np.float32,
)
