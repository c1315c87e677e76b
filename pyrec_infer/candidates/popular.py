"""What most have met: the source that always has something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyrec_infer.arguments import as_array, as_count
from pyrec_infer.candidates.asked import (
    Recommended,
    read_liked,
    read_numbers,
    require_one_filter,
    stacked,
)
from pyrec_infer.candidates.names import Names
from pyrec_infer.candidates.rows import Floats, Rows64
from pyrec_infer.errors import InputError, ShapeError
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed


class PopularItems:
    """Items by a number that each has: how often it was met, or any other score.

    Parameters
    ----------
    scores : array_like of numbers, shape (N,)
        For example the sums of the columns of a sparse matrix.
    ids : array_like of whole numbers or strings, shape (N,), optional
        All different; 0 to N - 1 by default.

    Raises
    ------
    InputError
        If a number is not finite, or an id occurs twice.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> pi.PopularItems([3, 9, 4], ["a", "b", "c"]).recommend(0, None, N=2, filter_items=["b"]).ids.tolist()
    ['c', 'a']
    """

    @memory_errors_typed
    def __init__(self, scores: ArrayLike, ids: ArrayLike | None = None) -> None:
        given = as_array("scores", scores, np.dtype(np.float64))
        if given.ndim != 1:
            raise ShapeError(f"scores: expected one axis, got shape {list(given.shape)}")
        values = given.astype(np.float64)
        if not np.isfinite(values).all():
            raise InputError(f"scores: expected finite numbers (row {int(np.argmin(np.isfinite(values)))})")
        # Compared before they are rounded to float32, which holds no counts above 2^24 exactly.
        self._order = np.argsort(-values, kind="stable")
        with np.errstate(over="ignore"):
            self._scores = values.astype(np.float32)
        self._names = Names(ids, len(values))

    def __repr__(self) -> str:
        return f"<pyrec_infer.PopularItems items={len(self._names.ids)}>"

    @property
    def ids(self) -> Array:
        """The items' ids, in order."""
        return self._names.ids

    @memory_errors_typed
    def recommend(
        self,
        userid: ArrayLike,
        user_items: Any,
        N: int = 10,
        filter_already_liked_items: bool = True,
        filter_items: ArrayLike | None = None,
        recalculate_user: bool = False,
        items: ArrayLike | None = None,
    ) -> Recommended:
        """The items with the highest numbers, for each user without its own.

        Parameters
        ----------
        userid : int or array_like of int, shape (B,)
            Only says how many ask.
        user_items : sparse matrix of scipy, shape (B, N), or None
            A row for each user who asks: the items that the user has met.
        N : int
            How many results for each user.
        filter_already_liked_items : bool
            Whether the user's items are left out, where ``user_items`` says which they are.
        filter_items : array_like, optional
            Ids of items that nobody gets. Ids that are not known are ignored.
        recalculate_user : bool
            Makes no difference.
        items : array_like, optional
            Ids of the items that alone are ranked.

        Returns
        -------
        Recommended
            Equal numbers: the earlier item first.

        Raises
        ------
        IdRangeError
            If one of ``items`` is not known.
        """
        n = as_count("N", N)
        require_one_filter(filter_items, items)
        users = read_numbers("userid", userid, 2**62)
        needed = filter_already_liked_items and user_items is not None
        liked = read_liked(user_items, len(users.rows), len(self._names.ids), needed)
        allowed = self._names.allowed(filter_items, items)
        order = self._order if allowed is None else self._order[allowed[self._order]]
        if liked is None:
            best = order[:n], self._scores[order[:n]]
            return stacked(users.single, [best] * len(users.rows), self._names.ids, n)
        each = (columns for columns, _ in liked.each())
        return stacked(users.single, self._first(order, n, each), self._names.ids, n)

    def _first(self, order: Rows64, n: int, liked: Iterator[Array]) -> Iterator[tuple[Rows64, Floats]]:
        for columns in liked:
            head = order[: min(len(order), n + len(columns))]
            kept = head[~np.isin(head, columns)][:n]
            yield kept, self._scores[kept]


__all__ = ["PopularItems"]
