"""The ways in which the same rows can be given."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

try:
    import pandas
    import polars
except ImportError:
    pandas = polars = None  # type: ignore[assignment]

Rows = Sequence[Mapping[str, Any]]


def columns(rows: Rows) -> dict[str, list[Any]]:
    names = list(rows[0])
    return {name: [row[name] for row in rows] for name in names}


def read_in_python(rows: Rows) -> Any:
    """Rows of a kind that no native code takes."""
    return tuple(MappingProxyType(dict(row)) for row in rows)


def _without_gaps(rows: Rows) -> Any:
    """Dictionaries without what is missing, in another order, where one row names each field."""
    made = [{name: value for name, value in reversed(row.items()) if value is not None} for row in rows]
    named = set().union(*made)
    return made if all(name in named for name in rows[0]) else list(rows)


def _is_list(values: list[Any]) -> bool:
    return any(isinstance(value, list) for value in values)


def _as_numpy(random: Random, values: list[Any]) -> Any:
    present = [value for value in values if value is not None]
    if _is_list(values):
        sizes = {len(value) for value in present}
        flat = [one for value in present for one in value]
        if len(present) == len(values) and len(sizes) == 1 and flat and None not in flat:
            matrix = np.array(values)
            return np.asfortranarray(matrix) if random.random() < 0.5 else matrix
        made = np.empty(len(values), object)
        for place, value in enumerate(values):
            plain = not value or None in value or isinstance(value[0], str) or random.random() < 0.5
            made[place] = value if plain else np.array(value)
        return made
    if all(isinstance(value, str) for value in present):
        if len(present) < len(values) or any("\0" in value for value in present) or random.random() < 0.3:
            return np.array(values, object)
        return np.array(values, "U") if random.random() < 0.7 else np.repeat(np.array(values, "U"), 2)[::2]
    if len(present) < len(values):
        choice = random.random()
        if choice < 0.4:
            return np.array(values, object)
        filled = np.array([0 if value is None else value for value in values])
        return np.ma.masked_array(filled, [value is None for value in values])
    made = np.array(values)
    if made.dtype.kind == "i":
        fitting = [
            kind
            for kind in (np.int8, np.uint8, np.int32, np.uint64, np.int64)
            if all(np.iinfo(kind).min <= value <= np.iinfo(kind).max for value in values)
        ]
        made = made.astype(random.choice(fitting))
    if made.dtype.kind == "f" and random.random() < 0.3:
        with np.errstate(over="ignore"):
            narrow = made.astype(np.float32)
        if np.array_equal(narrow.astype(np.float64), made, equal_nan=True):
            made = narrow
    return np.repeat(made, 3)[1::3] if random.random() < 0.3 else made


def with_numpy(random: Random, rows: Rows) -> Any:
    return {name: _as_numpy(random, values) for name, values in columns(rows).items()}


def _element_type(random: Random, values: list[Any]) -> pa.DataType:
    present = [value for value in values if value is not None]
    if not present:
        return pa.null()
    if all(isinstance(value, str) for value in present):
        plain = [pa.string(), pa.large_string(), pa.string_view()]
        words = [pa.dictionary(random.choice((pa.int8(), pa.uint16(), pa.int64())), pa.string())]
        return random.choice([*plain, *words, pa.dictionary(pa.int32(), pa.large_string())])
    if all(isinstance(value, int) for value in present):
        low, high = min(present), max(present)
        kinds = [pa.int8(), pa.int16(), pa.int32(), pa.int64()]
        signed = [k for k in kinds if -(2 ** (k.bit_width - 1)) <= low and high < 2 ** (k.bit_width - 1)]
        unsigned = [pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
        return random.choice(signed + [k for k in unsigned if low >= 0 and high < 2**k.bit_width])
    sizes = [abs(value) for value in present]
    exact = all(float(np.float32(value)) == value or math.isnan(value) for value in sizes if value < 1e38)
    narrow = exact and all(value < 1e38 or not math.isfinite(value) for value in sizes)
    return random.choice([pa.float64(), *([pa.float32()] if narrow else [])])


def _as_arrow(random: Random, values: list[Any]) -> Any:
    """An Arrow array of a type that holds the values exactly."""
    if not _is_list(values):
        if all(value is None for value in values) and random.random() < 0.5:
            return pa.nulls(len(values))
        kind = _element_type(random, values)
        if pa.types.is_dictionary(kind):
            return pa.array(values, kind.value_type).dictionary_encode().cast(kind)
        return pa.array(values, kind)
    flat = [one for value in values if value is not None for one in value]
    kind = _element_type(random, flat)
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    sizes = {len(value) for value in values if value is not None}
    wraps: list[Callable[[Any], Any]] = [pa.list_, pa.large_list, pa.list_view, pa.large_list_view]
    if len(sizes) == 1:
        wraps.append(lambda element: pa.list_(element, next(iter(sizes))))
    return pa.array(values, random.choice(wraps)(kind))


def _sliced(random: Random, array: Any) -> Any:
    """The same elements, as a part of a longer array."""
    if not len(array) or random.random() < 0.5:
        return array
    try:
        return pa.concat_arrays([array[-1:], array, array[:1]])[1:-1]
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return array


def columns_of_arrow(random: Random, rows: Rows) -> dict[str, Any]:
    return {name: _sliced(random, _as_arrow(random, values)) for name, values in columns(rows).items()}


def with_arrow(random: Random, rows: Rows) -> Any:
    arrays = columns_of_arrow(random, rows)
    choice = random.random()
    if choice < 0.3:
        return arrays
    table = pa.table(arrays)
    if choice < 0.5:
        return table
    if choice < 0.7 and len(rows) > 1:
        cut = random.randrange(len(rows))
        return pa.concat_tables([table.slice(0, cut), table.slice(cut, 0), table.slice(cut)])
    if choice < 0.85:
        return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=3))
    return table.to_batches()[0]


def with_polars(random: Random, rows: Rows) -> Any:
    if polars is None:
        return list(rows)
    made = polars.DataFrame(columns(rows), strict=False)
    if any(kind in (polars.Object, polars.Null) for kind in made.dtypes):
        return list(rows)
    for name, kind in zip(made.columns, made.dtypes, strict=True):
        if kind == polars.String and random.random() < 0.3:
            made = made.with_columns(polars.col(name).cast(polars.Categorical))
    return made


def _told_apart(values: list[Any]) -> bool:
    """Whether pandas, whose plain columns have NaN for None and float64 for a gap, keeps the values."""
    gaps = any(value is None for value in values)
    large = any(isinstance(value, int) and abs(value) > 2**53 for value in values)
    return not (gaps and large) and not any(isinstance(value, float) and value != value for value in values)


def with_pandas(random: Random, rows: Rows) -> Any:
    if pandas is None or not all(map(_told_apart, columns(rows).values())):
        return list(rows)
    made = pandas.DataFrame(columns(rows))
    return made.convert_dtypes() if random.random() < 0.3 else made


FORMS: Mapping[str, Callable[[Random, Rows], Any]] = {
    "dictionaries": lambda random, rows: list(rows),
    "dictionaries without gaps": lambda random, rows: _without_gaps(rows),
    "lists": lambda random, rows: columns(rows),
    "numpy": with_numpy,
    "arrow": with_arrow,
    "polars": with_polars,
    "pandas": with_pandas,
}
"""Ways that give the same values exactly."""
