"""How far a score whose last layers run in int8 can be from that in float32; docs/screening.md proves it.

Norms are Euclidean, those of matrices their largest singular value. Everything is computed in double
precision, whose own rounding the factor at the end covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.ops.fused_quantized import COLUMN_LEVELS, quantize
from pyrec_infer.passes.finish.screen_layers import ScreenedLayer

Floats64 = NDArray[np.float64]
Sum: TypeAlias = Floats64
"""A sum of what is known of an item: the factors of 1, of the size of its score's sum, and of the scale and
the length of its row at each layer in int8. None is negative, so double precision loses a share alone."""

_UNIT = 2.0**-24
_LEAST = 2.0**-125
"""More than float32 loses where a result is too small for it, or is taken for zero."""

_HALF_STEP = 0.5 + 2.0**-14
"""What rounding to a whole number leaves of a number, in steps, with float32's own rounding."""

_TINY_ROW = 2.0**-100
"""Rows whose numbers are all below it become zeros."""

_LOST_SQUARE = 2.0**-62
"""The square of a number below it may be zero."""

_LARGEST = 2.0**60
"""Nothing overflows below it."""

_SLACK = 1 + 2.0**-30
"""More than double precision loses in norms, and in the few sums that follow."""


def sum_error(terms: int) -> float:
    """What a sum of so many products in float32 can be wrong by, as a share of the sum of their magnitudes,
    in whatever order they are added, and rounded once or twice.

    Examples
    --------
    >>> 1e-5 < sum_error(100) < 2e-5
    True
    """
    steps = (2 * terms + 16) * _UNIT
    return steps / (1 - steps)


_LARGE = 1024
"""Sizes from which on singular values take seconds."""


def _norm(matrix: Floats64) -> float:
    """The largest singular value, or more."""
    rows, columns = matrix.shape
    if min(rows, columns) > _LARGE:
        sizes = np.abs(matrix)
        return float(np.sqrt(sizes.sum(0).max() * sizes.sum(1).max()))
    gram = matrix @ matrix.T if rows < columns else matrix.T @ matrix
    largest = float(np.linalg.eigvalsh(gram)[-1])
    # The product and the eigenvalue are wrong by a tiny share of the trace, which bounds both.
    return float(np.sqrt(max(largest, 0.0) + 2.0**-35 * float(np.trace(gram))))


@dataclass(frozen=True)
class LayerBound:
    """The constants of a layer x W + b and, in int8, of its rounded weights W'.

    Attributes
    ----------
    features : int
    norm : float
        |W|.
    length : float
        The root of the sum of all squares of W.
    bias : float
        |b|.
    least : float
        What can be lost where numbers are too small.
    rounding : float or None
        |W - W'|; None for a layer in float32.
    """

    features: int
    norm: float
    length: float
    bias: float
    least: float
    rounding: float | None

    @classmethod
    def of(cls, layer: ScreenedLayer) -> LayerBound:
        """Those of a layer."""
        weights = layer.weights.astype(np.float64)
        rounding = None
        if layer.narrow:
            whole, scales = quantize(layer.weights, COLUMN_LEVELS, 0)
            rounding = _norm(weights - whole.astype(np.float64) * scales)
        features, columns = weights.shape
        bias = 0.0
        if layer.bias is not None:
            numbers = layer.bias.astype(np.float64).reshape(-1)
            bias = float(np.linalg.norm(np.broadcast_to(numbers, (columns,))))
        return cls(
            features,
            _norm(weights) * _SLACK,
            float(np.linalg.norm(weights)) * _SLACK,
            bias * _SLACK,
            (2 * features + 16) * float(np.sqrt(columns)) * _LEAST,
            None if rounding is None else rounding * _SLACK,
        )

    def narrow(self, error: Sum, scale: Sum, length: Sum, one: Sum) -> tuple[Sum, Sum]:
        """Bounds of the result's error and of its norm, from that of the input's error."""
        assert self.rounding is not None
        inexact = sum_error(self.features)
        root = np.sqrt(self.features)
        left = root * (scale * _HALF_STEP + _TINY_ROW * one)
        exactly = length * (1 + inexact) + root * _LOST_SQUARE * one
        rounded = exactly + left
        made = rounded * (self.norm + self.rounding)
        bias, least = self.bias * one, self.least * one
        exact = inexact * (bias + self.length * (exactly + error))
        own = 6 * _UNIT * (made + bias)
        total = self.norm * (error + left) + self.rounding * rounded + exact + own + least
        return total, made + bias + own + least

    def wide(self, error: Sum, norm: Sum, one: Sum) -> tuple[Sum, Sum]:
        """The same of a layer in float32."""
        inexact = sum_error(self.features)
        bias, least = self.bias * one, self.least * one
        own = inexact * (2 * bias + self.length * (2 * norm + error)) + least
        return self.norm * error + own, self.norm * norm + bias + own

    def last(self, error: Sum, norm: Sum, size: Sum, one: Sum) -> Sum:
        """A bound of the error of sums of a size, whose bias may be anything that both have."""
        inexact = sum_error(self.features)
        return self.norm * error + inexact * 3 * (size + self.length * (2 * norm + error)) + self.least * one


class ScoreBound:
    """Bounds the error of sums that `screen_layers` makes.

    Parameters
    ----------
    layers : sequence of ScreenedLayer
    """

    def __init__(self, layers: Sequence[ScreenedLayer]) -> None:
        narrow = sum(layer.narrow for layer in layers)
        one, size, *measured = np.eye(2 + 2 * narrow)
        own = iter(zip(measured[::2], measured[1::2], strict=True))
        error = norm = largest = 0 * one
        for layer in layers[:-1]:
            bound = LayerBound.of(layer)
            if layer.narrow:
                error, norm = bound.narrow(error, *next(own), one)
            else:
                error, norm = bound.wide(error, norm, one)
            largest = largest + norm + error
        self._error = LayerBound.of(layers[-1]).last(error, norm, size, one) * _SLACK
        self._largest = largest + size + self._error

    def errors(self, sums: NDArray[np.float32], measures: Sequence[NDArray[np.float32]]) -> Floats64:
        """How far each of the sums can be from that in float32; infinite where that is not known.

        Parameters
        ----------
        sums : ndarray of float32, shape (N,)
        measures : sequence of ndarray of float32, shape (N, 2)
            One for each layer in int8.
        """
        columns = [np.abs(sums), *(column for each in measures for column in each.T)]
        error, largest = (np.full(len(sums), numbers[0]) for numbers in (self._error, self._largest))
        with np.errstate(all="ignore"):
            for column, least, most in zip(columns, self._error[1:], self._largest[1:], strict=True):
                values = column.astype(np.float64)
                error += least * values
                largest += most * values
            # Of NaN nothing is known either.
            return np.where(largest < _LARGEST, error, np.inf)


__all__ = ["LayerBound", "ScoreBound", "sum_error"]
