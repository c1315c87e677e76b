"""Ids of any kind to rows, for backends without the native map and for ids that are strings."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import IdRangeError
from pyrec_infer.ir import Array

__all__ = ["DictIdMap", "IdMap"]


class IdMap(Protocol):
    """What `DictIdMap` and the native map offer; -1 stands for no row.

    A batch is found as it was before or after another batch's change, never in between.
    """

    def size(self) -> int:
        """How many keys have a row."""
        ...

    def fits(self, keys: Array) -> bool:
        """Whether the keys could be assigned without growing the map, which takes time."""
        ...

    def find(self, keys: Array) -> NDArray[np.int64]:
        """The rows of the keys."""
        ...

    def require(self, keys: Array) -> NDArray[np.int64]:
        """The rows of keys that all have one; an `IdRangeError` names the first that has none."""
        ...

    def assign(self, keys: Array, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Give each key a row; the rows that they had."""
        ...

    def erase(self, keys: Array) -> NDArray[np.int64]:
        """Remove keys; the rows that they had."""
        ...

    def copy(self, direct: int, capacity: int) -> IdMap:
        """A map of the same keys with room for ``capacity``, keys below ``direct`` in an array."""
        ...

    def reset_lock(self) -> None:
        """For a forked child, in which a thread that held the lock is gone."""
        ...


class DictIdMap:
    """A map of Python objects.

    Examples
    --------
    >>> ids = DictIdMap()
    >>> ids.assign(np.asarray(["a", "b"]), np.asarray([0, 1])).tolist()
    [-1, -1]
    >>> ids.find(np.asarray(["b", "c"])).tolist()
    [1, -1]
    """

    def __init__(self, rows: dict[Any, int] | None = None) -> None:
        self._rows: dict[Any, int] = {} if rows is None else rows
        self._lock = threading.Lock()

    def size(self) -> int:
        return len(self._rows)

    def fits(self, keys: Array) -> bool:
        return True

    def find(self, keys: Array) -> NDArray[np.int64]:
        names = keys.tolist()
        with self._lock:
            return _rows(self._rows.get(name, -1) for name in names)

    def require(self, keys: Array) -> NDArray[np.int64]:
        rows = self.find(keys)
        if len(rows) and rows.min() < 0:
            row = np.flatnonzero(rows < 0)[0]
            raise IdRangeError(f"ids: expected ids of the catalogue, got one that is not (row {row})")
        return rows

    def assign(self, keys: Array, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        names, given = keys.tolist(), rows.tolist()
        with self._lock:
            previous = _rows(self._rows.get(name, -1) for name in names)
            self._rows.update(zip(names, given, strict=True))
        return previous

    def erase(self, keys: Array) -> NDArray[np.int64]:
        names = keys.tolist()
        with self._lock:
            return _rows(self._rows.pop(name, -1) for name in names)

    def copy(self, direct: int, capacity: int) -> DictIdMap:
        with self._lock:
            return DictIdMap(dict(self._rows))

    def reset_lock(self) -> None:
        self._lock = threading.Lock()


def _rows(rows: Iterable[int]) -> NDArray[np.int64]:
    return np.asarray(list(rows), np.int64)
