"""Elementwise operators of one input."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.ir import Array, Info, Node, fault
from pyrec_infer.ops.cast import to_integer
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, boolean, optional, required
from pyrec_infer.ops.core.traits import AFFINE, COMPARISON, ELEMENTWISE, VIEW, Trait, no_flops
from pyrec_infer.ops.elementwise import BOOL, FLOATS, INTEGERS, NUMBERS, check_kind, same_type, widened

Formula: TypeAlias = Callable[[Node, Array], Array]

# Defaults are float32 in the format.
_HUNDREDTH = float(np.float32(0.01))
_FIFTH = float(np.float32(0.2))
_SELU_ALPHA = 1.67326319217681884765625
_SELU_GAMMA = 1.05070102214813232421875


def _erf(x: Array) -> Array:
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x)).astype(x.dtype)


def _exponential(x: Array, alpha: float, width: float = 1.0, gamma: float = 1.0) -> Array:
    return gamma * np.where(x > 0, x, alpha * np.expm1(np.where(x > 0, 0, x) / width))


def _elu(node: Node, x: Array) -> Array:
    return _exponential(x, node.attribute("alpha", 1.0))


def _celu(node: Node, x: Array) -> Array:
    alpha = node.attribute("alpha", 1.0)
    return _exponential(x, alpha, alpha)


def _selu(node: Node, x: Array) -> Array:
    return _exponential(x, node.attribute("alpha", _SELU_ALPHA), 1.0, node.attribute("gamma", _SELU_GAMMA))


def _sigmoid(node: Node, x: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-x)))


def _softplus(node: Node, x: Array) -> Array:
    return np.asarray(np.logaddexp(0, x))


def _swish(node: Node, x: Array) -> Array:
    alpha: float = node.attribute("alpha", 1.0)
    return np.asarray(x / (1 + np.exp(-alpha * x)))


def _gelu(node: Node, x: Array) -> Array:
    approximate = node.attribute("approximate", "none")
    if approximate == "tanh":
        return np.asarray(0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))))
    if approximate != "none":
        raise fault(ModelError, node, "approximate is neither none nor tanh")
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _hard_sigmoid(node: Node, x: Array) -> Array:
    line = node.attribute("alpha", _FIFTH) * x + node.attribute("beta", 0.5)
    return np.asarray(np.maximum(0, np.minimum(1, line)))


def _hard_swish(node: Node, x: Array) -> Array:
    return np.asarray(x * np.maximum(0, np.minimum(1, x / 6 + 0.5)))


def _leaky_relu(node: Node, x: Array) -> Array:
    return np.where(x < 0, node.attribute("alpha", _HUNDREDTH) * x, x)


def _thresholded_relu(node: Node, x: Array) -> Array:
    return np.where(x > node.attribute("alpha", 1.0), x, 0)


def _is_inf(node: Node, x: Array) -> Array:
    negative = boolean(node.attribute("detect_negative", 1))
    positive = boolean(node.attribute("detect_positive", 1))
    return np.isinf(x) & np.where(x < 0, negative, positive)


def _shrink(node: Node, x: Array) -> Array:
    bias, lambd = node.attribute("bias", 0.0), node.attribute("lambd", 0.5)
    wide = x.astype(np.float64)
    shrunk = np.where(wide < -lambd, wide + bias, np.where(wide > lambd, wide - bias, 0))
    return to_integer(shrunk, x.dtype) if x.dtype.kind in "iu" else shrunk


def _operator(name: str, formula: Formula, kinds: str = FLOATS, traits: frozenset[Trait] = ELEMENTWISE) -> Op:
    """An operator that gives floats of the input's type; the formula sees float64 for floats."""

    def evaluate(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = required(node, inputs, 0)
        check_kind(node, x.dtype, kinds)
        with np.errstate(all="ignore"):
            return [widened(lambda wide: formula(node, wide), np.float64, x).astype(x.dtype, copy=False)]

    return Op(name, same_type(kinds), evaluate, rows.elementwise, traits=traits)


def _predicate(name: str, formula: Formula, kinds: str) -> Op:
    def evaluate(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
        x = required(node, inputs, 0)
        check_kind(node, x.dtype, kinds)
        return [np.asarray(formula(node, x), np.bool_)]

    return Op(name, same_type(kinds, BOOL), evaluate, rows.elementwise, traits=ELEMENTWISE)


def _plain(function: Callable[[Array], Array]) -> Formula:
    return lambda node, x: function(x)


def _infer_identity(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x = required(node, inputs, 0)
    return [Info(x.dtype, x.shape, sequence=x.sequence)]


def _identity(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    return [required(node, inputs, 0)]


def _infer_dropout(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    x = required(node, inputs, 0)
    return [Info(x.dtype, x.shape), Info(BOOL, x.shape)][: len(node.outputs)]


def _dropout(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x, training = required(node, inputs, 0), optional(inputs, 2)
    if training is not None and boolean(training):
        raise fault(UnsupportedModelError, node, "not deterministic in training mode")
    return [x, np.ones(x.shape, np.bool_)][: len(node.outputs)]


OPS: tuple[Op, ...] = (
    _operator("Abs", _plain(np.abs), NUMBERS),
    _operator("Acos", _plain(np.arccos)),
    _operator("Acosh", _plain(np.arccosh)),
    _operator("Asin", _plain(np.arcsin)),
    _operator("Asinh", _plain(np.arcsinh)),
    _operator("Atan", _plain(np.arctan)),
    _operator("Atanh", _plain(np.arctanh)),
    _operator("BitwiseNot", _plain(np.invert), INTEGERS),
    _operator("Ceil", _plain(np.ceil), traits=COMPARISON),
    _operator("Celu", _celu),
    _operator("Cos", _plain(np.cos)),
    _operator("Cosh", _plain(np.cosh)),
    Op("Dropout", _infer_dropout, _dropout, rows.elementwise),
    _operator("Elu", _elu),
    _operator("Erf", _plain(_erf)),
    _operator("Exp", _plain(np.exp)),
    _operator("Floor", _plain(np.floor), traits=COMPARISON),
    _operator("Gelu", _gelu),
    _operator("HardSigmoid", _hard_sigmoid),
    _operator("HardSwish", _hard_swish),
    Op("Identity", _infer_identity, _identity, rows.elementwise, True, ELEMENTWISE | VIEW, no_flops),
    _predicate("IsInf", _is_inf, FLOATS),
    _predicate("IsNaN", _plain(np.isnan), FLOATS),
    _operator("LeakyRelu", _leaky_relu),
    _operator("Log", _plain(np.log)),
    _operator("Mish", lambda node, x: x * np.tanh(np.logaddexp(0, x))),
    _operator("Neg", _plain(np.negative), "fi", AFFINE),
    _predicate("Not", _plain(np.logical_not), "b"),
    _operator("Reciprocal", _plain(np.reciprocal)),
    _operator("Relu", lambda node, x: np.where(x < 0, 0, x), NUMBERS),
    _operator("Round", _plain(np.rint), traits=COMPARISON),
    _operator("Selu", _selu),
    _operator("Shrink", _shrink, NUMBERS, COMPARISON),
    _operator("Sigmoid", _sigmoid),
    _operator("Sign", _plain(np.sign), NUMBERS, COMPARISON),
    _operator("Sin", _plain(np.sin)),
    _operator("Sinh", _plain(np.sinh)),
    _operator("Softplus", _softplus),
    _operator("Softsign", lambda node, x: x / (1 + np.abs(x))),
    _operator("Sqrt", _plain(np.sqrt)),
    _operator("Swish", _swish),
    _operator("Tan", _plain(np.tan)),
    _operator("Tanh", _plain(np.tanh)),
    _operator("ThresholdedRelu", _thresholded_relu, traits=COMPARISON),
)
