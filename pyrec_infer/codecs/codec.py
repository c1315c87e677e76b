"""What there is to say of a codec: how it stores rows of numbers, and how far off what it stores is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import InputError

Rows = NDArray[np.float32]
"""A matrix, a row for each item."""

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Codec:
    """How a table holds the float32 numbers of its rows.

    Attributes
    ----------
    name : str
        In plans, and on the native side.
    precision : str
        Of the catalogues whose wide values it stores.
    row_bytes : callable
        Bytes of a row of so many numbers.
    element : numpy.dtype, optional
        Where a row is nothing but an element for each number, their type: rows side by side are then a
        longer row.
    encode : callable
        From rows [N, D] to their bytes [N, row_bytes(D)]. Raises `OutOfRangeError` for a finite number that
        it refuses.
    decode : callable
        From bytes [N, row_bytes(D) and more] and D to rows. It is what the interpreter and the Numba
        backend run.
    bound : callable
        How far the numbers that are stored of rows may be from them, in float64; what is not finite stays
        as it is, or makes its row NaN.
    oracle : callable
        What the bytes of one row stand for by the definition of the format, in float64, from them and D.
    """

    name: str
    precision: str
    row_bytes: Callable[[int], int]
    element: np.dtype[Any] | None
    encode: Callable[[Rows], Bytes]
    decode: Callable[[Bytes, int], Rows]
    bound: Callable[[Rows], NDArray[np.float64]]
    oracle: Callable[[bytes, int], NDArray[np.float64]]


class OutOfRangeError(InputError):
    """A number is finite, but beyond those that a codec has; the first of the rows that are encoded.

    Parameters
    ----------
    row, column : int
        Where it is.
    expected : str
        The numbers that the codec has.
    """

    def __init__(self, row: int, column: int, expected: str) -> None:
        super().__init__(f"expected {expected}, got one beyond them in column {column} (row {row})")
        self.row = row
        self.column = column
        self.expected = expected


def bytes_of(elements: NDArray[Any]) -> Bytes:
    """A matrix's elements as bytes."""
    return np.ascontiguousarray(elements).view(np.uint8)


def elements_of(data: Bytes, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The first elements of each row of bytes."""
    return np.ascontiguousarray(data[:, : width * dtype.itemsize]).view(dtype)
