"""Numbers, names and places for results that a caller passes."""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pyrec_infer.arguments.arrays import regular
from pyrec_infer.errors import DTypeError, InputError, ResourceLimitError, ShapeError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.limits import default_max_bytes
from pyrec_infer.strings.tensors import is_tensor

_MAX_THREADS = 1024

_BYTES_OF_INT = 64
"""What an element of a list of numbers takes, its copies in a call included."""


def as_count(label: str, value: Any, least: int = 0) -> int:
    """A whole number; one that no array is long enough for is the same as the longest array's length.

    Raises
    ------
    InputError
        If it is less than ``least``; `DTypeError` if it is no whole number.
    """
    try:
        count = operator.index(value)
    except TypeError as error:
        let_interrupts_pass(error)
        raise DTypeError(f"{label}: expected a whole number, got {type(value).__name__}") from None
    if isinstance(value, bool):
        raise DTypeError(f"{label}: expected a whole number, got bool")
    if count < least:
        raise InputError(f"{label}: expected at least {least}, got {count}")
    return min(count, sys.maxsize)


def as_threads(value: Any) -> int:
    """A number of threads.

    Raises
    ------
    InputError
        If it is less than 1, or more than any machine has; `DTypeError` if it is no whole number.
    """
    threads = as_count("threads", value, least=1)
    if threads > _MAX_THREADS:
        raise InputError(f"threads: expected at most {_MAX_THREADS}, got {threads}")
    return threads


def require_choice(label: str, value: object, choices: Sequence[str]) -> None:
    """Refuse what is none of some words.

    Raises
    ------
    InputError
    """
    if not isinstance(value, str) or value not in choices:
        got = f"'{value}'" if isinstance(value, str) else type(value).__name__
        raise InputError(f"{label}: expected one of {', '.join(choices)}, got {got}")


def as_names(label: str, value: Any) -> tuple[str, ...]:
    """Names of inputs.

    Raises
    ------
    DTypeError
        If they are not several strings.
    """
    try:
        names = None if isinstance(value, (str, bytes)) else tuple(value)
    except TypeError as error:
        let_interrupts_pass(error)
        names = None
    if names is None or not all(isinstance(name, str) for name in names):
        raise DTypeError(f"{label}: expected several names, got {type(value).__name__}")
    return names


def as_bounds(offsets: Any) -> list[int]:
    """Row bounds of several requests.

    Raises
    ------
    ShapeError
        If they are not whole numbers from 0 that never decrease.
    ResourceLimitError
        If there are more than a call's memory can hold.
    """
    array = regular("offsets", offsets)
    if array.ndim != 1 or array.size < 1 or array.dtype.kind not in "iu":
        raise ShapeError(
            f"offsets: expected whole numbers of shape [B + 1], got {array.dtype} {list(array.shape)}"
        )
    if array.size * _BYTES_OF_INT > default_max_bytes():
        raise ResourceLimitError(f"offsets: {array.size} are more than a call's memory can hold")
    if array[0] != 0 or bool((array[1:] < array[:-1]).any()):
        raise ShapeError("offsets: expected 0 first and no decrease")
    bounds: list[int] = array.tolist()
    return bounds


def as_column_names(label: str, value: Any) -> dict[str, tuple[str, ...]]:
    """Names for the columns of inputs, by the inputs' names.

    Raises
    ------
    DTypeError
        If they are no mapping from names to several strings.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise DTypeError(f"{label}: expected names of columns by inputs' names, got {type(value).__name__}")
    return {name: as_names(f"{label}: input {name!r}", labels) for name, labels in value.items()}


def require_arrays(names: Sequence[str], arrays: Sequence[Any]) -> None:
    """Refuse a call by position with anything that is not an array.

    Raises
    ------
    InputError
        If the number is wrong or a value is masked; `DTypeError` if one is not an array.
    """
    if len(arrays) != len(names):
        raise InputError(f"expected {len(names)} arrays ({', '.join(names)}), got {len(arrays)}")
    for name, array in zip(names, arrays, strict=True):
        if is_tensor(array):
            continue
        if not isinstance(array, np.ndarray):
            raise DTypeError(f"input '{name}': expected an array, got {type(array).__name__}")
        regular(f"input '{name}'", array)


def require_out(out: Any) -> None:
    """Refuse a place for scores that cannot take them.

    Raises
    ------
    DTypeError
        If it is not an array of float32 that may be written to.
    """
    if not isinstance(out, np.ndarray):
        raise DTypeError(f"argument 'out': expected an array, got {type(out).__name__}")
    if out.dtype != np.float32 or not out.flags.writeable:
        state = "" if out.flags.writeable else "read-only "
        raise DTypeError(f"argument 'out': expected writable float32, got {state}{out.dtype}")


__all__ = [
    "as_column_names",
    "as_count",
    "as_names",
    "as_threads",
    "require_arrays",
    "require_choice",
    "require_out",
]
