"""Sparse rows as callers give them: what each user has met, and how much it counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import regular
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, ShapeError
from pyrec_infer.ir import Array

Floats = NDArray[np.float32]
Rows64 = NDArray[np.int64]

MOST_COLUMNS = 2**31 - 1
"""Columns are 32-bit numbers."""


@dataclass(frozen=True, eq=False)
class SparseRows:
    """A matrix of which most numbers are zero; checked.

    Attributes
    ----------
    bounds : ndarray of int64, shape (B + 1,)
        Row b is what lies from ``bounds[b]`` to ``bounds[b + 1]``.
    columns : ndarray of int32
    values : ndarray of float32
    width : int
        The number of columns.
    """

    bounds: Rows64
    columns: NDArray[np.int32]
    values: Floats
    width: int

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def each(self) -> Iterator[tuple[NDArray[np.int32], Floats]]:
        """The columns and values of each row."""
        for begin, end in zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True):
            yield self.columns[begin:end], self.values[begin:end]

    def owners(self) -> Rows64:
        """The row of each value."""
        return np.repeat(np.arange(len(self)), np.diff(self.bounds))

    def with_values(self, values: NDArray[Any]) -> SparseRows:
        """Other values in the same places."""
        return SparseRows(self.bounds, self.columns, values.astype(np.float32), self.width)

    def summed(self) -> SparseRows:
        """The same matrix with each column of a row once, in order."""
        keys = self.owners() * self.width + self.columns
        if (keys[1:] > keys[:-1]).all():
            return self
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
        values = np.add.reduceat(self.values[order].astype(np.float64), starts)
        kept = keys[order[starts]]
        bounds = np.searchsorted(kept, np.arange(len(self) + 1) * self.width).astype(np.int64)
        columns = (kept % self.width).astype(np.int32)
        return SparseRows(bounds, columns, values.astype(np.float32), self.width)

    def transposed(self) -> SparseRows:
        """Columns as rows, each by the order of the rows before."""
        order = np.argsort(self.columns, kind="stable")
        counts = np.bincount(self.columns, minlength=self.width)
        bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = self.owners()[order].astype(np.int32)
        return SparseRows(bounds, rows, self.values[order], len(self))


def read_rows(
    label: str,
    value: Any,
    width: int | None = None,
    count: int | None = None,
    row: str = "user",
    column: str = "item",
) -> SparseRows:
    """Rows as scipy has them: an object with ``indptr``, ``indices``, ``data`` and ``shape``.

    Other sparse matrices of scipy are converted by their own ``tocsr``. Arrays are borrowed where they have
    the right types.

    Parameters
    ----------
    label : str
    value : object
    width : int, optional
        The number of columns that it has to have.
    count : int, optional
        The number of rows that it has to have.
    row, column : str
        What errors say that a row and a column are.

    Raises
    ------
    DTypeError
        If it is nothing of that kind.
    ShapeError
        If its sizes are others, or its parts do not fit together.
    IdRangeError
        If a column is beyond its width; `InputError` if a value is not finite.
    """
    if getattr(value, "format", "csr") != "csr" and callable(getattr(value, "tocsr", None)):
        value = value.tocsr()
    parts = [getattr(value, name, None) for name in ("indptr", "indices", "data", "shape")]
    if any(part is None for part in parts) or getattr(value, "format", "csr") != "csr":
        raise DTypeError(
            f"{label}: expected sparse rows with indptr, indices, data and shape, got {type(value).__name__}"
        )
    rows, columns = _shape(label, parts[3])
    if count is not None and rows != count:
        raise ShapeError(f"{label}: expected {count} rows, one for each {row}, got {rows}")
    if width is not None and columns != width:
        raise ShapeError(f"{label}: expected {width} columns, one for each {column}, got {columns}")
    bounds = _bounds(label, _whole(f"{label}: indptr", parts[0]), rows)
    size = int(bounds[-1])
    indices = _whole(f"{label}: indices", parts[1])
    values = regular(f"{label}: data", parts[2])
    for name, part in (("indices", indices), ("data", values)):
        if part.ndim != 1 or len(part) < size:
            raise ShapeError(f"{label}: {name} has shape {list(part.shape)}, indptr ends at {size}")
    if values.dtype.kind not in "iufb":
        raise DTypeError(f"{label}: data: expected numbers, got {values.dtype}")
    indices, values = indices[:size], values[:size]
    _require_columns(label, indices, columns, bounds)
    with np.errstate(over="ignore"):
        floats = np.ascontiguousarray(values, np.float32)
    good = np.isfinite(floats)
    if not good.all():
        place = _row_of(bounds, int(np.argmin(good)))
        raise InputError(f"{label}: data: expected finite numbers (row {place})")
    return SparseRows(bounds, np.ascontiguousarray(indices, np.int32), floats, columns)


def _shape(label: str, shape: Any) -> tuple[int, int]:
    sizes = _whole(f"{label}: shape", shape)
    if sizes.shape != (2,) or (sizes < 0).any():
        raise ShapeError(f"{label}: expected rows and columns, got shape {sizes.tolist()}")
    rows, columns = (int(size) for size in sizes)
    if columns > MOST_COLUMNS:
        raise ShapeError(f"{label}: expected at most {MOST_COLUMNS} columns, got {columns}")
    return rows, columns


def _whole(label: str, value: Any) -> Array:
    array = regular(label, value)
    if array.dtype.kind not in "iu" and array.size:
        raise DTypeError(f"{label}: expected whole numbers, got {array.dtype}")
    return array


def _bounds(label: str, given: Array, rows: int) -> Rows64:
    if given.shape != (rows + 1,):
        raise ShapeError(f"{label}: indptr: expected {rows + 1} numbers, got shape {list(given.shape)}")
    # Unsigned numbers beyond int64 become negative, and so a decrease.
    bounds = np.ascontiguousarray(given).astype(np.int64, copy=False)
    if bounds[0] != 0 or bool((bounds[1:] < bounds[:-1]).any()):
        raise ShapeError(f"{label}: indptr: expected 0 first and no decrease")
    return bounds


def _require_columns(label: str, indices: Array, columns: int, bounds: Rows64) -> None:
    if not len(indices):
        return
    inside = (indices >= 0) & (indices < columns)
    if not inside.all():
        row = _row_of(bounds, int(np.argmin(inside)))
        raise IdRangeError(f"{label}: indices: expected columns below {columns}", row)


def _row_of(bounds: Rows64, place: int) -> int:
    return int(np.searchsorted(bounds, place, side="right")) - 1


__all__ = ["Floats", "Rows64", "SparseRows", "read_rows"]
