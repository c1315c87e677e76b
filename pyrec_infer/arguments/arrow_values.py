"""The elements of columns in Arrow's layout: numbers, strings, dictionaries and lists of these."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.arguments.arrow_memory import (
    MOST_COLUMNS,
    MOST_ELEMENTS,
    Field,
    MalformedError,
    Piece,
)
from pyrec_infer.arguments.row_names import row_of, rows_named, with_row
from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.ir import Array, as_array_of_strings, blank_of, is_wasteful
from pyrec_infer.strings import Texts, Viewed, faults_of_views, of_offsets, of_views

VIEW_BYTES = 16
"""Of one view: a length, then its own bytes, or some of them and where all are."""

Views: TypeAlias = tuple[Array, list[Array], Array | None]
"""Views, the buffers that they look into, and which elements are missing."""

NUMBERS = {
    "c": np.int8,
    "C": np.uint8,
    "s": np.int16,
    "S": np.uint16,
    "i": np.int32,
    "I": np.uint32,
    "l": np.int64,
    "L": np.uint64,
    "e": np.float16,
    "f": np.float32,
    "g": np.float64,
}
_TEXTS = {"u": np.int32, "z": np.int32, "U": np.int64, "Z": np.int64}
_UTF8 = ("u", "U", "vu")
_LISTS = {"+l": np.int32, "+L": np.int64}
_VIEWS = {"+vl": np.int32, "+vL": np.int64}


def values_of(field: Field, piece: Piece) -> tuple[Array, Array | None]:
    """The elements of a column, and which of them are null."""
    if field.format == "n":
        return np.zeros(piece.count), np.ones(piece.count, np.bool_) if piece.count else None
    if field.dictionary is not None:
        return _decoded(field, piece)
    missing = piece.missing()
    if field.format in NUMBERS:
        return piece.buffer(1, NUMBERS[field.format], piece.first, piece.count), missing
    if field.format == "b":
        return piece.bits(1), missing
    if is_text(field):
        return _as_text(texts_of(field, piece)), missing
    if field.format in _LISTS or field.format.startswith("+w:"):
        return _lists(field, piece, missing)
    if missing is not None and missing.all():
        return np.zeros(piece.count), missing
    row = row_of(first_there(missing))
    raise DTypeError(f"expected numbers, booleans, strings or lists of them, got {described(field)}{row}")


def first_there(missing: Array | None) -> int:
    """The first element that is not missing, of which there is one."""
    return 0 if missing is None else int(np.argmin(missing))


def nothing_of(field: Field) -> Array:
    """No elements of a column, or of the lists in one."""
    while field.dictionary is not None or (is_list(field) and len(field.children) == 1):
        field = field.dictionary or field.children[0]
    return np.empty(0, "U1" if is_text(field) else NUMBERS.get(field.format, np.float32))


def described(field: Field) -> str:
    """A type as errors call it."""
    if field.dictionary is not None:
        return f"a dictionary of {described(field.dictionary)}"
    found = (text for start, text in _DESCRIBED.items() if field.format.startswith(start))
    return next(found, f"Arrow's type {field.format!r}")


_DESCRIBED = {
    **dict.fromkeys(NUMBERS, "numbers"),
    "b": "booleans",
    "t": "dates or times",
    "d": "decimals",
    **dict.fromkeys(("u", "U", "vu"), "strings"),
    **dict.fromkeys(("z", "Z", "vz", "w:"), "bytes"),
    "+s": "structures",
    **dict.fromkeys(("+l", "+L", "+vl", "+vL", "+w:"), "lists"),
}
"""What errors call types that begin so."""


def _places(field: Field, piece: Piece) -> tuple[Array, Array | None]:
    """Which of a dictionary's words the elements are, and which of them are null."""
    if field.format not in NUMBERS or not piece.array.dictionary:
        raise MalformedError
    places, missing = piece.buffer(1, NUMBERS[field.format], piece.first, piece.count), piece.missing()
    if places.dtype.kind == "f":
        raise MalformedError
    return places if missing is None else np.where(missing, 0, places), missing


def rows_after(first: int, text: str) -> str:
    """A text about a piece's row as one about the column's, of which the piece begins with that row."""
    return with_row(text, lambda row: row_of(first + row))


def _row_with(having: Callable[[int], Array]) -> Callable[[int], str]:
    """How the first of the rows that have one of some values is told."""

    def named(place: int) -> str:
        rows = np.flatnonzero(having(place))
        return row_of(int(rows[0])) if len(rows) else ", in what no row has"

    return named


def _having(places: Array, missing: Array | None) -> Callable[[int], Array]:
    """Which elements are a dictionary's word."""
    return lambda word: (places == word) if missing is None else (places == word) & ~missing


