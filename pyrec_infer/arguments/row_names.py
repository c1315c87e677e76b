"""The rows that errors name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pyrec_infer.errors import InputError

_ROW = re.compile(r" \(row (\d+)\)$")


def row_of(place: int) -> str:
    """How a message ends that is about a row."""
    return f" (row {place})"


def with_row(text: str, named: Callable[[int], str]) -> str:
    """A message whose row, if it names one, is told in another way."""
    return _ROW.sub(lambda found: named(int(found[1])), text)


def row_in(text: str) -> int | None:
    """The row that a message names at its end; None if it names none."""
    found = _ROW.search(text)
    return int(found[1]) if found else None


@contextmanager
def rows_named(named: Callable[[int], str]) -> Iterator[None]:
    """Errors of the same type whose row is told in another way.

    Parameters
    ----------
    named : callable
        How a message ends that named this row.
    """
    try:
        yield
    except InputError as error:
        text = with_row(str(error), named)
        if text == str(error):
            raise
        raise type(error)(text) from None


__all__ = ["row_in", "row_of", "rows_named", "with_row"]
