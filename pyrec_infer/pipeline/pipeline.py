"""Two stages in one call: sources retrieve candidates, a catalogue ranks them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import Inputs, as_count, raw_columns, require_choice
from pyrec_infer.catalog import Catalog
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, RowCountError
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.pipeline.merge import Merged, merge
from pyrec_infer.pipeline.source import Floats, Request, Source
from pyrec_infer.retrieval import Retriever
from pyrec_infer.selection import DPP, MMR
from pyrec_infer.selection.boosts import read_boosts
from pyrec_infer.selection.diversity import given_vectors
from pyrec_infer.selection.masks import as_mask
from pyrec_infer.store import as_those
from pyrec_infer.tools.explain import Explanation


class Recommendations(NamedTuple):
    """What a pipeline found, best first: for one request, but for one in a list, without the first axis.

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

    Safe to use from any number of threads, also while items of either stage change. The candidates of several
    requests are ranked together.

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
    A catalogue that was made with vectors is a store for both stages: its `Catalog.retriever` is a source,
    and an item enters both by one `Catalog.upsert`, whole or not at all. Both stages of a call then see the
    items as they are when it begins: nothing that is retrieved has gone before it is ranked. Other
    retrievers have stores of their own, each with its ids and its own `upsert`.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrec_infer as pi
    >>> from pyrec_infer.bundled import MODEL, items, users
    >>> user, vectors = users(1, 500)[0], np.random.default_rng(0).standard_normal((500, 8))
    >>> shop = pi.load(MODEL).catalog({**items(500), "affinity": user.affinity}, vectors=vectors)
    >>> pipeline = pi.Pipeline(pi.Source(shop.retriever, query="taste", k=50), shop)
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
        self._sources = tuple(sources) if isinstance(sources, Iterable) else (sources,)
        for source in self._sources:
            if not isinstance(source, Source):
                kind = type(source).__name__
                raise DTypeError(
                    f"sources: expected Source or several, as Source(retriever, ...), got {kind}"
                )
        if not self._sources:
            raise InputError("sources: expected at least one")
        if not isinstance(ranker, Catalog):
            raise DTypeError(f"ranker: expected a Catalog, got {type(ranker).__name__}")
        require_choice("missing", missing, ("skip", "error"))
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
    def top_k(self, request: Inputs, k: int = 100, **rules: Any) -> Recommendations:
        """The k best items for one request or for each of several.

        Parameters
        ----------
        request : mapping of str to array_like, table, or list of mappings
            What the sources and the ranker read: arrays, or where the ranker has a schema raw rows. For
            several requests a row each; an array of one row is of all of them.
        k : int
            How many; fewer candidates give fewer results.
        **rules
            Further arguments of `Catalog.top_k` but ``ids``, ``missing`` and ``candidates``. Masks, boosts
            and vectors of a diversity have a value for each item of the ranker, in the order of its `ids`.
            What ``where``, ``allow`` and ``exclude`` leave out, a retriever of the ranker's own items does
            not retrieve.

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
        for name in ("ids", "missing", "candidates"):
            if name in rules:
                raise InputError(f"{name}: expected by the ranker alone, the sources say what is ranked")
        given = request if isinstance(request, Mapping) else _columns(request)
        self._require_known(given)
        within: dict[str, Any] = {name: rules[name] for name in _WITHIN if name in rules}
        times: dict[str, float] = {}
        found = []
        begin = time.perf_counter()
        shared = [source.shares_items(self._ranker) for source in self._sources]
        # Both stages, and what has a value for each item, are about the same state of the items.
        one = any(shared) or any(rules.get(name) is not None for name in _BY_ITEM)
        ranker = self._ranker._pinned() if one else self._ranker
        for name, source, own_items in zip(self._names, self._sources, shared, strict=True):
            found.append(
                source.retrieve(given, within, ranker.retriever) if own_items else source.retrieve(given)
            )
            begin = _lap(times, name, begin)
        own, count = self._requests(given, found)
        merged = self._merged(found, 1 if count is None else count)
        begin = _lap(times, "merge", begin)
        best = self._rank(ranker, own, merged, k, rules)
        _lap(times, "rank", begin)
        if count is not None or isinstance(request, (list, tuple)):
            return Recommendations(*best, times)
        size = int(best.counts[0])
        return Recommendations(
            best.ids[0, :size],
            best.scores[0, :size],
            size,
            best.sources[0, :size],
            int(best.skipped[0]),
            times,
        )

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
    ) -> tuple[dict[str, Any], int | None]:
        """What the ranker reads of the requests, and how many they are; None: one alone."""
        own = {name: request[name] for name in self._ranker.request_fields if name in request}
        counts = {
            f"source {name}": len(ids)
            for name, (ids, _) in zip(self._names, found, strict=True)
            if ids.ndim == 2
        }
        sizes = {name: self._ranker.count_requests({name: value}) for name, value in own.items()}
        counts.update((f"input '{name}'", size) for name, size in sizes.items())
        several = {label: count for label, count in counts.items() if count != 1}
        if not several:
            return own, None
        one, count = next(iter(several.items()))
        for label, other in several.items():
            if other != count:
                raise RowCountError(f"{label}: expected {count} requests, as {one} has, got {other}")
        for name, (ids, _) in zip(self._names, map(_by_row, found), strict=True):
            if len(ids) != count:
                raise RowCountError(
                    f"source {name}: expected a row for each of {count} requests, got {len(ids)}"
                )
        return {name: _repeated(value, count // sizes[name]) for name, value in own.items()}, count

    def _merged(self, found: Sequence[tuple[Array, Floats]], count: int) -> list[Merged]:
        rows = [_by_row(each) for each in found]
        weights = [source.weight for source in self._sources]
        return [
            merge([(ids[row], scores[row]) for ids, scores in rows], weights, self._limit)
            for row in range(count)
        ]

    def _rank(
        self, ranker: Catalog, own: dict[str, Any], merged: list[Merged], k: int, rules: dict[str, Any]
    ) -> _Best:
        """The best of each request's candidates."""
        present = [ranker.contains(each.ids) for each in merged]
        skipped = np.asarray([np.count_nonzero(~there) for there in present], np.int64)
        if self._missing == "error" and skipped.any():
            first = int(np.argmin(present[int(np.argmax(skipped > 0))]))
            raise IdRangeError("candidates: expected ids of the ranker", first)
        lists = [each.ids[there] for each, there in zip(merged, present, strict=True)]
        best = ranker.top_k(own, k, ids=lists, missing="skip", **_of_lists(ranker, rules, lists))
        given = np.zeros((*best.ids.shape, len(self._sources)), bool)
        if len(self._sources) == 1:
            given[np.arange(given.shape[1]) < best.counts[:, np.newaxis]] = True
            return _Best(best.ids, best.scores, best.counts, given, skipped)
        for row, count in enumerate(best.counts.tolist()):
            order = np.argsort(merged[row].ids, kind="stable")
            # All of them are among the sources': they are the same whole numbers in either type.
            ids = as_those(best.ids[row, :count], merged[row].ids)[0]
            at = np.searchsorted(merged[row].ids, ids, sorter=order)
            given[row, :count] = merged[row].given[order[at]]
        return _Best(best.ids, best.scores, best.counts, given, skipped)


