"""Vectors as callers give them, and as records hold them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import as_array
from pyrec_infer.errors import InputError, ShapeError

Metric: TypeAlias = Literal["ip", "cosine", "l2"]

Floats: TypeAlias = NDArray[np.float32]

METRICS: tuple[Metric, ...] = get_args(Metric)

LONGEST = 2.0**60
"""Of a vector: sums of products of shorter ones cannot overflow in float32."""

_BLOCK = 1 << 14
"""Vectors that are read at once, so that what is between stays small."""


def as_vectors(label: str, value: Any, width: int | None = None) -> Floats:
    """A contiguous matrix of float32, a vector in each row.

    Raises
    ------
    ShapeError
        If it is no matrix, or its rows have another width.
    """
    array = as_array(label, value, np.dtype(np.float32))
    rows = "*" if width is None else width
    if array.ndim != 2 or (array.shape[1] != width if width is not None else array.shape[1] == 0):
        raise ShapeError(f"input '{label}': expected vectors of shape [*, {rows}], got {list(array.shape)}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def _squares(label: str, vectors: Floats, first: int) -> NDArray[np.float64]:
    """The square of each vector's length, summed in double precision.

    Raises
    ------
    InputError
        Names the first row with a number that is not finite, or that is too long.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squares: NDArray[np.float64] = np.square(vectors, dtype=np.float64).sum(axis=1)
    good = squares <= LONGEST**2
    if not good.all():
        row = int(np.argmin(good))
        wrong = "shorter than 2**60" if np.isfinite(vectors[row]).all() else "of finite numbers"
        raise InputError(f"input '{label}': expected vectors {wrong} (row {first + row})")
    return squares


@dataclass(frozen=True)
class VectorForm:
    """How the vectors of a metric become products.

    Parameters
    ----------
    metric : str
        ``"ip"``: as they are. ``"cosine"``: divided by their lengths. ``"l2"``: as they are, and each
        item's product begins with minus half of the square of its length.
    width : int
    """

    metric: Metric
    width: int

    @property
    def stride(self) -> int:
        """Bytes of a record: the vector, the number that its products begin with, and its length."""
        return 4 * (self.width + 2)

    @property
    def biased(self) -> bool:
        """Whether products begin with anything but zero."""
        return self.metric == "l2"

    def encode(
        self, label: str, vectors: Floats, chosen: NDArray[np.int64] | None
    ) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Records of the vectors, or of chosen ones, in portions: each with the number of its first."""
        count = len(vectors) if chosen is None else len(chosen)
        for begin in range(0, count, _BLOCK):
            end = min(begin + _BLOCK, count)
            part = vectors[begin:end] if chosen is None else vectors[chosen[begin:end]]
            squares = _squares(label, part, begin)
            records = np.empty((len(part), self.width + 2), np.float32)
            records[:, : self.width] = self._scaled(part, squares)
            records[:, self.width] = -0.5 * squares if self.biased else 0
            records[:, self.width + 1] = np.sqrt(squares)
            yield begin, records.view(np.uint8)

    def check(self, label: str, vectors: Floats) -> None:
        """Refuse vectors that cannot be searched, whatever becomes of them."""
        for begin in range(0, len(vectors), _BLOCK):
            _squares(label, vectors[begin : begin + _BLOCK], begin)

    def queries(self, vectors: Floats) -> Floats:
        """What is multiplied with the items' vectors."""
        return self._scaled(vectors, _squares("queries", vectors, 0))

    def scores(self, queries: Floats, products: Floats) -> Floats:
        """What the caller gets for products, of each query in its row."""
        if self.metric != "l2":
            return products
        squares = _squares("queries", queries, 0).astype(np.float32)
        scores: Floats = np.minimum(2 * products - squares[:, np.newaxis], np.float32(0))
        return scores

    def _scaled(self, vectors: Floats, squares: NDArray[np.float64]) -> Floats:
        if self.metric != "cosine":
            return vectors
        lengths = np.sqrt(squares)[:, np.newaxis]
        # A vector of zeros stays as it is.
        return np.divide(vectors, lengths, where=lengths > 0, out=np.zeros(vectors.shape)).astype(np.float32)


__all__ = ["LONGEST", "METRICS", "Floats", "Metric", "VectorForm", "as_vectors"]
