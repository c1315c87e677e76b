"""Recommenders of users' and items' factors: a score is their inner product."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import as_array, as_count
from pyrec_infer.candidates.asked import (
    Recommended,
    read_liked,
    read_numbers,
    require_one_filter,
    shaped,
)
from pyrec_infer.candidates.rows import Floats, SparseRows
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, ShapeError
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.retrieval.retriever import Precision, Retriever


@dataclass(frozen=True)
class LeastSquares:
    """What alternating least squares needs to work a user's factors out anew.

    Parameters
    ----------
    regularization : float
    alpha : float
        What the values of a user's items are multiplied by to become confidences.
    """

    regularization: float
    alpha: float = 1.0

    def __post_init__(self) -> None:
        for name in ("regularization", "alpha"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)):
                raise DTypeError(f"{name}: expected a number, got {type(value).__name__}")
            if not np.isfinite(value):
                raise InputError(f"{name}: expected a finite number")

    def solve(self, items: Floats, liked: SparseRows, label: str) -> Floats:
        """Factors of each user from the values of its items; or, the other way round, of each item.

        The minimum over x of the sum of c (p - <x, y>)^2 over all items y, plus the regularization: c is 1
        and p is 0 for items that a user has not met, and p is 1 where the value is positive (Hu, Koren,
        Volinsky: Collaborative Filtering for Implicit Feedback Datasets, equation 4). A negative value is the
        confidence that p is 0. In double precision.

        Parameters
        ----------
        items : ndarray of float32, shape (N, D)
            The items' factors.
        liked : SparseRows
            What each user has met.
        label : str
            What an error calls these rows.

        Returns
        -------
        ndarray of float32, shape (B, D)
            Zeros for a user without items.
        """
        factors = items.astype(np.float64)
        every = factors.T @ factors + self.regularization * np.eye(items.shape[1])
        found = np.zeros((len(liked), items.shape[1]))
        for user, (columns, values) in enumerate(liked.each()):
            if not len(columns):
                continue
            own, confidence = factors[columns], self.alpha * values.astype(np.float64)
            positive = np.where(confidence > 0, confidence, 0)
            matrix = every + (own.T * (np.abs(confidence) - 1)) @ own
            try:
                found[user] = np.linalg.solve(matrix, own.T @ positive)
            except np.linalg.LinAlgError:
                raise InputError(f"{label}: expected rows that determine factors (row {user})") from None
        return found.astype(np.float32)


class FactorRecommender:
    """Users and items as vectors whose inner products are the scores.

    What matrix factorisation learns (ALS, BPR, logistic: `from_implicit`), factors that are sums of those of
    features (`from_lightfm`), and the vectors of any two towers. The search is `Retriever`'s: exact.

    Parameters
    ----------
    user_factors : array_like of numbers, shape (U, D)
        Borrowed if it is a contiguous array of float32.
    item_factors : array_like of numbers, shape (N, D)
        Copied.
    user_biases : array_like of numbers, shape (U,), optional
        Added to the scores of a user.
    item_biases : array_like of numbers, shape (N,), optional
        Added to the scores of an item.
    ids : array_like of whole numbers or strings, shape (N,), optional
        The items' names, all different: what results hold and filters take. By default 0 to N - 1.
    least_squares : LeastSquares, optional
        How a user's factors can be recalculated.
    precision : {"fp32", "int8"}
        How the search is done; the results are the same.
    threads : int
        Threads that share a search.

    Raises
    ------
    InputError
        If a number is not finite, or an id occurs twice; `ShapeError` if sizes do not fit together.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> model = pi.FactorRecommender([[1, 0], [0, 1]], [[2, 0], [1, 1], [0, 3]])
    >>> found = model.recommend(0, None, N=2, filter_already_liked_items=False)
    >>> found.ids.tolist(), found.scores.tolist()
    ([0, 1], [2.0, 1.0])
    """

    @memory_errors_typed
    def __init__(
        self,
        user_factors: ArrayLike,
        item_factors: ArrayLike,
        user_biases: ArrayLike | None = None,
        item_biases: ArrayLike | None = None,
        ids: ArrayLike | None = None,
        *,
        least_squares: LeastSquares | None = None,
        precision: Precision = "fp32",
        threads: int = 1,
    ) -> None:
        items = _matrix("item_factors", item_factors, None)
        self._width = items.shape[1]
        self._users = _matrix("user_factors", user_factors, self._width)
        _require_finite("user_factors", self._users)
        self._user_biases = _biases("user_biases", user_biases, len(self._users))
        biases = _biases("item_biases", item_biases, len(items))
        self._biased = biases is not None
        vectors = items if biases is None else np.column_stack([items, biases])
        self._retriever = Retriever(vectors, ids, precision=precision, threads=threads)
        if len(self._retriever) != len(items):
            raise InputError("ids: expected different ids, got some twice")
        self._ids = self._retriever.ids
        self._ids.flags.writeable = False
        self._how: dict[str, Any] = {"precision": precision, "threads": threads}
        self._least_squares = least_squares
        self._similar: Retriever | None = None
        self._similar_users: Retriever | None = None

    def __repr__(self) -> str:
        users, items = len(self._users), len(self._retriever)
        return f"<pyrec_infer.FactorRecommender users={users} items={items} width={self._width}>"

    @property
    def ids(self) -> Array:
        """The items' ids, in order: that of the columns of ``user_items``."""
        return self._ids

    @property
    def retriever(self) -> Retriever:
        """The items' vectors, with a last number for the bias where items have one."""
        return self._retriever

    @memory_errors_typed
    def query(self, userid: ArrayLike) -> Floats:
        """What the retriever is asked for users: their factors.

        Parameters
        ----------
        userid : int or array_like of int, shape (B,)

        Returns
        -------
        ndarray of float32, shape (D,) or (B, D)
            With a last 1 where items have biases. A user's own bias is not in it.
        """
        users = read_numbers("userid", userid, len(self._users))
        queries = self._queries(self._users[users.rows])
        return queries[0] if users.single else queries

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
        """The items with the highest scores for one user or several.

        Parameters
        ----------
        userid : int or array_like of int, shape (B,)
            Row numbers of the users' factors.
        user_items : sparse matrix of scipy, shape (B, N)
            A row for each user who asks: the items that the user has met. May be None where nothing reads it.
        N : int
            How many results for each user.
        filter_already_liked_items : bool
            Whether the user's items are left out.
        filter_items : array_like, optional
            Ids of items that nobody gets. Ids that are not known are ignored.
        recalculate_user : bool
            Whether to work the users' factors out anew from ``user_items``, as for new users; then ``userid``
            only says how many there are.
        items : array_like, optional
            Ids of the items that alone are ranked.

        Returns
        -------
        Recommended
            Equal scores: the earlier item first.

        Raises
        ------
        IdRangeError
            If there is no such user, or one of ``items`` is not known.
        InputError
            If factors cannot be recalculated, or ``filter_items`` and ``items`` are given both.
        """
        n = as_count("N", N)
        require_one_filter(filter_items, items)
        users = read_numbers("userid", userid, 2**62 if recalculate_user else len(self._users))
        needed = filter_already_liked_items or recalculate_user
        liked = read_liked(user_items, len(users.rows), len(self._retriever), needed)
        if items is not None:
            require_known(self._retriever, "items", items)
        if recalculate_user:
            assert liked is not None
            solver = self._solver("recalculate_user")
            vectors = solver.solve(self._retriever.vectors()[:, : self._width], liked, "user_items")
        else:
            vectors = self._users[users.rows]
        deny: Any = filter_items
        if filter_already_liked_items and liked is not None and len(liked):
            deny = self._denied(liked, filter_items)
        found = self._retriever.top_k(self._queries(vectors), n, allow=items, deny=deny)
        scores = found.scores
        if self._user_biases is not None and not recalculate_user:
            scores = scores + self._user_biases[users.rows, np.newaxis]
        return shaped(users.single, found.ids, scores, found.counts)

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
        """The items whose factors point most in the direction of an item's; it is itself among them.

        Parameters
        ----------
        itemid : id or array_like of ids, shape (B,)
        N : int
        recalculate_item : bool
            Whether to work the items' factors out anew from ``item_users``, as for new items; then ``itemid``
            only says how many there are.
        item_users : sparse matrix of scipy, shape (B, U), optional
            A row for each item that is asked for: the users who have met it.
        filter_items, items : array_like, optional
            As for `recommend`.

        Returns
        -------
        Recommended
            Scores are cosines; biases have no part in them.

        Raises
        ------
        IdRangeError
            If there is no such item, or one of ``items`` is not known.
        InputError
            If factors cannot be recalculated, or ``filter_items`` and ``items`` are given both.
        """
        n = as_count("N", N)
        require_one_filter(filter_items, items)
        if items is not None:
            require_known(self._retriever, "items", items)
        if self._similar is None:
            vectors = self._retriever.vectors()[:, : self._width]
            self._similar = Retriever(vectors, self._ids, "cosine", **self._how)
        wanted = np.asarray(itemid)
        if recalculate_item:
            solver = self._solver("recalculate_item")
            met = read_liked(item_users, wanted.size, len(self._users), True, "item_users", "item", "user")
            assert met is not None
            queries = solver.solve(self._users, met, "item_users")
        else:
            queries = self._similar.vectors(np.atleast_1d(wanted))
        found = self._similar.top_k(queries, n, allow=items, deny=filter_items)
        return shaped(wanted.ndim == 0, found.ids, found.scores, found.counts)

    @memory_errors_typed
    def similar_users(
        self,
        userid: ArrayLike,
        N: int = 10,
        filter_users: ArrayLike | None = None,
        users: ArrayLike | None = None,
    ) -> Recommended:
        """The users whose factors point most in the direction of a user's, itself among them.

        Parameters
        ----------
        userid : int or array_like of int, shape (B,)
        N : int
        filter_users : array_like of int, optional
            Users that are left out. Numbers that are not known are ignored.
        users : array_like of int, optional
            The users that alone are ranked.

        Returns
        -------
        Recommended
            Row numbers of users; scores are cosines.

        Raises
        ------
        IdRangeError
            If there is no such user, or one of ``users`` is not known.
        InputError
            If ``filter_users`` and ``users`` are given both.
        """
        n = as_count("N", N)
        require_one_filter(filter_users, users, "users")
        asked = read_numbers("userid", userid, len(self._users))
        if self._similar_users is None:
            self._similar_users = Retriever(self._users, None, "cosine", **self._how)
        if users is not None:
            require_known(self._similar_users, "users", users)
        found = self._similar_users.top_k(self._users[asked.rows], n, allow=users, deny=filter_users)
        return shaped(asked.single, found.ids, found.scores, found.counts)

    def _queries(self, vectors: Floats) -> Floats:
        if not self._biased:
            return vectors
        return np.column_stack([vectors, np.ones(len(vectors), np.float32)])

    def _solver(self, asked: str) -> LeastSquares:
        if self._least_squares is None:
            raise InputError(f"{asked}: factors of this model cannot be recalculated")
        return self._least_squares

    def _denied(self, liked: SparseRows, others: ArrayLike | None) -> list[Array]:
        """For each user the ids that it must not get."""
        own = [self._ids[columns] for columns, _ in liked.each()]
        if others is None:
            return own
        further = np.asarray(others)
        return [np.concatenate([each, further]) for each in own] if further.size else own


