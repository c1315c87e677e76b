"""Transforms of numbers; all compute in float64, and round to the model's type at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from pyrec_infer.features.transforms.transform import NUMBERS, Kind, Transform
from pyrec_infer.passes.common.formulas import log1p
from pyrec_infer.passes.common.writer import Writer


def as_number(writer: Writer, value: str, kind: Kind) -> str:
    """The value in float64."""
    return writer.node("Cast", value, to="float64") if kind == "integer" else value


def finite(label: str, *values: float) -> Iterator[str]:
    if not all(isinstance(value, (int, float)) and math.isfinite(value) for value in values):
        yield f"{label}: expected finite numbers"


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
    low, high : float
    """

    low: float
    high: float
    name = "clip"

    def mistakes(self) -> Iterator[str]:
        if not (isinstance(self.low, (int, float)) and isinstance(self.high, (int, float))):
            yield "low and high: expected numbers"
        elif not self.low <= self.high:
            yield "low: expected a number no higher than high"

    def formula(self, writer: Writer, x: str) -> str:
        raised = writer.node("Max", x, writer.constant(self.low, np.float64))
        return writer.node("Min", raised, writer.constant(self.high, np.float64))


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
        object.__setattr__(self, "boundaries", tuple(self.boundaries))

    def gives(self, kind: Kind) -> Kind:
        return "integer"

    def largest(self, before: int | None) -> int | None:
        return len(self.boundaries)

    def mistakes(self) -> Iterator[str]:
        yield from finite("boundaries", *self.boundaries)
        if any(not a < b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            yield "boundaries: expected numbers in ascending order"

    def formula(self, writer: Writer, x: str) -> str:
        last = writer.constant([-1], np.int64)
        column = writer.node("Unsqueeze", x, last)
        boundaries = writer.constant(self.boundaries, np.float64)
        passed = writer.node("Greater" if self.right else "GreaterOrEqual", column, boundaries)
        counts = writer.node("Cast", passed, to="int64")
        return writer.node("ReduceSum", counts, last, keepdims=0)


__all__ = ["Bucketise", "Clip", "Log1p", "MinMax", "Sign", "Standardise", "as_number", "finite"]
