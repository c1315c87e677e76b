"""The linear half of a layer's ReLU apart from it, where the layer's sums are wrong and its input is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Array, Node
from pyrec_infer.passes.common.writer import Writer


def linear_half(weights: Array, bias: Array | None, last: Array) -> tuple[Array, Array]:
    """Half of what a layer and the next one would make without the ReLU between them: W w / 2 and b w / 2.

    Parameters
    ----------
    weights : ndarray of float32, shape (K, H)
    bias : ndarray of float32 or None
        One number, or H.
    last : ndarray of float32, shape (H, 1)

    Returns
    -------
    tuple of ndarray of float32, shapes (K, 1) and (1,)

    Examples
    --------
    >>> weights = np.asarray([[1, 2], [3, 4]], np.float32)
    >>> through, start = linear_half(weights, np.ones(2, np.float32), np.asarray([[2], [4]], np.float32))
    >>> through.tolist(), start.tolist()
    ([[5.0], [11.0]], [3.0])
    """
    half = last.astype(np.float64) / 2
    start = np.zeros(1)
    if bias is not None:
        start = np.broadcast_to(bias.astype(np.float64).reshape(-1), (len(half),)) @ half
    with np.errstate(over="ignore"):
        return (weights.astype(np.float64) @ half).astype(np.float32), start.astype(np.float32)


def halve_relu(hidden: Node, last: Node, half: tuple[Array, Array], weights: Array, writer: Writer) -> Node:
    """Write ``relu(a) w = |a| w / 2 + a w / 2`` with the second half computed from what ``a`` is made of.

    Parameters
    ----------
    hidden : Node
        Makes ``a`` of its input, with no activation; written already.
    last : Node
        Makes the sums; what it takes besides is kept.
    half : tuple of ndarray
        What `linear_half` gives.
    weights : ndarray of float32, shape (H, 1)
        Those of ``last``.
    writer : Writer

    Returns
    -------
    Node
        What makes the sums instead.
    """
    size = writer.node("Abs", hidden.outputs[0])
    start = writer.node("pyrec.Dense", hidden.inputs[0], *(writer.constant(part) for part in half))
    if len(last.inputs) > 2 and last.inputs[2]:
        start = writer.node("Add", start, last.inputs[2])
    own = {key: value for key, value in last.attributes.items() if key != "skip_zeros"}
    inputs = (size, writer.constant(weights / np.float32(2)), start)
    return replace(last, inputs=inputs, attributes=own)


__all__ = ["halve_relu", "linear_half"]
