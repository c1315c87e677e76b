"""Masks and ids: two ways to say which items a call is about."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import regular
from pyrec_infer.errors import DTypeError, ShapeError
from pyrec_infer.store import Rows64

Flags = NDArray[np.bool_]

_BOOLEANS = ("bool", "boolean", "torch.bool")
"""What NumPy, pandas, polars, Arrow and torch call their type, in lower case."""


def as_mask(label: str, given: Any, count: int | None = None) -> Flags | None:
    """Booleans along one axis, of ``count`` items; None if what is given are ids.

    Raises
    ------
    ShapeError
        If there is not one for each; `DTypeError` if there are ids among them.
    """
    if type(given) is np.ndarray:
        if given.dtype.kind != "b":
            return None
    elif isinstance(given, (list, tuple)):
        if not given or not isinstance(given[0], (bool, np.bool_)):
            return None
    elif str(getattr(given, "dtype", getattr(given, "type", ""))).lower() not in _BOOLEANS:
        return None
    mask = regular(label, given)
    if mask.dtype.kind != "b":
        if isinstance(given, (list, tuple)):
            raise DTypeError(f"{label}: expected booleans or ids, got some of each")
        return None
    if mask.ndim != 1:
        raise ShapeError(f"{label}: expected one axis of booleans, got shape {list(mask.shape)}")
    if count is not None and len(mask) != count:
        raise ShapeError(f"{label}: expected {count} booleans, one for each item, got {len(mask)}")
    return mask


def marked(count: int, rows: Rows64) -> Flags:
    """Booleans for so many rows, true for these; -1 is none."""
    # What is none marks the place behind the last.
    flags = np.zeros(count + 1, np.bool_)
    flags[rows] = True
    return flags[:count]


def among(rows: Rows64, found: Rows64, count: int) -> Flags:
    """Which of some rows, all less than ``count``, are among others; -1 is none."""
    if (len(rows) + len(found)) * _DEAR < count:
        return np.isin(rows, found[found >= 0])
    flags = np.zeros(count + 1, np.bool_)
    flags[found] = True
    flags[count] = False
    return flags[rows]


def both(left: Flags | None, right: Flags) -> Flags:
    """What two masks say, as far as both do; None says nothing."""
    if left is None:
        return right
    size = min(len(left), len(right))
    return left[:size] & right[:size]


_DEAR = 16
"""Booleans of rows that are set in the time that one row is sorted in."""

__all__ = ["among", "as_mask", "both", "marked"]
