"""Tables and columns that have Arrow's PyCapsule interface, read without Arrow.

The structures are those of Arrow's C data and C stream interfaces. Lengths, offsets, indices and counts
are checked before memory is looked at; the sizes of most buffers are not part of the interface, so the
package that hands a table over is trusted to have as much memory as its lengths say.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyrec_infer.arguments.arrow_memory import (
    GET,
    MOST_COLUMNS,
    MOST_ELEMENTS,
    CArray,
    CSchema,
    CStream,
    Field,
    MalformedError,
    Owned,
    Piece,
    field_of,
    pointer_in,
)
from pyrec_infer.errors import DTypeError, InputError, PyrecError, ShapeError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array
from pyrec_infer.strings import Texts, of_offsets, of_views

_NUMBERS = {
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


def _values(field: Field, piece: Piece) -> tuple[Array, Array | None]:
    """The elements of a column, and which of them are null."""
    if field.format == "n":
        return np.zeros(piece.count), np.ones(piece.count, np.bool_) if piece.count else None
    if field.dictionary is not None:
        return _decoded(field, piece)
    missing = piece.missing()
    if field.format in _NUMBERS:
        return piece.buffer(1, _NUMBERS[field.format], piece.first, piece.count), missing
    if field.format == "b":
        return piece.bits(1), missing
    if _is_text(field):
        return _as_text(_column_of_texts(field, piece, 0)), missing
    if field.format in _LISTS or field.format.startswith("+w:"):
        return _lists(field, piece, missing)
    raise DTypeError(f"expected numbers, booleans, strings or lists of them, got {_described(field.format)}")


def _described(code: str) -> str:
    for start, text in (("t", "dates or times"), ("d", "decimals"), ("+s", "a structure of columns")):
        if code.startswith(start):
            return text
    return f"Arrow's type {code!r}"


def _places(field: Field, piece: Piece) -> tuple[Array, Array | None]:
    """Which of a dictionary's words the elements are, and which of them are null."""
    if field.format not in _NUMBERS or not piece.array.dictionary:
        raise MalformedError
    places, missing = piece.buffer(1, _NUMBERS[field.format], piece.first, piece.count), piece.missing()
    if places.dtype.kind == "f":
        raise MalformedError
    return places if missing is None else np.where(missing, 0, places), missing


def _decoded(field: Field, piece: Piece) -> tuple[Array, Array | None]:
    if field.dictionary is None:
        raise MalformedError
    places, missing = _places(field, piece)
    words, gone = _values(field.dictionary, Piece.whole(piece.array.dictionary.contents, piece.owner))
    if len(places) and (places.min() < 0 or places.max() >= len(words)):
        if missing is None or not missing.all():
            raise MalformedError
        return np.empty((len(places), *words.shape[1:]), words.dtype), missing
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

LOST_END = "expected strings, got one that ends in NUL, which would equal a shorter one"
"""Of arrays of strings of a fixed width, which pad with NUL."""


def _as_text(texts: Texts) -> Array:
    """Strings as an array of kind U."""
    made = []
    for row, word in enumerate(texts.elements()):
        if texts.missing is not None and texts.missing[row]:
            made.append("")
            continue
        try:
            made.append(word.decode())
        except UnicodeDecodeError:
            raise DTypeError(f"{NO_UTF8} (row {row})") from None
        if word.endswith(b"\0"):
            raise InputError(f"{LOST_END} (row {row})")
    return np.array(made, str) if made else np.empty(0, "U1")


def _is_text(field: Field) -> bool:
    held = field if field.dictionary is None else field.dictionary
    return held.format in _TEXTS or held.format in ("vu", "vz", "n")


