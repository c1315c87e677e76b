"""Items that requests must not get, such as those that they have seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import InputError, ShapeError
from pyrec_infer.extension import native
from pyrec_infer.store import IdType, Keys, Rows64
from pyrec_infer.store.ids import join_keys
from pyrec_infer.top_k import Ranked, ordered, present


class ExcludedRows(NamedTuple):
    """Rows of items that requests must not get.

    Attributes
    ----------
    rows : ndarray of int64
        -1 is none.
    owners : ndarray of int64 or None
        The request of each; None: they are of all requests.
    """

    rows: Rows64
    owners: Rows64 | None

    def most(self, items: Rows64 | None = None) -> int:
        """How many items one request may be denied at most; of the items of some rows, where one may be
        there several times."""
        times = None if items is None else _times(items, self.rows)
        if self.owners is None:
            return len(self.rows) if times is None else int(times.sum())
        return int(np.bincount(self.owners, times, minlength=1).max())

    def taken(self, found: Rows64, requests: Rows64 | None = None) -> NDArray[np.bool_]:
        """Which of the rows that each request has found, shape (B, K), it may have; or which of some rows the
        request of each may have."""
        if self.owners is None:
            return not_among(found, self.rows)
        there = self.rows >= 0
        if not there.all():
            return ExcludedRows(self.rows[there], self.owners[there]).taken(found, requests)
        # A number for each pair of a request and a row.
        span = int(max(found.max(initial=0), self.rows.max(initial=0))) + 1
        if requests is None:
            requests = np.arange(len(found))[:, np.newaxis]
        return not_among(requests * span + found, self.owners * span + self.rows)


def _times(numbers: Rows64, wanted: Rows64) -> Rows64:
    """How often each that is wanted is among some numbers."""
    ordered = np.sort(numbers)
    return ordered.searchsorted(wanted, "right") - ordered.searchsorted(wanted)


def not_among(numbers: Rows64, others: Rows64) -> NDArray[np.bool_]:
    """Which of some numbers are none of the others."""
    if not len(others):
        return np.ones(numbers.shape, np.bool_)
    ordered = np.sort(others)
    different: NDArray[np.bool_] = (
        ordered[np.minimum(ordered.searchsorted(numbers), len(ordered) - 1)] != numbers
    )
    return different


class Excluded(NamedTuple):
    """Ids of items that requests must not get.

    Attributes
    ----------
    keys : Keys
    owners : ndarray of int64 or None
        The request of each key; None: they are of all requests.
    """

    keys: Keys
    owners: Rows64 | None


def read_excluded(id_type: IdType, given: Any, count: int) -> Excluded:
    """Ids of all requests, or of each of ``count``.

    Raises
    ------
    ShapeError
        If there are lists of ids, but not one for each request.
    """
    if not is_by_request(given):
        return Excluded(id_type.known("exclude", given), None)
    each = [
        id_type.known(f"exclude (request {number})", ids)
        for number, ids in enumerate(require_lists("exclude", given, count))
    ]
    if count == 1:
        return Excluded(each[0], None)
    return Excluded(join_keys(each), np.repeat(np.arange(count), [len(keys) for keys in each]))


def require_lists(label: str, given: Any, count: int) -> Sequence[Any]:
    """Lists of ids, of which there has to be one for each request.

    Raises
    ------
    ShapeError
        If there are more or fewer.
    """
    if len(given) != count:
        raise ShapeError(f"{label}: expected a list of ids for each of {count} requests, got {len(given)}")
    lists: Sequence[Any] = given
    return lists


def is_by_request(given: Any) -> bool:
    """Whether there are lists of ids, and not ids."""
    if type(given) is np.ndarray:
        return False
    # A view of memory is a sequence too, one whose elements Python may not be able to make.
    plain = type(given) is list or (isinstance(given, Sequence) and not isinstance(given, memoryview))
    return plain and len(given) > 0 and not any(map(_is_id, given))


def _is_id(item: Any) -> bool:
    if type(item) is np.ndarray:
        return item.ndim == 0
    # What NumPy may not make an array of is no id.
    return not isinstance(item, (list, tuple)) and (isinstance(item, (str, bytes)) or np.ndim(item) == 0)


def one_of(exclude: Any, deny: Any) -> Any:
    """What was given by one of two names.

    Raises
    ------
    InputError
        If it was given by both.
    """
    if exclude is not None and deny is not None:
        raise InputError("deny: expected `exclude` or `deny`, which are the same, got both")
    return deny if exclude is None else exclude


def without(ranked: Ranked, excluded: ExcludedRows, rows: Rows64, k: int) -> Ranked:
    """The first k places of each request that it may have, of at least as many more as it may not.

    Parameters
    ----------
    ranked : Ranked
        Of places.
    excluded : ExcludedRows
    rows : ndarray of int64
        By place.
    k : int
    """
    if native is not None:
        found = native.without(*ranked, rows, excluded.rows, excluded.owners, k)
        return Ranked(*found)
    taken = excluded.taken(rows[ranked.ids]) & present(ranked)
    order = np.argsort(~taken, axis=1, kind="stable")[:, :k]
    return ordered(ranked, order, np.minimum(taken.sum(axis=1), k).astype(np.int64))


def rest_of(ranked: Ranked, excluded: ExcludedRows | None, rows: Rows64, k: int) -> Ranked:
    """The same as `without`, as wide as the longest row; all where nothing is excluded."""
    if excluded is None:
        return ranked
    left = without(ranked, excluded, rows, k)
    width = max(left.counts.tolist(), default=0)
    return Ranked(left.ids[:, :width], left.scores[:, :width], left.counts)


__all__ = [
    "Excluded",
    "ExcludedRows",
    "is_by_request",
    "not_among",
    "one_of",
    "read_excluded",
    "require_lists",
    "rest_of",
    "without",
]
