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

from pyrec_infer.extension import native
from pyrec_infer.ops.fused_quantized import COLUMN_LEVELS, quantize
from pyrec_infer.passes.finish.screen_layers import ScreenedLayer

Floats64 = NDArray[np.float64]
Sum: TypeAlias = Floats64
"""A sum of what is known of an item: the factors of 1, of the size of its score's sum, and of what was
measured of its row at each layer in int8. None is negative, so double precision loses a share alone."""

MEASURES = 3
"""What is measured of an item's row at a layer in int8: its scale, its length as it is rounded, and the
length of what rounding takes from it."""

_UNIT = 2.0**-24
_LEAST = 2.0**-125
"""More than float32 loses where a result is too small for it, or is taken for zero."""

_LOST_OF_STEP = 2.0**-13
"""More than float32's own rounding adds to what rounding to a whole number leaves of a number, in steps."""

_TINY_ROW = 2.0**-100
"""Rows whose numbers are all below it become zeros."""

_LARGEST_GATE = 2.0**19
"""Gates and weights below it make no tiny number large: three gates and a weight multiply one."""

_LOST_BY_GATES = 2.0**-42
"""More than gates make of what is lost where a number of a row is too small."""

_LOST_OF_GATES = 2.0**-41
"""More than is lost of a number of what `measure_gates` measures."""

_LOST_OF_WEIGHTS = 2.0**-148
"""More than is lost of half a weight that is too small."""

_LOST_OF_PRODUCTS = 2.0**-36
"""Share of lengths that double precision loses in products of matrices, and more."""

_SLACK = 1 + 2.0**-30
"""More than double precision loses in norms, and in the few sums that follow."""

_SINGLE_SLACK = 1 + 2.0**-16
"""More than float32 loses of a bound's few products and of their sum, as a share."""

_SINGLE_LEAST = 2.0**-120
"""More than it loses where products are too small."""

_LOST_OF_REACH = 2.0**-22
"""Share of a sum of float32 that is lost where its bound is added to it, and more."""


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
class NarrowErrors:
    """Bounds for a layer in int8 beside the same one in float32.

    Attributes
    ----------
    moved : Sum
        Of the distance of its result before the activation from that of exact arithmetic on the exact input.
    exact : Sum
        Of that of float32's result.
    norm : Sum
        Of its result's length.
    input : Sum
        Of its input's.
    """

    moved: Sum
    exact: Sum
    norm: Sum
    input: Sum

    @property
    def total(self) -> Sum:
        """Of the distance between both results."""
        return self.moved + self.exact


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

    def narrow(self, error: Sum, measured: Sequence[Sum], one: Sum) -> NarrowErrors:
        """What int8 does to the result, from a bound of the input's error and its measures."""
        scale, length, rounding = measured
        assert self.rounding is not None
        inexact = sum_error(self.features)
        root = np.sqrt(self.features)
        left = rounding * (1 + inexact) + root * (scale * _LOST_OF_STEP + _TINY_ROW * one)
        rounded = length * (1 + inexact)
        exactly = rounded + left
        made = rounded * (self.norm + self.rounding)
        bias, least = self.bias * one, self.least * one
        exact = inexact * (bias + self.length * (exactly + error))
        own = 6 * _UNIT * (made + bias)
        moved = self.norm * (error + left) + self.rounding * rounded + own
        return NarrowErrors(moved, exact + least, made + bias + own + least, exactly)

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


@dataclass(frozen=True)
class HalvedBound:
    """The constants of a last layer w behind a layer x W + b in int8 with a ReLU whose halves are made apart.

    Attributes
    ----------
    hidden, last : LayerBound
        Of W and of w.
    through : float
        |W w|.
    """

    hidden: LayerBound
    last: LayerBound
    through: float

    @classmethod
    def of(cls, hidden: ScreenedLayer, last: ScreenedLayer) -> HalvedBound:
        """Those of two layers."""
        bounds = LayerBound.of(hidden), LayerBound.of(last)
        both = hidden.weights.astype(np.float64) @ last.weights.astype(np.float64)
        lost = bounds[0].length * bounds[1].length * _LOST_OF_PRODUCTS
        return cls(*bounds, (float(np.linalg.norm(both)) + lost) * _SLACK)

    def errors(self, before: Sum, made: NarrowErrors, size: Sum, one: Sum) -> Sum:
        """A bound of the error of sums of a size, from those of the layer's input and result."""
        hidden, last = self.hidden, self.last
        inexact, linear = sum_error(last.features), sum_error(hidden.features)
        half = 0.5 * last.length * (hidden.bias * one + hidden.length * made.input)
        moved = 0.5 * (last.length * made.moved + self.through * before)
        sums = 4 * inexact * (size + last.length * (2 * made.norm + made.total))
        lost = np.sqrt(hidden.features) * made.input + np.sqrt(last.features) * made.norm
        least = last.least + (2 * hidden.features + 16) * _LEAST
        own = 2 * (inexact + linear) * half + _LOST_OF_WEIGHTS * lost + least * one
        return np.asarray(moved + last.length * made.exact + sums + own)


