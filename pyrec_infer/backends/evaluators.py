"""Operators that the numba backend runs through Numba kernels instead of their NumPy reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pyrec_infer.ir import Array, Node
from pyrec_infer.kernels.elementwise import relu_f32
from pyrec_infer.kernels.embedding_bag import embedding_bags
from pyrec_infer.kernels.gather import gather_rows_f32
from pyrec_infer.kernels.lookup import Part, lookup_f32, lookup_sum_f32
from pyrec_infer.kernels.pair_dots import pair_dots_f32
from pyrec_infer.kernels.quantized import quantize_rows
from pyrec_infer.kernels.rows import layer_normalization_f32, log_softmax_f32, softmax_f32
from pyrec_infer.kernels.transcendental import (
    erf_f32,
    exp_f32,
    log_f32,
    sigmoid_f32,
    softplus_f32,
    tanh_f32,
)
from pyrec_infer.ops import OPS
from pyrec_infer.ops.bags import check_bags, mode_of, paddings
from pyrec_infer.ops.core.registry import Evaluate
from pyrec_infer.ops.fused import activate, lookup_rows
from pyrec_infer.ops.fused_quantized import COLUMN_LEVELS, measure_rows, multiply_whole, quantize
from pyrec_infer.ops.lookup_parts import lookup_parts


def _unary(name: str, kernel: Callable[[Array], Array]) -> Evaluate:
    def evaluate(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
        x = inputs[0]
        if x is None or x.dtype != np.float32:
            return OPS[name].evaluate(node, inputs)
        return [kernel(x)]

    return evaluate


def _rows(name: str, kernel: Callable[[Array], Array]) -> Evaluate:
    def evaluate(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
        x = inputs[0]
        last = x is not None and node.attribute("axis", -1) in (-1, x.ndim - 1)
        if x is None or not last or x.dtype != np.float32 or x.size == 0:
            return OPS[name].evaluate(node, inputs)
        return [kernel(np.ascontiguousarray(x).reshape(-1, x.shape[-1])).reshape(x.shape)]

    return evaluate


def _gather(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    table, ids = inputs[0], inputs[1]
    plain = table is not None and ids is not None and table.dtype == np.float32 and table.ndim == 2
    if table is None or ids is None or not plain or node.attribute("axis", 0) not in (0, -2) or ids.size == 0:
        return OPS["Gather"].evaluate(node, inputs)
    lowest = 0 if node.attribute("strict") else -len(table)
    if not table.flags.c_contiguous or ids.min() < lowest or ids.max() >= len(table):
        # The reference names the row of the id that is out of range.
        return OPS["Gather"].evaluate(node, inputs)
    rows = ids.reshape(-1).astype(np.int64)
    rows += (rows < 0) * len(table)
    return [gather_rows_f32(table, rows).reshape(*ids.shape, table.shape[1])]


def _layer_normalization(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    x, gamma = inputs[0], inputs[1]
    beta = inputs[2] if len(inputs) > 2 else None
    last = x is not None and node.attribute("axis", -1) in (-1, x.ndim - 1)
    if (
        x is None
        or gamma is None
        or not last
        or x.dtype != np.float32
        or len(node.outputs) > 1
        or x.size == 0
    ):
        return OPS["LayerNormalization"].evaluate(node, inputs)
    flat = np.ascontiguousarray(x).reshape(-1, x.shape[-1])
    full = [None if item is None else np.broadcast_to(item, x.shape[-1:]) for item in (gamma, beta)]
    made = layer_normalization_f32(flat, full[0], full[1], node.attribute("epsilon", 1e-5))
    return [made.reshape(x.shape)]


_ACTIVATIONS = {"": "none", "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh"}


def _parts(node: Node, inputs: Sequence[Array | None], first: int) -> list[Part]:
    return [
        (table, part.offset, rows, part.width, part.codec or "f32")
        for (table, rows), part in zip(lookup_rows(node, inputs, first), lookup_parts(node), strict=True)
    ]


def _row_count(inputs: Sequence[Array | None], first: int) -> int:
    source = inputs[first]
    return 0 if source is None else len(source)


def _lookup(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    return [lookup_f32(_parts(node, inputs, 0), _row_count(inputs, 0))]


def _lookup_sum(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    activation = _ACTIVATIONS.get(str(node.attribute("activation", "")))
    if activation is None:
        return OPS[node.op].evaluate(node, inputs)
    parts = _parts(node, inputs, 1)
    return [lookup_sum_f32(inputs[0], parts, _row_count(inputs, 1), parts[0][3], activation)]


def _embedding_bag(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    table, ids, bounds = inputs[:3]
    weights = inputs[3] if len(inputs) > 3 else None
    if table is None or ids is None or bounds is None or table.dtype != np.float32:
        return OPS[node.op].evaluate(node, inputs)
    check_bags(node, inputs)
    weighted_mean = bool(node.attribute("weighted_mean", 0))
    left_out, strict = paddings(node, len(table)), bool(node.attribute("strict", 0))
    made, wrong = embedding_bags(table, ids, bounds, weights, mode_of(node), left_out, weighted_mean, strict)
    if wrong >= 0:
        # The reference names it.
        return OPS[node.op].evaluate(node, inputs)
    return [made]


def _pair_dots(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    a, b, left, right = inputs
    if a is None or b is None or left is None or right is None or len(a) != len(b):
        return OPS[node.op].evaluate(node, inputs)
    return [pair_dots_f32(a, b, left, right)]


def _dense_int8(node: Node, inputs: Sequence[Array | None]) -> Sequence[Array]:
    x, weights, bias = inputs[0], inputs[1], inputs[2] if len(inputs) > 2 else None
    if x is None or weights is None or x.ndim < 2 or weights.ndim > 2:
        return OPS[node.op].evaluate(node, inputs)
    rows, row_scales, _ = quantize_rows(x.reshape(-1, x.shape[-1]))
    columns, column_scales = quantize(weights, COLUMN_LEVELS, 0)
    y = multiply_whole(rows, columns) * column_scales * row_scales[:, None]
    y = y.reshape(*x.shape[:-1], weights.shape[1])
    made = [activate(node, y if bias is None else y + bias)]
    return [*made, measure_rows(x)] if len(node.outputs) > 1 else made


_UNARY: Mapping[str, Callable[[Array], Array]] = {
    "Erf": erf_f32,
    "Exp": exp_f32,
    "Log": log_f32,
    "Relu": relu_f32,
    "Sigmoid": sigmoid_f32,
    "Softplus": softplus_f32,
    "Tanh": tanh_f32,
}

EVALUATORS: Mapping[str, Evaluate] = {
    **{name: _unary(name, kernel) for name, kernel in _UNARY.items()},
    "Gather": _gather,
    "LayerNormalization": _layer_normalization,
    "LogSoftmax": _rows("LogSoftmax", log_softmax_f32),
    "Softmax": _rows("Softmax", softmax_f32),
    "pyrec.DenseInt8": _dense_int8,
    "pyrec.EmbeddingBag": _embedding_bag,
    "pyrec.Lookup": _lookup,
    "pyrec.LookupSum": _lookup_sum,
    "pyrec.PairDots": _pair_dots,
}
"""Matrix products are not listed: NumPy's, which call BLAS, are faster than a Numba loop."""

__all__ = ["EVALUATORS"]
