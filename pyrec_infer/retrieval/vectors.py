"""Vectors as callers give them, and as records hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import as_array, regular
from pyrec_infer.codecs.bf16 import round_bf16, widen_bf16
from pyrec_infer.errors import InputError, ShapeError
from pyrec_infer.extension import compiled, native
from pyrec_infer.ir import Array
from pyrec_infer.store import Rows64, StoreView

Metric: TypeAlias = Literal["ip", "cosine", "l2"]

Floats: TypeAlias = NDArray[np.float32]

Doubles: TypeAlias = NDArray[np.float64]

METRICS: tuple[Metric, ...] = get_args(Metric)

LONGEST = 2.0**60
"""Of a vector: sums of products of shorter ones cannot overflow in float32."""

_SURELY = LONGEST**2 / 2
"""Vectors whose squares have a sum below it are shorter, in whatever order they are summed."""

_F32 = np.dtype(np.float32)

_MOST_CODE = 64

_MOST_COARSE = 7
"""Coarse codes are -7 to 7; with 8 added they take four bits."""

_CUT = np.float32(0.36)
"""Of the root of the mean square of a vector's numbers: the scale that leaves least of Gaussian ones."""

_GROUP = 8
"""Codes that are multiplied at once: of each vector there are whole groups, padded with zeros. Coarse ones
are two in a byte, in whole groups of bytes."""

_BLOCK = 1 << 12
"""Vectors that are read at once, so that what is between stays small."""


