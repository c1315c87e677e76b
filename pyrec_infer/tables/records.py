"""Records: the bytes of one item's values in one row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.codecs import find_codec
from pyrec_infer.codecs.codec import OutOfRangeError, bytes_of
from pyrec_infer.errors import InputError
from pyrec_infer.ir import Array
from pyrec_infer.passes.split.record_layout import Field


def encode(
    fields: Sequence[Field], values: Sequence[Array], items: Sequence[int], records: NDArray[np.uint8]
) -> None:
    """Write the fields' values, one for each field, into as many records.

    Raises
    ------
    InputError
        A record cannot hold a number; names its row in what was given, which ``items`` tells.
    """
    for field, value in zip(fields, values, strict=True):
        rows = _rows_first(field, value, len(records))
        try:
            data = find_codec(field.codec).encode(rows) if field.codec else bytes_of(rows)
        except OutOfRangeError as error:
            raise InputError(
                f"items: expected {error.expected}, for {field.value!r}, got one beyond them in column "
                f"{error.column} (row {int(items[error.row])})"
            ) from None
        records[:, field.offset : field.offset + field.size] = data


def _rows_first(field: Field, value: Array, count: int) -> Array:
    """The value as a matrix of one row for each item."""
    if field.axis:
        value = np.moveaxis(value, field.axis, 0)
    return np.ascontiguousarray(value).reshape(count, field.width)
