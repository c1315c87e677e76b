"""What the calls of all recommenders have in common: who asks, what is left out, and the form of results."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import regular
from pyrec_infer.candidates.rows import Floats, Rows64, SparseRows, read_rows
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, ShapeError
from pyrec_infer.ir import Array


class Recommended(NamedTuple):
    """Items, or users, and their scores, best first.

    Attributes
    ----------
    ids : ndarray, shape (N,) or (B, N)
        For one that was asked for, as many as there are. For several a row each; where a row has fewer than
        others, what is beyond has the id -1 (an empty string, or the largest unsigned number).
    scores : ndarray of float32, of the same shape
        Minus infinity where there is no result.
    """

    ids: Array
    scores: Floats


@dataclass(frozen=True)
class Numbers:
    """Row numbers of users or items.

    Attributes
    ----------
    rows : ndarray of int64, shape (B,)
    single : bool
        Whether one was given, and no list.
    """

    rows: Rows64
    single: bool


def read_numbers(label: str, value: ArrayLike, count: int) -> Numbers:
    """Row numbers below ``count``, one or several.

    Raises
    ------
    IdRangeError
        Names the first place of one that is not; `DTypeError` if they are no whole numbers.
    """
    given = regular(label, value)
    if given.ndim > 1:
        raise ShapeError(f"{label}: expected one number or one axis of them, got shape {list(given.shape)}")
    if given.dtype.kind not in "iu" and given.size:
        raise DTypeError(f"{label}: expected whole numbers, got {given.dtype}")
    rows = np.atleast_1d(given)
    inside = (rows >= 0) & (rows < count)
    if not inside.all():
        raise IdRangeError(f"{label}: expected numbers of 0 to {count - 1}", int(np.argmin(inside)))
    return Numbers(rows.astype(np.int64), given.ndim == 0)


def read_liked(
    rows: Any,
    count: int,
    width: int,
    needed: bool,
    label: str = "user_items",
    row: str = "user",
    column: str = "item",
) -> SparseRows | None:
    """What each of ``count`` users has met, or who has met each item; None where a call does not look at it.

    Raises
    ------
    InputError
        If it is needed and was not given.
    """
    if not needed:
        return None
    if rows is None:
        raise InputError(f"{label}: expected a row of {column}s for each {row}, got None")
    return read_rows(label, rows, width, count, row, column)


def require_one_filter(left_out: object, alone: object, noun: str = "items") -> None:
    """Refuse a call that says both what is left out and what alone is taken.

    Raises
    ------
    InputError
    """
    if left_out is not None and alone is not None:
        raise InputError(f"filter_{noun}: expected either filter_{noun} or {noun}, got both")


def shaped(
    single: bool, ids: Array, scores: Floats, counts: Sequence[int] | NDArray[np.int64]
) -> Recommended:
    """Results as callers get them, of arrays with a row for each of those who ask."""
    if single:
        count = int(counts[0])
        return Recommended(ids[0, :count], scores[0, :count])
    beyond = np.arange(ids.shape[1]) >= np.asarray(counts, np.int64).reshape(-1, 1)
    nothing: Any = "" if ids.dtype.kind == "U" else np.asarray(-1).astype(ids.dtype)
    return Recommended(
        np.where(beyond, nothing, ids).astype(ids.dtype, copy=False),
        np.where(beyond, np.float32(-np.inf), scores),
    )


def stacked(single: bool, found: Iterable[tuple[Array, Floats]], ids: Array, n: int) -> Recommended:
    """Results of one after the other, given as places among ``ids``."""
    rows = list(found)
    width = min(n, max((len(places) for places, _ in rows), default=0))
    chosen = np.zeros((len(rows), width), np.int64)
    scores = np.zeros((len(rows), width), np.float32)
    for row, (places, values) in enumerate(rows):
        chosen[row, : len(places)], scores[row, : len(places)] = places, values
    named = ids[chosen] if len(ids) else np.zeros(chosen.shape, ids.dtype)
    return shaped(single, named, scores, [len(places) for places, _ in rows])


__all__ = [
    "Numbers",
    "Recommended",
    "read_liked",
    "read_numbers",
    "require_one_filter",
    "shaped",
    "stacked",
]
