"""Kernels that normalise each row of a matrix."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.elementwise import in_double
from pyrec_infer.kernels.spec import LENGTHS, Array, KernelSpec, compiled, normal, reduction, shifted


@compiled
def _softmax_loop(x: Any, y: Any, logarithm: bool) -> None:
    rows, n = x.shape
    if n == 0:
        return
    for i in range(rows):
        largest = x[i, 0]
        for j in range(n):
            if x[i, j] > largest:
                largest = x[i, j]
        total = np.float32(0)
        for j in range(n):
            y[i, j] = math.exp(x[i, j] - largest)
            total += y[i, j]
        if logarithm:
            shift = math.log(total)
            for j in range(n):
                y[i, j] = (x[i, j] - largest) - shift
        else:
            for j in range(n):
                y[i, j] /= total


def softmax_f32(x: Array) -> Array:
    """Softmax of each row."""
    y = np.empty_like(x)
    _softmax_loop(x, y, False)
    return y


def log_softmax_f32(x: Array) -> Array:
    """Logarithm of the softmax of each row."""
    y = np.empty_like(x)
    _softmax_loop(x, y, True)
    return y


@compiled
def _layer_normalization_loop(x: Any, gamma: Any, beta: Any, epsilon: Any, y: Any) -> None:
    rows, n = x.shape
    count = np.float32(n)
    for i in range(rows):
        mean = np.float32(0)
        for j in range(n):
            mean += x[i, j]
        mean /= count
        variance = np.float32(0)
        for j in range(n):
            variance += (x[i, j] - mean) * (x[i, j] - mean)
        scale = np.float32(1) / np.sqrt(variance / count + epsilon)
        for j in range(n):
            y[i, j] = (x[i, j] - mean) * scale * gamma[j] + beta[j]


def layer_normalization_f32(x: Array, gamma: Array | None, beta: Array | None, epsilon: float) -> Array:
    """Each row less its mean, over its standard deviation, times gamma plus beta."""
    y = np.empty_like(x)
    gamma = np.ones(x.shape[1], np.float32) if gamma is None else gamma
    beta = np.zeros(x.shape[1], np.float32) if beta is None else beta
    _layer_normalization_loop(x, gamma, beta, np.float32(epsilon), y)
    return y


def _softmax(x: Array) -> Array:
    if x.size == 0:
        return x
    e = np.exp(x - x.max(axis=1, keepdims=True))
    return np.asarray(e / e.sum(axis=1, keepdims=True))


def _log_softmax(x: Array) -> Array:
    if x.size == 0:
        return x
    shift = x - x.max(axis=1, keepdims=True)
    return np.asarray(shift - np.log(np.exp(shift).sum(axis=1, keepdims=True)))


def _layer_normalization(x: Array, gamma: Array | None, beta: Array | None, epsilon: float) -> Array:
    x = x.astype(np.float64)
    with np.errstate(all="ignore"):
        centred = x - x.mean(axis=1, keepdims=True) if x.size else x
        variance = np.square(centred).mean(axis=1, keepdims=True) if x.size else x
        y = centred / np.sqrt(variance + np.float32(epsilon)) if x.size else x
        return np.asarray(y * (1 if gamma is None else gamma) + (0 if beta is None else beta))


def _softmax_scale(x: Array) -> Array:
    wide = x.astype(np.float64)
    return np.asarray(_softmax(wide) * (1 + np.abs(wide - wide.max(axis=1, keepdims=True, initial=-np.inf))))


def _log_softmax_scale(x: Array) -> Array:
    return 1 + np.abs(_log_softmax(x.astype(np.float64)))


def _layer_normalization_scale(x: Array, gamma: Array | None, beta: Array | None, epsilon: float) -> Array:
    wide: Array = x.astype(np.float64)
    if wide.size == 0:
        return wide
    deviation = np.sqrt(wide.var(axis=1, keepdims=True) + epsilon)
    largest = np.abs(wide).max(axis=1, keepdims=True) / deviation
    # An error of the mean moves the variance too.
    largest = largest * (1 + np.abs(wide - wide.mean(axis=1, keepdims=True)) / deviation)
    return np.asarray(
        largest * (1 if gamma is None else np.abs(gamma)) + (0 if beta is None else np.abs(beta))
    )


def _cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    yield (np.empty((0, 3), np.float32),)
    for n in LENGTHS:
        yield (normal(rng, 3, n, scale=10.0),)
    x = normal(rng, 8, 21)
    x[1, :] = -np.inf
    x[2, 3] = np.nan
    x[3, 20] = np.inf
    x[4, 1:] = -np.inf
    x[5, :] = 3e38
    x[6, ::2] = -3e38
    yield (shifted(x),)


def _normalization_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for n in LENGTHS:
        x = normal(rng, 3, n)
        yield x, normal(rng, n), normal(rng, n), 1e-5
        yield x + np.float32(100), None, None, 1e-3
        yield x, normal(rng, n), None, 0.1
        yield x, None, normal(rng, n), 0.1
    constant = np.full((2, 19), 0.7, np.float32)
    constant[1, 3] = np.nan
    yield constant, None, None, 1e-5


def _terms(x: Array, *_: Any) -> float:
    return float(x.shape[1])


KERNELS = (
    KernelSpec(
        "softmax_f32", in_double(_softmax), softmax_f32, reduction(_terms, _softmax_scale), _cases, True
    ),
    KernelSpec(
        "log_softmax_f32",
        in_double(_log_softmax),
        log_softmax_f32,
        reduction(_terms, _log_softmax_scale),
        _cases,
        True,
    ),
    KernelSpec(
        "layer_normalization_f32",
        _layer_normalization,
        layer_normalization_f32,
        reduction(_terms, _layer_normalization_scale),
        _normalization_cases,
        True,
    ),
)
