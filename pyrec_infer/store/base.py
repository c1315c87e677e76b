"""What every store offers."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.strings import Texts

Rows64: TypeAlias = NDArray[np.int64]

Keys: TypeAlias = Rows64 | Texts
"""Ids: a contiguous array of int64, or of a store of text strings that are held one by one."""


class StoreView(Protocol):
    """What a reader holds while it reads: of one state of the store, and unchanged meanwhile."""

    @property
    def records(self) -> NDArray[np.uint8]:
        """The first part of the records of all rows, borrowed and read-only, shape (rows, stride)."""
        ...

    def part(self, number: int) -> NDArray[np.uint8]:
        """A part of the records, likewise."""
        ...

    def is_current(self) -> bool:
        """Whether the items are still what this reader sees."""
        ...

    def rows(self, number: int) -> Rows64:
        """The row of each key of a set, or -1; borrowed and read-only."""
        ...

    def rows_of(self, keys: Keys) -> Rows64 | None:
        """The row of each of further keys, or -1, in the same state; None where the items have changed."""
        ...

    def missing(self, number: int) -> int:
        """The first key of a set that has no row, or -1."""
        ...

    def order(self, number: int) -> Rows64:
        """Which keys of a set have a row: each once, by the order of the store."""
        ...

    def ids(self, number: int, chosen: Rows64) -> Rows64 | list[str]:
        """The ids of chosen rows of a set, all of which it has."""
        ...


class Batch(Protocol):
    """Room for new records, which no reader sees."""

    def arrange(self, order: Rows64) -> None:
        """Let record i, not yet written, lie where record ``order[i]`` would: readers of all items are faster
        where those that are alike lie side by side."""
        ...

    def write(self, first: int, records: NDArray[np.uint8], part: int = 0) -> None:
        """Write successive records from number ``first`` on: of each as many parts as are given, one after
        the other, from number ``part`` on."""
        ...


class Store(Protocol):
    """Items in the order in which their ids entered; an id that is put in again keeps its place.

    A change happens whole or not at all, whatever interrupts it.
    """

    def size(self) -> int:
        """How many items there are."""
        ...

    def capacity(self) -> int:
        """How many rows there are."""
        ...

    def taken(self) -> int:
        """How many rows hold an item, or what a reader may still see."""
        ...

    def last_of_each(self, keys: Any) -> Rows64 | None:
        """The last place of each key, in order; None if all are different."""
        ...

    def take(self, count: int) -> Any:
        """A `Batch`; let go of, it is as if it had never been."""
        ...

    def put(self, keys: Any, batch: Any) -> None:
        """Let the keys, all different, stand for a batch's records."""
        ...

    def erase(self, keys: Any) -> int:
        """Forget keys; how many of them stood for something."""
        ...

    def read(self, *args: Any) -> StoreView:
        """Look for sets of keys, or, where a set is None, for all items in order."""
        ...


__all__ = ["Batch", "Keys", "Rows64", "Store", "StoreView"]
