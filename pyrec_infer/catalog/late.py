"""Inputs of candidates, which come with each call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyrec_infer.arguments import Signature
from pyrec_infer.errors import RowCountError
from pyrec_infer.ir import Array


def late_arrays(signature: Signature, late: Mapping[str, Any], count: int, rows: int) -> dict[str, Array]:
    """The candidates' inputs of several requests, with a row for each and each of some rows.

    Raises
    ------
    RowCountError
        If one has more or fewer.
    """
    arrays: dict[str, Array] = {}
    for name, value in late.items():
        array = signature.array(name, value, None)
        axis = signature.infos[name].rows
        if axis >= 0 and array.shape[axis] != count * rows:
            raise RowCountError(
                f"input '{name}': expected {count * rows} rows, {rows} for each of {count} requests, got "
                f"{array.shape[axis]}"
            )
        arrays[name] = array
    return arrays


__all__ = ["late_arrays"]
