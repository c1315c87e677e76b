"""The search in a state of a store of which little has changed since an index of all items was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyrec_infer.retrieval.index import Index
from pyrec_infer.retrieval.vectors import Floats
from pyrec_infer.selection.excluded import ExcludedRows
from pyrec_infer.store import Rows64, State, StoreView
from pyrec_infer.top_k import Ranked, ordered, present

_LEAST = 1 << 16
"""Of fewer items an index is soon made."""

_SHARE = 64
"""Where more than one in so many items has changed, an index is made of all."""


class _Made(NamedTuple):
    """An index of all items of one state."""

    view: StoreView
    rows: Rows64
    whole: Index

    def changed(self, state: State) -> Rows64 | None:
        """The places of a later state whose records this one has not; None if they may be many.

        Records do not change while a view of them is held, so a place has the same record in both states if
        it has the same row of the same memory, whatever has become of its id.
        """
        count = len(self.rows)
        if len(state.rows) < count or _address(self.view) != _address(state.view):
            return None
        places = np.flatnonzero(state.rows[:count] != self.rows)
        if (len(places) + len(state.rows) - count) * _SHARE > count:
            return None
        return np.concatenate([places, np.arange(count, len(state.rows))])


def _address(view: StoreView) -> int:
    return view.records.ctypes.data


class LastIndex:
    """The last index of all items that was made, from which that of later states is made while few change.

    Holding it keeps the records that have been replaced since, so it is let go of before these are many.
    """

    def __init__(self) -> None:
        self._made: _Made | None = None
        self._entered = 0

    def keep(self, state: State, whole: Index) -> None:
        if len(state.rows) >= _LEAST:
            self._made, self._entered = _Made(state.view, state.rows, whole), 0

    def enter(self, count: int) -> None:
        """So many records are about to enter."""
        self._entered += count
        made = self._made
        if made is not None and self._entered * _SHARE > len(made.rows):
            self._made = None

    def forget(self) -> None:
        self._made = None

    def changed(self, state: State, make: Callable[[Rows64], Index]) -> ChangedIndex | None:
        """The index of a later state; None if it has to be made of all items.

        Parameters
        ----------
        state : State
        make : function
            The index of the items of some rows of the state.
        """
        made = self._made
        places = None if made is None else made.changed(state)
        if made is None or places is None:
            return None
        flags = np.ones(len(made.view.records), np.bool_)
        flags[made.rows[places[places < len(made.rows)]]] = False
        return ChangedIndex(made.view, made.whole.restricted(flags), make(state.rows[places]), places)


class ChangedIndex:
    """An older index for what has not changed, and one of its own for what has. See `Searched`.

    Parameters
    ----------
    view : StoreView
        Whose memory the older index borrows.
    older : Index
        Without the places that have changed.
    own : Index
        Of the items that have changed or entered.
    places : ndarray of int64
        Theirs, by place in ``own``; they rise.
    """

    def __init__(self, view: StoreView, older: Index, own: Index, places: Rows64) -> None:
        self._view, self._older, self._own, self._places = view, older, own, places
        self.count = older.count + own.count

    def search(
        self, queries: Floats, k: int, excluded: ExcludedRows | None
    ) -> tuple[Rows64, Floats, Rows64, int]:
        first = self._older.search(queries, min(k, self._older.count), excluded)
        other = self._own.search(queries, min(k, self._own.count), excluded)
        old, new, computed = Ranked(*first[:3]), Ranked(*other[:3]), first[3] + other[3]
        least = np.where(old.counts < k, -np.inf, np.min(old.scores, axis=1, initial=np.inf))
        # Most of the time nothing that has changed is among the best.
        better = (new.counts > 0) & (np.max(new.scores, axis=1, initial=-np.inf) >= least)
        if old.scores.shape[1] == k and not better.any():
            return old.ids, old.scores, old.counts, computed
        counts = np.minimum(old.counts + new.counts, k)
        places = np.concatenate([old.ids, self._places[new.ids]], axis=1)
        both = Ranked(places, np.concatenate([old.scores, new.scores], axis=1), counts)
        absent = ~np.concatenate([present(old), present(new)], axis=1)
        order = np.lexsort((both.ids, -both.scores, absent), axis=1)[:, :k]
        found = ordered(both, order, counts)
        return found.ids, found.scores, found.counts, computed


__all__ = ["ChangedIndex", "LastIndex"]
