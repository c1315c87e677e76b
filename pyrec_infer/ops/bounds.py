"""What a node may do while a model is loaded, told before it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.ir import Info, Node
from pyrec_infer.limits import MAX_RANK
from pyrec_infer.ops.shapes import product

GROWING = frozenset({"ConstantOfShape", "Expand", "OneHot", "Pad", "Range", "Resize", "Tile"})
"""Operators whose results may have more elements than all pairs of elements of their inputs."""


_PER_AXIS: Mapping[str, tuple[int, ...]] = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Pad": (1, 3),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
    "Squeeze": (1,),
    "Tile": (1,),
    "Unsqueeze": (1,),
}
"""Inputs with one or two elements for each axis of the other input or of the result."""

_MAX_PRODUCTS = 1 << 28
"""Products of elements that a node may have whose inputs are all known and that is one big sum."""


def check_axes(node: Node, inputs: Sequence[Info | None]) -> None:
    """Refuse a node that is told about more axes than a value can have, before they are counted.

    Raises
    ------
    UnsupportedModelError
    """
    for index in _PER_AXIS.get(node.op, (1,) if node.op.startswith("Reduce") else ()):
        info = inputs[index] if index < len(inputs) else None
        size = None if info is None or info.shape is None else product(info.shape)
        if isinstance(size, int) and size > 2 * MAX_RANK:
            raise UnsupportedModelError(
                f"node {node.name!r} ({node.op}): expected at most {MAX_RANK} axes, input {index} is for more"
            )


def check_ranks(node: Node, outputs: Sequence[Info]) -> None:
    """Refuse results with more axes than a value can have.

    Raises
    ------
    UnsupportedModelError
    """
    for info in outputs:
        if info.shape is not None and len(info.shape) > MAX_RANK:
            raise UnsupportedModelError(
                f"node {node.name!r} ({node.op}): expected at most {MAX_RANK} axes, got {len(info.shape)}"
            )


def is_long(node: Node, inputs: Sequence[Any]) -> bool:
    """Whether evaluating a node takes long although its inputs and results are small."""
    if node.op != "Einsum":
        return False
    return prod(value.size for value in inputs if isinstance(value, np.ndarray)) > _MAX_PRODUCTS


__all__ = ["GROWING", "check_axes", "check_ranks", "is_long"]
