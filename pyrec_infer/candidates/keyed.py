"""Vectors of items by key, as word2vec and item2vec learn them: similar items, and what follows a session."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import as_count, regular
from pyrec_infer.candidates.asked import Recommended, require_one_filter, shaped
from pyrec_infer.candidates.factors import require_known
from pyrec_infer.candidates.rows import Floats, Rows64
from pyrec_infer.errors import IdRangeError, InputError, ShapeError
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.retrieval.retriever import Precision, Retriever
from pyrec_infer.retrieval.vectors import METRICS, Metric

Pooling: TypeAlias = Literal["mean", "sum"]


class KeyedVectors:
    """Vectors of items, compared by their directions.

    Made of arrays, by `from_gensim`, or by `read_word2vec` from a file.

    Parameters
    ----------
    vectors : array_like of numbers, shape (N, D)
        Copied.
    ids : array_like of whole numbers or strings, shape (N,), optional
        All different; 0 to N - 1 by default.
    metric : {"cosine", "ip", "l2"}
        As for `Retriever`. With ``"cosine"`` vectors are divided by their lengths before sessions are made
        of them.
    precision : {"fp32", "int8"}
        How the search is done; the results are the same.
    threads : int
        Threads that share a search.

    Raises
    ------
    InputError
        If a number is not finite, or an id occurs twice.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> songs = pi.KeyedVectors([[1, 0], [1, 0.1], [0, 1]], ["a", "b", "c"])
    >>> songs.most_similar("a", N=1).ids.tolist()
    ['b']
    >>> songs.recommend_session(["a", "c"]).ids.tolist()
    ['b']
    """

    @memory_errors_typed
    def __init__(
        self,
        vectors: ArrayLike,
        ids: ArrayLike | None = None,
        metric: Metric = "cosine",
        *,
        precision: Precision = "fp32",
        threads: int = 1,
    ) -> None:
        if metric not in METRICS:
            raise InputError(f"metric: expected one of {', '.join(METRICS)}")
        self._retriever = Retriever(vectors, ids, metric, precision, threads=threads)
        if ids is not None and len(self._retriever) != len(np.asarray(vectors)):
            raise InputError("ids: expected different ids, got some twice")
        self._metric = metric
        self._width = self._retriever.vectors([]).shape[1]

    def __repr__(self) -> str:
        return f"<pyrec_infer.KeyedVectors items={len(self._retriever)} metric={self._metric!r}>"

    def __len__(self) -> int:
        return len(self._retriever)

    def __contains__(self, item: object) -> bool:
        return item in self._retriever

    @property
    def ids(self) -> Array:
        """The items' ids, in order."""
        return self._retriever.ids

    @property
    def retriever(self) -> Retriever:
        """The items' vectors."""
        return self._retriever

    @memory_errors_typed
    def most_similar(
        self,
        positive: ArrayLike,
        negative: ArrayLike | None = None,
        N: int = 10,
    ) -> Recommended:
        """The items nearest to the mean of some, less others; these themselves are left out.

        Parameters
        ----------
        positive, negative : id, array_like of ids, or list of pairs of an id and a number
            Each counts the same, or by its number; those of ``negative`` by the opposite of their vectors.
        N : int

        Returns
        -------
        Recommended
            With ``"cosine"``, what gensim's method of this name gives.

        Raises
        ------
        IdRangeError
            If an id is not known.
        """
        n = as_count("N", N)
        sides: list[tuple[str, Any]] = [
            ("positive", positive),
            ("negative", [] if negative is None else negative),
        ]
        read = [(label, *_weighted(label, value)) for label, value in sides]
        read = [(label, keys, weights) for label, keys, weights in read if len(keys)]
        if not read:
            raise InputError("positive: expected at least one id")
        query, total = np.zeros(self._width), 0.0
        for label, keys, weights in read:
            vectors = self._retriever.vectors(keys, missing="nan").astype(np.float64)
            present = ~np.isnan(vectors[:, 0])
            if not present.all():
                raise IdRangeError(f"{label}: expected ids of known items", int(np.argmin(present)))
            query += (vectors * weights[:, np.newaxis]).sum(axis=0) * (1 if label == "positive" else -1)
            total += np.abs(weights).sum()
        deny = np.concatenate([keys for _, keys, _ in read])
        found = self._retriever.top_k(query / total if total else query, n, deny=deny)
        return shaped(True, found.ids, found.scores, found.counts)

    @memory_errors_typed
    def similar_items(
        self,
        itemid: ArrayLike,
        N: int = 10,
        filter_items: ArrayLike | None = None,
        items: ArrayLike | None = None,
    ) -> Recommended:
        """The items nearest to an item, or to each of several; it is itself among them.

        Parameters
        ----------
        itemid : id or array_like of ids, shape (B,)
        N : int
        filter_items : array_like, optional
            Ids of items that are left out. Ids that are not known are ignored.
        items : array_like, optional
            Ids of the items that alone are ranked.

        Returns
        -------
        Recommended
        """
        n = as_count("N", N)
        require_one_filter(filter_items, items)
        if items is not None:
            require_known(self._retriever, "items", items)
        wanted = np.asarray(itemid)
        queries = self._retriever.vectors(np.atleast_1d(wanted))
        found = self._retriever.top_k(queries, n, allow=items, deny=filter_items)
        return shaped(wanted.ndim == 0, found.ids, found.scores, found.counts)

    @memory_errors_typed
    def session_vectors(
        self,
        sessions: ArrayLike | Sequence[ArrayLike],
        pooling: Pooling = "mean",
        missing: Literal["error", "skip"] = "error",
    ) -> NDArray[np.float32]:
        """One vector for each session: the mean or the sum of its items'.

        Parameters
        ----------
        sessions : array_like of ids, or list of array_like of ids
            One session, or several; of two axes, a session each row.
        pooling : {"mean", "sum"}
        missing : {"error", "skip"}
            What becomes of ids that are not known: an error, or they are left out.

        Returns
        -------
        ndarray of float32, shape (D,) or (B, D)
            For a session without known items zeros.

        Raises
        ------
        IdRangeError
            If an id is not known and ``missing`` is ``"error"``.
        """
        each, single = _read_sessions(sessions)
        vectors, _ = self._pooled(each, pooling, missing)
        return vectors[0] if single else vectors

    @memory_errors_typed
    def recommend_session(
        self,
        sessions: ArrayLike | Sequence[ArrayLike],
        N: int = 10,
        filter_already_liked_items: bool = True,
        filter_items: ArrayLike | None = None,
        items: ArrayLike | None = None,
        *,
        pooling: Pooling = "mean",
        missing: Literal["error", "skip"] = "error",
    ) -> Recommended:
        """The items nearest to a session's vector, or to that of each of several.

        Parameters
        ----------
        sessions, pooling, missing
            As for `session_vectors`. A session without known items gets nothing.
        N : int
        filter_already_liked_items : bool
            Whether a session's own items are left out.
        filter_items, items : array_like, optional
            As for `similar_items`.

        Returns
        -------
        Recommended
            Equal scores: the earlier item first.
        """
        n = as_count("N", N)
        require_one_filter(filter_items, items)
        if items is not None:
            require_known(self._retriever, "items", items)
        each, single = _read_sessions(sessions)
        queries, known = self._pooled(each, pooling, missing)
        deny: Any = filter_items
        if filter_already_liked_items and each:
            further = [] if filter_items is None or not np.size(filter_items) else [np.asarray(filter_items)]
            deny = [np.concatenate([session, *further]) if further else session for session in each]
        found = self._retriever.top_k(queries, n, allow=items, deny=deny)
        return shaped(single, found.ids, found.scores, np.where(known > 0, found.counts, 0))

    def _pooled(self, sessions: list[Array], pooling: str, missing: str) -> tuple[Floats, Rows64]:
        """A vector for each session, and how many of its items are known."""
        for label, value, choices in (
            ("pooling", pooling, ("mean", "sum")),
            ("missing", missing, ("error", "skip")),
        ):
            if value not in choices:
                raise InputError(f"{label}: expected one of {', '.join(choices)}")
        pooled = np.zeros((len(sessions), self._width), np.float32)
        known = np.zeros(len(sessions), np.int64)
        for number, session in enumerate(sessions):
            vectors = self._retriever.vectors(session, missing="nan")
            present = ~np.isnan(vectors[:, 0])
            if missing == "error" and not present.all():
                row = int(np.argmin(present))
                raise IdRangeError(f"sessions (session {number}): expected ids of known items", row)
            known[number] = count = int(present.sum())
            if count:
                total = vectors[present].sum(axis=0, dtype=np.float64)
                pooled[number] = total / count if pooling == "mean" else total
        return pooled, known


