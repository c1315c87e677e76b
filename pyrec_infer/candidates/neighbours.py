"""Item-based collaborative filtering: what is like the items that a user has met."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from pyrec_infer.arguments import as_count, as_threads
from pyrec_infer.candidates.asked import (
    Recommended,
    read_liked,
    read_numbers,
    require_one_filter,
    shaped,
)
from pyrec_infer.candidates.names import Names
from pyrec_infer.candidates.products import SparseProducts
from pyrec_infer.candidates.rows import SparseRows, read_rows
from pyrec_infer.candidates.weights import WEIGHTINGS, Weighting, weigh
from pyrec_infer.errors import InputError, ShapeError
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed


class ItemItemRecommender:
    """Items by their likeness to those that a user has met.

    A score is the sum over the user's items of their value times the likeness. Made of a matrix of
    likenesses, as `from_implicit` reads it, or by `fit`.

    Parameters
    ----------
    similarity : sparse matrix of scipy, shape (N, N)
        Row i holds the items that are like item i. Copied.
    ids : array_like of whole numbers or strings, shape (N,), optional
        The items' names, all different: what results hold and filters take. By default 0 to N - 1.
    threads : int
        Threads that share the users of a call.

    Raises
    ------
    InputError
        If parts of the matrix do not fit together, or an id occurs twice.

    Notes
    -----
    A score is a sum in double precision in the order of the user's row, rounded once to float32. Only items
    that are like one of the user's are results.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> class Met:
    ...     indptr, indices, data, shape = [0, 2, 4, 5], [0, 1, 0, 2, 1], [1, 1, 1, 1, 1], (3, 3)
    >>> model = pi.ItemItemRecommender.fit(Met, weighting="counts")
    >>> model.similar_items(0, N=2).ids.tolist()
    [0, 1]
    >>> model.recommend([0, 1, 2], Met).ids.tolist()
    [[2], [1], [0]]
    """

    @memory_errors_typed
    def __init__(self, similarity: Any, ids: ArrayLike | None = None, *, threads: int = 1) -> None:
        rows = similarity if isinstance(similarity, SparseRows) else read_rows("similarity", similarity)
        if len(rows) != rows.width:
            raise ShapeError(f"similarity: expected a row for each column, got [{len(rows)}, {rows.width}]")
        self._names = Names(ids, rows.width)
        self._products = SparseProducts(rows, as_threads(threads))

    @classmethod
    @memory_errors_typed
    def fit(
        cls,
        user_items: Any,
        K: int = 20,
        weighting: Weighting = "cosine",
        ids: ArrayLike | None = None,
        *,
        K1: float = 1.2,
        B: float = 0.75,
        threads: int = 1,
    ) -> ItemItemRecommender:
        """The likeness of all pairs of items, of which the K largest for each are kept.

        Parameters
        ----------
        user_items : sparse matrix of scipy, shape (U, N)
        K : int
            An item itself is among them.
        weighting : {"cosine", "tfidf", "bm25", "jaccard", "counts"}
            Likeness is the product of two items' columns, weighed as the name says; with ``"jaccard"`` the
            share of users who have both among those who have either.
        ids : array_like, optional
            As for the class.
        K1, B : float
            Of BM25.
        threads : int

        Returns
        -------
        ItemItemRecommender

        Raises
        ------
        InputError
            If values and weighting do not fit: then some weight is no finite number.
        """
        k = as_count("K", K)
        if weighting not in WEIGHTINGS:
            raise InputError(f"weighting: expected one of {', '.join(WEIGHTINGS)}")
        given = read_rows("user_items", user_items).summed()
        weighted = weigh(given, weighting, float(K1), float(B))
        if not np.isfinite(weighted.rows.values).all():
            raise InputError(f"user_items: expected values that {weighting} gives finite weights")
        sizes = None if weighted.sizes is None else (weighted.sizes, weighted.sizes)
        products = SparseProducts(weighted.rows, as_threads(threads))
        columns, scores, counts = products.top(weighted.rows.transposed(), k, sizes=sizes)
        taken = np.arange(columns.shape[1]) < counts[:, np.newaxis]
        bounds = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        similarity = SparseRows(bounds, columns[taken], scores[taken], given.width)
        return cls(similarity, ids, threads=threads)

    def __repr__(self) -> str:
        return f"<pyrec_infer.ItemItemRecommender items={len(self._names)}>"

    @property
    def ids(self) -> Array:
        """The items' ids, in order: that of the columns of ``user_items``."""
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
        """The items that are most like those that one user or several have met.

        Parameters
        ----------
        userid : int or array_like of int, shape (B,)
            Only says how many ask.
        user_items : sparse matrix of scipy, shape (B, N)
            A row for each user who asks: the items that the user has met, and how much each counts.
        N : int
            How many results for each user.
        filter_already_liked_items : bool
            Whether the user's items are left out.
        filter_items : array_like, optional
            Ids of items that nobody gets. Ids that are not known are ignored.
        recalculate_user : bool
            Makes no difference.
        items : array_like, optional
            Ids of the items that alone are ranked.

        Returns
        -------
        Recommended
            Equal scores: the earlier item first.

        Raises
        ------
        IdRangeError
            If one of ``items`` is not known.
        """
        n = as_count("N", N)
        require_one_filter(filter_items, items)
        users = read_numbers("userid", userid, 2**62)
        liked = read_liked(user_items, len(users.rows), len(self._names), needed=True)
        assert liked is not None
        allowed = self._names.allowed(filter_items, items)
        return self._named(users.single, self._products.top(liked, n, filter_already_liked_items, allowed))

    @memory_errors_typed
    def similar_items(
        self,
        itemid: ArrayLike,
        N: int = 10,
        recalculate_item: bool = False,
        item_users: Any = None,
        filter_items: ArrayLike | None = None,
        items: ArrayLike | None = None,
    ) -> Recommended:
        """The items most like an item, or like each of several; it is itself among them.

        Parameters
        ----------
        itemid : id or array_like of ids, shape (B,)
        N : int
        recalculate_item, item_users
            Refused: likeness is not worked out for one item. They stand where `FactorRecommender` has them.
        filter_items, items : array_like, optional
            As for `recommend`.

        Returns
        -------
        Recommended
            No more than were kept for each.
        """
        n = as_count("N", N)
        if recalculate_item or item_users is not None:
            raise InputError("recalculate_item: the likeness of an item cannot be recalculated")
        require_one_filter(filter_items, items)
        places = self._names.known("itemid", itemid)
        ones = np.ones(len(places), np.float32)
        alone = SparseRows(np.arange(len(places) + 1), places.astype(np.int32), ones, len(self._names))
        allowed = self._names.allowed(filter_items, items)
        return self._named(np.ndim(itemid) == 0, self._products.top(alone, n, False, allowed))

    def _named(self, single: bool, found: Any) -> Recommended:
        columns, scores, counts = found
        ids = self._names.ids
        width = int(counts.max(initial=0))
        named = ids[columns[:, :width]] if len(ids) else np.zeros(columns[:, :width].shape, ids.dtype)
        return shaped(single, named, scores[:, :width], counts)


__all__ = ["ItemItemRecommender"]
