"""Rewrites composite operators to primitive ones, so that no backend needs to know them."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.ir import Graph, Node, fault
from pyrec_infer.ops.core.registry import boolean
from pyrec_infer.passes.common.writer import Writer

__all__ = ["expand_composites"]


class _Maker(Writer):
    """Writes the nodes that stand for one composite node, under names made from its first output."""

    def __init__(self, node: Node, taken: Container[str]) -> None:
        super().__init__(next(name for name in node.outputs if name), node.name, taken)
        self._node = node

    def like(self, value: float, model: str) -> str:
        """A constant of the element type of another value."""
        return self.node("CastLike", self.constant(value, np.float32), model)

    def finish(self, value: str, output: int = 0) -> None:
        """Let a value be an output of the composite."""
        if output < len(self._node.outputs) and self._node.outputs[output]:
            self.add(Node("Identity", (value,), (self._node.outputs[output],), name=self._node.name))


Rule: TypeAlias = Callable[[Node, _Maker], None]


def _input(node: Node, index: int) -> str:
    return node.inputs[index] if index < len(node.inputs) else ""


def _kept(node: Node, keys: Sequence[str]) -> dict[str, Any]:
    """The attributes of those names, as far as the node has them."""
    return {key: node.attributes[key] for key in keys if key in node.attributes}


def _sum(make: _Maker, *terms: str) -> str:
    """The sum of the terms that are present."""
    present = [term for term in terms if term]
    total = present[0]
    for term in present[1:]:
        total = make.node("Add", total, term)
    return total


_ACTIVATION_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "Relu": (),
    "Sigmoid": (),
    "Tanh": (),
    "Softplus": (),
    "Softsign": (),
    "LeakyRelu": ("alpha",),
    "Elu": ("alpha",),
    "ThresholdedRelu": ("alpha",),
    "Selu": ("alpha", "gamma"),
    "HardSigmoid": ("alpha", "beta"),
    "Clip": ("min", "max"),
    "ScaledTanh": ("alpha", "beta"),
}


def _activation(node: Node, make: _Maker, x: str, given: Mapping[str, Any]) -> str:
    """The activation that a fused operator names, applied to its result."""
    activation = str(node.attribute("activation", ""))
    if not activation:
        return x
    if activation not in _ACTIVATION_ATTRIBUTES:
        raise fault(UnsupportedModelError, node, f"activation {activation!r}")
    if activation == "Clip":
        return make.node("Clip", x, *(make.like(bound, x) for bound in given.values()))
    return make.node(activation, x, **given)


def _activation_keys(node: Node) -> tuple[str, ...]:
    return _ACTIVATION_ATTRIBUTES.get(str(node.attribute("activation", "")), ())


def _fused_gemm(node: Node, make: _Maker) -> None:
    y = make.node("Gemm", *node.inputs, **_kept(node, ("alpha", "beta", "transA", "transB")))
    given = {
        key: node.attributes[f"activation_{key}"]
        for key in _activation_keys(node)
        if f"activation_{key}" in node.attributes
    }
    make.finish(_activation(node, make, y, given))


def _fused_conv(node: Node, make: _Maker) -> None:
    """Inputs: those of Conv, then a value that is added before the activation."""
    kept = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    y = make.node("Conv", *node.inputs[:3], **_kept(node, kept))
    parameters = node.attribute("activation_params", ())
    given = dict(zip(_activation_keys(node), (float(item) for item in parameters), strict=False))
    make.finish(_activation(node, make, _sum(make, y, _input(node, 3)), given))


def _fused_matmul(node: Node, make: _Maker) -> None:
    """A batch that is transposed too has the matrix's row axis in front of it."""
    terms = []
    for operand, first, last in (("A", "m", "k"), ("B", "k", "n")):
        if boolean(node.attribute(f"trans{operand}", 0)):
            first, last = last, first
        front = boolean(node.attribute(f"transBatch{operand}", 0))
        terms.append(f"{first}...{last}" if front else f"...{first}{last}")
    if terms == ["...mk", "...kn"]:
        y = make.node("MatMul", *node.inputs[:2])
    else:
        y = make.node("Einsum", *node.inputs[:2], equation=f"{terms[0]},{terms[1]}->...mn")
    alpha = float(node.attribute("alpha", 1.0))
    make.finish(y if alpha == 1.0 else make.node("Mul", y, make.like(alpha, y)))


def _erf_gelu(make: _Maker, x: str) -> str:
    root = make.node("Erf", make.node("Mul", x, make.like(math.sqrt(0.5), x)))
    return make.node("Mul", make.node("Mul", x, make.like(0.5, x)), make.node("Add", root, make.like(1.0, x)))