def _weighted(label: str, value: Any) -> tuple[Array, NDArray[np.float64]]:
    """Ids, and how much each counts."""
    pairs = isinstance(value, (list, tuple)) and bool(value) and all(map(_is_pair, value))
    keys = regular(label, [key for key, _ in value] if pairs else value)
    if keys.ndim > 1:
        raise ShapeError(f"{label}: expected an id, or one axis of them, got shape {list(keys.shape)}")
    keys = np.atleast_1d(keys)
    weights = np.asarray([weight for _, weight in value] if pairs else np.ones(len(keys)), np.float64)
    if not np.isfinite(weights).all():
        raise InputError(f"{label}: expected finite numbers (row {int(np.argmin(np.isfinite(weights)))})")
    return keys, weights


def _is_pair(value: object) -> bool:
    """Whether a value is an id and how much it counts."""
    return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], _NUMBER)


_NUMBER = (int, float, np.integer, np.floating)


def _read_sessions(sessions: Any) -> tuple[list[Array], bool]:
    """Each session's ids, and whether one was given, and no list."""
    several = isinstance(sessions, Sequence) and not isinstance(sessions, (str, bytes, memoryview))
    if several and len(sessions) and all(np.ndim(session) == 1 for session in sessions):
        return [regular("sessions", session) for session in sessions], False
    array = regular("sessions", sessions)
    if array.ndim == 2:
        return list(array), False
    return [np.atleast_1d(array)], True


__all__ = ["KeyedVectors"]
