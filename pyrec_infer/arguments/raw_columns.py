"""What the columns of a table hold, of whatever kind they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from pyrec_infer.arguments.raw_lists import list_columns
from pyrec_infer.arguments.raw_rows import raw_columns, require_equal
from pyrec_infer.arguments.raw_values import Values, filled, read_lists, read_values
from pyrec_infer.errors import InputError, MissingInputError, UnexpectedInputError
from pyrec_infer.features.fields import Field, ListField, known_fields
from pyrec_infer.features.infer import Column
from pyrec_infer.features.transforms.transform import Kind
from pyrec_infer.interrupts import let_interrupts_pass

_KINDS: tuple[Kind, ...] = ("string", "integer", "number")


def _present(found: Values) -> tuple[Any, int]:
    if found.missing is None:
        return found.array, 0
    return found.array[~found.missing], int(found.missing.sum())


def _readings(name: str, value: Any) -> Iterator[Column]:
    """The column as each kind that it may be read as."""
    label = f"field '{name}'"
    rules: dict[str, Any] = {"missing": "zero", "nan": "missing", "infinity": "keep"}
    for kind in _KINDS:
        try:
            yield Column(*_present(read_values(label, value, Field(name, "item", dtype=kind, **rules))))
        except InputError as error:
            let_interrupts_pass(error)
    for kind in _KINDS:
        try:
            lists = read_lists(label, value, ListField(name, "item", dtype=kind, **rules))
        except InputError as error:
            let_interrupts_pass(error)
            continue
        present, _ = _present(lists.values)
        yield Column(present, 0, int(np.diff(lists.bounds).max(initial=0)))


def described_columns(table: Any) -> tuple[dict[str, Column], list[str]]:
    """What the columns hold, and the names of those that hold something else than fields do.

    Parameters
    ----------
    table : mapping, list of mappings, table
        As for `RawRows.columns`.
    """
    found: dict[str, Column] = {}
    others: list[str] = []
    for name, value in raw_columns(table).items():
        column = next(_readings(name, value), None)
        if column is None:
            others.append(name)
        else:
            found[name] = column
    return found, others


def _plain(item: Field, value: Any, rows: int) -> list[Any]:
    """The first rows' values of a field, None where one is missing."""
    label = f"field '{item.name}'"
    if not isinstance(item, ListField):
        found = read_values(label, value, item)
        filled(label, found, item)
        return _with_gaps(found)[:rows]
    list_columns(item, value)
    lists = read_lists(label, value, item)
    flat, bounds = _with_gaps(lists.values), lists.bounds[: rows + 1].tolist()
    parts = [flat[begin:end] for begin, end in pairwise(bounds)]
    return [item.separator.join(part) for part in parts] if item.separator else parts


def _with_gaps(found: Values) -> list[Any]:
    values: list[Any] = found.array.tolist()
    if found.missing is None:
        return values
    return [None if gone else value for value, gone in zip(values, found.missing.tolist(), strict=True)]


def plain_columns(fields: Sequence[Field], table: Any, rows: int, whole: bool) -> dict[str, list[Any]]:
    """The raw values of fields as plain data: strings, numbers, lists, and None for what is missing.

    Parameters
    ----------
    fields : sequence of Field
    table : mapping, list of mappings, table
        As for `RawRows.columns`.
    rows : int
        The most that are read.
    whole : bool
        Whether each field needs a column, and other columns are left; without, it is the reverse.

    Raises
    ------
    InputError
        A column is missing, or too many, or as for `RawRows.columns`; names the field and the row.
    """
    given, known = raw_columns(table), known_fields(fields)
    others = [] if whole else [name for name in given if name not in known]
    absent = [name for name in known if name not in given] if whole else []
    expected = f"expected {', '.join(known)}"
    if others:
        raise UnexpectedInputError(f"field '{others[0]}': the schema has no such field, {expected}")
    if absent:
        raise MissingInputError(f"field '{absent[0]}' is missing: {expected}")
    made = {name: _plain(item, given[name], rows) for name, item in known.items() if name in given}
    require_equal({name: len(values) for name, values in made.items()})
    return made


__all__ = ["described_columns", "plain_columns"]
