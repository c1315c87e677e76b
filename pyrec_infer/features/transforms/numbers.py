"""Transforms of numbers; all compute in float64, and round to the model's type at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrec_infer.features.transforms.ids import finite
from pyrec_infer.features.transforms.transform import NUMBERS, Kind, Transform, in_order
from pyrec_infer.passes.common.formulas import expm1, log1p
from pyrec_infer.passes.common.writer import Writer


def as_number(writer: Writer, value: str, kind: Kind) -> str:
    """The value in float64."""
    return writer.node("Cast", value, to="float64") if kind == "integer" else value


class _OfNumbers(Transform):
    takes = NUMBERS

    def gives(self, kind: Kind) -> Kind:
        return "number"

    def write(self, writer: Writer, value: str, kind: Kind) -> str:
        return self.formula(writer, as_number(writer, value, kind))

    def formula(self, writer: Writer, x: str) -> str:
        raise NotImplementedError


@dataclass(frozen=True)
class Log1p(_OfNumbers):
    """``log(1 + x)``, exact also where x is small; NaN below -1."""

    name = "log1p"

    def formula(self, writer: Writer, x: str) -> str:
        return log1p(writer, x, np.float64)


@dataclass(frozen=True)
class YeoJohnson(_OfNumbers):
    """``((1 + x)^p - 1) / p`` where x is not negative, ``-((1 - x)^(2 - p) - 1) / (2 - p)`` elsewhere; where
    one of the two divides by 0, the logarithm that it comes close to. scikit-learn's PowerTransformer.

    Parameters
    ----------
    power : float
    """

    power: float
    name = "yeo_johnson"

    def mistakes(self) -> Iterator[str]:
        yield from finite("power", self.power)

    def borders(self) -> Iterator[Any]:
        yield 0.0

    def formula(self, writer: Writer, x: str) -> str:
        size = log1p(writer, writer.node("Abs", x), np.float64)
        above, below = (_power(writer, size, power) for power in (self.power, 2 - self.power))
        known = writer.node("GreaterOrEqual", x, writer.constant(0, np.float64))
        return writer.node("Where", known, above, writer.node("Neg", below))


def _power(writer: Writer, logarithm: str, power: float) -> str:
    """``(exp(power * logarithm) - 1) / power``."""
    if abs(power) < np.finfo(np.float64).eps:
        return logarithm
    factor = writer.constant(power, np.float64)
    grown = expm1(writer, writer.node("Mul", logarithm, factor), np.float64)
    return writer.node("Div", grown, factor)


@dataclass(frozen=True)
class Standardise(_OfNumbers):
    """``(x - mean) / deviation``, as scikit-learn's StandardScaler computes it.

    Parameters
    ----------
    mean, deviation : float
    """

    mean: float
    deviation: float
    name = "standardise"

    def mistakes(self) -> Iterator[str]:
        yield from finite("mean and deviation", self.mean, self.deviation)
        if self.deviation == 0:
            yield "deviation: expected a number other than 0"

    def formula(self, writer: Writer, x: str) -> str:
        centred = writer.node("Sub", x, writer.constant(self.mean, np.float64))
        return writer.node("Div", centred, writer.constant(self.deviation, np.float64))


@dataclass(frozen=True)
class MinMax(_OfNumbers):
    """``(x - low) / (high - low)``; values outside are not clipped.

    Parameters
    ----------
    low, high : float
    """

    low: float
    high: float
    name = "min_max"

    def mistakes(self) -> Iterator[str]:
        yield from finite("low and high", self.low, self.high)
        if not self.low < self.high:
            yield "low: expected a number below high"

    def formula(self, writer: Writer, x: str) -> str:
        above = writer.node("Sub", x, writer.constant(self.low, np.float64))
        return writer.node("Div", above, writer.constant(self.high - self.low, np.float64))


@dataclass(frozen=True)
class Clip(_OfNumbers):
    """At least ``low`` and at most ``high``; NaN stays NaN.

    Parameters
    ----------
    low, high : float, optional
        One of them may be left out.
    """

    low: Any = None
    high: Any = None
    name = "clip"

    def mistakes(self) -> Iterator[str]:
        bounds = [value for value in (self.low, self.high) if value is not None]
        wrong = [*finite("low and high", *bounds)]
        yield from wrong
        if not bounds:
            yield "low and high: expected one of them"
        elif len(bounds) == 2 and not wrong and not self.low <= self.high:
            yield "low: expected a number no higher than high"

    def borders(self) -> Iterator[Any]:
        yield from (self.low, self.high)

    def formula(self, writer: Writer, x: str) -> str:
        if self.low is not None:
            x = writer.node("Max", x, writer.constant(self.low, np.float64))
        return x if self.high is None else writer.node("Min", x, writer.constant(self.high, np.float64))


@dataclass(frozen=True)
class Sign(_OfNumbers):
    """-1, 0 or 1."""

    name = "sign"

    def formula(self, writer: Writer, x: str) -> str:
        return writer.node("Sign", x)


@dataclass(frozen=True)
class Bucketise(_OfNumbers):
    """The number of boundaries at or below x: bucket i is ``boundaries[i - 1] <= x < boundaries[i]``.

    NumPy's ``digitize`` and Keras' ``Discretization`` count in this way. NaN is in bucket 0.

    Parameters
    ----------
    boundaries : sequence of float
        Ascending.
    right : bool
        Whether a bucket holds its upper boundary instead of its lower one, as pandas' ``cut`` has it.
    """

    boundaries: Sequence[float]
    right: bool = False
    name = "bucketise"

    def __post_init__(self) -> None:
        object.__setattr__(self, "boundaries", in_order("boundaries", self.boundaries))

    def gives(self, kind: Kind) -> Kind:
        return "integer"

    def largest(self, before: int | None) -> int | None:
        return len(self.boundaries)

    def mistakes(self) -> Iterator[str]:
        wrong = [*finite("boundaries", *self.boundaries)]
        yield from wrong
        if not wrong and any(not a < b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            yield "boundaries: expected numbers in ascending order"

    def borders(self) -> Iterator[Any]:
        yield from (*self.boundaries[:1], *self.boundaries[-1:])

    def formula(self, writer: Writer, x: str) -> str:
        last = writer.constant([-1], np.int64)
        column = writer.node("Unsqueeze", x, last)
        boundaries = writer.constant(self.boundaries, np.float64)
        passed = writer.node("Greater" if self.right else "GreaterOrEqual", column, boundaries)
        counts = writer.node("Cast", passed, to="int64")
        return writer.node("ReduceSum", counts, last, keepdims=0)


__all__ = ["Bucketise", "Clip", "Log1p", "MinMax", "Sign", "Standardise", "YeoJohnson", "as_number"]
