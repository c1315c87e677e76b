"""What callers see of a model's inputs and outputs."""

from __future__ import annotations

from typing import NamedTuple

from pyrec_infer.ir import Info


class TensorInfo(NamedTuple):
    """One input or output of a model.

    Attributes
    ----------
    name : str
    dtype : str
        NumPy's name of the element type, ``"str"`` for strings.
    shape : tuple of int or str
        Named sizes are symbolic; ``"N"`` is the number of candidates.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]


def tensor_info(name: str, info: Info) -> TensorInfo:
    """What is known of a value, in words of NumPy."""
    dtype = "unknown" if info.dtype is None else "str" if info.dtype.kind in "UO" else info.dtype.name
    shape = (
        ()
        if info.shape is None
        else tuple(size if isinstance(size, int) else repr(size) for size in info.shape)
    )
    return TensorInfo(name, dtype, shape)


__all__ = ["TensorInfo", "tensor_info"]
