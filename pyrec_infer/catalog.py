"""Catalogues: items whose own part of a model is computed when they enter."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias
from weakref import ReferenceType, WeakSet, ref

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import Signature, as_array
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, RowCountError, ShapeError
from pyrec_infer.execution import Executable
from pyrec_infer.ir import BATCH, Array, Dim, Graph
from pyrec_infer.passes import split_graphs
from pyrec_infer.passes.bind_sizes import bind_sizes
from pyrec_infer.passes.choose_precision import require_precision
from pyrec_infer.passes.fold_constants import fold_constants
from pyrec_infer.passes.separate_items import RECORDS, ROWS, Separated, same_records, separate_items
from pyrec_infer.passes.split import Sides
from pyrec_infer.plan import Plan
from pyrec_infer.tables.id_map import DictIdMap, IdMap
from pyrec_infer.tables.records import allocate_records, encode
from pyrec_infer.tools.explain import Explanation
from pyrec_infer.top_k import TopK, best_rows

try:
    from pyrec_infer import _native
except ImportError:
    _native = None  # type: ignore[assignment]

Inputs: TypeAlias = Mapping[str, ArrayLike]
Rows64: TypeAlias = NDArray[np.int64]

_BLOCK = 1 << 14
"""Items whose part is computed in one run, so that what is between stays small."""

_SMALL_CHANGE = 4096
"""Larger changes are made to a copy of the id map, so that no reader waits for them."""


class Call(Protocol):
    """A plan that takes arrays by position; see `pyrec_infer.PreparedCall`."""

    def __call__(self, *arrays: Array, out: NDArray[np.float32] | None = None) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Compiler:
    """How a catalogue has its graphs made ready, given by the model.

    Attributes
    ----------
    signature : Signature
        The model's inputs.
    backend : str
    executable : callable
        ``executable(graph, request, few)``: a plan with these inputs on the request's side, ready to run;
        ``few`` is None or the graph for few candidates.
    call : callable
        ``call(executable, names, request, max_rows)``.
    plain_call : callable
        ``plain_call(executable, names, request)``: the same for arrays that need no closer look; returns
        None for others. None where the backend has no such thing.
    item_call : callable
        ``item_call(executable, names, request, max_rows, general, catalog)``: a call that looks items of
        the catalogue up itself and leaves what needs a closer look to ``general``, or returns None for
        it; ``general`` itself where the backend has no such thing.
    explain : callable
        ``explain(plan)``.
    """

    signature: Signature
    backend: str
    executable: Callable[[Graph, frozenset[str], Graph | None], Executable]
    call: Callable[[Executable, Sequence[str], frozenset[str], int | None], Call]
    plain_call: Callable[[Executable, Sequence[str], frozenset[str]], Call | None]
    item_call: Callable[
        [
            Executable,
            Sequence[str],
            frozenset[str],
            int | None,
            CatalogCall | None,
            Catalog | ReferenceType[Catalog],
        ],
        CatalogCall | None,
    ]
    explain: Callable[[Plan], Explanation]


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
        compiler: Compiler,
        graph: Graph,
        items: Inputs,
        ids: ArrayLike | None,
        candidates: Iterable[str],
        precision: str,
    ) -> None:
        require_precision(precision)
        signature = compiler.signature
        self._compiler = compiler
        self._precision = precision
        given = signature.expand(items)
        own = frozenset(given)
        late = frozenset(signature.expand_names(candidates))
        if own & late:
            raise InputError(f"input '{min(own & late)}' is given both with the items and the candidates")
        for name in sorted(own):
            if signature.infos[name].rows < 0:
                raise InputError(
                    f"input '{name}' has no rows, so it is part of the request, not of the items"
                )
        arrays = {name: signature.array(name, value, None) for name, value in given.items()}
        self._row_axes = {name: signature.infos[name].rows for name in own}
        self._candidate_names = tuple(name for name in graph.inputs if name in late)
        self._split = _compile(graph, Sides(frozenset(graph.inputs) - own - late, own), arrays, precision)
        pairs = self._split.pairs
        self._request_names = tuple(
            name for name in pairs.inputs if name not in late and name not in (RECORDS, ROWS)
        )
        self._item_names = self._split.items.inputs
        request = frozenset(self._request_names)
        self._item_executable = compiler.executable(self._split.items, frozenset(), None)
        self._pair_executable = compiler.executable(pairs, request, self._split.few)
        self._names = (*self._request_names, RECORDS, ROWS, *self._candidate_names)
        self._call = compiler.call(self._pair_executable, self._names, request, None)
        plain = (RECORDS, ROWS, *self._request_names, *self._candidate_names)
        self._plain_call = compiler.plain_call(self._pair_executable, plain, request)
        self._writing = threading.Lock()
        self._changing = threading.Lock()

        count = self._count_of(arrays)
        names = np.arange(count) if ids is None else np.asarray(ids)
        self._kind = _kind_of(names)
        self._item_call: Callable[..., NDArray[np.float32] | None] | None = None
        if self._kind == "i":
            item_call = compiler.item_call
            self._item_call = item_call(self._pair_executable, self._names, request, None, None, ref(self))
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
        self._records = allocate_records(len(keys) + len(keys) // 4 + 16, self._split.stride)
        native = self._kind != "U" and _native is not None and compiler.backend != "numba"
        self._snapshot = _Snapshot(_native.IdMap() if native else DictIdMap())
        self._encode(arrays, chosen, count, self._records)
        self._change(keys, self._allocate(len(keys)))
        with _forking:
            _catalogs.add(self)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a Catalog cannot be pickled; make it anew from the items")

    def __repr__(self) -> str:
        return f"<pyrec_infer.Catalog items={len(self)} bytes_per_item={self._split.stride}>"

    def __len__(self) -> int:
        return self._snapshot.ids.size()

    def __contains__(self, item: object) -> bool:
        try:
            keys, known = self._keys("id", np.asarray([item]))
        except (InputError, ValueError):
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
            arrays = self._in_order(request, candidates)
            found = None if arrays is None else self._item_call(*arrays, ids=ids)
            if found is not None:
                return found
        # Taken before the ids are looked up: records replaced after that wait for it.
        snapshot = self._snapshot
        rows = self._listing().rows if ids is None else self._find(snapshot, ids)
        return self._score(request, rows, candidates)

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
        if k < 0:
            raise InputError(f"k: expected at least 0, got {k}")
        snapshot = self._snapshot
        if ids is None and allow is not None and boost is None and candidates is None:
            names, rows = self._allowed(snapshot, allow)
            allow = None
        elif ids is None:
            listing = self._listing()
            names, rows = listing.ids, listing.rows
        else:
            names, rows = _vector("ids", ids), self._find(snapshot, ids)
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
        scores = self._score(request, rows, candidates)
        if scores.ndim != 1:
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
        signature = self._compiler.signature
        given = signature.expand(items)
        for name in given:
            if name not in self._row_axes:
                raise InputError(f"input '{name}' is not part of the items of this catalogue")
        arrays = {name: signature.array(name, value, None) for name, value in given.items()}
        signature.require(self._item_names, arrays)
        count = self._count_of(arrays)
        keys, chosen = self._entering(_vector("ids", ids), count)
        if len(keys) == 0:
            return
        made = np.empty((len(keys), self._split.stride), np.uint8)
        self._encode(arrays, chosen, count, made)
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
        names = (*request_names, *candidate_names)
        self._require(dict.fromkeys(request_names), dict.fromkeys(candidate_names))
        for name in names:
            if name not in self._names:
                raise InputError(f"input '{name}' is not read by this catalogue's score; leave it out")
        places = (*request_names, RECORDS, ROWS, *candidate_names)
        own = frozenset(request_names)
        call = self._compiler.call(self._pair_executable, places, own, max_rows)
        general = _CheckedCall(self, call, tuple(request_names), tuple(candidate_names))
        if self._kind != "i":
            return general
        item_call = self._compiler.item_call
        return item_call(self._pair_executable, places, own, max_rows, general, self) or general

    def explain(self) -> Explanation:
        """What a score does, and what a record holds.

        Returns
        -------
        Explanation
            ``str()`` gives text, ``as_dict()`` plain data with ``catalog`` besides what
            `Model.explain` gives.
        """
        pairs = self._compiler.explain(self._pair_executable.plan)
        capacity, stride = self._records.shape
        used = self._used * stride
        layout = [
            {
                "value": field.value,
                "dtype": field.dtype.name,
                "shape": list(field.shape),
                "codec": field.codec or "exact",
                "offset": field.offset,
                "bytes": field.size,
            }
            for field in self._split.fields
        ]
        data = {
            "items": len(self),
            "precision": self._precision,
            "bytes_per_item": stride,
            "capacity": capacity,
            "bytes": used,
            "record": layout,
            "item_steps": [node.op for node in self._split.items.nodes],
        }
        lines = [
            f"catalogue of {data['items']} items, {stride} bytes each: {used / 1e6:.1f} MB in use, "
            f"{self._precision}",
            f"  computed when an item enters: {len(self._split.items.nodes)} steps",
        ]
        lines += [
            f"    {item['offset']:>6} {item['bytes']:>6} bytes  {item['codec']:<5} "
            f"{item['dtype']}{item['shape']}  {item['value']}"
            for item in layout
        ]
        return Explanation("\n".join([*lines, "", str(pairs)]), {**pairs.as_dict(), "catalog": data})

    def _forget_other_threads(self) -> None:
        """For a forked child: other threads, which may have been reading or writing, are not in it."""
        self._writing = threading.Lock()
        self._snapshot.ids.reset_lock()
        while self._retired:
            self._free = np.concatenate([self._free, self._retired.popleft()[1]])

    def _count_of(self, arrays: Mapping[str, Array]) -> int:
        first, count = "", -1
        for name, array in arrays.items():
            size = array.shape[self._row_axes[name]]
            if count < 0:
                first, count = name, size
            elif size != count:
                raise RowCountError(
                    f"input '{name}': expected {count} rows, as input '{first}' has, got {size}"
                )
        if count < 0:
            raise InputError("items: expected at least one input of the model")
        return count

    def _keys(self, label: str, ids: ArrayLike) -> tuple[Array, NDArray[np.bool_]]:
        """The ids as the map knows them, and which of them can be in it."""
        names = _vector(label, ids)
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

    def _score(self, request: Inputs, rows: Rows64, candidates: Inputs | None) -> NDArray[np.float32]:
        plain = None if self._plain_call is None else self._in_order(request, candidates)
        if self._plain_call is not None and plain is not None:
            found: NDArray[np.float32] | None = self._plain_call(self._records, rows, *plain)
            if found is not None:
                return found
        signature = self._compiler.signature
        own, late = signature.expand(request), signature.expand(candidates or {})
        self._require(own, late)
        arrays = [signature.array(name, own[name], 1) for name in self._request_names]
        rest = [signature.array(name, late[name], None) for name in self._candidate_names]
        for name, array in zip(self._candidate_names, rest, strict=True):
            axis = signature.infos[name].rows
            if axis >= 0 and array.shape[axis] != len(rows):
                raise RowCountError(f"input '{name}': expected {len(rows)} rows, got {array.shape[axis]}")
        return self._call(*arrays, self._records, rows, *rest)

    def _in_order(self, request: Inputs, candidates: Inputs | None) -> list[Any] | None:
        """What a call was given, in the order of its inputs' names; None if those are not the names."""
        late = {} if candidates is None else candidates
        if len(request) != len(self._request_names) or len(late) != len(self._candidate_names):
            return None
        try:
            return [
                *[request[name] for name in self._request_names],
                *[late[name] for name in self._candidate_names],
            ]
        except (KeyError, TypeError):
            return None

    def _require(self, request: Mapping[str, Any], candidates: Mapping[str, Any]) -> None:
        signature = self._compiler.signature
        for name in request:
            if name in self._row_axes:
                raise InputError(f"input '{name}' is part of the items, not of the request")
        signature.require((*self._request_names, *self._candidate_names), request, candidates)
        for names, given, side in (
            (self._request_names, request, "the request"),
            (self._candidate_names, candidates, "the candidates"),
        ):
            for name in names:
                if name not in given:
                    raise InputError(f"input '{name}': expected with {side}")

    def _encode(
        self, arrays: Mapping[str, Array], chosen: Rows64 | None, count: int, records: NDArray[np.uint8]
    ) -> None:
        """Compute the chosen items' parts and write them into as many records."""
        total = count if chosen is None else len(chosen)
        for begin in range(0, total, _BLOCK):
            end = min(begin + _BLOCK, total)
            block = {}
            for name in self._item_names:
                axis = self._row_axes[name]
                if chosen is None:
                    index: list[Any] = [slice(None)] * arrays[name].ndim
                    index[axis] = slice(begin, end)
                    block[name] = arrays[name][tuple(index)]
                else:
                    block[name] = np.take(arrays[name], chosen[begin:end], axis=axis)
            self._item_executable.check_string_rows(block, end - begin, end - begin)
            made = self._item_executable.run(block, (), end - begin) if self._split.fields else {}
            values = [made[name] for name in self._split.items.outputs]
            records[begin:end] = 0
            encode(self._split.fields, values, records[begin:end])

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


