"""Records: the bytes of one item's values in one row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.codecs.bf16 import round_bf16
from pyrec_infer.ir import Array
from pyrec_infer.passes.separate_items import Field


def to_int8(values: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Signed bytes and a scale for each row. A row with a number that is not finite becomes NaN.

    >>> numbers, scales = to_int8(np.asarray([[1, -0.5], [0, 0]], np.float32))
    >>> numbers.tolist(), (scales * 127).tolist()
    ([[127, -64], [0, 0]], [1.0, 0.0])
    """
    largest = np.max(np.abs(values), axis=1, initial=0)
    scales = (largest / np.float32(127)).astype(np.float32)
    finite = np.isfinite(scales)
    usable = (finite & (scales > 0))[:, None]
    numbers = np.divide(values, scales[:, None], out=np.zeros_like(values), where=usable)
    # The scale of numbers that are hardly more than 0 is rounded coarsely.
    numbers = np.clip(np.rint(numbers), -127, 127)
    return numbers.astype(np.int8), np.where(finite, scales, np.float32(np.nan))


def encode(fields: Sequence[Field], values: Sequence[Array], records: NDArray[np.uint8]) -> None:
    """Write the fields' values, one for each field, into as many records."""
    for field, value in zip(fields, values, strict=True):
        rows = _rows_first(field, value, len(records))
        if field.codec == "bf16":
            _put(records, field.offset, round_bf16(rows))
        elif field.codec == "i8":
            numbers, scales = to_int8(rows)
            _put(records, field.offset, numbers)
            padded = field.size - 4
            records[:, field.offset + field.width : field.offset + padded] = 0
            _put(records, field.offset + padded, scales[:, None])
        else:
            _put(records, field.offset, rows)


def _rows_first(field: Field, value: Array, count: int) -> Array:
    """The value as a matrix of one row for each item."""
    if field.axis:
        value = np.moveaxis(value, field.axis, 0)
    return np.ascontiguousarray(value).reshape(count, field.width)


def _put(records: NDArray[np.uint8], offset: int, values: NDArray[Any]) -> None:
    data = np.ascontiguousarray(values).view(np.uint8)
    records[:, offset : offset + data.shape[1]] = data
