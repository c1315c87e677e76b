"""A value that changes work with, and that is replaced between them alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import ref

_Value = TypeVar("_Value")

_FATE = 0
"""The key of what has been decided."""


class _Place(Generic[_Value]):
    """A value, who works with it, and the last attempt to put another in its place."""

    def __init__(self, value: _Value) -> None:
        self.value = value
        self.turns: dict[int, ref[Turn[_Value]]] = {}
        self.attempt: _Attempt[_Value] | None = None

    def others(self, turn: Turn[_Value]) -> bool:
        """Whether another turn works with the value."""
        return any(other() not in (None, turn) for other in self.turns.copy().values())


class _Attempt(Generic[_Value]):
    """An attempt that is decided once, by whoever comes first."""

    next: _Place[_Value]

    def __init__(self) -> None:
        self._fate: dict[int, bool] = {}

    @property
    def done(self) -> bool:
        """Whether it has succeeded."""
        return self._fate.get(_FATE, False)

    def decide(self, done: bool) -> bool:
        """What it is from now on: the first decision stands."""
        return self._fate.setdefault(_FATE, done)


class Turn(Generic[_Value]):
    """A change on its way, as long as anything holds it.

    Attributes
    ----------
    value
        What it works with, also if that is replaced meanwhile.
    """

    value: _Value
    place: _Place[_Value]


class Shared(Generic[_Value]):
    """A value that grows in place, and is replaced by a smaller one while no other change works with it.

    There is no lock that an interruption could leave held, or a signal's handler wait for: each step is a
    single one of Python's, and an attempt to replace the value that is left half done is ended by the next
    turn. A turn is entered before it looks for an attempt, and an attempt is shown before it looks for
    turns, so that one of two sees the other.

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
        self._place = _Place(value)

    def _latest(self) -> _Place[_Value]:
        place = self._place
        while place.attempt is not None and place.attempt.done:
            place = place.attempt.next
        self._place = place
        return place

    @property
    def value(self) -> _Value:
        """The value that a turn would have that began now."""
        return self._latest().value

    def begin(self) -> Turn[_Value]:
        """A turn of one's own, to be dropped when all is done."""
        turn: Turn[_Value] = Turn()
        own = ref(turn)
        while True:
            place = self._latest()
            place.turns[id(own)] = own
            attempt = place.attempt
            if attempt is None or not attempt.decide(False):
                break
        # No set of weak references: what a handler raises in the step that tidies one up would be lost.
        for key, other in place.turns.copy().items():
            if other() is None:
                place.turns.pop(key, None)
        turn.value, turn.place = place.value, place
        return turn

    def replace(self, turn: Turn[_Value], make: Callable[[], _Value]) -> bool:
        """Put what is made in the place of the turn's value; False, and nothing is changed, where there is
        another turn, or one begins before all is done, or it has been replaced since this one began."""
        place, attempt = turn.place, _Attempt[_Value]()
        if place is not self._latest():
            return False
        place.attempt = attempt
        if place.others(turn):
            return attempt.decide(False)
        attempt.next = _Place(make())
        return attempt.decide(True)


__all__ = ["Shared", "Turn"]
