"""Matrix products. Packing has no meaning of its own: each kernel here packs and multiplies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.elementwise import relu_f32
from pyrec_infer.kernels.spec import EXACT, Array, KernelSpec, compiled, normal, reduction
from pyrec_infer.kernels.transcendental import sigmoid, sigmoid_f32, tanh_f32

ACTIVATIONS: dict[str, Callable[..., Array]] = {"relu": relu_f32, "sigmoid": sigmoid_f32, "tanh": tanh_f32}


@compiled
def _gemm_loop(a: Any, b: Any, c: Any) -> None:
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            left = a[i, k]
            for j in range(b.shape[1]):
                c[i, j] += left * b[k, j]


def gemm_f32(a: Array, b: Array, bias: Array | None, activation: str) -> Array:
    """``activation(a @ b + bias)``, bias a row or a matrix; the activation is none, relu, sigmoid or tanh."""
    c = np.zeros((a.shape[0], b.shape[1]), np.float32)
    if bias is not None:
        c += bias
    _gemm_loop(a, np.ascontiguousarray(b), c)
    return c if activation == "none" else ACTIVATIONS[activation](c)


@compiled
def _gemm_i16_loop(a: Any, b: Any, c: Any) -> None:
    for i in range(a.shape[0]):
        for k in range(a.shape[1]):
            left = np.int32(a[i, k])
            for j in range(b.shape[1]):
                c[i, j] += left * np.int32(b[k, j])


def gemm_i16(a: Array, b: Array) -> Array:
    """``a @ b`` of int16 in int32 with wrap-around."""
    c = np.zeros((a.shape[0], b.shape[1]), np.int32)
    _gemm_i16_loop(a, b, c)
    return c


def _gemm(a: Array, b: Array, bias: Array | None, activation: str) -> Array:
    with np.errstate(all="ignore"):
        c = a.astype(np.float64) @ b.astype(np.float64) + (0 if bias is None else bias)
        if activation == "relu":
            c = np.maximum(c, 0)
        elif activation == "sigmoid":
            c = sigmoid(c)
        elif activation == "tanh":
            c = np.tanh(c)
    return np.asarray(c)


def _gemm_i16(a: Array, b: Array) -> Array:
    exact = a.astype(np.int64) @ b.astype(np.int64)
    return exact.astype(np.int32)  # wraps


def _gemm_scale(a: Array, b: Array, bias: Array | None, activation: str) -> Array:
    magnitude = np.abs(a.astype(np.float64)) @ np.abs(b.astype(np.float64))
    # No activation is steeper than the identity; its own rounding counts as one more unit.
    return np.asarray(magnitude + (0 if bias is None else np.abs(bias)) + (activation != "none"))


SHAPES = (
    *((m, n, k) for m in (0, 1, 2, 3, 9) for n in (0, 1, 4, 5, 16, 33) for k in (0, 1, 15, 34)),
    *((m, 100, 20) for m in range(1, 20)),
    *((7, n, 19) for n in range(1, 150, 3)),
    *((5, 3, k) for k in range(1, 70, 3)),
    *((m, 1, 37) for m in range(1, 50)),
    *((64, 96, 257), (250, 40, 600), (3, 70, 1030), (481, 17, 3)),
)


def _gemm_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for i, (m, n, k) in enumerate(SHAPES):
        activation = ("none", "relu", "sigmoid", "tanh")[i % 4]
        yield normal(rng, m, k), normal(rng, k, n), normal(rng, n) if i % 3 else None, activation
    for m, n, k in ((1, 70, 9), (9, 33, 5), (21, 1, 40), (33, 3, 50), (5, 100, 600), (3, 2, 0)):
        yield normal(rng, m, k), normal(rng, k, n), normal(rng, m, n + 3)[:, :n], "relu"
    a = normal(rng, 6, 40)
    yield a[:, 3:20], normal(rng, 30, 17).T, None, "none"
    yield a[::2, :13], normal(rng, 26, 66)[::2, ::2], normal(rng, 33), "relu"
    a[1, 2], a[2, 4], a[3, 39] = np.nan, np.inf, -np.inf
    for activation in ("none", "relu", "sigmoid", "tanh"):
        for n in (1, 4, 20, 48):
            yield a, normal(rng, 40, n), normal(rng, n), activation


def _gemm_sparse_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Rows with all shares of zeros, and the shapes that have a way of their own to skip them."""
    yield from _gemm_cases(rng)
    shapes = ((70, 256, 300), (130, 400, 64), (1, 128, 400), (3, 97, 65), (65, 141, 1), (2, 640, 2100))
    for i, (m, n, k) in enumerate(shapes):
        for share in (0.0, 0.3, 0.6, 0.75, 1.0):
            a = np.where(rng.random((m, k)) < share, normal(rng, m, k), np.float32(0))
            a[m // 2 :] *= np.float32(i % 2)
            bias = (None, normal(rng, n), normal(rng, m, n))[i % 3]
            yield a, normal(rng, k, n), bias, ("none", "relu", "sigmoid", "tanh")[i % 4]
    a = np.zeros((4, 70), np.float32)
    a[0, 3], a[1, 69], a[2, 64], a[3, 0] = np.nan, np.inf, -0.0, 1e-40
    yield a, normal(rng, 70, 130), normal(rng, 130), "relu"


def _gemm_i16_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for m, n, k in SHAPES:
        high = 32767 if k % 2 else 300
        yield (
            rng.integers(-high - 1, high, (m, k), np.int16, endpoint=True),
            rng.integers(-high - 1, high, (k, n), np.int16, endpoint=True),
        )
    for k in (1, 2, 3, 5):
        yield np.full((3, k), -32768, np.int16), np.full((k, 20), -32768, np.int16)


KERNELS = (
    KernelSpec("gemm_f32", _gemm, gemm_f32, reduction(lambda a, *_: a.shape[-1], _gemm_scale), _gemm_cases),
    KernelSpec(
        "gemm_sparse_f32",
        _gemm,
        gemm_f32,
        reduction(lambda a, *_: a.shape[-1], _gemm_scale),
        _gemm_sparse_cases,
    ),
    KernelSpec("gemm_i16", _gemm_i16, gemm_i16, EXACT, _gemm_i16_cases),
)