@dataclass(frozen=True)
class GatedBound:
    """The constants of a last layer whose row is another layer's after products and sums with others.

    Attributes
    ----------
    features, steps : int
        Of a row, and how many products and sums.
    least : float
        What can be lost where numbers are too small.
    finite : bool
        Whether the layer's weights are small enough for it.
    """

    features: int
    steps: int
    least: float
    finite: bool

    @classmethod
    def of(cls, layer: ScreenedLayer) -> GatedBound:
        """Those of a layer."""
        features = len(layer.weights)
        least = (2 * features + 16) * _LEAST + features * _LOST_BY_GATES
        return cls(features, layer.steps, least, bool(np.linalg.norm(layer.weights) < _LARGEST_GATE))

    def factors(self, times: float) -> tuple[float, float, float, float, float, float, float]:
        """What `native.ScoreBound` makes bounds of, from those of the layer's row and its gates' measures."""
        return (
            sum_error(self.features + 4 * self.steps),
            float(np.sqrt(self.features)) * _LOST_OF_GATES,
            self.features * _LOST_OF_GATES,
            self.least,
            _SLACK * _SINGLE_SLACK * times,
            _LOST_OF_REACH,
            _LARGEST_GATE if self.finite else 0.0,
        )


class ScoreBound:
    """Bounds the error of sums that `screen_layers` makes.

    Parameters
    ----------
    layers : sequence of ScreenedLayer
    times : float
        What bounds are multiplied with: other than 1 they are not those that are proved.

    Attributes
    ----------
    native : native.ScoreBound
        What works them out.
    """

    def __init__(self, layers: Sequence[ScreenedLayer], times: float = 1.0) -> None:
        narrow = sum(layer.narrow for layer in layers)
        one, size, *measured = np.eye(2 + MEASURES * narrow)
        error = norm = largest = 0 * one
        last = layers[-1]
        for layer in layers[:-1]:
            bound, before = LayerBound.of(layer), error
            if layer.narrow:
                made = bound.narrow(error, measured[:MEASURES], one)
                error, norm = made.total, made.norm
                del measured[:MEASURES]
            else:
                error, norm = bound.wide(error, norm, one)
            largest = largest + norm + error
        gated = GatedBound.of(last) if last.steps else None
        if layers[-2].halved:
            error = HalvedBound.of(layers[-2], last).errors(before, made, size, one)
        elif gated is None:
            error = LayerBound.of(last).last(error, norm, size, one)
        error = error * _SLACK
        own = error if gated is not None else (error + _LOST_OF_REACH * size) * times
        self.native = native.ScoreBound(
            _in_single(own),
            _in_single(norm * _SLACK),
            _in_single(largest + size + error),
            None if gated is None else gated.factors(times),
        )

    def errors(
        self, sums: NDArray[np.float32], measures: Sequence[NDArray[np.float32]]
    ) -> NDArray[np.float32]:
        """How far each of the sums can be from that in float32; infinite where that is not known.

        A sum and its error, added up in float32, are no less than what they stand for.

        Parameters
        ----------
        sums : ndarray of float32, shape (N,)
        measures : sequence of ndarray of float32, shape (N, 3)
            One for each layer in int8, and one of the last layer's gates.
        """
        return self.native.errors(sums, measures)


def _in_single(factors: Sum) -> NDArray[np.float32]:
    """The factors of a sum that is added up in float32, which is then no less."""
    made = factors * _SINGLE_SLACK
    made[0] += _SINGLE_LEAST
    with np.errstate(over="ignore"):
        return made.astype(np.float32)


__all__ = ["GatedBound", "LayerBound", "ScoreBound", "sum_error"]
