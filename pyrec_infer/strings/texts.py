"""A column of strings in Arrow's layout, and how one is made of what people keep strings in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.extension import native
from pyrec_infer.strings import fallback

_core: Any = fallback if native is None else native

Bytes = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Texts:
    """Strings: bytes one after another, and where each begins and ends; borrowed where they lie so.

    Parameters
    ----------
    offsets : ndarray of int32 or int64, shape (N + 1,)
        They never decrease and stay inside the bytes.
    data : ndarray of uint8
    places : ndarray of int, optional
        Which string each element is, where strings that occur often are held once.
    missing : ndarray of bool, optional
        Which elements are null; None if all are there.
    """

    offsets: NDArray[Any]
    data: Bytes
    places: NDArray[Any] | None = None
    missing: Flags | None = None

    def __len__(self) -> int:
        return self._count if self.places is None else len(self.places)

    @property
    def _count(self) -> int:
        return len(self.offsets) - 1

    def gone(self) -> Flags:
        """Which elements are missing."""
        return np.zeros(len(self), np.bool_) if self.missing is None else self.missing

    def words(self) -> list[bytes]:
        """The strings that are held, each once."""
        data = self.data.tobytes()
        return [data[a:b] for a, b in pairwise(self.offsets.tolist())]

    def elements(self) -> list[bytes]:
        """All elements; a missing one is empty."""
        words = self.words()
        return words if self.places is None else [words[i] for i in self.places.tolist()]

    def spread(self, of_words: NDArray[Any]) -> NDArray[Any]:
        """What was found for each word, for each element."""
        return of_words if self.places is None else of_words[self.places]

    def plain(self) -> Texts:
        """The same elements, each held by itself."""
        return self if self.places is None else self.take(self.places, self.missing)

    def grouped(self) -> Texts:
        """The same elements, each string that occurs held once where they hold all by themselves."""
        if self.places is not None:
            return self
        firsts, places = _core.group_texts(self.offsets, self.data)
        return replace(self.take(firsts, self.missing), places=places)

    def take(self, places: NDArray[Any], missing: Flags | None) -> Texts:
        """Copies of chosen words."""
        offsets, data = _core.take_texts(self.offsets, self.data, places.astype(np.int64, copy=False))
        return Texts(offsets, data, None, missing)

    def equal(self, text: bytes) -> Flags:
        """Which elements are equal to a text."""
        sizes = np.diff(self.offsets)
        same = sizes == len(text)
        chosen = np.flatnonzero(same)
        wanted = np.frombuffer(text, np.uint8)
        begins = self.offsets[:-1][chosen].astype(np.int64)
        for i, byte in enumerate(wanted.tolist()):
            fits = self.data[begins + i] == byte
            chosen, begins = chosen[fits], begins[fits]
        same[:] = False
        same[chosen] = True
        return np.asarray(self.spread(same))

    @cached_property
    def first_no_utf8(self) -> int:
        """The first word that is not UTF-8, or -1."""
        return int(_core.first_no_utf8(self.offsets, self.data))


def of_plain(items: Any) -> Texts | None:
    """Strings of any plain form along one axis, none of which is missing, as names of things; None for all
    that needs a closer look."""
    if native is None:
        return None
    made = native.texts_of_plain(items)
    return None if made is None else Texts(*made)


def of_objects(items: list[Any] | tuple[Any, ...] | NDArray[Any], per_row: int, names: bool) -> Texts:
    """Strings and bytes of Python; None, NaN and pandas' NA and NaT are missing.

    Parameters
    ----------
    items : list, tuple or ndarray of object, shape (N,)
    per_row : int
        How many make a row, for errors.
    names : bool
        Whether they stand for things: bytes have to be UTF-8, and halves of characters of UTF-16 are
        taken. Else bytes are taken as they are, and halves refused.

    Raises
    ------
    DTypeError
        One is of another type, or cannot be UTF-8; names the row.
    """
    offsets, data, missing = _core.texts_of_objects(items, per_row, names)
    return Texts(offsets, data, None, missing)


def of_codes(array: NDArray[Any], per_row: int, names: bool) -> Texts:
    """An array of one axis and kind U; zeros at the end are no part of a string. See `of_objects`."""
    if not (array.dtype.isnative and array.flags.aligned):
        array = np.array(array, array.dtype.newbyteorder("="))
    return Texts(*_core.texts_of_codes(array, per_row, names))


def of_bytes(array: NDArray[Any], per_row: int, names: bool) -> Texts:
    """An array of one axis and kind S; zeros at the end are no part of a string. See `of_objects`."""
    return Texts(*_core.texts_of_bytes(array, per_row, names))


def of_variable(array: NDArray[Any], per_row: int, names: bool) -> Texts:
    """An array of one axis of NumPy's strings of any length. See `of_objects`."""
    # A string for missing ones is what they are.
    if isinstance(getattr(array.dtype, "na_object", None), str):
        return of_objects(array.tolist(), per_row, names)
    offsets, data, missing = _core.texts_of_variable(array)
    return Texts(offsets, data, None, missing)


def joined(parts: Sequence[Texts]) -> Texts:
    """Parts one after another, each element held by itself; borrowed if it is one part."""
    if len(parts) == 1:
        return parts[0].plain()
    offsets, data, end = [np.zeros(1, np.int64)], [np.empty(0, np.uint8)], 0
    for part in map(Texts.plain, parts):
        first, last = int(part.offsets[0]), int(part.offsets[-1])
        offsets.append(part.offsets[1:].astype(np.int64) + (end - first))
        data.append(part.data[first:last])
        end += last - first
    whole = all(part.missing is None for part in parts)
    missing = None if whole else np.concatenate([part.gone() for part in parts])
    return Texts(np.concatenate(offsets), np.concatenate(data), None, missing)


def of_integers(array: NDArray[Any]) -> Texts:
    """The decimal digits of whole numbers, shape (N,)."""
    if array.dtype.kind == "u":
        return Texts(*_core.texts_of_naturals(np.ascontiguousarray(array, np.uint64)))
    return Texts(*_core.texts_of_integers(np.ascontiguousarray(array, np.int64)))


def of_offsets(offsets: NDArray[Any], data: Bytes, missing: Flags | None) -> Texts | None:
    """Arrow's layout as it is; None if the offsets decrease, or leave the bytes."""
    offsets = offsets if offsets.flags.aligned else offsets.copy()
    return Texts(offsets, data, None, missing) if _core.are_offsets(offsets, len(data)) else None


def of_views(views: Bytes, buffers: Sequence[Bytes], missing: Flags | None) -> Texts | None:
    """Arrow's views, 16 bytes each, and what they look into; None if one looks beside it."""
    made = _core.texts_of_views(views, buffers, missing)
    return None if made is None else Texts(made[0], made[1], None, missing)


def faults_of_views(
    views: Bytes, buffers: Sequence[Bytes], missing: Flags | None, utf8: bool
) -> tuple[bool, int]:
    """Whether a view looks beside its buffers, and the first that is not UTF-8, or -1, where that matters;
    those that are missing are not looked at."""
    found: tuple[bool, int] = _core.faults_of_views(views, buffers, missing, utf8)
    return found


__all__ = [
    "Texts",
    "faults_of_views",
    "joined",
    "of_bytes",
    "of_codes",
    "of_integers",
    "of_objects",
    "of_offsets",
    "of_variable",
    "of_views",
]
