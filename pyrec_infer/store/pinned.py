"""A store as it was: what readers see of one state of it, whatever changes meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.store.base import Keys, Rows64, Store, StoreView
from pyrec_infer.strings import Texts


class PinnedStore:
    """What a `Store` offers readers, of one state; nothing can be changed by it.

    Parameters
    ----------
    store : Store
        May have changed since.
    view : StoreView
        Its first set are all items in order.
    rows : ndarray of int64
        Their rows.
    """

    def __init__(self, store: Store, view: StoreView, rows: Rows64) -> None:
        self._store, self._view, self._rows = store, view, rows

    def size(self) -> int:
        return len(self._rows)

    def everything(self) -> StoreView:
        """All items in order, and nothing else."""
        return _PinnedView(self._view, self._rows, [None])

    def read(self, *sets: Keys | None) -> StoreView:
        """Look for sets of keys, or, where a set is None, for all items in order, in that state."""
        if self._view.is_current():
            view = self._store.read(*sets)
            # Else it has changed, perhaps before the keys were looked up.
            if self._view.is_current():
                return view
        return _PinnedView(self._view, self._rows, sets)


class _PinnedView:
    """See `StoreView`; keys are not looked up in an index, which has changed: they are looked for."""

    def __init__(self, view: StoreView, rows: Rows64, sets: Sequence[Keys | None]) -> None:
        self._view, self._rows = view, rows
        # The place of each key among all items, or -1; None: all places.
        self._places = [None if keys is None else self._places_of(keys) for keys in sets]

    @property
    def records(self) -> NDArray[np.uint8]:
        return self._view.records

    def part(self, number: int) -> NDArray[np.uint8]:
        return self._view.part(number)

    def is_current(self) -> bool:
        return True

    def rows(self, number: int) -> Rows64:
        places = self._places[number]
        if places is None:
            return self._rows
        return self._rows_at(places)

    def rows_of(self, keys: Keys) -> Rows64:
        found = self._view.rows_of(keys)
        return self._rows_at(self._places_of(keys)) if found is None else found

    def missing(self, number: int) -> int:
        places = self._places[number]
        gone = np.flatnonzero(np.equal(places, -1)) if places is not None else self._rows[:0]
        return int(gone[0]) if len(gone) else -1

    def order(self, number: int) -> Rows64:
        places = self._places[number]
        if places is None:
            return np.arange(len(self._rows))
        different, first = np.unique(places, return_index=True)
        return first[different >= 0]

    def ids(self, number: int, chosen: Rows64) -> Rows64 | list[str]:
        places = self._places[number]
        return self._view.ids(0, chosen if places is None else places[chosen])

    def _rows_at(self, places: Rows64) -> Rows64:
        # -1 is the place behind the last.
        return np.append(self._rows, np.int64(-1))[places]

    def _places_of(self, keys: Keys) -> Rows64:
        wanted: list[Any] = keys.elements() if isinstance(keys, Texts) else keys.tolist()
        if not wanted:
            return np.empty(0, np.int64)
        numbers = dict.fromkeys(wanted, -1)
        names = self._view.ids(0, np.arange(len(self._rows)))
        if isinstance(names, list):
            for place, name in enumerate(names):
                known = name.encode("utf-8", "surrogatepass")
                if known in numbers:
                    numbers[known] = place
        else:
            for place in np.flatnonzero(np.isin(names, np.asarray(wanted, np.int64))).tolist():
                numbers[int(names[place])] = place
        return np.asarray([numbers[key] for key in wanted], np.int64)


__all__ = ["PinnedStore"]
