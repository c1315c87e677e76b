"""Tensors of strings that lie as native plans read them; to all else they are arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.extension import native


def is_tensor(value: Any) -> bool:
    """Whether a value is such a tensor, and no array of NumPy."""
    return native is not None and type(value) is native.Strings


def tensor_of(items: Any) -> Any:
    """Such a tensor of a list or an array of strings; None for all that needs a closer look."""
    return None if native is None else native.strings_of_objects(items)


def as_plain(value: Any) -> Any:
    """An array in the place of such a tensor; all else as it is."""
    return np.asarray(value) if is_tensor(value) else value


def take_rows(value: Any, chosen: NDArray[np.int64] | slice, axis: int) -> Any:
    """Rows of an array, or of such a tensor, along an axis."""
    if is_tensor(value) and axis == 0:
        return value[chosen]
    value = as_plain(value)
    if isinstance(chosen, slice):
        return value[(*[slice(None)] * axis, chosen)]
    return np.take(value, chosen, axis)


__all__ = ["as_plain", "is_tensor", "take_rows", "tensor_of"]
