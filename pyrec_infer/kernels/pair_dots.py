"""Dot products of pairs of vectors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.spec import Array, KernelSpec, compiled, normal, reduction


@compiled
def _pair_loop(a: Any, b: Any, left: Any, right: Any, out: Any) -> None:
    for i in range(out.shape[0]):
        x, y = a[i if a.shape[0] > 1 else 0], b[i if b.shape[0] > 1 else 0]
        for p in range(left.size):
            total = np.float32(0)
            for j in range(x.shape[1]):
                total += x[left[p], j] * y[right[p], j]
            out[i, p] = total


def pair_dots_f32(a: Array, b: Array, left: Array, right: Array) -> Array:
    """Dot products of vectors ``left[p]`` of a and ``right[p]`` of b; one row stands for all."""
    out = np.empty((max(len(a), len(b)) if len(a) and len(b) else 0, left.size), np.float32)
    _pair_loop(a, b, left, right, out)
    return out


def _pair_dots(a: Array, b: Array, left: Array, right: Array) -> Array:
    with np.errstate(all="ignore"):
        product = a.astype(np.float64)[:, left] * b.astype(np.float64)[:, right]
        return np.asarray(product.sum(axis=2))


def _pair_scale(a: Array, b: Array, left: Array, right: Array) -> Array:
    return _pair_dots(np.abs(a), np.abs(b), left, right)


def _pair_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for d in (*range(20), 32, 33, 48, 64):
        for pairs in (0, 1, 5, 16, 21):
            left, right = rng.integers(0, 4, pairs), rng.integers(0, 3, pairs)
            yield normal(rng, 5, 4, d), normal(rng, 1 if pairs == 5 else 5, 3, d), left, right
    left, right = np.arange(40) % 6, np.arange(40) % 5
    a, b = normal(rng, 7, 6, 16), normal(rng, 7, 5, 16)
    yield a[:1], b, left, right
    yield a[:0], b[:0], left, right
    a[2, 1, 3], a[3, 2, 2], b[4, 1, 1] = np.nan, np.inf, -np.inf
    yield a, b, left, right


KERNELS = (
    KernelSpec(
        "pair_dots_f32",
        _pair_dots,
        pair_dots_f32,
        reduction(lambda a, *_: a.shape[2], _pair_scale),
        _pair_cases,
    ),
)
