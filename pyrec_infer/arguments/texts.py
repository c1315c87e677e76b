"""A column of strings, or of numbers, from whatever people keep such columns in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyrec_infer import strings
from pyrec_infer.arguments.arrays import is_pandas, numbers_of_objects, regular
from pyrec_infer.arguments.arrow import arrow_column, is_arrow
from pyrec_infer.errors import PyrecError, ShapeError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array
from pyrec_infer.limits import require_own_elements
from pyrec_infer.strings.column import Column, column_of


def read_column(label: str, value: Any, names: bool = False) -> Column:
    """Strings as they lie where they have Arrow's layout, or numbers.

    Parameters
    ----------
    label : str
        What errors call it.
    value : array_like
        As elsewhere; bytes are strings too.
    names : bool
        See `strings.of_objects`.

    Raises
    ------
    DTypeError
        If elements have several types, or a string cannot be UTF-8; names the row.
    InputError
        If Arrow structures contradict themselves, or a number is missing; `ShapeError` if lists have
        different lengths.
    """
    if type(value) in (list, tuple) and value and isinstance(value[0], (str, bytes)):
        with _labelled(label):
            return Column((len(value),), [strings.of_objects(value, 1, names)])
    if type(value) is np.ndarray:
        return _of_array(label, value, names)
    if is_arrow(value) and not is_pandas(value):
        column = arrow_column(value)
        parts = column.texts(label)
        if parts is not None:
            return Column((sum(map(len, parts)),), parts)
        value = column.array(label)
    if is_pandas(value) and not (isinstance(value.dtype, np.dtype) and value.dtype.kind in "biuf"):
        value = np.asarray(value, object)
    if isinstance(value, (list, tuple, str, bytes)) and _holds_texts(value):
        value = _of_objects(label, value)
    return _of_array(label, regular(label, value), names)


@contextmanager
def _labelled(label: str) -> Iterator[None]:
    try:
        yield
    except PyrecError as error:
        raise type(error)(f"{label}: {error}") from None


def _holds_texts(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = next((item for item in value if item is not None), None)
    return isinstance(value, (str, bytes)) or value is None


def _of_objects(label: str, value: Any) -> Array:
    """Nested lists of strings as an array of objects, which no string is copied for."""
    try:
        array = np.array(value, object)
    except (ValueError, OverflowError) as error:
        let_interrupts_pass(error)
        raise ShapeError(f"{label}: expected one array, got rows of different lengths") from None
    if array.size and isinstance(array.reshape(-1)[0], (list, tuple)):
        raise ShapeError(f"{label}: expected one array, got rows of different lengths")
    return array


def _of_array(label: str, array: Array, names: bool) -> Column:
    require_own_elements(label, array)
    if array.size == 0:
        return Column(array.shape, [strings.of_objects([], 0, names)])
    if array.dtype.kind == "O" and not _holds_texts(array.reshape(-1)[:1].tolist()):
        array = numbers_of_objects(label, array)
    with _labelled(label):
        return column_of(array, names)


_ROOMY = 1 << 20


def as_array_of_strings(texts: list[str]) -> Array:
    """Strings as an array of a fixed width, or of objects where that would lose a NUL at an end, or take
    far more memory than the strings do."""
    longest = max(map(len, texts), default=0)
    padded = 4 * longest * len(texts)
    if any(text.endswith("\0") for text in texts) or padded > max(_ROOMY, 64 * sum(map(len, texts))):
        return np.asarray(texts, object)
    return np.asarray(texts, str) if texts else np.empty(0, "U1")


__all__ = ["as_array_of_strings", "read_column"]