def _tanh_gelu(make: _Maker, x: str) -> str:
    cube = make.node("Mul", make.node("Mul", x, x), make.node("Mul", x, make.like(0.044715, x)))
    inner = make.node("Mul", make.node("Add", x, cube), make.like(math.sqrt(2 / math.pi), x))
    tanh = make.node("Add", make.node("Tanh", inner), make.like(1.0, x))
    return make.node("Mul", make.node("Mul", x, make.like(0.5, x)), tanh)


def _gelu(node: Node, make: _Maker) -> None:
    tanh = str(node.attribute("approximate", "none")) == "tanh"
    make.finish((_tanh_gelu if tanh else _erf_gelu)(make, node.inputs[0]))


def _bias_gelu(node: Node, make: _Maker) -> None:
    make.finish(_erf_gelu(make, _sum(make, node.inputs[0], _input(node, 1))))


def _fast_gelu(node: Node, make: _Maker) -> None:
    make.finish(_tanh_gelu(make, _sum(make, node.inputs[0], _input(node, 1))))


def _quick_gelu(node: Node, make: _Maker) -> None:
    x = node.inputs[0]
    gate = make.node("Sigmoid", make.node("Mul", x, make.like(float(node.attribute("alpha", 1.702)), x)))
    make.finish(make.node("Mul", x, gate))


def _skip_normalization(node: Node, make: _Maker) -> None:
    """Inputs: x, skip, gamma, [beta,] bias; output 3 is the sum that was normalised."""
    simplified = node.op.endswith("SkipSimplifiedLayerNormalization")
    if any(node.outputs[1:3]):
        raise fault(UnsupportedModelError, node, "the statistics outputs")
    total = _sum(make, node.inputs[0], node.inputs[1], _input(node, 3 if simplified else 4))
    epsilon = float(node.attribute("epsilon", 1e-5 if simplified else 1e-12))
    if simplified:
        y = make.node("RMSNormalization", total, node.inputs[2], axis=-1, epsilon=epsilon)
    else:
        parameters = [name for name in (node.inputs[2], _input(node, 3)) if name]
        y = make.node("LayerNormalization", total, *parameters, axis=-1, epsilon=epsilon)
    make.finish(y)
    make.finish(total, 3)


def _simplified_normalization(node: Node, make: _Maker) -> None:
    if any(node.outputs[1:]):
        raise fault(UnsupportedModelError, node, "the statistics output")
    attributes: dict[str, Any] = {
        key: node.attributes[key] for key in ("axis", "epsilon") if key in node.attributes
    }
    make.finish(make.node("RMSNormalization", *node.inputs[:2], **attributes))


def _mean_variance(node: Node, make: _Maker) -> None:
    x = node.inputs[0]
    axes = make.constant(node.attribute("axes", (0, 2, 3)), np.int64)
    centred = make.node("Sub", x, make.node("ReduceMean", x, axes))
    variance = make.node("ReduceMean", make.node("Mul", centred, centred), axes)
    make.finish(make.node("Div", centred, make.node("Add", make.node("Sqrt", variance), make.like(1e-9, x))))


def _scaled_product(node: Node, make: _Maker, a: str, a_zero: str, a_scale: str) -> None:
    """Inputs after the first operand's: b, b_scale, b_zero and bias at the node's own places."""
    dynamic = node.op.endswith("DynamicQuantizeMatMul")
    b, b_scale, b_zero, bias = (_input(node, i) for i in ((1, 2, 3, 4) if dynamic else (1, 3, 5, 6)))
    sums = make.node("Cast", make.node("MatMulInteger", a, b, a_zero, b_zero), to="float32")
    make.finish(_sum(make, make.node("Mul", sums, make.node("Mul", a_scale, b_scale)), bias))


def _dynamic_matmul(node: Node, make: _Maker) -> None:
    a, a_scale, a_zero = names = make.fresh(), make.fresh(), make.fresh()
    make.add(Node("DynamicQuantizeLinear", node.inputs[:1], names, name=node.name))
    _scaled_product(node, make, a, a_zero, a_scale)


def _matmul_to_float(node: Node, make: _Maker) -> None:
    _scaled_product(node, make, node.inputs[0], _input(node, 4), node.inputs[2])


def _renamed(op: str) -> Rule:
    def rule(node: Node, make: _Maker) -> None:
        make.add(replace(node, op=op))

    return rule


def _dequantized(make: _Maker, inputs: Sequence[str]) -> str:
    return make.node("DequantizeLinear", *(name for name in inputs if name))


