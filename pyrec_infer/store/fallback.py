"""A store for backends without the extension."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from itertools import accumulate, count, islice, repeat
from typing import Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.store.base import Keys, Rows64
from pyrec_infer.strings import Texts

_Entry = tuple[int, int]
"""The row of an item and its place in the order."""

_ABSENT: _Entry = (-1, -1)

# References without a callback, unlike a `WeakSet`'s: what a signal's handler raises in one is lost.
_stores: dict[int, ref[PythonStore]] = {}
_numbers = count()


def _remember(store: PythonStore) -> None:
    for number, other in list(_stores.items()):
        if other() is None:
            _stores.pop(number, None)
    _stores[next(_numbers)] = ref(store)


def _in_child() -> None:
    # Another thread may have held a lock that is not in the child.
    for other in list(_stores.values()):
        if (store := other()) is not None:
            store._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class _State:
    """Rows are only ever written once; ``entries`` changes in single steps of the interpreter."""

    def __init__(self, records: NDArray[np.uint8], entries: dict[Any, _Entry], fresh: Iterator[int]) -> None:
        self.records = records
        self.entries = entries
        self.fresh = fresh
        """Rows that were never taken, each given out once."""


class _Batch:
    def __init__(self, size: int, ends: list[int]) -> None:
        self.records = np.empty((size, ends[-1]), np.uint8)
        self._ends = ends

    def arrange(self, order: Rows64) -> None:
        """Nothing here reads rows side by side."""

    def write(self, first: int, records: NDArray[np.uint8], part: int = 0) -> None:
        begin = self._ends[part]
        self.records[first : first + len(records), begin : begin + records.shape[1]] = records


class _View:
    def __init__(
        self,
        records: NDArray[np.uint8],
        found: list[tuple[list[Any], list[_Entry]]],
        ends: list[int],
        store: PythonStore,
        seen: int,
    ) -> None:
        self._store, self._seen = store, seen
        self._records = records
        self._ends = ends
        self._found = found

    @property
    def records(self) -> NDArray[np.uint8]:
        return self.part(0)

    def part(self, number: int) -> NDArray[np.uint8]:
        return self._records[:, self._ends[number] : self._ends[number + 1]]

    def rows(self, number: int) -> Rows64:
        entries = self._found[number][1]
        return np.fromiter((row for row, _ in entries), np.int64, len(entries))

    def is_current(self) -> bool:
        return self._seen == self._store._changes

    def rows_of(self, keys: Keys) -> Rows64 | None:
        view = self._store.read(keys)
        return view.rows(0) if view._seen == self._seen else None

    def missing(self, number: int) -> int:
        entries = self._found[number][1]
        return entries.index(_ABSENT) if _ABSENT in entries else -1

    def order(self, number: int) -> Rows64:
        places = {place: i for i, (_, place) in reversed(list(enumerate(self._found[number][1])))}
        return np.asarray([places[place] for place in sorted(places) if place >= 0], np.int64)

    def ids(self, number: int, chosen: Rows64) -> Any:
        names = self._found[number][0]
        ids = [names[i] for i in chosen.tolist()]
        if ids and isinstance(ids[0], bytes):
            return [name.decode(errors="surrogatepass") for name in ids]
        return np.asarray(ids, np.int64)


class PythonStore:
    """See `Store`. Records that were replaced are dropped when there is no row left, by a copy of
    the others.

    Examples
    --------
    >>> store = PythonStore([4])
    >>> batch = store.take(2)
    >>> batch.write(0, np.arange(8, dtype=np.uint8).reshape(2, 4))
    >>> store.put(np.asarray([7, 9]), batch)
    >>> view = store.read(np.asarray([9, 3]))
    >>> view.records[view.rows(0)[0]].tolist(), view.missing(0)
    ([4, 5, 6, 7], 1)
    """

    def __init__(self, strides: Sequence[int]) -> None:
        # An interrupted thread that still holds the lock can take it again.
        self._lock = threading.RLock()
        self._ends = [0, *accumulate(strides)]
        self._places = count()
        self._changes = 0
        self._state = _State(np.empty((0, self._ends[-1]), np.uint8), {}, count())
        _remember(self)

    def size(self) -> int:
        return len(self._state.entries)

    def capacity(self) -> int:
        return len(self._state.records)

    def taken(self) -> int:
        return self.size()

    def last_of_each(self, keys: Keys) -> Rows64 | None:
        last = {name: i for i, name in enumerate(_names(keys))}
        return None if len(last) == len(keys) else np.sort(np.asarray(list(last.values()), np.int64))

    def take(self, count: int) -> _Batch:
        return _Batch(count, self._ends)

    def put(self, keys: Keys, batch: _Batch) -> None:
        names = _names(keys)
        while True:
            with self._lock:
                state = self._state
                rows = list(islice(state.fresh, len(names)))
                if rows and rows[-1] >= len(state.records):
                    # Rows have other numbers then, so what was read before is of another state.
                    self._changes += 1
                    self._state = self._moved(state, len(names))
                    self._changes += 1
                    continue
                if rows:
                    state.records[rows[0] : rows[-1] + 1] = batch.records
                before = map(state.entries.get, names, repeat(_ABSENT))
                places = [next(self._places) if place < 0 else place for _, place in before]
                added = dict(zip(names, zip(rows, places, strict=True), strict=True))
                # Twice, since an interrupted change may have happened or not.
                self._changes += 1
                state.entries.update(added)
                self._changes += 1
                # A signal's handler may have moved the records meanwhile, in this very thread.
                if self._state is state:
                    return

    def erase(self, keys: Keys) -> int:
        names = _names(keys)
        with self._lock:
            state = self._state
            self._changes += 1
            if len(names) == 1:
                return 0 if state.entries.pop(names[0], None) is None else 1
            entries = dict(state.entries)
            for name in names:
                entries.pop(name, None)
            erased = len(state.entries) - len(entries)
            self._state = _State(state.records, entries, state.fresh)
            return erased

    def read(self, *args: Keys | None) -> _View:
        with self._lock:
            state = self._state
            found: list[tuple[list[Any], list[_Entry]]] = []
            for keys in args:
                if keys is None:
                    items = list(state.entries.items())
                    found.append(([name for name, _ in items], [entry for _, entry in items]))
                else:
                    names = _names(keys)
                    found.append((names, list(map(state.entries.get, names, repeat(_ABSENT)))))
            return _View(state.records, found, self._ends, self, self._changes)

    def _moved(self, state: _State, more: int) -> _State:
        """The same items side by side, with room for more."""
        entries = list(state.entries.items())
        size = len(entries) + more
        records = np.empty((size + size // 4 + 16, self._ends[-1]), np.uint8)
        records[: len(entries)] = state.records[[row for _, (row, _) in entries]]
        moved = {name: (row, place) for row, (name, (_, place)) in enumerate(entries)}
        return _State(records, moved, count(len(entries)))


def _names(keys: Keys) -> list[Any]:
    return keys.elements() if isinstance(keys, Texts) else keys.tolist()


__all__ = ["PythonStore"]
