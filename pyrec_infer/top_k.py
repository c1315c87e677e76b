"""The best rows of a vector of scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.extension import native
from pyrec_infer.ir import Array


class TopK(NamedTuple):
    """The best candidates, best first.

    Attributes
    ----------
    ids : ndarray of int64 or of the dtype of the ids that were given, shape (count,)
    scores : ndarray of float32, shape (count,)
    count : int
        Never more than k; fewer if there are fewer candidates.
    """

    ids: Array
    scores: NDArray[np.float32]
    count: int  # type: ignore[assignment]


class Ranked(NamedTuple):
    """The best candidates of each of several requests, best first.

    Attributes
    ----------
    ids : ndarray of int64 or of the dtype of the ids that were given, shape (B, K)
        K is the number that was asked for, or that of the candidates of the request with most if there
        are fewer. What is beyond a request's count is 0 or an empty string.
    scores : ndarray of float32, shape (B, K)
        Minus infinity beyond a request's count.
    counts : ndarray of int64, shape (B,)
        How many of each row are results.
    """

    ids: Array
    scores: NDArray[np.float32]
    counts: NDArray[np.int64]


@dataclass(frozen=True)
class Adjustment:
    """What becomes of scores before they are compared: ``score * times + plus`` in float32.

    Attributes
    ----------
    times, plus : ndarray of float32, shape (N,) or (B, N), or None
        One for each candidate, of every request or of each; None: 1 or 0.
    """

    times: NDArray[np.float32] | None = None
    plus: NDArray[np.float32] | None = None

    def of(self, scores: NDArray[np.float32], request: int, chosen: NDArray[np.int64]) -> NDArray[np.float32]:
        """The adjusted scores of a request's chosen candidates."""
        for operate, values in ((np.multiply, self.times), (np.add, self.plus)):
            if values is not None:
                scores = operate(scores, (values[request] if values.ndim == 2 else values)[chosen])
        return scores


def _select(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    if native is not None:
        return native.top_k(scores, k)
    # lexsort is stable, so equal scores keep their order; its last key counts most.
    order = np.lexsort((-scores, np.isnan(scores)))
    return order[:k].astype(np.int64)


def best_rows(
    scores: NDArray[np.float32], k: int, ids: Array | None, exclude: Array | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of the k best scores, best first, and those scores.

    Equal scores: the lower row first. NaN comes last. Rows whose id is excluded are left out.

    Examples
    --------
    >>> scores = np.asarray([1, np.nan, 3, 3], np.float32)
    >>> best_rows(scores, 4, None, None)[0].tolist()
    [2, 3, 0, 1]
    >>> best_rows(scores, 4, None, np.asarray([2]))[0].tolist()
    [3, 0, 1]
    """
    if exclude is None or exclude.size == 0:
        rows = _select(np.ascontiguousarray(scores), k)
        return rows, scores[rows]
    names = np.arange(len(scores)) if ids is None else ids
    kept = np.flatnonzero(~np.isin(names, exclude))
    rows = kept[_select(np.ascontiguousarray(scores[kept]), k)]
    return rows, scores[rows]


def best_of_each(
    scores: NDArray[np.float32], bounds: Sequence[int], k: int, taken: NDArray[np.bool_] | None = None
) -> Ranked:
    """Rows of the k best scores of each request, whose scores are ``bounds[b]:bounds[b + 1]``.

    Equal scores: the lower row first. NaN comes last. Rows that are not taken are left out.

    Examples
    --------
    >>> best_of_each(np.asarray([1, 3, 2, 5], np.float32), [0, 3, 4], 2).ids.tolist()
    [[1, 2], [3, 0]]
    """
    parts = []
    for begin, end in pairwise(bounds):
        if taken is None:
            rows = begin + _select(np.ascontiguousarray(scores[begin:end]), k)
        else:
            kept = begin + np.flatnonzero(taken[begin:end])
            rows = kept[_select(scores[kept], k)]
        parts.append((rows, scores[rows]))
    return joined(parts)


def joined(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> Ranked:
    """The rows and scores of each request side by side."""
    counts = np.asarray([len(rows) for rows, _ in parts], np.int64)
    width = int(counts.max(initial=0))
    made = Ranked(
        np.zeros((len(parts), width), np.int64), np.full((len(parts), width), -np.inf, np.float32), counts
    )
    for number, (own, values) in enumerate(parts):
        made.ids[number, : len(own)] = own
        made.scores[number, : len(own)] = values
    return made


def named(ranked: Ranked, names: Callable[[NDArray[np.int64]], Array]) -> Ranked:
    """Results with names in the place of their rows."""
    present = np.arange(ranked.ids.shape[1]) < ranked.counts[:, np.newaxis]
    found = names(ranked.ids[present])
    ids = np.zeros(ranked.ids.shape, found.dtype)
    ids[present] = found
    return ranked._replace(ids=ids)


__all__ = ["Adjustment", "Ranked", "TopK", "best_of_each", "best_rows", "joined", "named"]
