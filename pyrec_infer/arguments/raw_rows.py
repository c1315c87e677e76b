"""Raw rows of one side as the inputs of a graph that begins with features."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from pyrec_infer.arguments.arrays import arrow_column_of
from pyrec_infer.arguments.raw_lists import ListColumns, list_columns
from pyrec_infer.arguments.raw_values import arrow_texts, filled, read_values, require_lists
from pyrec_infer.arguments.row_names import row_in, row_of
from pyrec_infer.arguments.tables import as_columns
from pyrec_infer.errors import (
    IdRangeError,
    InputError,
    MissingInputError,
    PyrecError,
    RowCountError,
    UnexpectedInputError,
)
from pyrec_infer.extension import compiled
from pyrec_infer.features.fields import Field, ListField, known_fields
from pyrec_infer.features.lower import count_input, first_unknown, missing_input, offset_input, raw_inputs
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array
from pyrec_infer.plan.sources import NOT_IN_VOCABULARY
from pyrec_infer.strings.tensors import as_plain

_LONGEST = 1 << 40
"""Places of a list, above which nobody has the memory for one."""


def _rows_as_columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
    """Dictionaries, one for each row, as a column for each name; what a row does not have is missing."""
    names: dict[str, None] = {}
    for place, row in enumerate(rows):
        if type(row) is not dict and not isinstance(row, Mapping):
            raise InputError(
                f"expected dictionaries, one for each row, got {type(row).__name__}{row_of(place)}"
            )
        if row.keys() != names.keys():
            names.update(dict.fromkeys(row))
    return {str(name): [row.get(name) for row in rows] for name in names}


def raw_columns(values: Any) -> Mapping[str, Any]:
    """Columns by name, of rows, a mapping or a table.

    Raises
    ------
    InputError
        If a mapping of the caller's own fails; its text may hold values.
    """
    try:
        if isinstance(values, (list, tuple)):
            return _rows_as_columns(values)
        return dict(as_columns(values).items())
    except (PyrecError, MemoryError):
        raise
    except Exception as error:
        let_interrupts_pass(error)
        raise InputError(
            f"a {type(values).__name__} cannot be read as rows: {type(error).__name__}"
        ) from None


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
        made = {item.name: _reader_of(item, limits.get(item.name)) for item in fields}
        self._plain = {name: reader for name, reader in made.items() if reader is not None}

    def names(self, name: str) -> list[str]:
        """The graph's inputs that stand for a field."""
        return [made for made, _ in raw_inputs(self.fields[name])]

    def hidden(self) -> frozenset[str]:
        """The graph's inputs that are no fields."""
        return frozenset(made for name in self.fields for made in self.names(name)) - set(self._known)

    def reading(self, needed: Collection[str]) -> list[str]:
        """The fields that some of the graph's inputs are made of, and those of their weights."""
        found = []
        for name in self._known:
            read = [name] if name in self._owners else self.names(name)
            if not set(needed).isdisjoint(read):
                found.append(name)
        return found

    def require_names(self, names: Sequence[str], needed: Collection[str], others: Collection[str]) -> None:
        """Refuse the names of a prepared call where its values could never be read.

        Parameters
        ----------
        names : sequence of str
        needed : collection of str
            The graph's inputs that the call reads.
        others : collection of str
            As for `columns`.

        Raises
        ------
        UnexpectedInputError
            If the schema has no such field; `MissingInputError` if a field is missing, with its side.
        """
        for name in names:
            self._require_known(name, others)
        for name in self.reading(needed):
            if name not in names:
                side = self._known[name].side
                raise MissingInputError(
                    f"field '{name}' is missing, which rows of the {side} side have: expected its name"
                )

    def _require_known(self, name: str, others: Collection[str]) -> None:
        if name in self._known or (name in others and name not in self.hidden()):
            return
        free = [other for other in others if other not in self.hidden()]
        expected = ", ".join(dict.fromkeys((*self._known, *free)))
        raise UnexpectedInputError(f"field '{name}': the schema has no such field, expected {expected}")

    def reader(self, inputs: Sequence[str], side: str) -> Any:
        """What reads rows of one side, with these inputs, without Python in the way.

        Its ``read`` takes a dictionary of values and lists, or a list of dictionaries, and gives a tuple of
        the inputs in order, strings as `Strings`; or None where `columns` has to look closer.

        Returns
        -------
        native.RowReader or None
            None without native code, or where an input is made of anything else.
        """
        places = {name: place for place, name in enumerate(inputs)}
        fields = [
            item
            for item in self.fields.values()
            if item.side == side or not places.keys().isdisjoint(self.names(item.name))
        ]
        made = {name for item in fields for name in self.names(item.name)}
        native = compiled()
        if (
            native is None
            or not made.issuperset(inputs)
            or any(item.name not in self._plain for item in fields)
        ):
            return None
        specs = [(item.name, self._plain[item.name], *_places(item, places)) for item in fields]
        return native.RowReader(specs, len(inputs))

    def located(self, error: IdRangeError, arrays: Mapping[str, Any]) -> IdRangeError:
        """An error of a call on these of the graph's inputs as callers know them.

        What is said of an unknown value ends before the table that it was looked up in; in lists without
        padding, whose places are no rows, the list's row is named.
        """
        for name, item in self.fields.items():
            flat = isinstance(item, ListField) and item.ragged and f"'{name}'" in str(error)
            place = first_unknown(item, as_plain(arrays[name])) if flat and name in arrays else None
            if place is None:
                continue
            if offset_input(name) in arrays:
                row = int(np.searchsorted(arrays[offset_input(name)], place, "right")) - 1
            else:
                row = int(np.searchsorted(np.cumsum(arrays[count_input(name)]), place, "right"))
            return IdRangeError(f"field '{name}': {NOT_IN_VOCABULARY}", row)
        begin, known, end = str(error).partition(NOT_IN_VOCABULARY)
        return IdRangeError(begin + known, row_in(end)) if known else error

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
        # A mapping, or a row of pandas, may hold one list where these have one in each row.
        by_row = isinstance(values, (list, tuple)) or getattr(values, "ndim", 1) == 2
        found: dict[str, Any] = {}
        counts: dict[str, int] = {}
        lists: dict[str, ListColumns] = {}
        for name, value in given.items():
            item = self._known.get(name)
            if item is None:
                self._require_known(name, others)
                found[name] = value
                continue
            if by_row and isinstance(item, ListField):
                require_lists(f"field '{name}'", value, item)
            read = self._plain[name].read(value) if name in self._plain else None
            if read is not None:
                found.update(_named(item, *read))
                counts[name] = read[-1]
            elif isinstance(item, ListField):
                lists[name] = list_columns(item, value)
                counts[name] = len(lists[name].sizes)
                made = lists[name].inputs
                found.update({name: made[name]} if name in self._owners else made)
            else:
                found.update(_columns(item, value))
                counts[name] = len(found[name])
            if read is None and name in self.limits:
                _require_exact(item, found[name], self.limits[name], lists.get(name))
        require_equal(counts)
        for name, owner in self._owners.items():
            _require_weights(owner, lists.get(owner), name, lists.get(name))
        return found


