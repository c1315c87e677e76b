"""A call's side as columns by name: mappings, and tables of polars, pandas and Arrow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np

from pyrec_infer.arguments.arrays import is_pandas
from pyrec_infer.arguments.arrow import ArrowColumn, arrow_table, is_arrow
from pyrec_infer.errors import DTypeError, InputError


class Table(Protocol):
    """A table whose columns can be borrowed through Arrow's PyCapsule interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


Inputs: TypeAlias = Mapping[str, Any] | Sequence[Mapping[str, Any]] | Table
"""One side of a call: an array, a list or a scalar by name; a table; with a schema also a dictionary for
each row."""


def as_columns(values: Any, expected: str = "expected arrays by the inputs' names") -> Mapping[str, Any]:
    """Columns by the names of inputs, or of what else is expected.

    Parameters
    ----------
    values : mapping, table
        A mapping; a DataFrame, or a Series that is a row of one, of pandas; a table, a record batch, a
        reader or a struct array that has Arrow's PyCapsule interface, as those of polars and pyarrow do.
        Columns of Arrow are borrowed where NumPy can address them.

    Raises
    ------
    InputError
        If a name occurs twice or a value is missing; `DTypeError` if it is none of these.
    """
    if isinstance(values, Mapping):
        return values
    if type(values).__module__.partition(".")[0] == "pandas" and hasattr(values, "iloc"):
        # By place: a name need not be a string.
        columns = list(values.items())
        names = [str(name) for name, _ in columns]
        _require_once(names)
        return dict(zip(names, (column for _, column in columns), strict=True))
    if is_arrow(values):
        found = arrow_table(values)
        if found is not None:
            _require_once([name for name, _ in found])
            return dict(found)
    raise DTypeError(
        f"{expected}: a mapping, or a polars, pandas or Arrow table; got {type(values).__name__}"
    )


def held(values: Any) -> Any:
    """The same as often as it is read: of an Arrow table its columns, as a stream can be read only once."""
    known = isinstance(values, (Mapping, list, tuple)) or values is None
    return values if known or is_pandas(values) or not is_arrow(values) else as_columns(values)


def as_arrays(values: Any) -> Any:
    """The same, of a table its columns, and of these as arrays those that are numbers with none missing."""
    if type(values) is dict or isinstance(values, (Mapping, list, tuple)):
        return values
    return {name: _plain_array(column) for name, column in as_columns(values).items()}


def _plain_array(column: Any) -> Any:
    """The array of a column, or the column where that is not all there is to it."""
    if type(column) is ArrowColumn:
        return column.plain_array()
    plain = is_pandas(column) and isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf"
    return column.to_numpy() if plain and getattr(column, "ndim", 0) == 1 else column


def _require_once(names: list[str]) -> None:
    twice = {name for name in names if names.count(name) > 1} if len(set(names)) < len(names) else ()
    if twice:
        raise InputError(f"input '{min(twice)}': the table has several columns of this name")


__all__ = ["Inputs", "Table", "as_arrays", "as_columns", "held"]
