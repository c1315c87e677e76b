"""What is added to scores, and what they are multiplied by, before they are compared."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import as_array
from pyrec_infer.errors import InputError, ShapeError
from pyrec_infer.top_k import Adjustment


def read_boosts(boost: Any, scale: Any, total: int, requests: int | None) -> Adjustment | None:
    """The arguments of a call on so many items and requests: ``score * scale + boost``; where requests are
    None, each item is of one.

    Raises
    ------
    ShapeError
        If there is not a number for each item, or for each request and item; `InputError` if one is NaN, or
        ``scale`` is not finite.
    """
    if boost is None and scale is None:
        return None
    return Adjustment(_read("scale", scale, total, requests), _read("boost", boost, total, requests))


def _read(label: str, given: Any, total: int, requests: int | None) -> NDArray[np.float32] | None:
    if given is None:
        return None
    exact = as_array(label, given, np.dtype(np.float32))
    numbers = exact
    if exact.dtype != np.float32:
        with np.errstate(over="ignore"):
            numbers = exact.astype(np.float32)
    if numbers.shape != (total,) and (requests is None or numbers.shape != (requests, total)):
        raise ShapeError(f"{label}: expected shape [{total}], got {list(numbers.shape)}")
    if np.isfinite(numbers).all():
        return numbers
    # What float32 does not hold would be as good as all else that it does not hold.
    beyond = np.isinf(numbers) & ~np.isinf(exact)
    for bad, expected in (
        (np.isnan(numbers), "finite numbers" if label == "scale" else "numbers, not NaN"),
        (np.isinf(numbers) & (label == "scale"), "finite numbers"),
        (beyond, "numbers that float32 holds"),
    ):
        if bad.any():
            raise InputError(f"{label}: expected {expected} (row {int(np.argwhere(bad)[0][-1])})")
    return numbers


__all__ = ["read_boosts"]
