"""What the columns of a table hold, of whatever kind they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.arguments.raw_rows import raw_columns
from pyrec_infer.arguments.raw_values import Values, read_lists, read_values
from pyrec_infer.errors import InputError
from pyrec_infer.features.fields import Field, ListField
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


__all__ = ["described_columns"]
