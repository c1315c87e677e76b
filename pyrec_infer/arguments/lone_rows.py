"""Values of one request that lack nothing but their axis of rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from pyrec_infer.arguments.signature import with_rows
from pyrec_infer.errors import ShapeError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Info

_LARGEST = float(np.finfo(np.float32).max)
_WHOLE = np.iinfo(np.int64)


def _of_one_row(value: Any, info: Info | None) -> Array | None:
    kind = type(value)
    if kind is np.ndarray and (info is None or info.rows < 0 or value.ndim == info.rank):
        return value  # type: ignore[no-any-return]
    if info is None or info.rows < 0:
        return None
    if kind is np.ndarray or isinstance(value, np.generic):
        try:
            return with_rows("", np.asarray(value), info, 1) if value.dtype == info.dtype else None
        except ShapeError as error:
            let_interrupts_pass(error)
            return None
    if info.rank != 1:
        return None
    if kind is int and info.dtype == np.int64 and _WHOLE.min <= value <= _WHOLE.max:
        return np.array((value,), np.int64)
    if kind is float and info.dtype == np.float32 and -_LARGEST <= value <= _LARGEST:
        return np.array((value,), np.float32)
    return None


def of_one_row(values: Iterable[Any], infos: Iterable[Info | None]) -> list[Array] | None:
    """The values of one request as arrays with a row; None where more than that has to be done.

    Parameters
    ----------
    values : iterable
        Arrays of the inputs' types with one row, or without the axis of rows, numbers of NumPy and of Python.
        Arrays of an input's rank are given back as they are, whatever is in them.
    infos : iterable of Info or None
        What the inputs are; None for one that is not read.

    Returns
    -------
    list of ndarray or None
        What `Signature.array` makes of each value.

    Examples
    --------
    >>> from pyrec_infer.ir import BATCH, Dim
    >>> user = Info(np.dtype(np.int64), (Dim.symbol(BATCH),), rows=0)
    >>> of_one_row([7], [user]), of_one_row([7.0], [user])
    ([array([7])], None)
    """
    rows = []
    for value, info in zip(values, infos, strict=True):
        row = _of_one_row(value, info)
        if row is None:
            return None
        rows.append(row)
    return rows


__all__ = ["of_one_row"]
