"""What constants and results are held in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

STRING = np.dtype(str)
"""Element type of string tensors; arrays of it have any NumPy ``U`` width, or hold objects."""

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

_ROOMY, _WASTE = 1 << 20, 64


def holds_strings(array: Array) -> bool:
    """Whether an array is a tensor of strings."""
    return array.dtype.kind in "UO"


def is_wasteful(longest: int, count: int, letters: int) -> bool:
    """Whether strings of a fixed width would take far more memory than their letters do."""
    return 4 * longest * count > max(_ROOMY, _WASTE * letters)


def as_array_of_strings(texts: list[str]) -> Array:
    """Strings as an array of a fixed width, or of objects where that would lose a NUL at an end, or take
    far more memory than the strings do."""
    longest = max(map(len, texts), default=0)
    wasteful = is_wasteful(longest, len(texts), sum(map(len, texts)))
    if wasteful or ("\0" in "".join(texts) and any(text.endswith("\0") for text in texts)):
        return np.asarray(texts, object)
    return np.asarray(texts, str) if texts else np.empty(0, "U1")
