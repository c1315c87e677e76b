"""What everything that holds items in a store offers, and one state of its items."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.errors import IdRangeError, InputError, ModelError, ShapeError
from pyrec_infer.formats.tensors import Packed
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.store.attributes import Attributes, Columns
from pyrec_infer.store.base import Batch, Keys, Rows64, StoreView
from pyrec_infer.store.ids import IdType, take_keys
from pyrec_infer.store.making import make_store
from pyrec_infer.store.pinned import PinnedStore
from pyrec_infer.store.saving import pack_items
from pyrec_infer.store.turns import Shared, Turn

_Made = TypeVar("_Made")

_MOST_KEPT = 64
"""What a state keeps of what was worked out of it."""

_ROWS = 1 << 13
"""Rows that are looked at together, in cache."""

_FEW_WORDS = 1 << 12
"""So many strings may be kept that no item has any more."""


def _are_in_order(rows: Rows64) -> bool:
    """Whether rows are 0, 1, 2 ...; no more is looked at than tells."""
    few = np.arange(_ROWS)
    parts = (rows[begin : begin + _ROWS] - begin for begin in range(0, len(rows), _ROWS))
    return all(np.array_equal(part, few[: len(part)]) for part in parts)


class State:
    """All items between two changes, and what has been worked out of them.

    Parameters
    ----------
    view : StoreView
        Its first set are all items in order.
    attributes : Attributes
        Know the strings of this state.

    Attributes
    ----------
    rows : ndarray of int64
        Their rows.
    """

    def __init__(self, view: StoreView, attributes: Attributes) -> None:
        self.view = view
        self.attributes = attributes
        self.rows = view.rows(0)
        # Of items that have entered together, and not changed since.
        self._in_order = _are_in_order(self.rows)
        self._kept: dict[Hashable, Any] = {}

    def seen_by(self, store: PinnedStore) -> State:
        """The same state, what is kept of it included, as it is seen where nothing changes."""
        made = object.__new__(State)
        made.__dict__.update(self.__dict__)
        made.view = store.everything()
        return made

    def rows_of(self, *sets: Keys) -> list[Rows64] | None:
        """The rows of sets of keys, -1 for those that are not there; None where the items have changed."""
        rows: list[Rows64] = []
        for keys in sets:
            found = self.view.rows_of(keys)
            if found is None:
                return None
            rows.append(found)
        return rows

    def flags_of(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A boolean for each row, from one for each item in order; false or none where there is no item."""
        if self._in_order:
            return mask
        most = 2 * np.count_nonzero(mask) > len(mask)
        flags = np.zeros(len(self.view.records), np.bool_)
        # Places that are jumped to are what takes the time.
        if most:
            flags |= self.kept("present", self._present)
        flags[self.rows[np.flatnonzero(mask != most)]] = not most
        return flags

    def _present(self) -> NDArray[np.bool_]:
        """Which rows have an item."""
        flags = np.zeros(len(self.view.records), np.bool_)
        flags[self.rows] = True
        return flags

    def of_items(self, flags: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A boolean for each item in order, from one for each row."""
        return flags[: len(self.rows)] if self._in_order else flags[self.rows]

    def places_of(self, rows: Rows64) -> Rows64:
        """The places of the items of some rows, each of which has one."""
        return rows if self._in_order else self.kept("places", self.by_row)[rows]

    def by_row(self) -> Rows64:
        """The place of the item of each row; anything where there is none."""
        places = np.zeros(len(self.view.records) + 1, np.int64)
        places[self.rows] = np.arange(len(self.rows))
        return places

    def found(self, key: Hashable) -> Any:
        """What is kept for a key; None: nothing."""
        return self._kept.get(key)

    def kept(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        """What was made for a key, or is made now; threads may make the same twice, and no other."""
        found: _Made | None = self.found(key)
        if found is None:
            found = make()
            if len(self._kept) >= _MOST_KEPT:
                # What is of no filter stays.
                self._kept = {name: made for name, made in self._kept.items() if isinstance(name, str)}
            self._kept[key] = found
        return found


class StoredItems:
    """Items by id, in the order in which their ids entered; an id that is put in again keeps its place.

    Parameters
    ----------
    strides : sequence of int
        Bytes of each part of a record.
    ids : array_like
        The first ids, of whose type all are.
    room : int
        How many items will enter soon.
    native : bool
        Whether the extension may be used.
    attributes : Columns
        Of the first items.
    """

    _noun: ClassVar[str]
    """What users call it, in messages."""

    def __init__(
        self, strides: Sequence[int], ids: ArrayLike, room: int, native: bool, attributes: Columns
    ) -> None:
        self._id_type = IdType(ids)
        self._known = Shared(Attributes(attributes))
        self._most_words = _FEW_WORDS
        self._attribute_part = len(strides)
        parts = [*strides, self._attributes.stride] if self._attributes.by_name else strides
        self._store = make_store(parts, self._id_type.text, room, native)
        self._seen: State | None = None
        self._pinned_from: StoredItems | None = None

    @property
    def _owner(self) -> StoredItems:
        """What holds the items, where it is another that shows them."""
        return self if self._pinned_from is None else self._pinned_from

    def shares_items(self, other: StoredItems) -> bool:
        """Whether another has the same items, which change together."""
        return self._store is other._store

    def _pinned(self) -> Self:
        """The same for one reader: all that it asks is answered of the items as they are now."""
        state, _ = self._read()
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        store: Any = PinnedStore(self._store, state.view, state.rows)
        made._pinned_from, made._store = self, store
        made._known, made._seen = Shared(state.attributes), state.seen_by(store)
        return made

    @property
    def _attributes(self) -> Attributes:
        return self._known.value

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(f"a {type(self).__name__} cannot be pickled; make it anew")

    def __len__(self) -> int:
        return self._store.size()

    def __contains__(self, item: object) -> bool:
        try:
            keys, unknown = self._id_type.keys("id", [item])  # type: ignore[arg-type]
        except InputError:
            return False
        return unknown is None and self._store.read(keys).missing(0) < 0

    @property
    def ids(self) -> Array:
        """The ids of all items, in order: int64, uint64 if they were given so, or strings."""
        view = self._store.read(None)
        return self._id_type.shown(view.ids(0, view.order(0)))

    @memory_errors_typed
    def contains(self, ids: ArrayLike) -> NDArray[np.bool_]:
        """Which of some ids are there.

        Parameters
        ----------
        ids : array_like

        Returns
        -------
        ndarray of bool, shape (len(ids),)

        Raises
        ------
        DTypeError
            If they are of another type than the items' ids.
        """
        keys, known = self._id_type.keys("ids", ids)
        present: NDArray[np.bool_] = self._store.read(keys).rows(0) >= 0
        return present if known is None else present & known

    @memory_errors_typed
    def places(self, ids: ArrayLike) -> Rows64:
        """Where some ids stand in `ids`.

        Parameters
        ----------
        ids : array_like

        Returns
        -------
        ndarray of int64, shape (len(ids),)
            -1 for those that are not there.

        Raises
        ------
        DTypeError
            If they are of another type than the items' ids.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> pi.Retriever([[1.0], [2.0]], ids=["a", "b"]).places(["b", "c"]).tolist()
        [1, -1]
        """
        keys, known = self._id_type.keys("ids", ids)
        state, (rows,) = self._read(keys)
        found = np.where(rows >= 0, state.kept("places", state.by_row)[rows], -1)
        return found if known is None else np.where(known, found, -1)

    @memory_errors_typed
    def remove(self, ids: ArrayLike) -> int:
        """Take items out.

        Parameters
        ----------
        ids : array_like
            Ids that are not there are ignored.

        Returns
        -------
        int
            How many items were there.
        """
        keys = self._id_type.known("ids", ids)
        self._changing(len(keys))
        count = self._store.erase(keys)
        # No item has two strings of an attribute.
        if self._attributes.words > 2 * len(self._attributes) * len(self) + _FEW_WORDS:
            self._forget_words(self._known.begin())
        return count

    def _changing(self, count: int = 0) -> None:
        """No more than so many items are about to enter, or to be taken out."""
        # What is held of an older state would keep that state's records.
        self._seen = None

    def _column(self, view: StoreView, name: str) -> Array:
        """What is stored of an attribute, by row; borrowed."""
        return self._attributes.column(name, view.part(self._attribute_part))

    def _view(self, *sets: Keys | None) -> tuple[StoreView, Attributes]:
        """What a reader sees, and attributes that know its strings."""
        while True:
            attributes = self._attributes
            view = self._store.read(*sets)
            # None that enters meanwhile has a string that these do not know, unless they are replaced.
            if attributes is self._attributes:
                return view, attributes

    def _put(self, keys: Keys, batch: Batch, turn: Turn[Attributes]) -> None:
        """Let keys stand for a batch, whose attributes are those of a turn."""
        self._changing(len(keys))
        self._store.put(keys, batch)
        self._forget_old_words(turn)

    def _forget_old_words(self, turn: Turn[Attributes]) -> None:
        """Forget strings if they may be many that no item has any more."""
        if turn.value.words > self._most_words:
            self._forget_words(turn)

    def _forget_words(self, turn: Turn[Attributes]) -> None:
        """Forget the strings that no item has any more, unless another change is on its way. Readers keep
        what they have begun with, and no number is used again."""

        def smaller() -> Attributes:
            view = self._store.read(None)
            rows = view.rows(0)
            return turn.value.only(lambda name: self._column(view, name)[rows])

        forgotten = False
        try:
            forgotten = self._known.replace(turn, smaller)
        except MemoryError as error:
            let_interrupts_pass(error)
        # Soon again, or when so many have come that looking at all items takes little for each.
        words = self._attributes.words
        self._most_words = words + max(_FEW_WORDS, max(words, len(self) // 4) if forgotten else 0)

    def _write_attributes(
        self, batch: Batch, records: NDArray[np.uint8], chosen: NDArray[np.int64] | None
    ) -> None:
        """Write what `Attributes.encode` gave of all items that enter, or what it gave of the chosen ones."""
        if records.shape[1]:
            batch.write(0, records if chosen is None else records[chosen], self._attribute_part)

    def _entering(self, ids: ArrayLike, count: int, each: str) -> tuple[Keys, NDArray[np.int64] | None]:
        """The keys of items that enter, all different, and which of ``count`` records are theirs: of equal
        ids the last; None if all.

        Raises
        ------
        ShapeError
            There is not one id for each; `IdRangeError` if the store cannot hold one, which names the row.
        """
        keys, known = self._id_type.keys("ids", ids)
        if len(keys) != count:
            raise ShapeError(f"ids: expected {count}, one for each {each}, got {len(keys)}")
        if known is not None:
            row = int(np.argmin(known))
            raise IdRangeError(f"ids: expected ids of the type that the {self._noun} has (row {row})")
        chosen = self._store.last_of_each(keys) if count > 1 else None
        return (keys, None) if chosen is None else (take_keys(keys, chosen), chosen)

    def _packed(self, packed: Packed, state: State, within: str = "") -> dict[str, Any]:
        """The plain data of all items of a state; see `pack_items`."""
        view, rows, attributes = state.view, state.rows, state.attributes
        ids = self._id_type.shown(view.ids(0, np.arange(len(rows))))
        stored = view.part(self._attribute_part)[rows] if attributes.by_name else np.empty((0, 0), np.uint8)
        return pack_items(packed, ids, attributes, stored, within)

    def _require_different(self, keys: Keys, where: str) -> None:
        """Refuse keys of a file some of which are equal.

        Raises
        ------
        ModelError
        """
        if len(keys) > 1 and self._store.last_of_each(keys) is not None:
            raise ModelError(f"{where}, ids: expected them to be different")

    def _read(self, *sets: Keys) -> tuple[State, list[Rows64]]:
        """All items, and the rows of sets of keys in the same state: -1 for those that are not there."""
        state = self._seen
        if state is None or not state.view.is_current():
            state = self._seen = State(*self._view(None))
        rows = state.rows_of(*sets)
        if rows is not None:
            return state, rows
        state = State(*self._view(None, *sets))
        return state, [state.view.rows(number) for number in range(1, len(sets) + 1)]


__all__ = ["State", "StoredItems"]
