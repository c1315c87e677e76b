"""A column of strings or of numbers, as hashes and vocabularies read it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from pyrec_infer.strings.texts import Texts, joined, of_bytes, of_codes, of_objects, of_variable
from pyrec_infer.strings.viewed import Viewed


@dataclass(frozen=True, eq=False)
class Column:
    """Elements in C order, and the shape that they have.

    Parameters
    ----------
    shape : tuple of int
    texts : list of Texts or Viewed
        Strings, in parts one after another.
    numbers : ndarray, optional
        Numbers or booleans instead, of one axis.
    """

    shape: tuple[int, ...]
    texts: list[Texts | Viewed]
    numbers: NDArray[Any] | None = None

    def joined(self) -> Texts:
        """All strings one after another, each held by itself; borrowed if it is one part that lies so."""
        return joined([part.plain() for part in self.texts])


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
    read, flat = _READERS.get(array.dtype.kind), array.reshape(-1)
    if read is None:
        return Column(array.shape, [], flat)
    return Column(array.shape, [read(flat, math.prod(array.shape[1:]) if array.ndim else 0, names)])


_READERS = {"U": of_codes, "S": of_bytes, "T": of_variable, "O": of_objects}
"""By the kinds of arrays."""


__all__ = ["Column", "column_of"]
