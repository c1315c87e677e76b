"""A first schema from what columns hold and what a model takes; what cannot be told is said, not guessed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyrec_infer.features.fields import Field, ListField, Side, Target
from pyrec_infer.features.transforms.ids import Vocabulary
from pyrec_infer.ir import Array
from pyrec_infer.tensor_info import TensorInfo

MOST_WORDS = 10_000


@dataclass(frozen=True, eq=False)
class Column:
    """What a column of a table holds.

    Attributes
    ----------
    values : ndarray
        Those that are there, of all rows; of lists one after another.
    missing : int
        Rows without a value.
    longest : int
        Of its lists; -1 if it holds one value in each row.
    """

    values: Array
    missing: int
    longest: int = -1

    @property
    def strings(self) -> bool:
        return self.values.dtype.kind in "USTO"

    @property
    def whole(self) -> bool:
        """Whether all values are whole numbers of 64 bits."""
        if self.values.dtype.kind != "f":
            return self.values.dtype.kind in "iub"
        limit = 2.0**53
        near = bool((abs(self.values) < limit).all())
        return near and bool((self.values % 1 == 0).all())


@dataclass
class _Inference:
    """Makes fields and says what it could not tell."""

    side: Side
    sides: Mapping[str, Side]
    words: int
    notes: list[str]

    def field(self, name: str, column: Column, to: Target, info: TensorInfo) -> Field | None:
        if not column.values.size:
            self.notes.append(f"field '{name}': left out, no row has a value")
            return None
        length = self.length(column, to, info)
        if length is None:
            return self.left_out(name, column, f"has shape {list(info.shape)}")[0]
        dtype, transforms = self.transforms(name, column, info)
        if dtype is None:
            return None
        if column.missing:
            self.notes.append(f"field '{name}': {column.missing} rows have no value; say what they are")
        own: dict[str, Any] = {"to": (to,), "dtype": dtype, "transforms": transforms}
        side = self.sides.get(name, self.side)
        if length:
            self.notes.append(
                f"field '{name}': say which values are kept of lists longer than {length}, and where"
            )
            return ListField(name, side, length=length, **own)
        return Field(name, side, **own)

    def length(self, column: Column, to: Target, info: TensorInfo) -> int | None:
        """The places of a list, 0 for one value, None where the column does not fit the input."""
        if isinstance(to, tuple):
            return 0 if column.longest < 0 else None
        rest = info.shape[1:]
        if not info.shape or (isinstance(info.shape[0], int) and info.shape[0] != 1):
            return None
        if column.longest < 0:
            return 0 if all(size == 1 for size in rest) else None
        if len(rest) != 1:
            return None
        return rest[0] if isinstance(rest[0], int) else max(column.longest, 1)

    def transforms(self, name: str, column: Column, info: TensorInfo) -> tuple[Any, list[Vocabulary]]:
        if info.dtype == "str":
            return ("string", []) if column.strings else self.left_out(name, column, "takes strings")
        if info.dtype.startswith("float"):
            if column.strings:
                return self.left_out(name, column, "takes numbers")
            return "number", []
        if not column.strings:
            if column.whole:
                return "integer", []
            return self.left_out(name, column, "takes whole numbers")
        words = sorted({str(word) for word in column.values.tolist()})
        if not 0 < len(words) <= self.words:
            return self.left_out(name, column, f"takes ids: {len(words)} values need a Hash or a Vocabulary")
        self.notes.append(
            f"field '{name}': its {len(words)} values are in alphabetical order; put them in that of training"
        )
        return "string", [Vocabulary(words)]

    def left_out(self, name: str, column: Column, why: str) -> tuple[None, list[Vocabulary]]:
        self.notes.append(f"field '{name}': left out, it holds {_held(column)}, its input {why}")
        return None, []


def _held(column: Column) -> str:
    kind = "strings" if column.strings else "whole numbers" if column.whole else "numbers"
    return kind if column.longest < 0 else f"lists of {kind}"


def _targets(
    names: Sequence[str], inputs: Mapping[str, TensorInfo], columns: Mapping[str, Sequence[str]]
) -> Iterator[tuple[str, Target]]:
    placed = {label: (name, i) for name, labels in columns.items() for i, label in enumerate(labels)}
    for name in names:
        if name in placed:
            yield name, placed[name]
        elif name in inputs:
            yield name, name


def infer_fields(
    columns: Mapping[str, Column],
    inputs: Sequence[TensorInfo],
    labels: Mapping[str, Sequence[str]],
    sides: Mapping[str, Side],
    side: Side,
    words: int,
) -> tuple[list[Field], tuple[str, ...]]:
    """Fields for the columns that bear an input's name, and all that could not be told.

    Parameters
    ----------
    columns : mapping of str to Column
    inputs : sequence of TensorInfo
        Of the model.
    labels : mapping of str to sequence of str
        For matrix inputs, the columns of the table that are theirs, in order.
    sides, side, words
        See `Schema.infer`.
    """
    known = {info.name: info for info in inputs}
    made = _Inference(side, sides, words, [])
    fields: list[Field] = []
    found = dict(_targets(list(columns), known, labels))
    for name, to in found.items():
        info = known[to if isinstance(to, str) else to[0]]
        field = made.field(name, columns[name], to, info)
        if field is not None:
            fields.append(field)
    for name in columns:
        if name not in found:
            made.notes.append(f"field '{name}': left out, no input has this name")
    fed = {target if isinstance(target, str) else target[0] for field in fields for target in field.to}
    for info in inputs:
        if info.name not in fed:
            made.notes.append(
                f"input '{info.name}' ({info.dtype}, shape {list(info.shape)}): no field feeds it"
            )
    return fields, tuple(made.notes)


__all__ = ["MOST_WORDS", "Column", "infer_fields"]