def _column_of_texts(field: Field, piece: Piece, first: int) -> Texts:
    """Strings, or a dictionary of them, borrowed unless they are views; the first has that row."""
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
        made = of_views(*_views(piece), missing)
    if made is None:
        raise MalformedError
    if field.format in _UTF8:
        # What a missing element has for bytes is of no matter.
        there = None if missing is None else np.flatnonzero(~missing)
        wrong = (made if there is None else made.take(there, None)).first_no_utf8
        if wrong >= 0:
            raise DTypeError(f"{NO_UTF8} (row {first + (wrong if there is None else int(there[wrong]))})")
    return made


def _dictionary_of_texts(field: Field, of_words: Field, piece: Piece) -> Texts:
    places, missing = _places(field, piece)
    words = _column_of_texts(of_words, Piece.whole(piece.array.dictionary.contents, piece.owner), 0).plain()
    if len(places) and (places.min() < 0 or places.max() >= len(words)):
        if missing is None or not missing.all():
            raise MalformedError
        empty = np.zeros(len(places) + 1, np.int64)
        return Texts(empty, words.data, None, missing)
    if words.missing is not None:
        gone = words.missing[places]
        missing = gone if missing is None else missing | gone
    return Texts(words.offsets, words.data, places, missing)


def _views(piece: Piece) -> tuple[Array, list[Array]]:
    """Views of 16 bytes, and the buffers that they look into, whose sizes come last."""
    extra = piece.array.n_buffers - 3
    if not 0 <= extra <= MOST_COLUMNS:
        raise MalformedError
    sizes = piece.buffer(int(extra) + 2, np.int64, 0, int(extra)).tolist()
    if any(not 0 <= size <= MOST_ELEMENTS for size in sizes):
        raise MalformedError
    views = piece.buffer(1, np.uint8, 16 * piece.first, 16 * piece.count)
    return views, [piece.buffer(2 + i, np.uint8, 0, size) for i, size in enumerate(sizes)]


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
                f"expected lists of one length, {width} as in row 0, got {lengths[row]} (row {row})"
            )
        begin, total = int(bounds[0]), int(bounds[-1] - bounds[0])
    else:
        text = field.format[3:]
        if not text.isdecimal() or not 0 <= (width := int(text[:12])) <= MOST_ELEMENTS:
            raise MalformedError
        begin, total = piece.first * width, piece.count * width
    if missing is not None:
        return np.zeros((piece.count, 0)), missing
    values, gone = _values(field.children[0], piece.child(0, begin, total))
    values = values.reshape(piece.count, width, *values.shape[1:])
    return values, None if gone is None else np.asarray(gone.reshape(piece.count, width).any(axis=1))


@contextmanager
def _told(label: str) -> Iterator[None]:
    """Errors of a piece as those of a column."""
    try:
        yield
    except MalformedError:
        raise InputError(f"{label}: its Arrow structures contradict themselves") from None
    except PyrecError as error:
        raise type(error)(f"{label}: {error}") from None


class ArrowColumn:
    """A column of a table that is read when it is needed."""

    def __init__(self, field: Field, pieces: Sequence[tuple[Piece, Array | None]]) -> None:
        self.field_of = field
        self._pieces = pieces

    def array(self, label: str) -> Array:
        """The column as one array, borrowed if it is one piece of numbers.

        Raises
        ------
        InputError
            If a value is missing; `DTypeError` if it has a type that no model takes.
        """
        parts, first = [], 0
        for piece, gone in self._pieces:
            with _told(label):
                values, missing = _values(self.field_of, piece)
            for mask in (gone, missing):
                if mask is not None and mask.any():
                    row = first + int(np.flatnonzero(mask)[0])
                    raise InputError(f"{label}: expected a value in each row, got a missing one (row {row})")
            parts.append(values)
            first += piece.count
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return np.empty(0, _NUMBERS.get(self.field_of.format, np.float32))
        parts = [part for part in parts if len(part)] or parts[:1]
        if len({part.shape[1:] for part in parts}) > 1:
            raise ShapeError(f"{label}: expected lists of one length, got rows of different lengths")
        return np.concatenate(parts)

    def texts(self, label: str) -> list[Texts] | None:
        """Strings piece by piece, borrowed unless they are views; None if they are none.

        Raises
        ------
        InputError
            If the structures contradict themselves; `DTypeError` if a string is not UTF-8.
        """
        if not _is_text(self.field_of):
            return None
        parts, first = [], 0
        for piece, gone in self._pieces:
            with _told(label):
                made = _column_of_texts(self.field_of, piece, first)
            if gone is not None and gone.any():
                missing = gone if made.missing is None else made.missing | gone
                made = Texts(made.offsets, made.data, made.places, missing)
            parts.append(made)
            first += piece.count
        return parts


