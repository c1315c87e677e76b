"""The search in a state of a store of which little has changed since an index of all items was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.extension import native
from pyrec_infer.retrieval.index import Boosts, Index
from pyrec_infer.retrieval.vectors import Floats, VectorForm
from pyrec_infer.selection.excluded import ExcludedRows
from pyrec_infer.selection.masks import Flags
from pyrec_infer.store import Rows64, State, StoreView
from pyrec_infer.top_k import Adjustment, Ranked, ordered, present

_LEAST = 1 << 16
"""Of fewer items an index is soon made."""

_SHARE = 64
"""Where more than one in so many items has changed, an index is made of all."""


class Change(NamedTuple):
    """Where two states differ; all other places of the one stand for all others of the other, in order.

    Attributes
    ----------
    gone : ndarray of int64
        The places of the older state whose records the later one has not, rising.
    own : ndarray of int64
        The places of the later state whose records the older one has not, rising.
    """

    gone: Rows64
    own: Rows64

    def later(self, places: Rows64) -> Rows64:
        """The places in the later state of some that it has of the older one."""
        number = places - self.gone.searchsorted(places)
        # Before number i of the rest are those of its own that have no more than i of the rest before them.
        return number + (self.own - np.arange(len(self.own))).searchsorted(number, "right")

    def older(self, values: Floats, count: int) -> Floats:
        """Values of the items of the later state, along the last axis, by the places of the older one, which
        has so many; zeros for what is gone."""
        replaced, further = np.split(self.own, [len(self.gone)])
        if np.array_equal(self.gone, replaced) and (further >= count).all():
            return np.ascontiguousarray(values[..., :count])
        return native.values_of_older(np.ascontiguousarray(values), self.gone, self.own, count)


class _Made(NamedTuple):
    """An index of all items of one state."""

    view: StoreView
    rows: Rows64
    whole: Index

    def changed(self, state: State) -> Change | None:
        """How a later state differs; None if that may be much.

        Records do not change while a view of them is held, so two places have the same record if they have
        the same row of the same memory, whatever has become of its id.
        """
        if _address(self.view) != _address(state.view):
            return None
        found = native.changed_places(self.rows, state.rows, len(self.rows) // _SHARE)
        return None if found is None else Change(*found)


def _address(view: StoreView) -> int:
    return view.records.ctypes.data


class LastIndex:
    """The last index of all items that was made, from which that of later states is made while few change.

    Holding it keeps the records that have been replaced since, so it is let go of before these are many.
    """

    def __init__(self) -> None:
        self._made: _Made | None = None
        self._changing = 0

    def keep(self, state: State, whole: Index) -> None:
        if len(state.rows) >= _LEAST:
            self._made, self._changing = _Made(state.view, state.rows, whole), 0

    def count(self, changing: int) -> None:
        """So many items are about to enter, or to be taken out."""
        self._changing += changing
        made = self._made
        if made is not None and self._changing * _SHARE > len(made.rows):
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
        change = None if made is None else made.changed(state)
        if made is None or change is None:
            return None
        flags = np.ones(len(made.view.records), np.bool_)
        flags[made.rows[change.gone]] = False
        older, own = made.whole.restricted(flags), make(state.rows[change.own])
        return ChangedIndex(made, older, own, change)


class ChangedIndex:
    """An older index for what has not changed, and one of its own for what has. See `Index`.

    Parameters
    ----------
    made : _Made
        Whose memory the older index borrows.
    older : Index
        Without the places that are gone.
    own : Index
        Of the later state's own places, or of some of them.
    change : Change
    """

    def __init__(self, made: _Made, older: Index, own: Index, change: Change) -> None:
        self._made, self._older, self._own, self._change = made, older, own, change
        self.count = older.count + own.count

    def restricted(self, flags: Flags, queries: int | None = None) -> ChangedIndex:
        short = len(self._made.view.records) - len(flags)
        # The older index may have rows behind all of the later state, which are gone.
        every = np.pad(flags, (0, short)) if short > 0 else flags
        older, own = self._older.restricted(every, queries), self._own.restricted(flags, queries)
        return ChangedIndex(self._made, older, own, self._change)

    def chosen(self, rows: Rows64, queries: int) -> ChangedIndex:
        older, own = self._older.chosen(rows, queries), self._own.chosen(rows, queries)
        return ChangedIndex(self._made, older, own, self._change)

    def prepared(self, view: StoreView, form: VectorForm, unsigned: bool) -> None:
        return None

    def search(
        self, queries: Floats, k: int, excluded: ExcludedRows | None, boosts: Boosts | None = None
    ) -> tuple[Rows64, Floats, Rows64, int]:
        of_older, of_own = self._boosts(boosts)
        first = self._older.search(queries, min(k, self._older.count), excluded, of_older)
        other = self._own.search(queries, min(k, self._own.count), excluded, of_own)
        old, new, computed = Ranked(*first[:3]), Ranked(*other[:3]), first[3] + other[3]
        old = old.with_ids(self._change.later(old.ids))
        if old.scores.shape[1] == k and _are_all_below(new, old):
            return np.where(present(old), old.ids, 0), old.scores, old.counts, computed
        counts = np.minimum(old.counts + new.counts, k)
        places = np.concatenate([old.ids, self._change.own[new.ids]], axis=1)
        both = Ranked(places, np.concatenate([old.scores, new.scores], axis=1), counts)
        absent = ~np.concatenate([present(old), present(new)], axis=1)
        # NaN is behind all numbers.
        order = np.lexsort((both.ids, -both.scores, absent), axis=1)[:, :k]
        found = ordered(both, order, counts)
        return found.ids, found.scores, found.counts, computed

    def _boosts(self, boosts: Boosts | None) -> tuple[Boosts | None, Boosts | None]:
        """Those of the older index, and those of what has changed."""
        if boosts is None:
            return None, None
        count, given = len(self._made.rows), boosts.adjustment
        numbers = (
            None if each is None else self._change.older(each, count) for each in (given.times, given.plus)
        )
        own = given.chosen(self._change.own)
        return replace(boosts, adjustment=Adjustment(*numbers)), replace(boosts, adjustment=own)


def _are_all_below(new: Ranked, old: Ranked) -> bool:
    """Whether no new result belongs among a request's old ones, as most of the time."""
    if not new.counts.any():
        return bool((old.counts == old.scores.shape[1]).all())
    least = np.min(old.scores, axis=1, initial=np.inf)
    full = old.counts == old.scores.shape[1]
    # Where one of them is NaN, it has to be looked at.
    below: NDArray[np.bool_] = np.max(new.scores, axis=1, initial=-np.inf) < least
    return bool((full & (below | (new.counts == 0))).all())


__all__ = ["Change", "ChangedIndex", "LastIndex"]
