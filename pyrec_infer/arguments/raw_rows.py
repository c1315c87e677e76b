"""Raw rows of one side as the inputs of a graph that begins with features."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pyrec_infer.arguments.raw_values import Lists, Values, read_lists, read_values, row_of
from pyrec_infer.arguments.tables import as_columns
from pyrec_infer.errors import IdRangeError, InputError, RowCountError, UnexpectedInputError
from pyrec_infer.features.fields import Field, ListField
from pyrec_infer.features.lower import DTYPES, count_input, missing_input, raw_inputs
from pyrec_infer.ir import Array


def _rows_as_columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Dictionaries, one for each row, as a column for each name; what a row does not have is missing."""
    names: dict[str, None] = {}
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(
                f"expected dictionaries, one for each row, got {type(row).__name__}{row_of(place)}"
            )
        names.update(dict.fromkeys(row))
    return {str(name): [row.get(name) for row in rows] for name in names}


class RawRows:
    """The fields of a schema, and how raw rows map to a graph's inputs.

    Parameters
    ----------
    fields : sequence of Field
    limits : mapping of str to int
        The largest raw whole numbers of some fields.
    """

    def __init__(self, fields: Sequence[Field], limits: Mapping[str, int]) -> None:
        self.fields = {item.name: item for item in fields}
        self.limits = limits

    def names(self, name: str) -> list[str]:
        """The graph's inputs that stand for a field."""
        return [made for made, _ in raw_inputs(self.fields[name])]

    def hidden(self) -> frozenset[str]:
        """The graph's inputs that are no fields."""
        return frozenset(made for name in self.fields for made in self.names(name)) - set(self.fields)

    def columns(self, values: Any, others: Collection[str]) -> dict[str, Any]:
        """The graph's inputs for the raw values of one side.

        Parameters
        ----------
        values : mapping, list of mappings, table
            A value, a list or an array for each field; or dictionaries, one for each row; or what
            `as_columns` takes.
        others : collection of str
            Inputs that no field feeds; they are given as without a schema.

        Raises
        ------
        InputError
            If a value is of another type than its field, missing where that is an error, or a list is
            longer than allowed; names the field and the row.
        """
        given = _rows_as_columns(values) if isinstance(values, (list, tuple)) else as_columns(values)
        found: dict[str, Any] = {}
        counts: dict[str, int] = {}
        for name, value in given.items():
            item = self.fields.get(name)
            if item is None:
                if name not in others or name in self.hidden():
                    free = [other for other in others if other not in self.hidden()]
                    expected = ", ".join(dict.fromkeys((*self.fields, *free)))
                    raise UnexpectedInputError(
                        f"field '{name}': the schema has no such field, expected {expected}"
                    )
                found[name] = value
                continue
            made = _list_columns(item, value) if isinstance(item, ListField) else _columns(item, value)
            counts[name] = len(made[name])
            if name in self.limits:
                _require_exact(item, made[name], self.limits[name])
            found.update(made)
        _require_equal(counts)
        return found


def _require_equal(counts: Mapping[str, int]) -> None:
    if len(set(counts.values())) > 1:
        first, rows = next(iter(counts.items()))
        other = next(name for name, count in counts.items() if count != rows)
        raise RowCountError(
            f"field '{other}': expected {rows} rows as of field '{first}', got {counts[other]}"
        )


def _require_exact(item: Field, array: Array, limit: int) -> None:
    wrong = (array > limit) | (array < -limit)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        raise IdRangeError(
            f"field '{item.name}': expected whole numbers up to {limit}, which the model's type holds"
            " exactly, got a larger one",
            row,
        )


def _columns(item: Field, value: Any) -> dict[str, Array]:
    label = f"field '{item.name}'"
    found = read_values(label, value, item)
    array, missing = _filled(label, found, item)
    made = {item.name: array}
    if item.missing in ("zero", "oov"):
        made[missing_input(item.name)] = np.zeros(len(array), np.bool_) if missing is None else missing
    return made


def _filled(label: str, found: Values, item: Field) -> tuple[Array, Array | None]:
    """The elements with the default where one is missing, which is an error without a rule."""
    if found.missing is None or not found.missing.any():
        return found.array, None
    if item.missing == "error":
        row = int(np.flatnonzero(found.missing)[0])
        raise InputError(f"{label}: expected a value in each row, got a missing one{row_of(row)}")
    if item.missing == "default":
        default = np.asarray(item.default, None if item.dtype == "string" else DTYPES[item.dtype])
        return np.where(found.missing, default, found.array), None
    return found.array, found.missing


def _list_columns(item: ListField, value: Any) -> dict[str, Array]:
    label = f"field '{item.name}'"
    lists = read_lists(label, value, item)
    sizes = np.diff(lists.bounds)
    if item.most and sizes.size and sizes.max() > item.most:
        row = int(np.argmax(sizes > item.most))
        raise InputError(f"{label}: expected at most {item.most} values, got {sizes[row]}{row_of(row)}")
    if lists.values.missing is not None and item.missing != "default":
        row = int(np.searchsorted(lists.bounds, np.flatnonzero(lists.values.missing)[0], "right")) - 1
        raise InputError(f"{label}: expected values in the list, got a missing one{row_of(row)}")
    array, _ = _filled(label, lists.values, item)
    return {
        item.name: _padded(Lists(Values(array), lists.bounds), item),
        count_input(item.name): np.minimum(sizes, item.length).astype(np.int64),
    }


def _padded(lists: Lists, item: ListField) -> Array:
    """A row of ``length`` places for each list; places without a value have one of no meaning."""
    begins, ends = lists.bounds[:-1], lists.bounds[1:]
    kept = np.minimum(ends - begins, item.length)
    begins = ends - kept if item.keep == "last" else begins
    places = np.arange(item.length)
    if item.pad == "left":
        places = places - (item.length - kept[:, None])
    chosen = begins[:, None] + places
    there = np.broadcast_to((places >= 0) & (places < kept[:, None]), chosen.shape)
    flat = lists.values.array
    if not flat.size:
        return np.zeros(chosen.shape, flat.dtype)
    return flat[np.where(there, chosen, 0)]


__all__ = ["RawRows"]
