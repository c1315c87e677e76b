"""The best candidates by their scores: what a call asks for, and what it gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ShapeError
from pyrec_infer.extension import native
from pyrec_infer.ir import Array


class _BestOfOne(NamedTuple):
    ids: Array
    scores: NDArray[np.float32]
    count: int  # type: ignore[assignment]


class _BestOfEach(NamedTuple):
    ids: Array
    scores: NDArray[np.float32]
    counts: NDArray[np.int64]


class _Found:
    """How results were found, which is no part of the tuple that they are."""

    refined: int | None = None
    certified: bool = False

    def found_by(self, refined: int | None) -> Self:
        """The same results, found by so many scores, and shown to be the best of all."""
        made = type(self)(*self)  # type: ignore[misc]
        made.refined, made.certified = refined, True
        return made

    def with_ids(self, ids: Array) -> Self:
        """The same results by other ids."""
        made = type(self)(ids, *self[1:])  # type: ignore[index, call-arg]
        made.refined, made.certified = self.refined, self.certified
        return made


class TopK(_Found, _BestOfOne):
    """The best candidates, best first: a tuple of ids, scores and count that tells how they were found.

    Attributes
    ----------
    ids : ndarray of int64 or of the dtype of the ids that were given, shape (count,)
    scores : ndarray of float32, shape (count,)
    count : int
        Never more than k; fewer if there are fewer candidates.
    refined : int
        How many candidates were scored as the model does: all that may be found, or those alone that a
        search, or cheaper scores with a bound of their error, had left.
    certified : bool
        Whether ids and scores are shown to be those of scoring all.
    """


class Ranked(_Found, _BestOfEach):
    """The best candidates of each of several requests, best first: a tuple of ids, scores and counts.

    Attributes
    ----------
    ids : ndarray of int64 or of the dtype of the ids that were given, shape (B, K)
        K is the number that was asked for, or that of the candidates of the request with most if there
        are fewer. What is beyond a request's count is 0 or an empty string.
    scores : ndarray of float32, shape (B, K)
        Minus infinity beyond a request's count.
    counts : ndarray of int64, shape (B,)
        How many of each row are results.
    refined, certified
        As of `TopK`, of all requests together.
    """


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

    def chosen(self, places: NDArray[np.int64]) -> Adjustment:
        """Of some of the candidates alone."""
        return Adjustment(*(None if each is None else each[..., places] for each in (self.times, self.plus)))

    def flat(self, requests: int, rows: int) -> Adjustment:
        """Of each request's candidates, one request after the other."""
        return Adjustment(
            *(
                None if each is None else np.broadcast_to(each, (requests, rows)).reshape(-1)
                for each in (self.times, self.plus)
            )
        )

    def of(self, scores: NDArray[np.float32], request: int, begin: int) -> NDArray[np.float32]:
        """The adjusted scores of successive candidates of a request."""
        if self.times is None and self.plus is None:
            return scores
        with np.errstate(all="ignore"):
            for operate, values in ((np.multiply, self.times), (np.add, self.plus)):
                if values is not None:
                    own = values[request] if values.ndim == 2 else values
                    scores = operate(scores, own[begin : begin + len(scores)])
        return scores


@dataclass(frozen=True)
class Selection:
    """What a call asks for that wants the best candidates alone.

    Attributes
    ----------
    k : int
    shared : bool
        Whether all candidates are those of each request.
    adjustment : Adjustment
        With a number for each candidate of the call, where they are shared also for each request and
        candidate.
    taken : ndarray of bool, shape (N,), optional
        Which candidates may be found; all by default.
    """

    k: int
    shared: bool = False
    adjustment: Adjustment = Adjustment()
    taken: NDArray[np.bool_] | None = None

    @property
    def plain(self) -> bool:
        """Whether all candidates are compared by their scores as they are."""
        adjustment = self.adjustment
        return adjustment.times is None and adjustment.plus is None and self.taken is None

    def arrays(self) -> tuple[list[Any], int, bool]:
        """What candidates are adjusted and chosen by, contiguous and of one size; this size, and whether it
        is that of all pairs of requests and shared candidates."""
        given = [self.adjustment.times, self.adjustment.plus, self.taken]
        shape = max((values.shape for values in given if values is not None), key=len, default=(0,))
        alike = [
            None if values is None else np.ascontiguousarray(np.broadcast_to(values, shape))
            for values in given
        ]
        return alike, prod(shape), len(shape) == 2

    def best(self, scores: NDArray[np.float32], bounds: Sequence[int]) -> Ranked:
        """The best of the scores of each request, which are ``bounds[b]:bounds[b + 1]``.

        Rows are those of the call; of shared candidates, those of each request.

        Raises
        ------
        ShapeError
            If there is not one score for each candidate.
        """
        if scores.ndim != 1:
            raise ShapeError(
                f"top_k needs one score for each candidate, the output has shape {list(scores.shape)}"
            )
        parts = []
        for request, (begin, end) in enumerate(pairwise(bounds)):
            first = 0 if self.shared else begin
            own = self.adjustment.of(scores[begin:end], request, first)
            if self.taken is None:
                rows = best_rows(own, self.k)
            else:
                kept = np.flatnonzero(self.taken[first : first + len(own)])
                rows = kept[best_rows(own[kept], self.k)]
            parts.append((rows + first, own[rows]))
        return joined(parts)


