"""What a node's results will take, told before they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from pyrec_infer.errors import PyrecError, UnsupportedModelError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Info, Node, bytes_of, fault
from pyrec_infer.limits import MAX_RANK, Budget, current_budget, limited
from pyrec_infer.ops.core.registry import lookup
from pyrec_infer.ops.core.shapes import known_bytes, product

_WIDEST = 16
"""Bytes of the widest element."""

_FEW = 64
"""Elements of an input whose values may tell a result's shape."""

GROWING = frozenset(
    {
        "ConstantOfShape",
        "DFT",
        "Expand",
        "OneHot",
        "Pad",
        "Range",
        "Resize",
        "TfIdfVectorizer",
        "Tile",
        "ai.onnx.ml.FeatureVectorizer",
        "ai.onnx.ml.OneHotEncoder",
    }
)
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
            raise fault(
                UnsupportedModelError, node, f"expected at most {MAX_RANK} axes, input {index} is for more"
            )


def check_ranks(node: Node, outputs: Sequence[Info]) -> None:
    """Refuse results with more axes than a value can have.

    Raises
    ------
    UnsupportedModelError
    """
    for info in outputs:
        if info.shape is not None and len(info.shape) > MAX_RANK:
            raise fault(
                UnsupportedModelError, node, f"expected at most {MAX_RANK} axes, got {len(info.shape)}"
            )


def is_long(node: Node, inputs: Sequence[Any]) -> bool:
    """Whether evaluating a node takes long although its inputs and results are small."""
    if node.op != "Einsum":
        return False
    return prod(value.size for value in inputs if isinstance(value, np.ndarray)) > _MAX_PRODUCTS


def _info(value: Any) -> Info | None:
    if value is None or not isinstance(value, np.ndarray):
        return None if value is None else Info(None, None, sequence=True)
    return Info(value.dtype, value.shape, constant=value if value.size <= _FEW else None)


def require_room(node: Node, inputs: Sequence[Any], budget: Budget | None = None) -> None:
    """Refuse a node whose results do not fit what the call may still take.

    Parameters
    ----------
    node : Node
        Without bodies; of others every node is looked at in its turn.
    inputs : sequence of ndarray, list or None
    budget : Budget, optional
        By default that of the current call.

    Raises
    ------
    ResourceLimitError
    """
    op = lookup(node.op)
    if op is None or node.bodies or node.op == "Expand":  # whose result is a view
        return
    budget = budget or current_budget()
    pairs = 1
    for value in inputs:
        if isinstance(value, np.ndarray) and value.size > 1:
            pairs *= value.size
    if pairs * _WIDEST <= budget.limit - budget.held and node.op not in GROWING:
        return
    try:
        infos = op.infer(node, [_info(value) for value in inputs])
    except PyrecError:
        return  # it fails when it is evaluated, and says why
    budget.require(sum(known_bytes(info) or 0 for info in infos))


def evaluate_within(node: Node, inputs: Sequence[Any], most: int) -> list[Array] | None:
    """A node's results; None where it fails, or they would take more than so many bytes."""
    op = lookup(node.op)
    try:
        with np.errstate(all="ignore"), limited(most):
            results = [] if op is None else list(op.evaluate(node, inputs))
    except Exception as error:
        let_interrupts_pass(error)
        return None
    fits = bool(results) and all(isinstance(value, np.ndarray) for value in results)
    return results if fits and sum(map(bytes_of, results)) <= most else None


def made_bytes(values: Sequence[Any]) -> int:
    """The memory of new results; views of other arrays take none."""
    total = 0
    for value in values:
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, np.ndarray) and item.base is None:
                total += item.nbytes
    return total


__all__ = ["GROWING", "check_axes", "check_ranks", "evaluate_within", "is_long", "made_bytes", "require_room"]
