"""What constants and results are held in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

STRING = np.dtype(str)
"""Element type of string tensors. Inside, arrays of it hold objects; callers may give any ``U`` width."""

ELEMENT_TYPES: Mapping[str, np.dtype[Any]] = {
    dtype.name: dtype
    for dtype in (
        *map(np.dtype, (np.bool_, np.float16, np.float32, np.float64)),
        *map(np.dtype, (np.int8, np.int16, np.int32, np.int64)),
        *map(np.dtype, (np.uint8, np.uint16, np.uint32, np.uint64)),
        STRING,
    )
}
"""What tensors may hold, by the name that attributes of nodes call it."""

_ROOMY, _OBJECT = 1 << 20, 64


def holds_strings(array: Array) -> bool:
    """Whether an array is a tensor of strings."""
    return array.dtype.kind in "UO"


def as_texts(texts: Sequence[str] | Array) -> Array:
    """Strings as plans hold them: an array of objects, which shares strings and pads none.

    >>> as_texts(["a", "bc"])
    array(['a', 'bc'], dtype=object)
    """
    return np.asarray(texts, object)


def blank_of(array: Array) -> Any:
    """What stands in a tensor of an array's type where nothing is given: zero, or an empty string."""
    return "" if holds_strings(array) else array.dtype.type(0)


def letters_of(texts: Array) -> int:
    """The letters of strings, of each as many times as it is in the array.

    >>> letters_of(as_texts(["a", "bc", "bc"]))
    5
    """
    return sum(map(len, texts.reshape(-1).tolist()))


def bytes_of(array: Array) -> int:
    """The memory of an array, with the letters of its strings, as many times as they are in it."""
    return array.nbytes + (letters_of(array) if holds_strings(array) else 0)


def is_wasteful(longest: int, count: int, letters: int) -> bool:
    """Whether strings of a fixed width would take far more memory than they do as objects."""
    return 4 * longest * count > max(_ROOMY, _OBJECT * count + 2 * letters)


def as_array_of_strings(texts: list[str]) -> Array:
    """Strings for a caller: an array of a fixed width, or of objects where that would lose a NUL at an end,
    or take far more memory than the strings do."""
    longest = max(map(len, texts), default=0)
    wasteful = 4 * longest * len(texts) > _ROOMY and is_wasteful(
        longest, len(texts), sum(map(len, {id(text): text for text in texts}.values()))
    )
    if wasteful or ("\0" in "".join(texts) and any(text.endswith("\0") for text in texts)):
        return np.asarray(texts, object)
    return np.asarray(texts, str) if texts else np.empty(0, "U1")
