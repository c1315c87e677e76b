"""Raw rows of one side as the inputs of a graph that begins with features."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pyrec_infer.arguments.raw_lists import ListColumns, list_columns
from pyrec_infer.arguments.raw_values import filled, read_values, row_of
from pyrec_infer.arguments.tables import as_columns
from pyrec_infer.errors import IdRangeError, InputError, RowCountError, UnexpectedInputError
from pyrec_infer.extension import compiled
from pyrec_infer.features.fields import Field, ListField, known_fields
from pyrec_infer.features.lower import count_input, missing_input, raw_inputs
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


def raw_columns(values: Any) -> Mapping[str, Any]:
    """Columns by name, of rows, a mapping or a table."""
    return _rows_as_columns(values) if isinstance(values, (list, tuple)) else as_columns(values)


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
        weighted = [item for item in fields if isinstance(item, ListField) and item.weights]
        self._owners = {item.weights: item.name for item in weighted}
        self._known = known_fields(fields)

    def names(self, name: str) -> list[str]:
        """The graph's inputs that stand for a field."""
        return [made for made, _ in raw_inputs(self.fields[name])]

    def hidden(self) -> frozenset[str]:
        """The graph's inputs that are no fields."""
        return frozenset(made for name in self.fields for made in self.names(name)) - set(self._known)

    def reader(self, inputs: Sequence[str]) -> Any:
        """What reads single rows of these inputs' fields without Python in the way.

        Its ``read`` takes a dictionary of scalars and lists and gives a tuple of the inputs in order, strings
        in the form that only native plans take; or None where `columns` has to look closer.

        Returns
        -------
        native.RowReader or None
            None without native code, or where an input is made of anything else.
        """
        places = {name: place for place, name in enumerate(inputs)}
        fields = [
            item
            for item in self.fields.values()
            if item.side == "request" or not places.keys().isdisjoint(self.names(item.name))
        ]
        specs = [_as_read(item, self.limits.get(item.name), places) for item in fields]
        made = {name for item in fields for name in self.names(item.name)}
        native = compiled()
        if native is None or not made.issuperset(inputs) or any(spec is None for spec in specs):
            return None
        return native.RowReader(specs, len(inputs))

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
        given = raw_columns(values)
        found: dict[str, Any] = {}
        counts: dict[str, int] = {}
        lists: dict[str, ListColumns] = {}
        for name, value in given.items():
            item = self._known.get(name)
            if item is None:
                if name not in others or name in self.hidden():
                    free = [other for other in others if other not in self.hidden()]
                    expected = ", ".join(dict.fromkeys((*self._known, *free)))
                    raise UnexpectedInputError(
                        f"field '{name}': the schema has no such field, expected {expected}"
                    )
                found[name] = value
                continue
            if isinstance(item, ListField):
                lists[name] = list_columns(item, value)
                made, counts[name] = lists[name].inputs, len(lists[name].sizes)
                if name in self._owners:
                    made = {name: made[name]}
            else:
                made = _columns(item, value)
                counts[name] = len(made[name])
            if name in self.limits:
                _require_exact(item, made[name], self.limits[name], lists.get(name))
            found.update(made)
        require_equal(counts)
        for name, owner in self._owners.items():
            _require_weights(owner, lists.get(owner), name, lists.get(name))
        return found


def _as_read(item: Field, limit: int | None, places: Mapping[str, int]) -> tuple[Any, ...] | None:
    """A field as native code reads it; None if it does not."""
    length, most, last, left = 0, 0, False, False
    if isinstance(item, ListField):
        if item.ragged or item.weights or item.separator:
            return None
        length, most, last, left = item.length, item.most, item.keep == "last", item.pad == "left"
    if limit is not None and item.dtype != "integer":
        return None
    return (
        item.name,
        item.dtype,
        length,
        most,
        last,
        left,
        item.nan == "keep",
        item.infinity == "keep",
        np.iinfo(np.int64).max if limit is None else limit,
        places.get(item.name, -1),
        places.get(count_input(item.name), -1) if length else -1,
        -1 if length else places.get(missing_input(item.name), -1),
    )


def require_equal(counts: Mapping[str, int]) -> None:
    """Refuse fields that have more or fewer rows than the first."""
    if len(set(counts.values())) > 1:
        first, rows = next(iter(counts.items()))
        other = next(name for name, count in counts.items() if count != rows)
        raise RowCountError(
            f"field '{other}': expected {rows} rows as of field '{first}', got {counts[other]}"
        )


def _require_exact(item: Field, array: Array, limit: int, lists: ListColumns | None) -> None:
    wrong = (array > limit) | (array < -limit)
    if wrong.any():
        row = int(np.argwhere(wrong)[0][0])
        if isinstance(item, ListField) and item.ragged and lists is not None:
            row = int(np.searchsorted(np.cumsum(lists.kept), row, "right"))
        raise IdRangeError(
            f"field '{item.name}': expected whole numbers up to {limit}, which the model's type holds"
            " exactly, got a larger one",
            row,
        )


def _require_weights(field: str, values: ListColumns | None, name: str, weights: ListColumns | None) -> None:
    if values is None and weights is None:
        return
    if values is None or weights is None:
        raise InputError(f"field '{name}': expected beside the values of field '{field}', on one side")
    wrong = np.flatnonzero(values.sizes != weights.sizes)
    if wrong.size:
        row = int(wrong[0])
        raise RowCountError(
            f"field '{name}': expected a weight for each of the {values.sizes[row]} values of field "
            f"'{field}', got {weights.sizes[row]}{row_of(row)}"
        )


def _columns(item: Field, value: Any) -> dict[str, Array]:
    label = f"field '{item.name}'"
    found = read_values(label, value, item)
    array, missing = filled(label, found, item)
    made = {item.name: array}
    if item.flags_missing:
        made[missing_input(item.name)] = np.zeros(len(array), np.bool_) if missing is None else missing
    return made


__all__ = ["RawRows", "raw_columns", "require_equal"]
