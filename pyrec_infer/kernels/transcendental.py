"""Exponential, logarithm and their relatives. The tolerances are the error bounds of every backend."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pyrec_infer.kernels.elementwise import ONE, ZERO, in_double, unary_cases
from pyrec_infer.kernels.spec import Array, KernelSpec, elementwise, ufunc


def _sigmoid_scalar(x: Any) -> Any:
    e = math.exp(-abs(x))
    return (e if x < ZERO else ONE) / (ONE + e)


def _softplus_scalar(x: Any) -> Any:
    return (ZERO if x < ZERO else x) + math.log1p(math.exp(-abs(x)))


exp_f32 = ufunc(lambda x: math.exp(x), 1)
log_f32 = ufunc(lambda x: math.log(x), 1)
sigmoid_f32 = ufunc(_sigmoid_scalar, 1)
tanh_f32 = ufunc(lambda x: math.tanh(x), 1)
erf_f32 = ufunc(lambda x: math.erf(x), 1)
softplus_f32 = ufunc(_softplus_scalar, 1)


def sigmoid(x: Array) -> Array:
    """Logistic function in the precision of `x`."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, 1) / (1 + e))


def _kernel(
    name: str, oracle: Callable[..., Any], fallback: Callable[..., Array], ulps: float, scale: float
) -> KernelSpec:
    return KernelSpec(name, in_double(oracle), fallback, elementwise(ulps), unary_cases(scale), in_place=True)


KERNELS = (
    _kernel("exp_f32", np.exp, exp_f32, 1.5, 40.0),
    _kernel("log_f32", np.log, log_f32, 1.5, 10.0),
    _kernel("sigmoid_f32", sigmoid, sigmoid_f32, 3.0, 10.0),
    _kernel("tanh_f32", np.tanh, tanh_f32, 2.0, 2.0),
    _kernel("erf_f32", np.vectorize(math.erf, otypes=[np.float64]), erf_f32, 1.5, 1.5),
    _kernel("softplus_f32", lambda x: np.logaddexp(0, x), softplus_f32, 2.0, 10.0),
)