def _decoded(field: Field, piece: Piece) -> tuple[Array, Array | None]:
    if field.dictionary is None:
        raise MalformedError
    places, missing = _places(field, piece)
    with rows_named(_row_with(_having(places, missing))):
        words, gone = values_of(field.dictionary, Piece.whole(piece.array.dictionary.contents, piece.owner))
    if len(places) and (places.min() < 0 or places.max() >= len(words)):
        if missing is None or not missing.all():
            raise MalformedError
        return np.full((len(places), *words.shape[1:]), blank_of(words), words.dtype), missing
    if gone is not None:
        missing = np.asarray(gone[places] if missing is None else missing | gone[places])
        missing = missing if missing.any() else None
    return words[places], None if missing is None else np.asarray(missing)


def _bounds(piece: Piece, dtype: Any) -> Array:
    """Where the elements of strings or lists begin, and where the last one ends."""
    if piece.count == 0:
        return np.zeros(1, np.int64)
    bounds = piece.buffer(1, dtype, piece.first, piece.count + 1).astype(np.int64)
    if bounds[0] < 0 or bounds[-1] > MOST_ELEMENTS or (np.diff(bounds) < 0).any():
        raise MalformedError
    return bounds


NO_UTF8 = "expected strings in UTF-8"

_LAST_ASCII = 127

_BLOCK = 1 << 12
"""Strings that are spread out at once, so that places of letters take little memory."""

LOST_END = "expected strings, got one that ends in NUL, which would equal a shorter one"
"""Of arrays of strings of a fixed width, which pad with NUL."""


def _of_ascii(texts: Texts) -> Array | None:
    """ASCII strings as an array of a fixed width; None where they need a closer look."""
    texts = texts.plain()
    offsets, data, count = texts.offsets.astype(np.int64, copy=False), texts.data, len(texts)
    sizes = np.diff(offsets)
    if texts.missing is not None:
        sizes[texts.missing] = 0
    width = int(sizes.max(initial=0))
    if width == 0 or is_wasteful(width, count, int(sizes.sum())):
        return None
    if (
        data[offsets[0] : offsets[-1]].max(initial=0) > _LAST_ASCII
        or not data[offsets[1:][sizes > 0] - 1].all()
    ):
        return None
    made = np.empty(count, f"U{width}")
    letters, columns = made.view(np.uint32).reshape(count, width), np.arange(width)
    for begin in range(0, count, _BLOCK):
        block = slice(begin, begin + _BLOCK)
        inside = columns < sizes[block, None]
        places = np.where(inside, offsets[:-1][block, None] + columns, offsets[0])
        letters[block] = data[places] * inside
    return made


def _as_text(texts: Texts) -> Array:
    """Strings as an array of strings."""
    plain = _of_ascii(texts)
    if plain is not None:
        return plain
    made = []
    for row, word in enumerate(texts.elements()):
        if texts.missing is not None and texts.missing[row]:
            made.append("")
            continue
        try:
            made.append(word.decode())
        except UnicodeDecodeError:
            raise DTypeError(f"{NO_UTF8}{row_of(row)}") from None
        if word.endswith(b"\0"):
            raise InputError(f"{LOST_END}{row_of(row)}")
    return as_array_of_strings(made)


def is_text(field: Field) -> bool:
    held = field if field.dictionary is None else field.dictionary
    return held.format in _TEXTS or held.format in ("vu", "vz", "n")


def texts_of(field: Field, piece: Piece) -> Texts:
    """Strings, or a dictionary of them, borrowed unless they are views."""
    if field.dictionary is not None:
        return _dictionary_of_texts(field, field.dictionary, piece)
    if field.format == "n":
        nothing = np.zeros(piece.count + 1, np.int64)
        return Texts(nothing, np.empty(0, np.uint8), None, np.ones(piece.count, np.bool_))
    missing = piece.missing()
    if field.format in _TEXTS:
        if piece.count == 0:
            return Texts(np.zeros(1, np.int64), np.empty(0, np.uint8))
        offsets = piece.buffer(1, _TEXTS[field.format], piece.first, piece.count + 1)
        if not 0 <= offsets[-1] <= MOST_ELEMENTS:
            raise MalformedError
        made = of_offsets(offsets, piece.buffer(2, np.uint8, 0, int(offsets[-1])), missing)
    else:
        made = of_views(*views_of(piece), missing)
    if made is None:
        raise MalformedError
    if field.format in _UTF8:
        # What a missing element has for bytes is of no matter.
        there = None if missing is None else np.flatnonzero(~missing)
        wrong = (made if there is None else made.take(there, None)).first_no_utf8
        if wrong >= 0:
            raise DTypeError(f"{NO_UTF8}{row_of(wrong if there is None else there[wrong])}")
    return made


def _dictionary_of_texts(field: Field, of_words: Field, piece: Piece) -> Texts:
    places, missing = _places(field, piece)
    with rows_named(_row_with(_having(places, missing))):
        words = texts_of(of_words, Piece.whole(piece.array.dictionary.contents, piece.owner)).plain()
    if len(places) and (places.min() < 0 or places.max() >= len(words)):
        if missing is None or not missing.all():
            raise MalformedError
        empty = np.zeros(len(places) + 1, np.int64)
        return Texts(empty, words.data, None, missing)
    if words.missing is not None:
        gone = words.missing[places]
        missing = gone if missing is None else missing | gone
    return Texts(words.offsets, words.data, places, missing)