def best_rows(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Rows of the k best scores, best first.

    Equal scores: the lower row first. NaN comes last.

    Examples
    --------
    >>> best_rows(np.asarray([1, np.nan, 3, 3], np.float32), 4).tolist()
    [2, 3, 0, 1]
    """
    if native is not None:
        return native.top_k(np.ascontiguousarray(scores), k)
    # lexsort is stable, so equal scores keep their order; its last key counts most.
    order = np.lexsort((-scores, np.isnan(scores)))
    return order[:k].astype(np.int64)


def joined(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.float32]]]) -> Ranked:
    """The rows and scores of each request side by side."""
    if len(parts) == 1:
        ((own, values),) = parts
        return Ranked(own[np.newaxis], values[np.newaxis], np.asarray([len(own)], np.int64))
    counts = np.asarray([len(rows) for rows, _ in parts], np.int64)
    width = int(counts.max(initial=0))
    made = Ranked(
        np.zeros((len(parts), width), np.int64), np.full((len(parts), width), -np.inf, np.float32), counts
    )
    for number, (own, values) in enumerate(parts):
        made.ids[number, : len(own)] = own
        made.scores[number, : len(own)] = values
    return made


def present(ranked: Ranked) -> NDArray[np.bool_]:
    """Which places hold a result, shape (B, K)."""
    found: NDArray[np.bool_] = np.arange(ranked.ids.shape[1]) < ranked.counts[:, np.newaxis]
    return found


def ordered(ranked: Ranked, order: NDArray[np.int64], counts: NDArray[np.int64]) -> Ranked:
    """Of each request the results at some places, the first ``counts`` of which count."""
    ids, scores = (np.take_along_axis(each, order, axis=1) for each in (ranked.ids, ranked.scores))
    there = present(Ranked(ids, scores, counts))
    return Ranked(np.where(there, ids, 0), np.where(there, scores, np.float32(-np.inf)), counts)


def named(ranked: Ranked, names: Callable[[NDArray[np.int64]], Array]) -> Ranked:
    """Results with names in the place of their rows."""
    return ranked.with_ids(names_of(ranked, names))


def names_of(ranked: Ranked, names: Callable[[NDArray[np.int64]], Array]) -> Array:
    """The names alone, 0 or an empty string beyond a request's count."""
    shape = ranked.ids.shape
    if ranked.counts.tolist() == [shape[1]] * shape[0]:
        return names(ranked.ids.reshape(-1)).reshape(shape)
    there = present(ranked)
    found = names(ranked.ids[there])
    ids = np.zeros(shape, found.dtype)
    ids[there] = found
    return ids


def only(ranked: Ranked, names: Callable[[NDArray[np.int64]], Array] | None = None) -> TopK:
    """The results of the only request, maybe with names in the place of their rows."""
    count = int(ranked.counts[0])
    ids = ranked.ids[0, :count]
    made = TopK(ids if names is None else names(ids), ranked.scores[0, :count], count)
    made.refined, made.certified = ranked.refined, True
    return made


__all__ = [
    "Adjustment",
    "Ranked",
    "Selection",
    "TopK",
    "best_rows",
    "joined",
    "named",
    "names_of",
    "only",
    "ordered",
    "present",
]
