"""One field of raw rows as an array: what is missing, what no model can take, and lists of any length."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrec_infer.arguments.arrays import arrow_column_of, as_strings, is_pandas, regular
from pyrec_infer.arguments.arrow import ArrowColumn, arrow_column, is_arrow
from pyrec_infer.arguments.arrow_values import NO_UTF8, VIEW_BYTES
from pyrec_infer.arguments.row_names import row_of, rows_named
from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.extension import compiled
from pyrec_infer.features.fields import Field, ListField
from pyrec_infer.features.lower import DTYPES
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, blank_of
from pyrec_infer.strings.missing import is_absent, is_missing

_LARGEST_WHOLE = 2**53
"""Below it float64 holds every whole number."""

_EXPECTED = {"string": "strings", "integer": "whole numbers", "number": "numbers"}
"""What errors call the values of a field, by its type."""

_NOT_INT64 = "expected whole numbers below 2^63, got a larger one"


@dataclass(frozen=True, eq=False)
class Values:
    """Elements of one axis, and which of them are missing; those have a value of no meaning."""

    array: Array
    missing: Array | None = None


def _first(flags: Array) -> int:
    return int(np.flatnonzero(flags)[0])


def _is_gone(value: Any) -> bool:
    return value is np.ma.masked or is_absent(value)


def _of_objects(label: str, items: Sequence[Any], item: Field) -> Values:
    """Objects of Python; None and pandas' NA are missing, and NaN is where no number is wanted."""
    if item.dtype == "string" and set(map(type, items)) == {str}:
        return Values(_strings(label, items))
    numbers = item.dtype == "number"
    gone = [
        _is_gone(value) or (not numbers and isinstance(value, float) and value != value) for value in items
    ]
    missing = np.asarray(gone, np.bool_) if any(gone) else None
    blank: Any = "" if item.dtype == "string" else 0
    present = [blank if absent else value for value, absent in zip(items, gone, strict=True)]
    if item.dtype == "string":
        return Values(_strings(label, present), missing)
    wanted = (int, float, np.integer, np.floating, np.bool_)
    for row, value in enumerate(present):
        if not isinstance(value, wanted):
            got = type(value).__name__
            raise DTypeError(f"{label}: expected {_EXPECTED[item.dtype]}, got {got}{row_of(row)}")
        if not numbers and isinstance(value, int) and value >= 2**63:
            raise DTypeError(f"{label}: {_NOT_INT64}{row_of(row)}")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise DTypeError(f"{label}: expected numbers of at most 64 bits, got a larger one{row_of(row)}")
    try:
        array = np.array(present, np.float64 if numbers or not present else None)
    except (OverflowError, ValueError) as error:
        let_interrupts_pass(error)
        raise DTypeError(f"{label}: expected numbers of at most 64 bits") from None
    if array.dtype.kind == "O":
        raise DTypeError(f"{label}: expected numbers of at most 64 bits")
    return Values(array, missing)


def _strings(label: str, items: Sequence[Any]) -> Array:
    array = np.empty(len(items), object)
    array[:] = items
    return as_strings(label, array)


def read_values(label: str, value: Any, item: Field) -> Values:
    """The elements of a column of one value in each row.

    Raises
    ------
    DTypeError
        If they are of another type than the field; `InputError` and `ShapeError` as for `regular`.
    """
    column = arrow_column_of(label, value)
    if column is not None:
        column.require_no_lists(label, _EXPECTED[item.dtype])
        found = Values(*column.elements(label))
    elif isinstance(value, (list, tuple)):
        found = _of_objects(label, value, item)
    elif isinstance(value, (str, bytes, int, float, bool)) or _is_gone(value):
        found = _of_objects(label, [value], item)
    else:
        found = _of_array(label, value, item)
    if found.array.ndim == 0:
        found = Values(found.array.reshape(1), None if found.missing is None else found.missing.reshape(1))
    if found.array.ndim == 2 and found.array.shape[1] == 1:
        found = Values(found.array[:, 0], None if found.missing is None else found.missing.reshape(-1))
    if found.array.ndim != 1:
        raise ShapeError(f"{label}: expected one value in each row, got shape {list(found.array.shape)}")
    return _typed(label, found, item)


