"""Catalogues: items whose own part of a model is computed when they enter."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import ReferenceType, WeakSet, ref

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import as_array, as_count, as_ids, as_names
from pyrec_infer.calls import PreparedCall
from pyrec_infer.catalog.calls import CatalogCall
from pyrec_infer.catalog.report import explain_catalog
from pyrec_infer.catalog.scorer import Inputs, ModelPart, Rows64, make_scorer
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, ShapeError
from pyrec_infer.ir import Array
from pyrec_infer.passes.separate_items import RECORDS, ROWS
from pyrec_infer.tables.id_map import DictIdMap, IdMap
from pyrec_infer.tables.records import allocate_records
from pyrec_infer.tools.explain import Explanation
from pyrec_infer.top_k import TopK, best_rows

try:
    from pyrec_infer import _native
except ImportError:
    _native = None  # type: ignore[assignment]

_SMALL_CHANGE = 4096
"""Larger changes are made to a copy of the id map, so that no reader waits for them."""


@dataclass(frozen=True, eq=False)
class _Snapshot:
    """What a reader holds while it may see a record; records replaced later wait for it."""

    ids: IdMap


@dataclass(frozen=True)
class _Listing:
    """All items in order: their ids and records."""

    ids: Array
    rows: Rows64


class _Growing:
    """A vector that takes more at its end."""

    def __init__(self, dtype: Any) -> None:
        self._data = np.empty(0, dtype)
        self.size = 0

    @property
    def values(self) -> Array:
        return self._data[: self.size]

    def extend(self, size: int) -> None:
        """Make it longer; the new elements are not set."""
        if size > len(self._data):
            data = np.empty(max(size, 2 * len(self._data)), self._data.dtype)
            data[: self.size] = self.values
            self._data = data
        self.size = max(size, self.size)


_catalogs: WeakSet[Catalog] = WeakSet()


_held: list[threading.Lock] = []
_forking = threading.Lock()


def _before_fork() -> None:
    """Wait until no catalogue is half changed."""
    _forking.acquire()
    for catalog in list(_catalogs):
        catalog._changing.acquire()
        _held.append(catalog._changing)


def _after_fork() -> None:
    while _held:
        _held.pop().release()
    _forking.release()


def _after_fork_in_child() -> None:
    _after_fork()
    for catalog in list(_catalogs):
        catalog._forget_other_threads()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)


class Catalog:
    """Items that a model scores for one request after another. Make one with `Model.catalog`.

    Everything that depends on an item alone is computed when the item enters and stored in a record;
    `score` and `top_k` compute what is left. Safe to use from any number of threads, also while
    items change: each score is of an item as it was before or after the change. Survives fork; the
    child's changes are its own. Cannot be pickled: make it anew from the items.

    Items are in the order in which their ids entered. An id that is put in again keeps its place.
    """

    def __init__(
        self,
        part: ModelPart,
        items: Inputs,
        ids: ArrayLike | None,
        candidates: Iterable[str],
        precision: str,
    ) -> None:
        scorer, arrays = make_scorer(part, items, candidates, precision)
        self._scorer = scorer
        self._writing = threading.Lock()
        self._changing = threading.Lock()

        count = scorer.count_of(arrays)
        names = np.arange(count) if ids is None else as_ids("ids", ids)
        self._kind = _kind_of(names)
        self._item_call: Callable[..., NDArray[np.float32] | None] | None = None
        if self._kind == "i":
            call = scorer.positional(scorer.names, frozenset(scorer.request_names), None)
            self._item_call = call.in_backend(None, ref(self))
        keys, chosen = self._entering(names, count)
        self._ids_at = _Growing(object if self._kind == "U" else np.int64)
        self._row_at = _Growing(np.int64)
        self._position_of = _Growing(np.int64)
        self._free = np.empty(0, np.int64)
        self._used = 0
        self._removed = 0
        self._retired: deque[tuple[ReferenceType[_Snapshot], Rows64]] = deque()
        self._listed: _Listing | None = None
        # Pages that nothing was written to take no memory.
        self._records = allocate_records(len(keys) + len(keys) // 4 + 16, scorer.stride)
        native = self._kind != "U" and _native is not None and scorer.backend != "numba"
        self._snapshot = _Snapshot(_native.IdMap() if native else DictIdMap())
        for begin, records in scorer.encode(arrays, chosen, count):
            self._records[begin : begin + len(records)] = records
        self._change(keys, self._allocate(len(keys)))
        with _forking:
            _catalogs.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Catalog cannot be pickled; make it anew from the items")

    def __repr__(self) -> str:
        return f"<pyrec_infer.Catalog items={len(self)} bytes_per_item={self._scorer.stride}>"

    def __len__(self) -> int:
        return self._snapshot.ids.size()

    def __contains__(self, item: object) -> bool:
        try:
            keys, known = self._keys("id", [item])
        except InputError:
            return False
        return bool(known.all() and self._snapshot.ids.find(keys)[0] >= 0)

    @property
    def ids(self) -> Array:
        """The ids of all items, in order: int64, uint64 if they were given so, or strings."""
        return self._listing().ids.copy()

    def score(
        self,
        request: Inputs,
        ids: ArrayLike | None = None,
        candidates: Inputs | None = None,
    ) -> NDArray[np.float32]:
        """Score items for one request.

        Parameters
        ----------
        request : mapping of str to array_like
            All inputs that are neither the items' nor the candidates': one row each, or scalars.
        ids : array_like, optional
            The items; all of them, in the order of `ids`, by default.
        candidates : mapping of str to array_like, optional
            The inputs that were named as candidates', one row for each id.

        Returns
        -------
        ndarray of float32, shape (len(ids),)
            What `Model.score` gives for the same items.

        Raises
        ------
        InputError
            As for `Model.score`; `IdRangeError` where an id is not in the catalogue.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 500)[0]
        >>> catalog = pi.load(MODEL).catalog(items(500), candidates=["affinity"])
        >>> catalog.score(user.request, [7, 400], {"affinity": user.affinity[[7, 400]]}).shape
        (2,)
        """
        if ids is not None and self._item_call is not None:
            arrays = self._scorer.in_order(request, candidates)
            found = None if arrays is None else self._item_call(*arrays, ids=ids)
            if found is not None:
                return found
        # Taken before the ids are looked up: records replaced after that wait for it.
        snapshot = self._snapshot
        rows = self._listing().rows if ids is None else self._find(snapshot, ids)
        return self._scorer.score(self._records, rows, request, candidates)

    def top_k(
        self,
        request: Inputs,
        k: int = 100,
        ids: ArrayLike | None = None,
        exclude: ArrayLike | None = None,
        boost: ArrayLike | None = None,
        allow: ArrayLike | None = None,
        candidates: Inputs | None = None,
    ) -> TopK:
        """The k items with the highest scores, best first.

        Parameters
        ----------
        request, ids, candidates
            As for `score`.
        k : int
            How many; fewer items give fewer results.
        exclude, allow : array_like, optional
            Ids of items that are left out, or that alone are taken. Ids that are not in the catalogue
            are ignored.
        boost : array_like of float, optional
            Added to the scores before they are compared; one for each of ``ids``, or for each item.

        Returns
        -------
        TopK
            Ids of the items. Equal scores: the earlier of ``ids``, or in the catalogue's order, first.
            NaN comes after every number.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 500)[0]
        >>> catalog = pi.load(MODEL).catalog(items(500), ids=range(1000, 1500), candidates=["affinity"])
        >>> catalog.top_k(user.request, 3, candidates={"affinity": user.affinity}).count
        3
        """
        k = as_count("k", k)
        snapshot = self._snapshot
        if ids is None and allow is not None and boost is None and candidates is None:
            names, rows = self._allowed(snapshot, allow)
            allow = None
        elif ids is None:
            listing = self._listing()
            names, rows = listing.ids, listing.rows
        else:
            names, rows = as_ids("ids", ids), self._find(snapshot, ids)
        added = None if boost is None else as_array("boost", boost, np.dtype(np.float32))
        if added is not None and added.shape != rows.shape:
            raise ShapeError(f"boost: expected shape [{len(rows)}], got {list(added.shape)}")
        kept: Rows64 | None = None
        if allow is not None or exclude is not None:
            taken = np.ones(len(rows), np.bool_)
            if allow is not None:
                taken &= np.isin(rows, self._known_rows(snapshot, "allow", allow))
            if exclude is not None:
                taken &= ~np.isin(rows, self._known_rows(snapshot, "exclude", exclude))
            kept = np.flatnonzero(taken)
            if candidates is None:
                rows = rows[kept]
        scores = self._scorer.score(self._records, rows, request, candidates)
        if scores.shape != rows.shape:
            raise ShapeError(f"top_k needs one score for each item, the output has {list(scores.shape)}")
        if kept is not None:
            scores = scores if candidates is None else scores[kept]
            names = names[kept]
            added = None if added is None else added[kept]
        if added is not None:
            scores = scores + added.astype(np.float32)
        places, best = best_rows(scores, k, None, None)
        return TopK(names[places], best, len(places))

    def upsert(self, items: Inputs, ids: ArrayLike) -> None:
        """Put items in, or in the place of those of the same id.

        Parameters
        ----------
        items : mapping of str to array_like
            The inputs that the catalogue was made with, one row for each id.
        ids : array_like
            Of an id that occurs several times, the last row counts.
        """
        arrays = self._scorer.item_arrays(items)
        count = self._scorer.count_of(arrays)
        keys, chosen = self._entering(as_ids("ids", ids), count)
        if len(keys) == 0:
            return
        made = np.empty((len(keys), self._scorer.stride), np.uint8)
        for begin, records in self._scorer.encode(arrays, chosen, count):
            made[begin : begin + len(records)] = records
        with self._writing:
            rows = self._allocate(len(keys))
            self._records[rows] = made
            self._change(keys, rows)

    def remove(self, ids: ArrayLike) -> int:
        """Take items out.

        Parameters
        ----------
        ids : array_like
            Ids that are not in the catalogue are ignored.

        Returns
        -------
        int
            How many items were in the catalogue.
        """
        keys, known = self._keys("ids", ids)
        keys = keys[known]
        with self._writing:
            self._reclaim()
            before = self._snapshot
            ids_map = before.ids
            if len(keys) > _SMALL_CHANGE:
                ids_map = ids_map.copy(*self._map_size(np.empty(0, np.int64)))
            with self._changing:
                rows = ids_map.erase(keys)
                rows = rows[rows >= 0]
                positions = self._position_of.values[rows]
                self._row_at.values[positions] = -1
                if self._kind == "U":
                    self._ids_at.values[positions] = None
                self._removed += len(rows)
                self._close_gaps()
                self._publish(before, ids_map, rows)
        return len(rows)

    def prepare(
        self,
        request_names: Sequence[str],
        candidate_names: Sequence[str] = (),
        max_rows: int | None = None,
    ) -> CatalogCall:
        """A callable for repeated small calls: names are looked up once.

        Parameters
        ----------
        request_names, candidate_names : sequence of str
            Inputs in the order in which the arrays will be given.
        max_rows : int, optional
            Calls with more items are refused.

        Returns
        -------
        CatalogCall
        """
        request_names = as_names("request_names", request_names)
        candidate_names = as_names("candidate_names", candidate_names)
        max_rows = None if max_rows is None else as_count("max_rows", max_rows)
        names = (*request_names, *candidate_names)
        scorer = self._scorer
        scorer.require(dict.fromkeys(request_names), dict.fromkeys(candidate_names))
        for name in names:
            if name not in scorer.names:
                raise InputError(f"input '{name}' is not read by this catalogue's score; leave it out")
        places = (*request_names, RECORDS, ROWS, *candidate_names)
        call = scorer.positional(places, frozenset(request_names), max_rows)
        general = _CheckedCall(self, call.in_backend(call) or call, names, len(request_names))
        quick: CatalogCall | None = call.in_backend(general, self) if self._kind == "i" else None
        return quick or general

    def explain(self) -> Explanation:
        """What a score does, and what a record holds.

        Returns
        -------
        Explanation
            ``str()`` gives text, ``as_dict()`` plain data with ``catalog`` besides what
            `Model.explain` gives.
        """
        return explain_catalog(self._scorer, len(self), len(self._records), self._used)

    def _forget_other_threads(self) -> None:
        """For a forked child: other threads, which may have been reading or writing, are not in it."""
        self._writing = threading.Lock()
        self._snapshot.ids.reset_lock()
        while self._retired:
            self._free = np.concatenate([self._free, self._retired.popleft()[1]])

    def _keys(self, label: str, ids: Any) -> tuple[Array, NDArray[np.bool_]]:
        """The ids as the map knows them, and which of them can be in it."""
        names = as_ids(label, ids)
        if names.size == 0:
            return np.empty(0, "U1" if self._kind == "U" else np.int64), np.empty(0, np.bool_)
        if (names.dtype.kind == "U") != (self._kind == "U") or names.dtype.kind not in "iuU":
            expected = "strings" if self._kind == "U" else "whole numbers"
            raise DTypeError(f"{label}: expected {expected}, got {names.dtype}")
        known = np.ones(len(names), np.bool_)
        if self._kind == "U":
            return names, known
        if names.dtype == np.uint64 and self._kind == "i":
            known = names <= np.uint64(2**63 - 1)
        elif names.dtype.kind == "i" and self._kind == "u":
            known = names >= 0
        return np.ascontiguousarray(names).astype(np.int64, copy=False), known

    def _entering(self, names: Array, count: int) -> tuple[Array, Rows64 | None]:
        """The keys of new items, each once, and their rows among those given, if these are not all."""
        keys, known = self._keys("ids", names)
        if len(keys) != count:
            raise ShapeError(f"ids: expected {count}, one for each item, got {len(keys)}")
        if not known.all():
            raise IdRangeError(
                f"ids: expected ids of the type that the catalogue has (row {np.flatnonzero(~known)[0]})"
            )
        unique, last = np.unique(keys[::-1], return_index=True)
        if len(unique) == count:
            return keys, None
        chosen = np.sort(count - 1 - last)
        return keys[chosen], chosen

    def _find(self, snapshot: _Snapshot, ids: ArrayLike) -> Rows64:
        if type(ids) is np.ndarray and ids.dtype == np.int64 and ids.ndim == 1 and self._kind == "i":
            return snapshot.ids.require(ids)
        keys, known = self._keys("ids", ids)
        if not known.all():
            # Keys of the other sign stand for no item; what comes before them may be unknown too.
            first = int(np.flatnonzero(~known)[0])
            snapshot.ids.require(keys[:first])
            raise IdRangeError(f"ids: expected ids of the catalogue, got one that is not (row {first})")
        return snapshot.ids.require(keys)

    def _known_rows(self, snapshot: _Snapshot, label: str, ids: ArrayLike) -> Rows64:
        keys, known = self._keys(label, ids)
        rows = snapshot.ids.find(keys)
        return rows[(rows >= 0) & known]

    def _allowed(self, snapshot: _Snapshot, ids: ArrayLike) -> tuple[Array, Rows64]:
        """The given ids that are in the catalogue, each once and in its order, and their records."""
        keys, known = self._keys("allow", ids)
        rows = np.where(known, snapshot.ids.find(keys), -1)
        # A change may move positions meanwhile; what depends on them is the order of equal scores only.
        unique, first = np.unique(rows, return_index=True)
        kept = first[unique >= 0]
        kept = kept[np.argsort(self._position_of.values[rows[kept]], kind="stable")]
        return _shown(keys[kept], self._kind), rows[kept]

    def _listing(self) -> _Listing:
        found = self._listed
        if found is None:
            with self._changing:
                found = self._listed
                if found is None:
                    found = self._list()
                    self._listed = found
        return found

    def _list(self) -> _Listing:
        rows = self._row_at.values
        names, there = self._ids_at.values, rows >= 0
        return _Listing(_shown(names[there], self._kind), rows[there])

    def _map_size(self, keys: Array) -> tuple[int, int]:
        if self._kind == "U":
            return 0, 0
        known = self._ids_at.values
        return _map_size(np.concatenate([known, keys]) if len(keys) else known, len(known) // 2)

    def _allocate(self, count: int) -> Rows64:
        """Records that no reader can see; the caller is the only writer."""
        self._reclaim()
        old, self._free = self._free[:count], self._free[count:]
        fresh = count - len(old)
        needed = self._used + fresh
        capacity, stride = self._records.shape
        if needed > capacity:
            records = allocate_records(max(needed, capacity + capacity // 2), stride)
            records[: self._used] = self._records[: self._used]
            self._records = records
        rows = np.concatenate([old, np.arange(self._used, needed)])
        self._used = needed
        return rows

    def _reclaim(self) -> None:
        """Records whose last reader has finished are free again; in the order of the changes."""
        done = []
        while self._retired and self._retired[0][0]() is None:
            done.append(self._retired.popleft()[1])
        if done:
            self._free = np.concatenate([self._free, *done])

    def _change(self, keys: Array, rows: Rows64) -> None:
        """Let the keys stand for rows that have been written."""
        before = self._snapshot
        ids_map = before.ids
        previous: Rows64 | None = None
        if len(keys) > _SMALL_CHANGE or not ids_map.fits(keys):
            ids_map = ids_map.copy(*self._map_size(keys))
            previous = ids_map.assign(keys, rows)
        with self._changing:
            if previous is None:
                previous = ids_map.assign(keys, rows)
            new = previous < 0
            positions = np.empty(len(keys), np.int64)
            self._position_of.extend(len(self._records))
            positions[~new] = self._position_of.values[previous[~new]]
            end = self._row_at.size
            added = int(new.sum())
            positions[new] = np.arange(end, end + added)
            self._row_at.extend(end + added)
            self._ids_at.extend(end + added)
            self._ids_at.values[end:] = keys[new]
            self._row_at.values[positions] = rows
            self._position_of.values[rows] = positions
            self._publish(before, ids_map, previous[~new])

    def _publish(self, before: _Snapshot, ids_map: IdMap, retired: Rows64) -> None:
        # A listing made before the change may only be used with the snapshot before it.
        self._listed = None
        self._snapshot = _Snapshot(ids_map)
        # Also where nothing was retired: what is retired next may be seen by those who hold `before`.
        self._retired.append((ref(before), retired))

    def _close_gaps(self) -> None:
        """Forget the places of removed items once they are most of all."""
        if self._removed <= 64 or 2 * self._removed <= self._row_at.size:
            return
        rows = self._row_at.values
        there = rows >= 0
        for column in (self._row_at, self._ids_at):
            kept = column.values[there]
            column.size = 0
            column.extend(len(kept))
            column.values[:] = kept
        self._position_of.values[self._row_at.values] = np.arange(self._row_at.size)
        self._removed = 0


class _CheckedCall:
    """A prepared call with every check, for all backends and ids."""

    def __init__(self, catalog: Catalog, call: PreparedCall, names: tuple[str, ...], request: int) -> None:
        self._catalog = catalog
        self._call = call
        self._request = request
        self._names = names

    def __call__(
        self, *arrays: Array, ids: ArrayLike | None = None, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        if len(arrays) != len(self._names):
            raise InputError(
                f"expected {len(self._names)} arrays ({', '.join(self._names)}), got {len(arrays)}"
            )
        catalog = self._catalog
        snapshot = catalog._snapshot
        rows = catalog._listing().rows if ids is None else catalog._find(snapshot, ids)
        request, candidates = arrays[: self._request], arrays[self._request :]
        return self._call(*request, catalog._records, rows, *candidates, out=out)


def _shown(keys: Array, kind: str) -> Array:
    """Keys as the ids that the caller knows."""
    if kind == "U":
        return keys.astype(str) if len(keys) else np.empty(0, "U1")
    return keys.view(np.uint64) if kind == "u" else keys


def _kind_of(names: Array) -> str:
    if names.size and names.dtype.kind not in "iuU":
        raise DTypeError(f"ids: expected whole numbers or strings, got {names.dtype}")
    return "u" if names.dtype == np.uint64 else "U" if names.dtype.kind == "U" else "i"


def _map_size(keys: Array, more: int) -> tuple[int, int]:
    """Keys below the first number lie in an array, if that is not much larger than a hash table."""
    if len(keys) == 0 or keys.min() < 0 or keys.max() >= 4 * (len(keys) + more) + 1024:
        return 0, len(keys) + more
    return int(keys.max()) + 1 + more, 0


__all__ = ["Catalog"]
