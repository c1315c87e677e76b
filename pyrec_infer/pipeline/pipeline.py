"""Two stages in one call: sources retrieve candidates, a catalogue ranks them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import as_count
from pyrec_infer.catalog import Catalog
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, RowCountError
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.pipeline.merge import Merged, merge
from pyrec_infer.pipeline.source import Floats, Request, Source
from pyrec_infer.retrieval import Retriever
from pyrec_infer.tools.explain import Explanation


class Recommendations(NamedTuple):
    """What a pipeline found, best first: for one request without the first axis.

    Attributes
    ----------
    ids : ndarray, shape (B, K)
        Beyond a request's count 0 or an empty string.
    scores : ndarray of float32, shape (B, K)
        Of the ranker; minus infinity beyond a request's count.
    count : int or ndarray of int64, shape (B,)
        How many are results.
    sources : ndarray of bool, shape (B, K, S)
        Which source gave each.
    skipped : int or ndarray of int64, shape (B,)
        How many candidates the ranker does not have.
    times : dict of str to float
        Seconds of each stage: each source by its name, ``"merge"`` and ``"rank"``.
    """

    ids: Array
    scores: Floats
    count: Any
    sources: NDArray[np.bool_]
    skipped: Any
    times: dict[str, float]


class Pipeline:
    """Sources that retrieve candidates, and a catalogue that ranks them.

    Safe to use from any number of threads, also while items of either stage change.

    Parameters
    ----------
    sources : Source or sequence of Source
    ranker : Catalog
        Ranks what the sources give, by their ids.
    limit : int, optional
        How many candidates are ranked at most for each request: those with the largest sum over the sources
        of weight / (60 + rank). By default all.
    missing : {"skip", "error"}
        What becomes of candidates that the ranker does not have: they are counted and left out, or an error.

    Raises
    ------
    InputError
        If there is no source, or two have one name.

    Notes
    -----
    The ranker's records and a retriever's vectors are stores of their own, each with its ids: an item of both
    stages enters each by its `upsert`.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrec_infer as pi
    >>> from pyrec_infer.bundled import MODEL, items, users
    >>> user = users(1, 500)[0]
    >>> shop = pi.load(MODEL).catalog({**items(500), "affinity": user.affinity})
    >>> near = pi.Retriever(np.random.default_rng(0).standard_normal((500, 8)))
    >>> pipeline = pi.Pipeline(pi.Source(near, query="taste", k=50), shop)
    >>> found = pipeline.top_k({**user.request, "taste": np.ones(8)}, k=10)
    >>> found.count, found.sources.all()
    (10, np.True_)
    """

    def __init__(
        self,
        sources: Source | Sequence[Source],
        ranker: Catalog,
        *,
        limit: int | None = None,
        missing: Literal["skip", "error"] = "skip",
    ) -> None:
        self._sources = (sources,) if isinstance(sources, Source) else tuple(sources)
        for source in self._sources:
            if not isinstance(source, Source):
                raise DTypeError(f"sources: expected Source, got {type(source).__name__}")
        if not self._sources:
            raise InputError("sources: expected at least one")
        if not isinstance(ranker, Catalog):
            raise DTypeError(f"ranker: expected a Catalog, got {type(ranker).__name__}")
        if missing not in ("skip", "error"):
            raise InputError("missing: expected one of skip, error")
        self._names = tuple(
            str(number) if source.name is None else source.name for number, source in enumerate(self._sources)
        )
        if len({*self._names, "merge", "rank"}) != len(self._names) + 2:
            raise InputError("sources: expected different names, none of them 'merge' or 'rank'")
        self._ranker = ranker
        read = [source.names for source in self._sources]
        self._known = None if None in read else frozenset(ranker.input_names).union(*filter(None, read))
        self._limit = None if limit is None else as_count("limit", limit)
        self._missing = missing

    @property
    def names(self) -> tuple[str, ...]:
        """The sources' names, in order."""
        return self._names

    @memory_errors_typed
    def top_k(self, request: Request, k: int = 100, **rules: Any) -> Recommendations:
        """The k best items for one request or for each of several.

        Parameters
        ----------
        request : mapping of str to array_like
            What the sources and the ranker read. For several requests a row each.
        k : int
            How many; fewer candidates give fewer results.
        **rules
            Further arguments of `Catalog.top_k` but ``ids`` and ``missing``, the same for all requests.

        Returns
        -------
        Recommendations
            Scores are those of `Catalog.top_k`. Equal ones: the candidate that the sources rank higher first.

        Raises
        ------
        InputError
            As for the stages; or none of them has an input. Where a source is a function, or its query
            is one, it may read any. `RowCountError` where they are asked for different numbers of requests.
        IdRangeError
            If the ranker does not have a candidate and ``missing`` is ``"error"``.
        """
        k = as_count("k", k)
        if not isinstance(request, Mapping):
            raise DTypeError(f"request: expected inputs by name, got {type(request).__name__}")
        for name in ("ids", "missing", "candidates"):
            if name in rules:
                raise InputError(f"{name}: expected by the ranker alone, the sources say what is ranked")
        self._require_known(request)
        times: dict[str, float] = {}
        found = []
        begin = time.perf_counter()
        for name, source in zip(self._names, self._sources, strict=True):
            found.append(source.retrieve(request))
            begin = _lap(times, name, begin)
        parts, single = self._requests(request, found)
        rows = [_by_row(each) for each in found]
        weights = [source.weight for source in self._sources]
        merged = [
            merge([(ids[row], scores[row]) for ids, scores in rows], weights, self._limit)
            for row in range(len(parts))
        ]
        begin = _lap(times, "merge", begin)
        ranked = [self._rank(*each, k, rules) for each in zip(parts, merged, strict=True)]
        _lap(times, "rank", begin)
        return _joined(ranked, single, times)

    def explain(self) -> Explanation:
        """The stages.

        Returns
        -------
        Explanation
            ``str()`` gives text, ``as_dict()`` plain data with ``sources`` and ``ranker``.
        """
        described, lines = [], []
        for name, source in zip(self._names, self._sources, strict=True):
            own: dict[str, Any] = {"name": name, "k": source.k, "weight": source.weight}
            lines.append(f"source {name}: the best {source.k}, weight {source.weight:g}")
            if isinstance(source.retriever, Retriever):
                made = source.retriever.explain()
                own["retriever"] = made.as_dict()
                lines += [f"  {line}" for line in str(made).splitlines()]
            described.append(own)
        ranker = self._ranker.explain()
        most = "all candidates" if self._limit is None else f"at most {self._limit} candidates"
        lines += [f"merged by id: {most} are ranked; missing ones: {self._missing}", str(ranker)]
        data = {"sources": described, "limit": self._limit, "missing": self._missing}
        return Explanation("\n".join(lines), {**data, "ranker": ranker.as_dict()})

    def _require_known(self, request: Request) -> None:
        """Refuse inputs that nobody has, where it is known who reads what."""
        for name in request:
            if self._known is not None and name not in self._known:
                expected = ", ".join(sorted(self._known))
                raise InputError(f"input '{name}': expected one that a source or the ranker has, {expected}")

    def _requests(
        self, request: Request, found: Sequence[tuple[Array, Floats]]
    ) -> tuple[list[dict[str, Any]], bool]:
        """What the ranker reads of each request, and whether there is one alone."""
        own = {name: request[name] for name in self._ranker.request_names if name in request}
        counts = {}
        for name, (ids, _) in zip(self._names, found, strict=True):
            if ids.ndim == 2:
                counts[f"source {name}"] = len(ids)
        for name, value in own.items():
            if np.ndim(value) and len(np.asarray(value)) != 1:
                counts[f"input '{name}'"] = len(np.asarray(value))
        several = {label: count for label, count in counts.items() if count != 1}
        if not several:
            return [own], True
        one, count = next(iter(several.items()))
        for label, other in several.items():
            if other != count:
                raise RowCountError(f"{label}: expected {count} requests, as {one} has, got {other}")
        if any(len(ids) != count for ids, _ in map(_by_row, found)):
            raise RowCountError(f"sources: expected a row for each of {count} requests")
        arrays = {name: np.atleast_1d(np.asarray(value)) for name, value in own.items()}
        return [
            {name: array[row : row + 1] if len(array) != 1 else array for name, array in arrays.items()}
            for row in range(count)
        ], False

    def _rank(self, request: dict[str, Any], merged: Merged, k: int, rules: dict[str, Any]) -> _Ranked:
        present = self._ranker.contains(merged.ids)
        if self._missing == "error" and not present.all():
            raise IdRangeError("candidates: expected ids of the ranker", int(np.argmin(present)))
        ids = merged.ids[present]
        best = self._ranker.top_k(request, k, ids=ids, missing="skip", **rules)
        order = np.argsort(ids, kind="stable")
        at = order[np.searchsorted(ids[order], best.ids)] if len(ids) else np.empty(0, np.int64)
        return _Ranked(best.ids, best.scores, merged.given[present][at], int((~present).sum()))


