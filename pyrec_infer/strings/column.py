"""A column of strings or of numbers, as hashes and vocabularies read it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pyrec_infer.strings.texts import Texts, of_bytes, of_codes, of_objects


@dataclass(frozen=True, eq=False)
class Column:
    """Elements in C order, and the shape that they have.

    Parameters
    ----------
    shape : tuple of int
    texts : list of Texts
        Strings, in parts one after another.
    numbers : ndarray, optional
        Numbers or booleans instead, of one axis.
    """

    shape: tuple[int, ...]
    texts: list[Texts]
    numbers: NDArray[Any] | None = None


def column_of(array: NDArray[Any], names: bool = False) -> Column:
    """An array of strings of any kind, or of numbers.

    Parameters
    ----------
    names : bool
        See `of_objects`.

    Raises
    ------
    DTypeError
        A string cannot be UTF-8; names the row.
    """
    kind, flat = array.dtype.kind, array.reshape(-1)
    per_row = math.prod(array.shape[1:]) if array.ndim else 0
    if kind == "U":
        return Column(array.shape, [of_codes(flat, per_row, names)])
    if kind == "S":
        return Column(array.shape, [of_bytes(flat, per_row, names)])
    if kind in "OT":
        items = flat.tolist() if kind == "T" else flat
        return Column(array.shape, [of_objects(items, per_row, names)])
    return Column(array.shape, [], flat)


__all__ = ["Column", "column_of"]