def is_arrow(value: Any) -> bool:
    """Whether a value has Arrow's PyCapsule interface, or is a column of such a table."""
    return isinstance(value, ArrowColumn) or any(
        callable(getattr(type(value), name, None)) for name in ("__arrow_c_stream__", "__arrow_c_array__")
    )


def _capsule(capsule: Any, name: bytes, kind: type[Any]) -> Any:
    try:
        structure = kind.from_address(pointer_in(capsule, name))
    except (TypeError, ValueError) as error:
        let_interrupts_pass(error)
        raise MalformedError from None
    if not structure.release:
        raise MalformedError
    return structure


def _pieces_of(value: Any) -> tuple[Field, list[Piece]]:
    """The type of a table or column and its chunks."""
    if callable(getattr(type(value), "__arrow_c_stream__", None)):
        capsule = value.__arrow_c_stream__()
        return _streamed(capsule, _capsule(capsule, b"arrow_array_stream", CStream))
    schema, capsule = value.__arrow_c_array__()
    field = field_of(_capsule(schema, b"arrow_schema", CSchema))
    return field, [Piece.whole(_capsule(capsule, b"arrow_array", CArray), capsule)]


def _streamed(capsule: Any, stream: CStream) -> tuple[Field, list[Piece]]:
    address = ctypes.addressof(stream)
    schema = Owned(CSchema())
    if not stream.get_schema or not stream.get_next:
        raise MalformedError
    if GET(stream.get_schema)(address, ctypes.addressof(schema.structure)) != 0:
        raise MalformedError
    field = field_of(schema.structure)
    pieces: list[Piece] = []
    while True:
        owned = Owned(CArray())
        if GET(stream.get_next)(address, ctypes.addressof(owned.structure)) != 0:
            raise MalformedError
        if not owned.structure.release:
            return field, pieces
        pieces.append(Piece.whole(owned.structure, (owned, capsule)))


def _read(value: Any) -> tuple[Field, list[Piece]]:
    """The same with errors of this package only."""
    kind = type(value).__name__
    try:
        return _pieces_of(value)
    except MalformedError:
        raise InputError(f"the Arrow structures of a {kind} contradict themselves") from None
    except MemoryError:
        raise
    except Exception as error:
        let_interrupts_pass(error)
        # Its text may hold values.
        raise InputError(f"a {kind} cannot be read as Arrow data: {type(error).__name__}") from None


def arrow_column(value: Any) -> ArrowColumn:
    """One column."""
    if isinstance(value, ArrowColumn):
        return value
    field, pieces = _read(value)
    return ArrowColumn(field, [(piece, None) for piece in pieces])


def arrow_table(value: Any) -> list[tuple[str, ArrowColumn]] | None:
    """The columns of a table with their names; None if it is a column."""
    field, pieces = _read(value)
    if field.format != "+s" or field.dictionary is not None:
        return None
    try:
        rows = [(piece, piece.missing()) for piece in pieces]
        return [
            (
                child.name,
                ArrowColumn(
                    child,
                    [(piece.child(i, piece.first, piece.count), gone) for piece, gone in rows],
                ),
            )
            for i, child in enumerate(field.children)
        ]
    except MalformedError:
        raise InputError("the table's Arrow structures contradict themselves") from None


__all__ = ["LOST_END", "ArrowColumn", "arrow_column", "arrow_table", "is_arrow"]
