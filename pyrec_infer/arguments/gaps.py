"""A column in which values may be missing."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments.arrays import arrow_column_of, is_pandas, regular
from pyrec_infer.arguments.texts import read_column
from pyrec_infer.errors import DTypeError, ShapeError
from pyrec_infer.ir import Array
from pyrec_infer.strings import Texts, joined
from pyrec_infer.strings.missing import is_missing

Flags = NDArray[np.bool_]


def read_gaps(label: str, value: Any) -> tuple[Texts | Array | None, Flags | None]:
    """The values of one axis, strings or numbers, and which are missing; None if none is.

    None, NaN among objects, pandas' NA and NaT, nulls of Arrow and masked values are missing. Where all are,
    or there is none and no type is told, there are no values. What stands for a missing number is any number.

    Raises
    ------
    DTypeError
        If elements have several types, or are neither strings nor numbers; `ShapeError` if they lie along
        several axes.
    """
    plain = _plain(value)
    if plain is not None:
        return plain, None
    if isinstance(value, np.ma.MaskedArray):
        found, gone = _values(label, value.data)
        mask = np.ma.getmaskarray(value)
        return found, _some(mask if gone is None else mask | gone)
    column = arrow_column_of(label, value)
    if column is not None:
        parts = column.texts(label)
        if parts is not None:
            return _of_texts(joined(parts))
        return column.elements(label)
    if is_pandas(value) and not (isinstance(value.dtype, np.dtype) and value.dtype.kind in "biuf"):
        value = np.asarray(value, object)
    if isinstance(value, (list, tuple)) and any(map(is_missing, value)):
        objects = np.empty(len(value), object)
        objects[:] = value
        value = objects
    return _values(label, value)


def _plain(value: Any) -> Array | None:
    """Numbers of which none can be missing, without a closer look."""
    if type(value) is np.ndarray:
        return value if value.ndim == 1 and value.dtype.kind in "biuf" else None
    if type(value) is not list or set(map(type, value)) not in ({int}, {float}, {bool}):
        return None
    made = np.array(value)
    # NaN is missing, and larger numbers have no type that all of them share.
    return None if made.dtype.kind not in "ifb" or (made != made).any() else made


def _values(label: str, value: Any) -> tuple[Texts | Array | None, Flags | None]:
    if isinstance(value, np.ndarray) and value.dtype.kind == "O" and value.ndim == 1:
        gone = np.fromiter(map(is_missing, value.tolist()), np.bool_, len(value))
        present = value[~gone]
        if not len(present):
            return None, _some(gone)
        if isinstance(present[0], (str, bytes)):
            return _of_texts(read_column(label, value, names=True).joined())
        numbers, _ = _values(label, regular(label, present.tolist()))
        assert isinstance(numbers, np.ndarray)
        filled = np.zeros(len(value), numbers.dtype)
        filled[~gone] = numbers
        return filled, _some(gone)
    if isinstance(value, np.ndarray) and value.size == 0 and value.dtype.kind in "biuf":
        return value, None
    column = read_column(label, value, names=True)
    if len(column.shape) != 1:
        raise ShapeError(f"{label}: expected one axis, got shape {list(column.shape)}")
    if column.numbers is None:
        return _of_texts(column.joined())
    if column.numbers.dtype.kind not in "biuf":
        raise DTypeError(f"{label}: expected strings, numbers or booleans, got {column.numbers.dtype}")
    return column.numbers, None


def _of_texts(texts: Texts) -> tuple[Texts, Flags | None]:
    return texts, texts.missing


def _some(gone: Flags) -> Flags | None:
    return gone if gone.any() else None


__all__ = ["read_gaps"]
