"""Which rows of a table, and which values beside them, show what a schema does."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pyrec_infer.features.fields import Field, ListField
from pyrec_infer.features.golden import LEAST_ROWS
from pyrec_infer.features.transforms.ids import Vocabulary, is_of

_TRIED = 256
"""Rows that are looked at for each that brings new values."""

_UNKNOWN = "(not known: \u00e9\u4e2d)"


def _words(item: Field) -> frozenset[Any] | None:
    """The values that the field's first transform knows, if it knows some only."""
    first = item.transforms[0] if item.transforms else None
    return frozenset(first.values) if isinstance(first, Vocabulary) else None


def _case(item: Field, value: Any, words: frozenset[Any] | None) -> str:
    """What is special about a raw value."""
    if value is None:
        return "missing"
    elements = value if isinstance(value, list) else [value]
    known = "" if words is None or words.issuperset(elements) else "unknown "
    if isinstance(value, list):
        size, length = len(value), item.length if isinstance(item, ListField) else 0
        return known + str((size > 0) + (size == length) + 2 * bool(length and size > length))
    if isinstance(value, str):
        return known + ("empty" if not value else "ascii" if value.isascii() else "other")
    return f"{known}{value == value} {(value > 0) - (value < 0)} {value % 1 == 0}"


def _size(value: Any) -> Any:
    return len(value) if isinstance(value, (str, list)) else value


def _special_rows(item: Field, values: Sequence[Any]) -> Iterator[int]:
    """The first row of each case, and those of the smallest and the largest value."""
    met: dict[str, int] = {}
    words = _words(item)
    for row, value in enumerate(values):
        met.setdefault(_case(item, value, words), row)
    yield from met.values()
    ordered = [row for row, value in enumerate(values) if value is not None and value == value]
    if ordered:
        yield min(ordered, key=lambda row: _size(values[row]))
        yield max(ordered, key=lambda row: _size(values[row]))


def choose_rows(fields: Mapping[str, Field], columns: Mapping[str, Sequence[Any]]) -> list[int]:
    """Rows that hold each field's special values, and at least 16 with as many others as there are.

    Parameters
    ----------
    fields : mapping of str to Field
        With the lists of weights.
    columns : mapping of str to sequence
        The raw values of a table, of one length that is not 0; plain data.
    """
    count = len(next(iter(columns.values())))
    chosen: dict[int, None] = {}
    met: set[tuple[str, str]] = set()

    def take(row: int) -> None:
        chosen[row] = None
        met.update((name, repr(columns[name][row])) for name in fields)

    for name, item in fields.items():
        for row in _special_rows(item, columns[name]):
            if (name, repr(columns[name][row])) not in met:
                take(row)
    others = [row for row in range(count) if row not in chosen]
    random.Random(0).shuffle(others)
    others = others[: _TRIED * LEAST_ROWS]
    while len(chosen) < LEAST_ROWS and others:
        tried = others[-_TRIED:]
        best = max(tried, key=lambda row: sum((name, repr(columns[name][row])) not in met for name in fields))
        take(best)
        others.remove(best)
    return sorted(chosen)


def _element(item: Field, value: Any) -> Iterator[Any]:
    """The value if the field may be given it."""
    if item.dtype == "number":
        if isinstance(value, (int, float)):
            yield float(value)
    elif is_of(item.dtype, value):
        yield value


def _elements(item: Field, limit: int | None) -> Iterator[Any]:
    """Values of one element that show what the transforms do."""
    vocabularies = [one for one in item.transforms if isinstance(one, Vocabulary)]
    open_to_all = all(one.oov for one in vocabularies)
    if item.dtype == "string" and open_to_all:
        yield from ("", _UNKNOWN)
    elif item.dtype == "integer" and open_to_all:
        known = [value for one in vocabularies for value in one.values if is_of("integer", value)]
        yield from (0, max(known, default=0) + 1)
        yield from () if limit is None else (-1, limit, -limit)
    elif item.dtype == "number":
        yield from (0.0, 0.1)
        yield from () if limit is None else (-1.5, 1e9)
    for value in item.transforms[0].borders() if item.transforms else ():
        yield from _element(item, value)


def made_up(item: Field, limit: int | None) -> list[Any]:
    """Raw values that a table may lack: missing, unknown, at borders, without end, and lists of such.

    Parameters
    ----------
    item : Field
    limit : int, optional
        The largest size of whole numbers that it takes; without one there are no very large numbers.
    """
    gone = [None] if item.missing != "error" else []
    endless = [math.nan] if item.nan != "error" and item.dtype == "number" else []
    if item.infinity == "keep" and item.dtype == "number":
        endless += [math.inf, -math.inf]
    elements = [*{repr(value): value for value in _elements(item, limit)}.values(), *endless]
    if not isinstance(item, ListField):
        return [*gone, *elements]
    elements = [value for value in elements if not item.separator or (value and item.separator not in value)]
    full = (elements * (item.length + 1))[: item.length + 1] if item.length else elements
    bound = item.most or len(full)
    return [*gone, [], *(one[:bound] for one in (full, elements[:1]) if one)]


__all__ = ["choose_rows", "made_up"]