def require_known(retriever: Retriever, label: str, ids: ArrayLike) -> None:
    """Refuse ids that a retriever does not have.

    Raises
    ------
    IdRangeError
        Names the first place of one.
    """
    present = retriever.contains(ids)
    if not present.all():
        raise IdRangeError(f"{label}: expected ids of known items", int(np.argmin(present)))


def _matrix(label: str, value: ArrayLike, width: int | None) -> Floats:
    array = as_array(label, value, np.dtype(np.float32))
    expected = "*" if width is None else width
    if array.ndim != 2 or (array.shape[1] == 0 if width is None else array.shape[1] != width):
        raise ShapeError(f"{label}: expected factors of shape [*, {expected}], got {list(array.shape)}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float32)


def _biases(label: str, value: ArrayLike | None, count: int) -> NDArray[np.float32] | None:
    if value is None:
        return None
    array = as_array(label, value, np.dtype(np.float32))
    if array.shape != (count,):
        raise ShapeError(f"{label}: expected shape [{count}], got {list(array.shape)}")
    with np.errstate(over="ignore"):
        biases = np.ascontiguousarray(array, np.float32)
    _require_finite(label, biases)
    return biases


_BLOCK = 1 << 16
"""Rows that are looked at together, so that little is made beside them."""


def _require_finite(label: str, values: Floats) -> None:
    for begin in range(0, len(values), _BLOCK):
        part = values[begin : begin + _BLOCK]
        good = np.isfinite(part).reshape(len(part), -1).all(axis=1)
        if not good.all():
            raise InputError(f"{label}: expected finite numbers (row {begin + int(np.argmin(good))})")


__all__ = ["FactorRecommender", "LeastSquares", "require_known"]
