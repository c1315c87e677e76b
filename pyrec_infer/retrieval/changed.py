"""The search in a state of a store of which little has changed since an index of all items was made."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from pyrec_infer.retrieval.index import Index
from pyrec_infer.retrieval.vectors import Floats
from pyrec_infer.selection.excluded import ExcludedRows
from pyrec_infer.selection.masks import Flags
from pyrec_infer.store import Rows64, State, StoreView

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
        places, scores, counts, computed = self._older.search(queries, min(k, self._older.count), excluded)
        found = self._own.search(queries, min(k, self._own.count), excluded)
        computed += found[3]
        least = np.where(counts < k, -np.inf, np.min(scores, axis=1, initial=np.inf))
        # Most of the time nothing that has changed is among the best.
        better = (found[2] > 0) & (np.max(found[1], axis=1, initial=-np.inf) >= least)
        if scores.shape[1] == k and not better.any():
            return places, scores, counts, computed
        all_places = np.concatenate([places, self._places[found[0]]], axis=1)
        all_scores = np.concatenate([scores, found[1]], axis=1)
        absent = ~np.concatenate([_present(scores, counts), _present(found[1], found[2])], axis=1)
        order = np.lexsort((all_places, -all_scores, absent), axis=1)[:, :k]
        counts = np.minimum(counts + found[2], k)
        beyond = ~_present(order, counts)
        places = np.where(beyond, 0, np.take_along_axis(all_places, order, axis=1))
        scores = np.where(beyond, np.float32(-np.inf), np.take_along_axis(all_scores, order, axis=1))
        return places, scores, counts, computed


def _present(found: Floats | Rows64, counts: Rows64) -> Flags:
    """Which of the places of each query hold a result."""
    flags: Flags = np.arange(found.shape[1]) < counts[:, np.newaxis]
    return flags


__all__ = ["ChangedIndex", "LastIndex"]
