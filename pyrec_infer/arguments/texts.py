"""A column of strings, or of numbers, from whatever people keep such columns in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pyrec_infer import strings
from pyrec_infer.arguments.arrays import (
    array_of_objects,
    arrow_column_of,
    holds_texts,
    is_pandas,
    numbers_of_objects,
    regular,
)
from pyrec_infer.arguments.arrow import with_sizes_checked
from pyrec_infer.arguments.arrow_memory import MalformedError
from pyrec_infer.errors import PyrecError
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
    column = arrow_column_of(label, value)
    if column is not None:
        parts = column.viewed(label) or column.texts(label)
        if parts is not None:
            return Column((sum(map(len, parts)),), [*parts])
        value = column.array(label)
    if is_pandas(value) and not _holds_numbers(value.dtype):
        value = np.asarray(value, object)
    if isinstance(value, (list, tuple, str, bytes)) and holds_texts(value):
        value = array_of_objects(label, value)
    array = regular(label, value)
    if array.dtype.kind in "US" and isinstance(value, (list, tuple)):
        # NumPy makes strings of numbers beside them.
        array = array_of_objects(label, value)
    return _of_array(label, array, names)


def _holds_numbers(dtype: Any) -> bool:
    """Whether a type of pandas is one of NumPy's numbers, with a mark for what is missing or without."""
    plain = getattr(dtype, "numpy_dtype", dtype)
    return isinstance(plain, np.dtype) and plain.kind in "biuf"


def plain_names(value: Any) -> strings.Texts | None:
    """Names of things of any plain form along one axis; None for all that needs a closer look."""
    package = type(value).__module__.partition(".")[0]
    if package == "pandas" or not hasattr(type(value), "__len__"):
        return None
    try:
        return strings.of_plain(with_sizes_checked(value))
    except MalformedError:
        return None


@contextmanager
def _labelled(label: str) -> Iterator[None]:
    try:
        yield
    except PyrecError as error:
        raise type(error)(f"{label}: {error}") from None


def _of_array(label: str, array: Array, names: bool) -> Column:
    require_own_elements(label, array)
    if array.size == 0:
        return Column(array.shape, [strings.of_objects([], 0, names)])
    if array.dtype.kind == "O" and not holds_texts(array.reshape(-1)[:1].tolist()):
        array = numbers_of_objects(label, array)
    with _labelled(label):
        return column_of(array, names)


__all__ = ["plain_names", "read_column"]