_WITHIN = ("where", "allow", "exclude")
"""Rules that say which items there are for a call."""

_BY_ITEM = ("allow", "exclude", "boost", "scale", "diversity")
"""Rules that may have a value for each item of the ranker."""


class _Best(NamedTuple):
    """Results but for their times."""

    ids: Array
    scores: Floats
    counts: NDArray[np.int64]
    sources: NDArray[np.bool_]
    skipped: NDArray[np.int64]


def _of_lists(ranker: Catalog, rules: dict[str, Any], lists: list[Array]) -> dict[str, Any]:
    """Rules with a value for each item of the ranker as those of its lists."""
    total, made = len(ranker), dict(rules)
    masks = {name: as_mask(name, rules.get(name), total) for name in ("allow", "exclude")}
    boosts = read_boosts(rules.get("boost"), rules.get("scale"), total, len(lists))
    diversity: MMR | DPP | None = rules.get("diversity")
    vectors = None
    if isinstance(diversity, (MMR, DPP)):
        vectors = given_vectors(diversity.by, total)
    if boosts is None and vectors is None and all(mask is None for mask in masks.values()):
        return made
    places = [ranker.places(ids) for ids in lists]
    if diversity is not None and vectors is not None:
        made["diversity"] = replace(diversity, by=vectors[np.concatenate(places)])
    numbers = {} if boosts is None else {"boost": boosts.plus, "scale": boosts.times}
    for name, values in {**masks, **numbers}.items():
        if values is not None:
            wide = np.broadcast_to(values, (len(lists), total))
            made[name] = np.concatenate([wide[row, own] for row, own in enumerate(places)])
    return made


def _columns(request: Any) -> Mapping[str, Any]:
    """Requests as columns by name."""
    try:
        return raw_columns(request)
    except DTypeError:
        raise DTypeError(f"request: expected inputs by name, got {type(request).__name__}") from None


def _repeated(value: Any, count: int) -> Any:
    """An input of one request for as many."""
    if count == 1:
        return value
    array = np.asarray(value)
    row = array if array.ndim and len(array) == 1 else array[np.newaxis]
    return np.repeat(row, count, axis=0)


def _by_row(found: tuple[Array, Floats]) -> tuple[Array, Floats]:
    ids, scores = found
    return (ids[np.newaxis], scores[np.newaxis]) if ids.ndim == 1 else (ids, scores)


def _lap(times: dict[str, float], name: str, begin: float) -> float:
    now = time.perf_counter()
    times[name] = now - begin
    return now


__all__ = ["Pipeline", "Recommendations"]
