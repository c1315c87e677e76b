"""Products of vectors by their definition."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pyrec_infer as pi

Array = NDArray[Any]

FUSED = pi.available_backends()[0] != "numba" and os.environ.get("PYREC_INFER_BACKEND", "") not in (
    "numba",
    "scalar",
)
"""Whether a step of a sum is rounded once."""


def step(product: Array, left: Array, right: Array) -> Array:
    """One step of the float32 sum that defines a product."""
    if not FUSED:
        return product + left * right
    # Double precision holds the product of two floats; the second rounding of the sum shows in one of 2**29.
    return (product.astype(np.float64) + left.astype(np.float64) * right).astype(np.float32)


def scaled(vectors: Array) -> Array:
    lengths = np.sqrt(np.square(vectors, dtype=np.float64).sum(axis=1, keepdims=True))
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def brute_force(metric: str, queries: Array, items: Array, k: int) -> tuple[Array, Array]:
    """Rows and scores by the definition: all products, a stable sort."""
    if metric == "cosine":
        queries, items = scaled(queries), scaled(items)
    products = np.zeros((len(queries), len(items)), np.float32)
    if metric == "l2":
        products += (-0.5 * np.square(items, dtype=np.float64).sum(axis=1)).astype(np.float32)
    for at in range(items.shape[1]):
        products = step(products, queries[:, at, np.newaxis], items[np.newaxis, :, at])
    products += np.float32(0)
    rows = np.argsort(-products, axis=1, kind="stable")[:, :k]
    scores = np.take_along_axis(products, rows, axis=1)
    if metric == "l2":
        squares = np.square(queries, dtype=np.float64).sum(axis=1, keepdims=True).astype(np.float32)
        scores = np.minimum(2 * scores - squares, np.float32(0))
    return rows, scores
