"""Regular expressions that are classes of characters one after another, each repeated or optional.

They mean the same in every dialect, but that ``\\d``, ``\\w`` and ``\\s`` are ASCII's, as RE2 has them. Of
all matches at a place the longest counts. Other expressions are Python's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

Ranges: TypeAlias = tuple[tuple[int, int], ...]

MOST_PLACES = 63
_LAST = 0x10FFFF

_NAMED: dict[str, Ranges] = {
    "d": ((48, 57),),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
    "s": ((9, 10), (12, 13), (32, 32)),
}
_CONTROL = {"t": 9, "n": 10, "r": 13, "f": 12, "v": 11}
_SPECIAL = frozenset("\\^$|()*+?{}[].")


class _OtherFormError(Exception):
    """The expression is of another form."""


@dataclass(frozen=True)
class Place:
    """Characters that may stand here, whether they may be left out, and whether more of them may follow."""

    ranges: Ranges
    optional: bool
    loops: bool

    def takes(self, letter: int) -> bool:
        return any(first <= letter <= last for first, last in self.ranges)


def _others(ranges: Ranges) -> Ranges:
    found, begin = [], 0
    for first, last in sorted(ranges):
        if first > begin:
            found.append((begin, first - 1))
        begin = max(begin, last + 1)
    return (*found, (begin, _LAST)) if begin <= _LAST else tuple(found)


class _Reader:
    """Reads an expression from left to right; raises an error where it has another form."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def next(self) -> str:
        letter = self.text[self.at : self.at + 1]
        if not letter:
            raise _OtherFormError
        self.at += 1
        return letter

    def escaped(self) -> Ranges:
        letter = self.next()
        if letter.lower() in _NAMED:
            found = _NAMED[letter.lower()]
            return found if letter.islower() else _others(found)
        if letter in _CONTROL:
            return ((_CONTROL[letter],) * 2,)
        if letter.isascii() and not letter.isalnum() and letter.isprintable():
            return ((ord(letter),) * 2,)
        raise _OtherFormError

    def in_class(self) -> Ranges:
        negated = self.peek() == "^"
        self.at += negated
        found: list[tuple[int, int]] = []
        while self.peek() != "]":
            letter = self.next()
            if letter in "[^&~|" or (letter == "-" and found and self.peek() != "]"):
                raise _OtherFormError
            item = self.escaped() if letter == "\\" else ((ord(letter),) * 2,)
            if self.peek() == "-" and self.text[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                last = self.next()
                end = self.escaped() if last == "\\" else ((ord(last),) * 2,)
                one = len(item) == len(end) == 1 and item[0][0] == item[0][1] and end[0][0] == end[0][1]
                if last in "[-" or not one or item[0][0] > end[0][0]:
                    raise _OtherFormError
                item = ((item[0][0], end[0][0]),)
            found += item
        self.at += 1
        if not found:
            raise _OtherFormError
        return _others(tuple(found)) if negated else tuple(sorted(found))

    def letters(self) -> Ranges:
        letter = self.next()
        if letter == "\\":
            return self.escaped()
        if letter == "[":
            return self.in_class()
        if letter == ".":
            return _others(((10, 10),))
        if letter in _SPECIAL:
            raise _OtherFormError
        return ((ord(letter),) * 2,)

    def repeated(self) -> tuple[int, int | None]:
        """The least and the most times; None is any number."""
        found: tuple[int, int | None] = (1, 1)
        letter = self.peek()
        if letter in ("*", "+", "?"):
            self.at += 1
            found = (int(letter == "+"), 1 if letter == "?" else None)
        elif letter == "{":
            match = re.compile(r"\{([0-9]{1,3})(,([0-9]{0,3}))?\}").match(self.text, self.at)
            if match is None:
                raise _OtherFormError
            self.at = match.end()
            least = int(match[1])
            found = (least, least if match[2] is None else int(match[3]) if match[3] else None)
        else:
            return found
        if self.peek() in ("*", "+", "?", "{"):
            raise _OtherFormError
        return found


def _places(ranges: Ranges, least: int, most: int | None) -> list[Place]:
    needed = [Place(ranges, False, most is None and i == least - 1) for i in range(least)]
    if most is None:
        return needed or [Place(ranges, True, True)]
    if most < least:
        raise _OtherFormError
    return needed + [Place(ranges, True, False)] * (most - least)


@dataclass(frozen=True)
class Pattern:
    """An expression as places one after another."""

    places: tuple[Place, ...]

    @cached_property
    def _follow(self) -> list[frozenset[int]]:
        """The places that may come after each, and last the first ones."""
        found = []
        for before in range(-1, len(self.places)):
            after = {before} if before >= 0 and self.places[before].loops else set()
            for place in range(before + 1, len(self.places)):
                after.add(place)
                if not self.places[place].optional:
                    break
            found.append(frozenset(after))
        return [*found[1:], found[0]]

    def _ends(self, place: int) -> bool:
        return all(other.optional for other in self.places[place + 1 :])

    @property
    def is_empty(self) -> bool:
        """Whether it matches nothing at all."""
        return self._ends(-1)

    def longest(self, letters: Sequence[int], begin: int) -> int:
        """Where the longest match that begins there ends; -1 if there is none."""
        open_, end = self._follow[-1], begin if self.is_empty else -1
        for at in range(begin, len(letters)):
            taken = [place for place in open_ if self.places[place].takes(letters[at])]
            if not taken:
                break
            if any(map(self._ends, taken)):
                end = at + 1
            open_ = frozenset().union(*(self._follow[place] for place in taken))
        return end

    def numbers(self) -> list[int]:
        """All of it as numbers: how many places, and of each its flags and ranges."""
        found = [len(self.places)]
        for place in self.places:
            found += [int(place.optional) + 2 * int(place.loops), len(place.ranges)]
            found += [bound for both in place.ranges for bound in both]
        return found


def parse(text: str) -> Pattern | None:
    """The expression, or None if it has another form.

    Examples
    --------
    >>> pattern = parse(r"[a-z]\\d*")
    >>> letters = list(map(ord, "-a12b"))
    >>> [pattern.longest(letters, begin) for begin in range(5)]
    [-1, 4, -1, -1, 5]
    >>> parse("(a|b)") is None
    True
    """
    reader, places = _Reader(text), []
    try:
        while reader.peek():
            letters = reader.letters()
            places += _places(letters, *reader.repeated())
            if len(places) > MOST_PLACES:
                return None
    except _OtherFormError:
        return None
    return Pattern(tuple(places)) if places else None


__all__ = ["MOST_PLACES", "Pattern", "Place", "parse"]
