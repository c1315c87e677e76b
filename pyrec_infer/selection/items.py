"""Items that calls choose among."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.selection.conditions import read_condition
from pyrec_infer.selection.excluded import (
    Excluded,
    ExcludedRows,
    is_by_request,
    read_excluded,
    require_lists,
)
from pyrec_infer.selection.filters import Filter, Members, Scope, Where, members_of, require_filter
from pyrec_infer.selection.masks import among, as_mask, both, marked
from pyrec_infer.store import Attribute, Attributes, Keys, Rows64, State, StoredItems, StoreView

Flags = NDArray[np.bool_]

_FEW = 256
"""Of more than one in so many rows it takes less to look at all than to put them in order."""


@dataclass(frozen=True)
class Choice:
    """The items of a call and those of them that may be found, of one state.

    Attributes
    ----------
    view : StoreView
        Its first set are the items.
    rows : ndarray of int64
        Their rows; -1 for those that are not there.
    kept : ndarray of int64 or None
        The places among them of those that may be found; None: all.
    excluded : ExcludedRows or None
        Rows that may not, besides.
    attributes : Attributes
        Know the strings of this state.
    whole : RowChoice or None
        The same where the items are all.
    bounds : ndarray of int64, shape (B + 1,), or None
        Where each request has items of its own: those of request b are ``bounds[b]:bounds[b + 1]``.
    """

    view: StoreView
    rows: Rows64
    kept: Rows64 | None
    excluded: ExcludedRows | None
    attributes: Attributes
    whole: RowChoice | None = None
    bounds: Rows64 | None = None


class RowChoice(NamedTuple):
    """Which of all items may be found.

    Attributes
    ----------
    state : State
    flags : ndarray of bool or None
        Rows that may be found; None: all.
    prepared : Filter or None
        What the flags are of, where they are of a filter alone.
    excluded : ExcludedRows or None
        Rows that may not be found, besides.
    alone : ndarray of int64 or None
        Rows, all different, that alone may be found, where they are few; then there are no flags.
    """

    state: State
    flags: Flags | None
    prepared: Filter | None
    excluded: ExcludedRows | None
    alone: Rows64 | None = None

    def places(self) -> Rows64 | None:
        """The places of the rows that may be found; None if all may."""
        state, flags = self.state, self.flags
        if self.alone is not None:
            return np.sort(state.places_of(self.alone))
        if flags is None:
            return None
        if self.prepared is None:
            return np.flatnonzero(state.of_items(flags))
        return state.kept(("places", self.prepared), lambda: np.flatnonzero(state.of_items(flags)))


@dataclass(frozen=True)
class _Named:
    """What the arguments of a call give as ids."""

    allowed: Keys | None
    excluded: Excluded | None

    def sets(self) -> list[Keys]:
        own = [] if self.allowed is None else [self.allowed]
        return own if self.excluded is None else [*own, self.excluded.keys]

    def excluded_rows(self, found: Sequence[Rows64]) -> ExcludedRows | None:
        """What is excluded, by the rows of `sets`."""
        return None if self.excluded is None else ExcludedRows(found[-1], self.excluded.owners)


class FilteredItems(StoredItems):
    """Items by id, with attributes, and filters over them. See `StoredItems`."""

    def where(
        self,
        attribute: str,
        equals: Any = ...,
        /,
        *,
        in_: Iterable[Any] | None = None,
        min: Any = None,
        max: Any = None,
        missing: bool | None = None,
    ) -> Filter:
        """A filter that lets items through whose attribute meets all that is said.

        Parameters
        ----------
        attribute : str
        equals : str, number or bool, optional
            Its value, which None is not.
        in_ : iterable, optional
            Its values: one of them.
        min, max : number, optional
            Bounds of whole numbers and floats; both belong to what is let through.
        missing : bool, optional
            True: the value is missing. By default, and with False, it is not.

        Returns
        -------
        Filter
            The condition itself: items that enter or change later are looked at as well.

        Raises
        ------
        InputError
            If there is no such attribute, or a number is NaN; `DTypeError` if a value is of another type.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> shop = pi.Retriever([[1.0], [2.0]], ids=["a", "b"], attributes={"country": ["SE", "NO"]})
        >>> shop.top_k([1.0], 2, where=shop.where("country", in_=["SE", "FI"])).ids.tolist()
        [['a']]
        """
        found = self._attributes.find(attribute)
        return Filter(self._owner, Where(read_condition(found, equals, in_, min, max, missing)))

    @memory_errors_typed
    def filter(self, items: ArrayLike) -> Filter:
        """A filter that lets these items through.

        Parameters
        ----------
        items : array_like
            A boolean for each item in the order of `ids`, or ids, of which those that are not there are
            ignored.

        Returns
        -------
        Filter
            These ids, whatever becomes of them: an item that enters later is let through only if its id is
            one of them.

        Raises
        ------
        ShapeError
            If there is not a boolean for each item; `DTypeError` if ids are of another type.
        """
        view = self._store.read(None)
        order = view.order(0)
        mask = as_mask("items", items, len(order))
        ids = items if mask is None else self._id_type.shown(view.ids(0, order[mask]))
        return Filter(self._owner, Members(self._id_type.known("items", ids)))

    def _choose_rows(self, where: Any, allow: Any, exclude: Any, count: int) -> RowChoice:
        """Which of all items ``count`` requests may find, by the arguments of a call, of one state of the
        items, however they change meanwhile.

        Raises
        ------
        InputError
            If the filter is of others; `DTypeError` if it is none, or ids are of another type.
        """
        prepared = None if where is None else require_filter(where, self._owner)
        if allow is None and exclude is None:
            state, _, flags = self._read_where(prepared)
            return RowChoice(state, flags, prepared, None)
        named = self._named(allow, exclude, count)
        state, found, flags = self._read_where(prepared, *named.sets())
        rows, size = state.rows, len(state.view.records)
        for label, given, alone in (("allow", allow, True), ("exclude", exclude, False)):
            mask = None if given is None else as_mask(label, given, len(rows))
            if mask is not None:
                flags, prepared = both(flags, state.flags_of(mask if alone else ~mask)), None
        excluded = named.excluded_rows(found)
        if named.allowed is None:
            return RowChoice(state, flags, prepared, excluded)
        if len(found[0]) * _FEW > size:
            return RowChoice(state, both(flags, marked(size, found[0])), None, excluded)
        few = np.unique(found[0][found[0] >= 0])
        return RowChoice(state, None, None, excluded, few if flags is None else few[flags[few]])

    def _choose(self, ids: ArrayLike | None, where: Any, allow: Any, exclude: Any, count: int) -> Choice:
        """The same for the items of some ids, or of a list of ids for each request, by their places; for all
        items where there are no ids.

        Raises
        ------
        ShapeError
            If there are lists, but not one for each request.
        """
        if ids is None:
            found = self._choose_rows(where, allow, exclude, count)
            state = found.state
            return Choice(state.view, state.rows, found.places(), found.excluded, state.attributes, found)
        prepared = None if where is None else require_filter(where, self._owner)
        named = self._named(allow, exclude, count)
        bounds: Rows64 | None = None
        if is_by_request(ids):
            keys, known, bounds = self._id_type.keys_of_each("ids", require_lists("ids", ids, count))
        else:
            keys, known = self._id_type.keys("ids", ids)
        sets, members = named.sets(), members_of(prepared)
        view, attributes = self._view(keys, *sets, *(each.keys for each in members))
        rows = view.rows(0) if known is None else np.where(known, view.rows(0), -1)
        others = [view.rows(number) for number in range(1, 1 + len(sets))]
        first = 1 + len(sets)
        taken = None if prepared is None else self._test_rows(prepared, view, attributes, rows, first)
        for label, given, alone in (("allow", allow, True), ("exclude", exclude, False)):
            mask = as_mask(label, given, len(rows))
            taken = taken if mask is None else both(taken, mask == alone)
        if named.allowed is not None:
            taken = both(taken, among(rows, others[0], len(view.records)))
        kept = None if taken is None else np.flatnonzero(taken)
        return Choice(view, rows, kept, named.excluded_rows(others), attributes, None, bounds)

    def _stored(self, choice: Choice | RowChoice, attribute: Attribute, places: Rows64) -> Array:
        """What is stored of an attribute for some items of a call; anything for those that are not there."""
        name = attribute.name
        whole = choice if isinstance(choice, RowChoice) else choice.whole
        if whole is not None:
            state = whole.state
            column: Array = state.kept(f"column {name}", lambda: self._column(state.view, name))
            return column[state.rows[places]]
        assert isinstance(choice, Choice)
        if not len(choice.view.records):
            return np.full(len(places), attribute.absent, attribute.dtype)
        return self._column(choice.view, name)[choice.rows[places]]

    def _named(self, allow: Any, exclude: Any, count: int) -> _Named:
        """The ids that arguments give, not those that are masks."""
        alone = allow is not None and as_mask("allow", allow) is None
        left_out = exclude is not None and as_mask("exclude", exclude) is None
        return _Named(
            self._id_type.known("allow", allow) if alone else None,
            read_excluded(self._id_type, exclude, count) if left_out else None,
        )

    def _read_where(self, where: Filter | None, *sets: Keys) -> tuple[State, list[Rows64], Flags | None]:
        """All items, the rows of sets of keys, and which rows a filter lets through, all of one state."""
        state, rows = self._read(*sets)
        if where is None:
            return state, rows, None
        known: Flags | None = state.found(where)
        if known is not None:
            return state, rows, known
        members = members_of(where)
        if members:
            state, rows = self._read(*sets, *(each.keys for each in members))
        scope = self._scope_of(state.view, state.attributes, members, rows[len(sets) :])
        return state, rows[: len(sets)], state.kept(where, lambda: where.node.test(scope))

    def _test_rows(
        self, where: Filter, view: StoreView, attributes: Attributes, rows: Rows64, first: int
    ) -> Flags:
        """Which of some rows of a view a filter lets through; the sets of its members are those of the view
        from ``first`` on."""
        if not len(view.records):
            return np.zeros(len(rows), np.bool_)
        members = members_of(where)
        sets = [view.rows(number) for number in range(first, first + len(members))]
        return where.node.test(self._scope_of(view, attributes, members, sets, rows)) & (rows >= 0)

    def _scope_of(
        self,
        view: StoreView,
        attributes: Attributes,
        members: Sequence[Members],
        sets: Sequence[Rows64],
        rows: Rows64 | None = None,
    ) -> Scope:
        """Some rows of a view, all by default, for filters with these sets of items."""
        count, found = len(view.records), dict(zip(members, sets, strict=False))

        def column(name: str) -> Array:
            stored = self._column(view, name)
            return stored if rows is None else stored[rows]

        def member(each: Members) -> Flags:
            return marked(count, found[each]) if rows is None else among(rows, found[each], count)

        return Scope(column, attributes.find, member)


__all__ = ["Choice", "FilteredItems"]