def as_vectors(label: str, value: Any, width: int | None = None) -> Floats:
    """A contiguous matrix of float32, a vector in each row.

    Raises
    ------
    ShapeError
        If it is no matrix, or its rows have another width.
    """
    if type(value) is np.ndarray and value.dtype == _F32 and value.ndim == 2 and value.shape[1] == width:
        flags = value.flags
        if flags.c_contiguous and flags.aligned:
            return value
    array = as_array(label, value, _F32)
    rows = "*" if width is None else width
    if array.ndim != 2 or (array.shape[1] != width if width is not None else array.shape[1] == 0):
        raise ShapeError(f"input '{label}': expected vectors of shape [*, {rows}], got {list(array.shape)}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def one_or_more(queries: ArrayLike) -> Array:
    """Queries as they are given; one vector is a query alone."""
    if type(queries) is np.ndarray and queries.ndim == 2:
        return queries
    given = regular("input 'queries'", queries)
    return given[np.newaxis] if given.ndim == 1 else given


def _squares(label: str, vectors: Floats, first: int) -> Doubles:
    """The square of each vector's length, summed in double precision.

    Raises
    ------
    InputError
        Names the first row with a number that is not finite, or that is too long.
    """
    extension = compiled()
    if extension is not None:
        squares: Doubles = extension.squares_of_vectors(vectors)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.square(vectors, dtype=np.float64).sum(axis=1)
    good = squares <= LONGEST**2
    if not good.all():
        row = int(np.argmin(good))
        wrong = "shorter than 2**60" if np.isfinite(vectors[row]).all() else "of finite numbers"
        raise InputError(f"input '{label}': expected vectors {wrong} (row {first + row})")
    return squares


def _are_short(vectors: Floats) -> bool:
    """Whether vectors are surely shorter than `LONGEST`, and so finite."""
    if native is not None:
        return native.are_shorter(vectors, _SURELY)
    # A sum of squares is nowhere less than one of them.
    return bool(np.vdot(vectors, vectors) < _SURELY)


def _upward(values: Doubles) -> Floats:
    """Floats that are no less, whatever rounding made of the numbers before."""
    return np.nextafter(values.astype(np.float32), np.float32(np.inf))


def _scaled(vectors: Floats, squares: Doubles) -> Floats:
    """Vectors divided by their lengths; one of zeros stays as it is."""
    lengths = np.sqrt(squares)[:, np.newaxis]
    return np.divide(vectors, lengths, where=lengths > 0, out=np.zeros(vectors.shape)).astype(np.float32)


@dataclass(frozen=True)
class VectorForm:
    """How the vectors of a metric become products, and what a record holds of them.

    Parameters
    ----------
    metric : str
        ``"ip"``: as they are. ``"cosine"``: divided by their lengths. ``"l2"``: as they are, and each
        item's product begins with minus half of the square of its length.
    width : int
    coded : bool
        Whether records have codes of seven bits too.
    first : int
        The number of the first of these parts of records.
    """

    metric: Metric
    width: int
    coded: bool
    first: int = 0

    @property
    def biased(self) -> bool:
        """Whether products begin with anything but zero."""
        return self.metric == "l2"

    @property
    def strides(self) -> list[int]:
        """Bytes of each part of a record: the vector, what is known of it, its codes, its coarse codes."""
        codes = [-(-self.width // of) * _GROUP for of in (_GROUP, 2 * _GROUP)] if self.coded else []
        return [4 * self.width, self._details.itemsize, *codes]

    @property
    def _details(self) -> np.dtype[Any]:
        """The number that products begin with and the vector's length; where there are codes their scale, the
        length of what they leave, minus 64 times their sum, and the first two of the coarse ones, see
        `_encode_coarsely`."""
        fields = [("bias", np.float32), ("norm", np.float32)]
        coded = [("scale", np.float32), ("residual", np.float32), ("start", np.int32)]
        coarse = ("coarse", np.uint32)
        return np.dtype([*fields, *coded, coarse] if self.coded else fields)

    def lengths(self, label: str, vectors: Floats) -> Doubles:
        """The length of each vector; refuses those that cannot be searched."""
        squares = [
            _squares(label, vectors[begin : begin + _BLOCK], begin)
            for begin in range(0, len(vectors), _BLOCK)
        ]
        return np.sqrt(np.concatenate(squares)) if squares else np.empty(0)

    def encode(
        self, label: str, vectors: Floats, chosen: NDArray[np.int64] | None
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Records of vectors that `lengths` has taken, or of chosen ones, in portions: each with the number
        of its first."""
        count, extension = len(vectors) if chosen is None else len(chosen), compiled()
        for begin in range(0, count, _BLOCK):
            end = min(begin + _BLOCK, count)
            part = vectors[begin:end] if chosen is None else vectors[chosen[begin:end]]
            if extension is not None:
                scaled = self.metric == "cosine"
                yield begin, extension.records_of_vectors(part, scaled, self.biased, self.coded)
            else:
                yield begin, self._records(label, part, begin)

    def _records(self, label: str, part: Floats, first: int) -> NDArray[np.uint8]:
        """The records of some vectors; what the extension gives, too, where it is there."""
        ends = np.cumsum([0, *self.strides])
        squares = _squares(label, part, first)
        if self.metric == "cosine":
            part = _scaled(part, squares)
            squares = _squares(label, part, first)
        details = np.zeros(len(part), self._details)
        details["bias"] = -0.5 * squares if self.biased else 0
        details["norm"] = _upward(np.sqrt(squares))
        records = np.zeros((len(part), int(ends[-1])), np.uint8)
        records[:, : ends[1]] = np.ascontiguousarray(part).view(np.uint8)
        if self.coded:
            scale = np.abs(part).max(axis=1) / np.float32(_MOST_CODE)
            codes, details["residual"] = _encode(part, scale, _MOST_CODE)
            details["scale"] = scale
            details["start"] = -_MOST_CODE * codes.sum(axis=1)
            records[:, ends[2] : ends[2] + self.width] = codes.astype(np.int8).view(np.uint8)
            codes, details["coarse"] = _encode_coarsely(part, squares)
            records[:, ends[3] :] = _packed(codes, int(ends[4] - ends[3]))
        records[:, ends[1] : ends[2]] = details.view(np.uint8).reshape(len(part), -1)
        return records

    def stored(self, view: StoreView, rows: Rows64) -> Floats:
        """The vectors of some rows, as products take them; a copy."""
        return view.part(self.first)[rows].view(np.float32)

    def queries(self, vectors: Floats) -> Floats:
        """What is multiplied with the items' vectors."""
        if self.metric != "cosine" and _are_short(vectors):
            return vectors
        squares = _squares("queries", vectors, 0)
        return _scaled(vectors, squares) if self.metric == "cosine" else vectors

    def biases(self, details: NDArray[np.uint8]) -> Floats:
        """What products begin with, of rows of the records' second part."""
        biases: Floats = np.ascontiguousarray(details).view(self._details)["bias"].reshape(-1)
        return biases

    def squares(self, queries: Floats) -> Floats | None:
        """What scores are less than twice the products by; None where they are the products."""
        return _squares("queries", queries, 0).astype(np.float32) if self.metric == "l2" else None

    def scores(self, queries: Floats, products: Floats) -> Floats:
        """What the caller gets for products, of each query in its row."""
        squares = self.squares(queries)
        if squares is None:
            return products
        scores: Floats = np.minimum(2 * products - squares[:, np.newaxis], np.float32(0))
        return scores


def _encode(vectors: Floats, scales: Floats, most: int) -> tuple[Floats, Floats]:
    """Whole numbers of minus ``most`` to ``most`` for each vector, and the length of what they leave."""
    scale = scales[:, np.newaxis]
    ratio = np.divide(vectors, scale, where=scale > 0, out=np.zeros_like(vectors))
    codes: Floats = np.clip(np.rint(ratio), -most, most)
    # Double precision holds the product of a scale and a code.
    left = vectors - scale.astype(np.float64) * codes
    return codes, _upward(np.sqrt(np.square(left).sum(axis=1)))


def _encode_coarsely(vectors: Floats, squares: Doubles) -> tuple[Floats, NDArray[np.uint32]]:
    """Coarse codes of each vector, and in the upper half of a number their scale, in the lower one the length
    of what they leave, both as bfloat16.

    The codes' scale is the one of two that leaves less: that of the largest number, or a smaller one that
    cuts large numbers off.
    """
    whole = np.abs(vectors).max(axis=1) / np.float32(_MOST_COARSE)
    cut = np.minimum(whole, _CUT * np.sqrt(squares / vectors.shape[1]).astype(np.float32))
    halves, other_halves = round_bf16(whole), round_bf16(cut)
    codes, left = _encode(vectors, widen_bf16(halves), _MOST_COARSE)
    other_codes, other_left = _encode(vectors, widen_bf16(other_halves), _MOST_COARSE)
    better = other_left < left
    codes[better], left[better], halves[better] = (
        other_codes[better],
        other_left[better],
        other_halves[better],
    )
    upward = left.view(np.uint32) + np.uint32(0xFFFF) >> np.uint32(16)
    details: NDArray[np.uint32] = halves.astype(np.uint32) << np.uint32(16) | upward
    return codes, details


def _packed(codes: Floats, size: int) -> NDArray[np.uint8]:
    """Coarse codes in so many bytes each: the first half in the lower half of each byte."""
    whole = np.zeros((len(codes), 2 * size), np.uint8)
    whole[:, : codes.shape[1]] = codes + np.float32(_MOST_COARSE + 1)
    return whole[:, :size] + np.uint8(1 << 4) * whole[:, size:]


__all__ = ["LONGEST", "METRICS", "Floats", "Metric", "VectorForm", "as_vectors", "one_or_more"]