class CatalogCall(Protocol):
    """A call whose inputs are known by position; made by `Catalog.prepare`."""

    def __call__(
        self, *arrays: Array, ids: ArrayLike | None = None, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Score items for one request.

        Parameters
        ----------
        *arrays : ndarray
            One for each name given to `Catalog.prepare`, with the model's rank; never copied.
        ids : array_like, optional
            The items; all of them by default.
        out : ndarray of float32, shape (N,), optional
            Where the scores go; a new array by default.

        Returns
        -------
        ndarray of float32, shape (N,)
            As for `Catalog.score`; ``out`` if it was given.
        """
        ...


class _CheckedCall:
    """A prepared call with every check, for all backends and ids."""

    def __init__(
        self, catalog: Catalog, call: Call, request: tuple[str, ...], candidates: tuple[str, ...]
    ) -> None:
        self._catalog = catalog
        self._call = call
        self._request = len(request)
        self._names = (*request, *candidates)

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


def _vector(label: str, ids: ArrayLike) -> Array:
    names = np.asarray(ids)
    if names.ndim != 1:
        raise ShapeError(f"{label}: expected one axis, got shape {list(names.shape)}")
    if names.dtype.kind == "T" or (
        names.dtype.kind == "O" and all(isinstance(name, str) for name in names.tolist())
    ):
        names = names.astype(str)
    return names


def _kind_of(names: Array) -> str:
    names = _vector("ids", names)
    if names.size and names.dtype.kind not in "iuU":
        raise DTypeError(f"ids: expected whole numbers or strings, got {names.dtype}")
    return "u" if names.dtype == np.uint64 else "U" if names.dtype.kind == "U" else "i"


def _map_size(keys: Array, more: int) -> tuple[int, int]:
    """Keys below the first number lie in an array, if that is not much larger than a hash table."""
    if len(keys) == 0 or keys.min() < 0 or keys.max() >= 4 * (len(keys) + more) + 1024:
        return 0, len(keys) + more
    return int(keys.max()) + 1 + more, 0


def _compile(graph: Graph, sides: Sides, arrays: Mapping[str, Array], precision: str) -> Separated:
    """The graph in two, for items of these arrays' sizes."""
    sizes: dict[str, int] = {}
    for name, array in arrays.items():
        info = graph.infos.get(name)
        for axis, size in enumerate((info and info.shape) or ()):
            plain = isinstance(size, Dim) and size.coefficient == 1 and len(size.symbols) == 1
            if isinstance(size, Dim) and plain and size.symbols != (BATCH,):
                sizes.setdefault(size.symbols[0], array.shape[axis])
    graph = fold_constants(bind_sizes(graph, sizes))
    graphs = split_graphs(graph, sides.request, sides.items)
    many, *few = (separate_items(item, sides, precision) for item in graphs if item is not None)
    if not few:
        return many
    # One record has to serve both.
    return replace(many, few=few[0].pairs) if same_records(many, few[0]) else few[0]


__all__ = ["Catalog", "CatalogCall", "Compiler"]