def _reader_of(item: Field, limit: int | None) -> Any:
    """What reads a field's values natively where they are of its very type; None if nothing does."""
    native = compiled()
    if native is None or (limit is not None and item.dtype != "integer"):
        return None
    length, most, last, left = 0, 0, False, False
    if isinstance(item, ListField):
        if item.ragged or item.weights or item.separator or item.length > _LONGEST:
            return None
        length, most, last, left = item.length, item.most, item.keep == "last", item.pad == "left"
    blank: Any = "" if item.dtype == "string" else 0
    default = item.default if item.missing == "default" else blank
    most_whole = np.iinfo(np.int64).max if limit is None else limit
    if item.dtype == "integer" and abs(default) > most_whole:
        return None
    missing = "marked" if item.flags_missing else item.missing
    kinds = item.nan == "keep", item.infinity == "keep"
    spec = item.dtype, missing, default, length, min(most, _LONGEST), last, left, *kinds, most_whole
    return native.RawField(spec)


def _places(item: Field, places: Mapping[str, int]) -> tuple[int, int, int]:
    """Which of some inputs take a field's values, how many a list has, and whether one is missing."""
    lists = isinstance(item, ListField)
    return (
        places.get(item.name, -1),
        places.get(count_input(item.name), -1) if lists else -1,
        -1 if lists else places.get(missing_input(item.name), -1),
    )


def _named(item: Field, values: Any, sizes: Any, missing: Array | None, rows: int) -> dict[str, Any]:
    """What was read of a field by the names of its inputs."""
    made = {item.name: values}
    if sizes is not None:
        made[count_input(item.name)] = sizes
    elif item.flags_missing:
        made[missing_input(item.name)] = np.zeros(rows, np.bool_) if missing is None else missing
    return made


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
    found = None
    column = arrow_column_of(label, value)
    if column is not None:
        value = column
        found = arrow_texts(label, column, item)
    if found is not None:
        return _named(item, found.array, None, found.missing, len(found.array))
    array, missing = filled(label, read_values(label, value, item), item)
    return _named(item, array, None, missing, len(array))


__all__ = ["RawRows", "raw_columns", "require_equal"]