def _quantized(node: Node, make: _Maker, y: str, scale: str, zero: str) -> None:
    make.finish(make.node("QuantizeLinear", y, scale, *([zero] if zero else [])))


def _qlinear_unary(op: str, *kept: str) -> Rule:
    """Inputs: x, its scale and zero point, and the result's scale and zero point."""

    def rule(node: Node, make: _Maker) -> None:
        attributes = _kept(node, kept)
        y = make.node(op, _dequantized(make, node.inputs[:3]), **attributes)
        _quantized(node, make, y, node.inputs[3], _input(node, 4))

    return rule


def _qlinear_binary(op: str) -> Rule:
    """Inputs: a, b and the result's parameters, each operand followed by its scale and zero point."""

    def rule(node: Node, make: _Maker) -> None:
        y = make.node(op, _dequantized(make, node.inputs[:3]), _dequantized(make, node.inputs[3:6]))
        _quantized(node, make, y, node.inputs[6], _input(node, 7))

    return rule


def _qlinear_concat(node: Node, make: _Maker) -> None:
    """Inputs: the result's scale and zero point, then each operand with its own."""
    parts = [_dequantized(make, node.inputs[i : i + 3]) for i in range(2, len(node.inputs), 3)]
    y = make.node("Concat", *parts, axis=node.attribute("axis"))
    _quantized(node, make, y, node.inputs[0], node.inputs[1])


def _qlinear_reduce_mean(node: Node, make: _Maker) -> None:
    axes = make.constant(node.attribute("axes", ()), np.int64)
    y = make.node(
        "ReduceMean", _dequantized(make, node.inputs[:3]), axes, keepdims=node.attribute("keepdims", 1)
    )
    _quantized(node, make, y, node.inputs[3], _input(node, 4))


_WINDOW = ("auto_pad", "ceil_mode", "count_include_pad", "kernel_shape", "pads", "strides")

_MICROSOFT: Mapping[str, Rule] = {
    "BiasGelu": _bias_gelu,
    "DequantizeLinear": _renamed("DequantizeLinear"),
    "DynamicQuantizeMatMul": _dynamic_matmul,
    "FastGelu": _fast_gelu,
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
    "Gelu": _gelu,
    "MatMulIntegerToFloat": _matmul_to_float,
    "QLinearAdd": _qlinear_binary("Add"),
    "QLinearAveragePool": _qlinear_unary("AveragePool", *_WINDOW),
    "QLinearConcat": _qlinear_concat,
    "QLinearGlobalAveragePool": _qlinear_unary("GlobalAveragePool"),
    "QLinearLeakyRelu": _qlinear_unary("LeakyRelu", "alpha"),
    "QLinearMul": _qlinear_binary("Mul"),
    "QLinearReduceMean": _qlinear_reduce_mean,
    "QLinearSigmoid": _qlinear_unary("Sigmoid"),
    "QLinearSoftmax": _qlinear_unary("Softmax", "axis"),
    "QuantizeLinear": _renamed("QuantizeLinear"),
    "QuickGelu": _quick_gelu,
    "SkipLayerNormalization": _skip_normalization,
    "SkipSimplifiedLayerNormalization": _skip_normalization,
}

RULES: Mapping[str, Rule] = {
    "Gelu": _gelu,
    "MeanVarianceNormalization": _mean_variance,
    "SimplifiedLayerNormalization": _simplified_normalization,
    **{f"com.microsoft.{name}": rule for name, rule in _MICROSOFT.items()},
}
"""The composite operators, and what each is made of."""


def expand_composites(graph: Graph) -> Graph:
    """Replace every node of `RULES` by primitive nodes, in the bodies of control flow too.

    Raises
    ------
    UnsupportedModelError
        If a composite asks for a form that its rule does not cover.
    """
    nodes: list[Node] = []
    constants = dict(graph.constants)
    changed = False
    taken = {*graph.inputs, *constants, *graph.producers}
    for node in graph.nodes:
        rule = RULES.get(node.op)
        bodies = tuple(expand_composites(body) for body in node.bodies)
        # Pools of channels that come last have no primitive node.
        if rule is None or node.attribute("channels_last", 0):
            if any(new is not old for new, old in zip(bodies, node.bodies, strict=True)):
                changed = True
                node = replace(node, bodies=bodies)
            nodes.append(node)
            continue
        changed = True
        make = _Maker(node, taken)
        rule(node, make)
        nodes += make.nodes
        constants.update(make.constants)
    return graph.with_(nodes=tuple(nodes), constants=constants) if changed else graph
