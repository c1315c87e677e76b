"""Shape arithmetic that type rules share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Dim, Info, Node, Shape, Size, Undecidable, fault, same_size


def broadcast_sizes(a: Size, b: Size) -> Size | None:
    """NumPy's broadcasting of one axis; None where it depends on the symbols' values."""
    if isinstance(a, int) and a == 1:
        return b
    if isinstance(b, int) and b == 1:
        return a
    if same_size(a, b):
        return a
    if isinstance(a, int) and isinstance(b, int):
        raise ModelError(f"sizes {a} and {b} do not broadcast")
    # A size above 1 wins over a symbol, which can then only be 1 or the same.
    if isinstance(a, int):
        return a
    if isinstance(b, int):
        return b
    return None


def broadcast(shapes: Sequence[Shape | None]) -> Shape | None:
    """The broadcast shape; None if a rank or an axis is not decidable.

    >>> broadcast([(3, 1), (4,)])
    (3, 4)
    """
    if any(shape is None for shape in shapes):
        return None
    known = [shape for shape in shapes if shape is not None]
    rank = max((len(shape) for shape in known), default=0)
    result: list[Size] = [1] * rank
    for shape in known:
        for offset in range(1, len(shape) + 1):
            size = broadcast_sizes(result[-offset], shape[-offset])
            if size is None:
                return None
            result[-offset] = size
    return tuple(result)


def same_shape(a: Shape | None, b: Shape | None) -> bool:
    """Whether two shapes are known and equal whatever the symbols stand for."""
    if a is None or b is None or len(a) != len(b):
        return False
    return all(same_size(x, y) for x, y in zip(a, b, strict=True))


def axis_of(node: Node, axis: int, rank: int) -> int:
    """A possibly negative axis as a number in [0, rank)."""
    if not -rank <= axis < rank:
        raise fault(ModelError, node, f"axis {axis} of a value of rank {rank}")
    return axis % rank


def product(sizes: Sequence[Size]) -> Size:
    total: Size = 1
    for size in sizes:
        total = total * size
    return total


_PLACE = 16
"""Bytes of a string's place and length, which are a tensor's element."""


def known_bytes(info: Info | None) -> int | None:
    """The bytes of a value of known size, else None."""
    if info is None or info.shape is None or info.dtype is None:
        return None
    size = product(info.shape)
    return size * (info.dtype.itemsize or _PLACE) if isinstance(size, int) else None


def integers(info: Info | None) -> tuple[Size, ...] | None:
    """The elements of a small integer tensor, as far as they are known (constant or symbolic)."""
    if info is None:
        return None
    if info.constant is not None:
        return tuple(int(item) for item in info.constant.reshape(-1))
    if info.contents is not None:
        return tuple(item if isinstance(item, Dim) else int(item) for item in info.contents.reshape(-1))
    return None


def constant_integers(info: Info | None) -> tuple[int, ...] | None:
    """Like `integers`, but None if any element is symbolic."""
    found = integers(info)
    if found is None or any(isinstance(item, Dim) for item in found):
        return None
    return tuple(item for item in found if isinstance(item, int))


def fresh(node: Node, output: int, axis: int) -> Dim:
    """A size about which nothing is known; the same for the same place of the graph."""
    return Dim.symbol(f"{node.outputs[output]}:{axis}")


def quotient(total: Size, known: Size) -> Size | None:
    """total / known if it is a whole size for all values of the symbols, else None."""
    try:
        if isinstance(total, int) and isinstance(known, int):
            return None if known == 0 or total % known else total // known
        dividend = total if isinstance(total, Dim) else Dim(total, ())
        result: Size = dividend // known
        return result
    except Undecidable:
        return None


def dtype_of(infos: Sequence[Info | None]) -> np.dtype[np.generic] | None:
    """The dtype of the first input that has one."""
    return next((info.dtype for info in infos if info is not None and info.dtype is not None), None)


def length_of(info: Info | None) -> int | None:
    """The number of elements of a 1-D tensor, where the type says it."""
    if info is None or info.shape is None or len(info.shape) != 1:
        return None
    size = info.shape[0]
    return size if isinstance(size, int) else None


def fresh_shape(node: Node, rank: int | None) -> Shape | None:
    """Sizes that nothing is known of, for an output of that rank."""
    return None if rank is None else tuple(fresh(node, 0, axis) for axis in range(rank))
