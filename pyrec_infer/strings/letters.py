"""Letters in another case."""

from __future__ import annotations

import sys
from functools import lru_cache

_SIGMA = "\u03a3"
"""The capital letter whose small one depends on where it stands."""
_BLOCK = 1 << 10


@lru_cache(maxsize=2)
def changed_letters(change: str) -> tuple[int, ...]:
    """Of each letter beyond ASCII that `str.lower` or `str.upper` changes: its code, how many letters it
    becomes, and these.

    A letter that changes by others around it is left out.

    Examples
    --------
    >>> numbers = changed_letters("upper")
    >>> at = numbers.index(0xDF)  # which becomes SS
    >>> numbers[at : at + 4]
    (223, 2, 83, 83)
    """
    method = str.lower if change == "lower" else str.upper
    numbers: list[int] = []
    for begin in range(0, sys.maxunicode + 1, _BLOCK):
        letters = "".join(map(chr, range(begin, begin + _BLOCK)))
        if method(letters) == letters:
            continue
        for letter in letters:
            made = method(letter)
            if letter.isascii() or made == letter or (change == "lower" and letter == _SIGMA):
                continue
            numbers += [ord(letter), len(made), *map(ord, made)]
    return tuple(numbers)


__all__ = ["changed_letters"]
