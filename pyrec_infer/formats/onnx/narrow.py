"""Constants of element types that NumPy lacks, read in a wider type that holds each of their numbers.

Moving, casting and dequantising are the same in both types. Arithmetic is not (the narrow type rounds), so
what else reads such numbers is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from onnx import TensorProto

from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.ir import Array, Node, fault
from pyrec_infer.ops import Trait, with_trait


class Narrow(NamedTuple):
    """How numbers of a narrow type are stored, and what they become.

    Attributes
    ----------
    name : str
        NumPy's name of such a type, for errors.
    stored : dtype
        What the file holds.
    share : int
        How many numbers are in one stored element.
    widen : function
        From stored elements to all numbers in them.
    readers : frozenset of str
        Operators beside those that move elements whose results are the same for the wider type.
    """

    name: str
    stored: np.dtype[np.generic]
    share: int
    widen: Callable[[Array], Array]
    readers: frozenset[str]


_ASK = frozenset({"Cast", "Shape", "Size"})
_WHOLE = _ASK | {"DequantizeLinear"}


def _from_bfloat16(stored: Array) -> Array:
    return (stored.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _from_uint4(stored: Array) -> Array:
    """The lower half of each byte is the first number."""
    return np.stack([stored & 15, stored >> 4], axis=-1).reshape(-1)


def _from_int4(stored: Array) -> Array:
    numbers = _from_uint4(stored).astype(np.int8)
    return np.where(numbers > 7, numbers - np.int8(16), numbers)


_BYTE = np.dtype(np.uint8)

NARROW: Mapping[int, Narrow] = {
    TensorProto.BFLOAT16: Narrow("bfloat16", np.dtype(np.uint16), 1, _from_bfloat16, _ASK),
    TensorProto.UINT4: Narrow("uint4", _BYTE, 2, _from_uint4, _WHOLE),
    TensorProto.INT4: Narrow("int4", _BYTE, 2, _from_int4, _WHOLE),
}
"""The narrow types by ONNX's number."""


def require_widened(nodes: Sequence[Node], outputs: Sequence[str], narrow: Mapping[str, Narrow]) -> None:
    """Refuse to compute in a narrow type.

    Parameters
    ----------
    nodes : sequence of Node
        Of one graph, in any order; what their bodies read of it is among their inputs.
    outputs : sequence of str
        Results of the graph.
    narrow : mapping of str to Narrow
        Constants that were widened.

    Raises
    ------
    UnsupportedModelError
        If a node would round to the narrow type, or a result of the graph were of it.
    """
    if not narrow:
        return
    found, waiting = dict(narrow), True
    moves = with_trait(Trait.MOVES)
    while waiting:
        waiting = False
        for node in nodes:
            read = next((name for name in node.inputs if name in found), None)
            if read is None or node.op in found[read].readers:
                continue
            if node.op not in moves:
                raise fault(
                    UnsupportedModelError,
                    node,
                    f"computing in {found[read].name} is not supported: value {read!r} may be moved, "
                    "and cast to another type",
                )
            for name in node.outputs:
                if name and name not in found:
                    found[name], waiting = found[read], True
    for name in outputs:
        if name in found:
            raise UnsupportedModelError(
                f"output {name!r} has element type {found[name].name}, cast it to float32"
            )


__all__ = ["NARROW", "Narrow", "require_widened"]
