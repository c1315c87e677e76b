"""A value that changes work with, and that is replaced between them alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import ref

_Value = TypeVar("_Value")

# A signal's handler may begin a change where one is begun.
_lock = threading.RLock()


def _in_child() -> None:
    # Another thread may have held it that is not in the child.
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)


class Turn(Generic[_Value]):
    """A change on its way, as long as anything holds it.

    Attributes
    ----------
    value
        What it works with, also if that is replaced meanwhile.
    """

    value: _Value


class Shared(Generic[_Value]):
    """A value that grows in place, and is replaced by a smaller one while no other change works with it.

    Examples
    --------
    >>> shared = Shared(["a", "b"])
    >>> turn, other = shared.begin(), shared.begin()
    >>> shared.replace(turn, lambda: ["b"])
    False
    >>> del other
    >>> turn = shared.begin()
    >>> shared.replace(turn, lambda: ["b"]), shared.value
    (True, ['b'])
    """

    def __init__(self, value: _Value) -> None:
        self.value = value
        # No set: what a handler raises in the step of Python that tidies one up would be lost.
        self._turns: list[ref[Turn[_Value]]] = []
        self._latest: Turn[_Value] | None = None

    def begin(self) -> Turn[_Value]:
        """A turn of one's own, to be dropped when all is done."""
        turn: Turn[_Value] = Turn()
        with _lock:
            self._turns = [other for other in self._turns if other() is not None] + [ref(turn)]
            self._latest = turn
            turn.value = self.value
        return turn

    def replace(self, turn: Turn[_Value], make: Callable[[], _Value]) -> bool:
        """Put what is made in the place of the turn's value; False, and nothing is changed, where there is
        another turn, or has been one since this one began."""
        with _lock:
            if any(other() not in (None, turn) for other in self._turns):
                return False
        value = make()
        with _lock:
            # Nothing comes between these two, not even a handler of this very thread.
            if self._latest is turn:
                self.value = value
            return self.value is value


__all__ = ["Shared", "Turn"]
