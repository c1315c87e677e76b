"""How far a score whose last layers run in int8 can be from that in float32; docs/screening.md proves it.

Norms are Euclidean, those of matrices their largest singular value. Everything is computed in double
precision, whose own rounding the factor at the end covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.ops.fused_quantized import COLUMN_LEVELS, quantize
from pyrec_infer.passes.finish.screen_layers import ScreenedLayer

Floats64 = NDArray[np.float64]

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

    def narrow(self, error: Floats64, measures: NDArray[np.float32]) -> tuple[Floats64, Floats64]:
        """Bounds of the result's error and of its norm, from that of the input's error."""
        assert self.rounding is not None
        inexact = sum_error(self.features)
        scale, length = measures.astype(np.float64).T
        root = np.sqrt(self.features)
        left = root * (scale * _HALF_STEP + _TINY_ROW)
        exactly = length * (1 + inexact) + root * _LOST_SQUARE
        rounded = exactly + left
        made = rounded * (self.norm + self.rounding)
        exact = inexact * (self.bias + self.length * (exactly + error))
        own = 6 * _UNIT * (made + self.bias)
        total = self.norm * (error + left) + self.rounding * rounded + exact + own + self.least
        return total, made + self.bias + own + self.least

    def wide(self, error: Floats64, norm: Floats64) -> tuple[Floats64, Floats64]:
        """The same of a layer in float32."""
        inexact = sum_error(self.features)
        own = inexact * (2 * self.bias + self.length * (2 * norm + error)) + self.least
        return self.norm * error + own, self.norm * norm + self.bias + own

    def last(self, error: Floats64, norm: Floats64, sums: Floats64) -> Floats64:
        """A bound of the error of the sums, whose bias may be anything that both have."""
        inexact = sum_error(self.features)
        return self.norm * error + inexact * 3 * (sums + self.length * (2 * norm + error)) + self.least


class ScoreBound:
    """Bounds the error of sums that `screen_layers` makes.

    Parameters
    ----------
    layers : sequence of ScreenedLayer
    """

    def __init__(self, layers: Sequence[ScreenedLayer]) -> None:
        self._layers = [LayerBound.of(layer) for layer in layers]

    def errors(self, sums: NDArray[np.float32], measures: Sequence[NDArray[np.float32]]) -> Floats64:
        """How far each of the sums can be from that in float32; infinite where that is not known.

        Parameters
        ----------
        sums : ndarray of float32, shape (N,)
        measures : sequence of ndarray of float32, shape (N, 2)
            One for each layer in int8.
        """
        error = np.zeros(len(sums))
        norm = largest = error
        own = iter(measures)
        with np.errstate(all="ignore"):
            for layer in self._layers[:-1]:
                if layer.rounding is None:
                    error, norm = layer.wide(error, norm)
                else:
                    error, norm = layer.narrow(error, next(own))
                largest = largest + norm + error
            size = np.abs(sums.astype(np.float64))
            error = self._layers[-1].last(error, norm, size)
            known = largest + size + error < _LARGEST
        return np.where(known, error * _SLACK, np.inf)


__all__ = ["LayerBound", "ScoreBound", "sum_error"]
