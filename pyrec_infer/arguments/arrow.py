"""Tables and columns that have Arrow's PyCapsule interface, read without Arrow.

The structures are those of Arrow's C data and C stream interfaces. Lengths, offsets, indices and counts
are checked before memory is looked at; the sizes of most buffers are not part of the interface, so the
package that hands a table over is trusted to have as much memory as its lengths say. pyarrow, which reads
files and messages without a look at that, is asked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyrec_infer.arguments.arrow_memory import (
    GET,
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
from pyrec_infer.arguments.arrow_values import (
    LOST_END,
    NUMBERS,
    Views,
    described,
    first_there,
    has_views,
    is_list,
    is_text,
    lists_of,
    nothing_of,
    rows_after,
    texts_of,
    values_of,
    viewed_of,
    views_of,
)
from pyrec_infer.arguments.row_names import row_of
from pyrec_infer.errors import DTypeError, InputError, PyrecError, ShapeError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array
from pyrec_infer.strings import Texts, Viewed


def _contradiction(label: str) -> InputError:
    return InputError(f"{label}: its Arrow structures contradict themselves")


@contextmanager
def _told(label: str, first: int) -> Iterator[None]:
    """Errors of a piece, which begins with this row, as those of a column."""
    try:
        yield
    except MalformedError:
        raise _contradiction(label) from None
    except PyrecError as error:
        raise type(error)(f"{label}: {rows_after(first, str(error))}") from None


def _both(first: Array | None, second: Array | None) -> Array | None:
    if first is None or second is None:
        return second if first is None else first
    return first | second


def _either(count: int, first: Array | None, second: Array | None) -> Array:
    """Which of the elements one of two masks has."""
    found = _both(first, second)
    return np.zeros(count, np.bool_) if found is None else found


def _any(flags: list[Array]) -> Array | None:
    """The flags of all parts, or None where none is set."""
    joined = np.concatenate([np.zeros(0, np.bool_), *flags])
    return joined if joined.any() else None


class ArrowColumn:
    """A column of a table that is read when it is needed."""

    def __init__(self, field: Field, pieces: Sequence[tuple[Piece, Array | None]]) -> None:
        self.field_of = field
        self._pieces = pieces

    def _placed(self) -> Iterator[tuple[int, Piece, Array | None]]:
        """The pieces, each with the row that it begins with."""
        first = 0
        for piece, gone in self._pieces:
            yield first, piece, gone
            first += piece.count

    def array(self, label: str) -> Array:
        """The column as one array, borrowed if it is one piece of numbers.

        Raises
        ------
        InputError
            If a value is missing; `DTypeError` if it has a type that no model takes.
        """
        values, missing = self.elements(label)
        if missing is not None:
            row = int(np.flatnonzero(missing)[0])
            raise InputError(f"{label}: expected a value in each row, got a missing one (row {row})")
        return values

    def plain_array(self) -> Any:
        """The column as one array, where it is one piece of numbers and none is missing; else itself."""
        if len(self._pieces) != 1 or self.field_of.format not in NUMBERS or self.field_of.dictionary:
            return self
        ((piece, gone),) = self._pieces
        try:
            values, missing = values_of(self.field_of, piece)
        except (MalformedError, PyrecError):
            return self
        none = all(flags is None or not flags.any() for flags in (gone, missing))
        return values if none else self

    def elements(self, label: str) -> tuple[Array, Array | None]:
        """The column as one array, and which rows of it are missing; None if none is.

        Raises
        ------
        DTypeError
            If it has a type that no model takes.
        """
        parts: list[Array] = []
        flags: list[Array] = []
        for first, piece, gone in self._placed():
            with _told(label, first):
                values, missing = values_of(self.field_of, piece)
            parts.append(values)
            flags.append(_either(piece.count, gone, missing))
        return self._joined(label, parts), _any(flags)

    def _refuse(self, label: str, expected: str) -> None:
        """Refuse a column of this type, with the first row that is there; not one that has none."""
        if self.field_of.format == "n":
            return
        for first, piece, gone in self._placed():
            with _told(label, first):
                missing = _both(gone, piece.missing())
                if piece.count and (missing is None or not missing.all()):
                    row = row_of(first_there(missing))
                    raise DTypeError(f"expected {expected}, got {described(self.field_of)}{row}")

    def require_no_lists(self, label: str, expected: str) -> None:
        """Refuse lists of any length where each row has one value.

        Raises
        ------
        DTypeError
            Names the first row that holds one.
        """
        if is_list(self.field_of) and not self.field_of.format.startswith("+w:"):
            self._refuse(label, f"{expected}, one in each row")

    @property
    def is_bytes(self) -> bool:
        """Whether these are strings that nobody says are UTF-8."""
        held = self.field_of.dictionary or self.field_of
        return held.format in ("z", "Z", "vz")

    def lists(self, label: str) -> tuple[tuple[Array, Array | None], Array, Array | None]:
        """The elements of lists of any length one after another, and which are missing; where each list
        begins, and the last one ends; and which lists are missing.

        Raises
        ------
        DTypeError
            If these are no lists, or of a type that no model takes.
        """
        if not is_list(self.field_of):
            self._refuse(label, "a list in each row")
            count = sum(piece.count for piece, _ in self._pieces)
            return (np.zeros(0), None), np.zeros(count + 1, np.int64), np.ones(count, np.bool_)
        parts: list[Array] = []
        sizes = [np.zeros(1, np.int64)]
        absent: list[Array] = []
        gone_lists: list[Array] = []
        for first, piece, gone in self._placed():
            with _told(label, first):
                values, missing, lengths, none = lists_of(self.field_of, piece)
            parts.append(values)
            absent.append(_either(len(values), missing, None))
            gone_lists.append(_either(piece.count, gone, none))
            sizes.append(lengths)
        bounds = np.cumsum(np.concatenate(sizes))
        return (self._joined(label, parts), _any(absent)), bounds, _any(gone_lists)

    def _joined(self, label: str, parts: list[Array]) -> Array:
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return nothing_of(self.field_of)
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
        if not is_text(self.field_of):
            return None
        parts = []
        for first, piece, gone in self._placed():
            with _told(label, first):
                made = texts_of(self.field_of, piece)
            if gone is not None and gone.any():
                made = Texts(made.offsets, made.data, made.places, _both(gone, made.missing))
            parts.append(made)
        return parts

    def viewed(self, label: str) -> list[Viewed] | None:
        """Views of strings piece by piece, borrowed and checked; None if it has none.

        Raises
        ------
        InputError
            If the structures contradict themselves; `DTypeError` if a string is not UTF-8.
        """
        if not has_views(self.field_of):
            return None
        parts = []
        for first, piece, gone in self._placed():
            with _told(label, first):
                parts.append(viewed_of(self.field_of, piece, _both(gone, piece.missing())))
        return parts

    def views(self, label: str) -> list[Views] | None:
        """Views of strings piece by piece, borrowed and not looked at; None if it has none.

        Raises
        ------
        InputError
            If the structures contradict themselves.
        """
        if not has_views(self.field_of):
            return None
        with _told(label, 0):
            return [(*views_of(piece), _both(gone, piece.missing())) for piece, gone in self._pieces]


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


def with_sizes_checked(value: Any) -> Any:
    """The same, of pyarrow after a check that buffers are as large as lengths and offsets say."""
    if type(value).__module__.partition(".")[0] != "pyarrow":
        return value
    if callable(getattr(value, "read_all", None)):
        value = value.read_all()
    if callable(getattr(value, "validate", None)):
        try:
            value.validate()
        except Exception as error:
            let_interrupts_pass(error)
            raise MalformedError from None
    return value


def _pieces_of(value: Any) -> tuple[Field, list[Piece]]:
    """The type of a table or column and its chunks."""
    value = with_sizes_checked(value)
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


def _read(label: str, value: Any) -> tuple[Field, list[Piece]]:
    """The same with errors of this package only."""
    try:
        return _pieces_of(value)
    except MalformedError:
        raise _contradiction(label) from None
    except MemoryError:
        raise
    except Exception as error:
        let_interrupts_pass(error)
        # Its text may hold values.
        kind = type(value).__name__
        raise InputError(
            f"{label}: a {kind} that cannot be read as Arrow data: {type(error).__name__}"
        ) from None


def arrow_column(label: str, value: Any) -> ArrowColumn:
    """One column; ``label`` is what errors call it."""
    if isinstance(value, ArrowColumn):
        return value
    field, pieces = _read(label, value)
    return ArrowColumn(field, [(piece, None) for piece in pieces])


def arrow_table(value: Any) -> list[tuple[str, ArrowColumn]] | None:
    """The columns of a table with their names; None if it is a column."""
    field, pieces = _read("the table", value)
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
        raise _contradiction("the table") from None


__all__ = ["LOST_END", "ArrowColumn", "arrow_column", "arrow_table", "is_arrow", "with_sizes_checked"]