class _Ranked(NamedTuple):
    """The results of one request."""

    ids: Array
    scores: Floats
    given: NDArray[np.bool_]
    skipped: int


def _by_row(found: tuple[Array, Floats]) -> tuple[Array, Floats]:
    ids, scores = found
    return (ids[np.newaxis], scores[np.newaxis]) if ids.ndim == 1 else (ids, scores)


def _lap(times: dict[str, float], name: str, begin: float) -> float:
    now = time.perf_counter()
    times[name] = now - begin
    return now


def _joined(ranked: Sequence[_Ranked], single: bool, times: dict[str, float]) -> Recommendations:
    if single:
        (one,) = ranked
        return Recommendations(one.ids, one.scores, len(one.ids), one.given, one.skipped, times)
    counts = np.asarray([len(one.ids) for one in ranked], np.int64)
    shape = len(ranked), int(counts.max(initial=0))
    dtype = np.result_type(*(one.ids.dtype for one in ranked)) if ranked else np.dtype(np.int64)
    ids, scores = np.zeros(shape, dtype), np.full(shape, -np.inf, np.float32)
    given = np.zeros((*shape, ranked[0].given.shape[1] if ranked else 0), bool)
    for row, one in enumerate(ranked):
        ids[row, : counts[row]], scores[row, : counts[row]] = one.ids, one.scores
        given[row, : counts[row]] = one.given
    skipped = np.asarray([one.skipped for one in ranked], np.int64)
    return Recommendations(ids, scores, counts, given, skipped, times)


__all__ = ["Pipeline", "Recommendations"]