def arrow_texts(label: str, column: ArrowColumn, item: Field) -> Values | None:
    """Strings of an Arrow column as they lie, the default in the place of those that are missing.

    None where that takes a closer look: they are none, one is missing that may not be, or one ends in NUL.
    """
    native = compiled()
    if native is None or item.dtype != "string" or column.field_of.format == "n":
        return None
    fill = item.default if item.missing == "default" else ""
    views = column.views(label)
    if views is not None:
        gone = [(len(view) // VIEW_BYTES, flags) for view, _, flags in views]
        parts: list[Any] = views
        make = native.strings_of_views
    else:
        texts = column.texts(label)
        if texts is None or (column.is_bytes and any(part.first_no_utf8 >= 0 for part in texts)):
            return None
        gone = [(len(part), part.missing) for part in texts]
        parts = [
            (
                part.offsets,
                part.data,
                None if part.places is None else part.places.astype(np.int64, copy=False),
                part.missing,
            )
            for part in texts
        ]
        make = native.strings_of_texts
    missing = _marks(gone)
    if missing is not None and item.missing == "error" and missing.any():
        return None
    made: Any = make(parts, fill)
    return None if made is None else Values(made, None if item.missing == "default" else missing)


def _marks(parts: Sequence[tuple[int, Array | None]]) -> Array | None:
    """Which elements of all parts are missing, of the number in each and its marks."""
    if all(flags is None for _, flags in parts):
        return None
    return np.concatenate([np.zeros(count, np.bool_) if flags is None else flags for count, flags in parts])


def _of_array(label: str, value: Any, item: Field) -> Values:
    """A NumPy array, a tensor, a column of pandas."""
    if is_pandas(value):
        missing = np.asarray(value.isna())
        dtype = getattr(value, "dtype", None)
        plain = isinstance(dtype, np.dtype) and dtype.kind in "biuf"
        if not plain:
            # As an array, categories that are whole numbers would be floats beside a missing value.
            objects = value.tolist() if hasattr(dtype, "categories") else np.asarray(value, object).tolist()
            return _of_objects(label, objects, item)
        # pandas has no other way to say that a plain float is missing.
        return Values(np.asarray(value), missing if missing.any() else None)
    array = value if isinstance(value, np.ma.MaskedArray) else regular(label, value)
    return _of_elements(label, array, item)


def _of_elements(label: str, array: Array, item: Field) -> Values:
    """The elements of an array of any shape; what it masks is missing."""
    if array.dtype.kind not in "OT":
        mask = np.ma.getmaskarray(array)
        return Values(np.asarray(array), mask if mask.any() else None)
    found = _of_objects(label, array.reshape(-1).tolist(), item)
    missing = None if found.missing is None else found.missing.reshape(array.shape)
    return Values(found.array.reshape(array.shape), missing)


def _typed(label: str, found: Values, item: Field) -> Values:
    array, missing = found.array, found.missing
    kind = array.dtype.kind
    if not array.size or (missing is not None and missing.all()):
        # Where no value is present, the type of the column is only its maker's guess.
        blank = np.empty(0, DTYPES[item.dtype])
        return Values(np.full(array.shape, blank_of(blank), blank.dtype), missing)
    row = row_of(0 if missing is None else _first(~missing))
    if item.dtype == "string":
        if kind not in "OUST":
            raise DTypeError(f"{label}: expected strings, got {array.dtype}{row}")
        texts = as_strings(label, array)
        _require_utf8(label, texts)
        return Values(texts, missing)
    if kind not in "biuf":
        got = "strings" if kind in "USOT" else array.dtype
        raise DTypeError(f"{label}: expected {_EXPECTED[item.dtype]}, got {got}{row}")
    if item.dtype == "number":
        return _checked_numbers(label, Values(array.astype(np.float64), missing), item)
    return Values(*_whole_numbers(label, array, missing))


def _require_utf8(label: str, texts: Array) -> None:
    """Refuse strings with half of a character of UTF-16, before the plan does that in an input's name."""
    items = texts.tolist()
    if "".join(items).isascii():
        return
    for row, text in enumerate(items):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise DTypeError(f"{label}: {NO_UTF8}{row_of(row)}") from None


def _whole_numbers(label: str, array: Array, missing: Array | None) -> tuple[Array, Array | None]:
    """Numbers in int64; NaN in an array of floats is missing, as pandas has it."""
    if array.dtype.kind == "f":
        gone = np.isnan(array)
        if gone.any():
            missing = gone if missing is None else missing | gone
        plain = np.where(gone, 0, array) if missing is None else np.where(missing, 0, array)
        wrong = (np.trunc(plain) != plain) | (np.abs(plain) >= _LARGEST_WHOLE)
        if wrong.any():
            row = _first(wrong)
            rule = " below 2^53 where they are floats, got a larger one"
            if not abs(plain[row]) >= _LARGEST_WHOLE:
                rule = ", got one with a fraction"
            elif np.isinf(plain[row]):
                rule = ", got an infinity"
            raise DTypeError(f"{label}: expected whole numbers{rule}{row_of(row)}")
        return plain.astype(np.int64), missing
    if array.dtype.kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
        row = _first(array > np.iinfo(np.int64).max)
        raise DTypeError(f"{label}: {_NOT_INT64}{row_of(row)}")
    return array.astype(np.int64, copy=False), missing


def _checked_numbers(label: str, found: Values, item: Field) -> Values:
    array, missing = found.array, found.missing
    if missing is not None:
        array = np.where(missing, 0.0, array)
    if item.nan != "keep":
        gone = np.isnan(array)
        if gone.any():
            if item.nan == "error":
                raise InputError(f"{label}: expected a number, got NaN{row_of(_first(gone))}")
            missing = gone if missing is None else missing | gone
            array = np.where(gone, 0.0, array)
    if item.infinity == "error":
        endless = np.isinf(array)
        if endless.any():
            raise InputError(f"{label}: expected a finite number, got an infinity{row_of(_first(endless))}")
    return Values(array, missing)


def filled(label: str, found: Values, item: Field) -> tuple[Array, Array | None]:
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


@dataclass(frozen=True, eq=False)
class Lists:
    """Lists of values one after another: where each begins, and where the last ends."""

    values: Values
    bounds: Array


def read_lists(label: str, value: Any, item: ListField) -> Lists:
    """The lists of a column.

    A matrix holds a list in each row, and a vector, or a list that holds no lists, is one list. A list that
    is missing has no values, unless that is an error.

    Raises
    ------
    DTypeError
        If the values are of another type than the field.
    """
    if is_arrow(value) and not is_pandas(value) and not item.separator:
        found, bounds, gone = arrow_column(label, value).lists(label)
        _refuse_gone(label, gone, item)
        with rows_named(_list_of(bounds)):
            return Lists(_typed(label, Values(*found), item), bounds)
    if item.separator and not _holds_lists(value):
        texts = read_values(label, value, item)
        _refuse_gone(label, texts.missing, item)
        rows: Sequence[Any] = [_split(text, item.separator) for text in texts.array.tolist()]
        if texts.missing is not None:
            rows = [[] if gone else row for row, gone in zip(rows, texts.missing.tolist(), strict=True)]
    elif isinstance(value, np.ndarray) and value.dtype.kind != "O":
        matrix = value.reshape(1, -1) if value.ndim <= 1 else value
        if matrix.ndim != 2:
            raise ShapeError(f"{label}: expected a list in each row, got shape {list(value.shape)}")
        bounds = np.arange(len(matrix) + 1) * matrix.shape[1]
        with rows_named(_list_of(bounds)):
            return Lists(_typed(label, _of_elements(label, matrix.reshape(-1), item), item), bounds)
    else:
        rows = _rows_of(label, value)
    gone = np.asarray([_is_no_list(row) for row in rows], np.bool_)
    _refuse_gone(label, gone, item)
    parts = [() if _is_no_list(row) else _elements(label, row, place) for place, row in enumerate(rows)]
    bounds = np.concatenate(([0], np.cumsum([len(part) for part in parts], dtype=np.int64)))
    flat = [element for part in parts for element in part]
    with rows_named(_list_of(bounds)):
        return Lists(_typed(label, _of_objects(label, flat, item), item), bounds)


def require_lists(label: str, column: Any, item: ListField) -> None:
    """Refuse other values than lists in a column that has one for each row, in which a text would look like
    one of the values of a single list.

    Raises
    ------
    DTypeError
        Names the row.
    """
    if item.separator or isinstance(column, ArrowColumn):
        return
    for place, row in enumerate(column):
        if not (isinstance(row, (list, tuple, np.ndarray)) or _is_no_list(row)):
            _elements(label, row, place)


def _list_of(bounds: Array) -> Callable[[int], str]:
    """How the row is told whose list has one of the elements of lists one after another."""
    return lambda place: row_of(int(np.searchsorted(bounds, place, "right")) - 1)


def _split(text: str, separator: str) -> list[str]:
    return text.split(separator) if text else []


def _holds_lists(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(isinstance(row, (list, tuple, np.ndarray)) for row in value)
    return isinstance(value, np.ndarray) and value.ndim > 1


def _rows_of(label: str, value: Any) -> Sequence[Any]:
    """Lists, or the one list that is given."""
    if _is_no_list(value):
        return [value]
    if is_pandas(value) and np.asarray(value.isna()).all():
        return [None] * len(value)
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise DTypeError(f"{label}: expected a list in each row, got {type(value).__name__}")
    rows = list(value)
    nested = any(isinstance(row, (list, tuple, np.ndarray)) for row in rows)
    return rows if nested or (rows and all(map(_is_gone, rows))) else [rows]


def _is_no_list(row: Any) -> bool:
    """Whether a list is missing; pandas and JSON of pandas have NaN for it."""
    return row is np.ma.masked or is_missing(row)


def _elements(label: str, row: Any, place: int) -> Sequence[Any]:
    if isinstance(row, np.ndarray):
        row = row.tolist()
    if not isinstance(row, (list, tuple)):
        raise DTypeError(f"{label}: expected a list in each row, got {type(row).__name__}{row_of(place)}")
    return row


def _refuse_gone(label: str, gone: Array | None, item: Field) -> None:
    if item.missing == "error" and gone is not None and gone.any():
        raise InputError(f"{label}: expected a list in each row, got a missing one{row_of(_first(gone))}")


__all__ = ["Lists", "Values", "arrow_texts", "filled", "read_lists", "read_values", "require_lists"]
