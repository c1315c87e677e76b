"""What the elementwise families share: element type checks, the type rule and float16 arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array, Info, Node, fault
from pyrec_infer.ops.core.registry import Infer, required
from pyrec_infer.ops.core.shapes import broadcast, dtype_of

BOOL = np.dtype(np.bool_)

# Letters of numpy.dtype.kind that an operator takes.
FLOATS = "f"
INTEGERS = "iu"
NUMBERS = "fiu"
ANY = "fiubU"


def check_kind(node: Node, dtype: np.dtype[Any] | None, kinds: str) -> None:
    if dtype is not None and dtype.kind not in kinds:
        raise fault(ModelError, node, f"does not take {dtype}")


def check_same(node: Node, inputs: Sequence[Info | Array | None]) -> None:
    """Refuse operands of different element types; widths of strings do not count."""
    dtypes = [item.dtype for item in inputs if item is not None and item.dtype is not None]
    for dtype in dtypes[1:]:
        if (
            dtype != dtypes[0]
            and dtype.kind + dtypes[0].kind != "UU"
            and "O" not in (dtype.kind, dtypes[0].kind)
        ):
            raise fault(ModelError, node, f"operands of {dtypes[0]} and {dtype}")


def broadcasting(kinds: str, result: np.dtype[Any] | None = None, variadic: bool = False) -> Infer:
    """The type rule of an operator that broadcasts operands of one element type."""

    def infer(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
        operands = [required(node, inputs, i) for i in range(max(1, len(inputs)) if variadic else 2)]
        check_same(node, operands)
        dtype = dtype_of(operands)
        check_kind(node, dtype, kinds)
        return [Info(dtype if result is None else result, broadcast([info.shape for info in operands]))]

    return infer


def same_type(kinds: str, result: np.dtype[Any] | None = None) -> Infer:
    """The type rule of an operator whose output is like its first input."""

    def infer(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
        x = required(node, inputs, 0)
        check_kind(node, x.dtype, kinds)
        return [Info(x.dtype if result is None else result, x.shape)]

    return infer


def widened(function: Callable[..., Array], to: type[np.floating[Any]], *operands: Array) -> Array:
    """The function in a wider float type, rounded to the first operand's type if it is a float result."""
    dtype = operands[0].dtype
    if dtype.kind != "f" or dtype.itemsize >= np.dtype(to).itemsize:
        return np.asarray(function(*operands))
    result = np.asarray(function(*(operand.astype(to) for operand in operands)))
    return result.astype(dtype) if result.dtype.kind == "f" else result