def has_views(field: Field) -> bool:
    """Whether these are strings of which each element says where its bytes are."""
    return field.dictionary is None and field.format in ("vu", "vz")


def views_of(piece: Piece) -> tuple[Array, list[Array]]:
    """Views of 16 bytes, and the buffers that they look into, whose sizes come last."""
    extra = piece.array.n_buffers - 3
    if not 0 <= extra <= MOST_COLUMNS:
        raise MalformedError
    sizes = piece.buffer(int(extra) + 2, np.int64, 0, int(extra)).tolist()
    if any(not 0 <= size <= MOST_ELEMENTS for size in sizes):
        raise MalformedError
    views = piece.buffer(1, np.uint8, VIEW_BYTES * piece.first, VIEW_BYTES * piece.count)
    return views, [piece.buffer(2 + i, np.uint8, 0, size) for i, size in enumerate(sizes)]


def viewed_of(field: Field, piece: Piece, missing: Array | None) -> Viewed:
    """Views where they lie, after a look at those that are not missing."""
    views, buffers = views_of(piece)
    outside, wrong = faults_of_views(views, buffers, missing, field.format in _UTF8)
    if outside:
        raise MalformedError
    if wrong >= 0:
        raise DTypeError(f"{NO_UTF8}{row_of(wrong)}")
    return Viewed(views, buffers, missing)


def is_list(field: Field) -> bool:
    return field.dictionary is None and (
        field.format in _LISTS or field.format in _VIEWS or field.format.startswith("+w:")
    )


def _width(field: Field) -> int:
    """Of lists that all have the same length by their type."""
    text = field.format[3:]
    if not text.isdecimal() or not 0 <= (width := int(text[:12])) <= MOST_ELEMENTS:
        raise MalformedError
    return width


def _spans(field: Field, piece: Piece) -> tuple[Array, Array]:
    """Where each list begins among its child's elements, and where it ends."""
    if field.format in _LISTS:
        bounds = _bounds(piece, _LISTS[field.format])
        return bounds[:-1], bounds[1:]
    if field.format not in _VIEWS:
        width = _width(field)
        begins = (piece.first + np.arange(piece.count)) * width
        return begins, begins + width
    begins, sizes = (
        piece.buffer(place, _VIEWS[field.format], piece.first, piece.count).astype(np.int64)
        for place in (1, 2)
    )
    if piece.count and (begins.min() < 0 or sizes.min() < 0 or (begins + sizes).max() > MOST_ELEMENTS):
        raise MalformedError
    return begins, begins + sizes


def lists_of(field: Field, piece: Piece) -> tuple[Array, Array | None, Array, Array | None]:
    """The elements of lists one after another, which are null, each list's length, and which lists are."""
    if len(field.children) != 1:
        raise MalformedError
    missing = piece.missing()
    begins, ends = _spans(field, piece)
    if missing is not None:
        ends = np.where(missing, begins, ends)
    sizes = ends - begins
    held = sizes > 0
    first, last = (int(begins[held].min()), int(ends[held].max())) if held.any() else (0, 0)
    with rows_named(_row_with(lambda place: (begins <= first + place) & (first + place < ends))):
        values, gone = values_of(field.children[0], piece.child(0, first, last - first))
    if values.ndim != 1:
        row = row_of(int(np.argmax(held)))
        raise ShapeError(f"expected lists of values, got lists of lists{row}")
    starts = np.concatenate((np.zeros(1, np.int64), np.cumsum(sizes)[:-1])) if len(sizes) else sizes
    places = np.repeat(begins - first - starts, sizes) + np.arange(int(sizes.sum()))
    return values[places], None if gone is None else gone[places], sizes, missing


def _lists(field: Field, piece: Piece, missing: Array | None) -> tuple[Array, Array | None]:
    """Lists of one length as a matrix."""
    if len(field.children) != 1:
        raise MalformedError
    if field.format in _LISTS:
        bounds = _bounds(piece, _LISTS[field.format])
        lengths = np.diff(bounds)
        width = int(lengths[0]) if piece.count else 0
        if missing is None and (lengths != width).any():
            row = int(np.flatnonzero(lengths != width)[0])
            raise ShapeError(
                f"expected lists of one length, {width} as before it, got {lengths[row]}{row_of(row)}"
            )
        begin, total = int(bounds[0]), int(bounds[-1] - bounds[0])
    else:
        width = _width(field)
        begin, total = piece.first * width, piece.count * width
    if missing is not None:
        return np.zeros((piece.count, 0)), missing
    values, gone = values_of(field.children[0], piece.child(0, begin, total))
    values = values.reshape(piece.count, width, *values.shape[1:])
    return values, None if gone is None else np.asarray(gone.reshape(piece.count, width).any(axis=1))


__all__ = [
    "LOST_END",
    "NO_UTF8",
    "NUMBERS",
    "VIEW_BYTES",
    "Views",
    "described",
    "first_there",
    "has_views",
    "is_list",
    "is_text",
    "lists_of",
    "nothing_of",
    "rows_after",
    "texts_of",
    "values_of",
    "viewed_of",
    "views_of",
]
