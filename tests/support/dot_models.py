"""A model of dot products of all pairs of vectors, and inputs of its calls."""

from __future__ import annotations

import numpy as np
from onnx import helper

from pyrec_infer.ir import Array
from support.models import FLOAT, make_model


def dlrm(width: int = 48) -> bytes:
    """Dot products of all pairs of 13 vectors, eight of them the request's, into three layers."""
    names = [*(f"u{i}" for i in range(8)), *(f"i{i}" for i in range(4)), "x"]
    left, right = np.triu_indices(len(names), 1)
    nodes = [
        helper.make_node("Concat", names, ["flat"], axis=1),
        helper.make_node("Reshape", ["flat", "fields"], ["t"]),
        helper.make_node("Transpose", ["t"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "turned"], ["z"]),
        helper.make_node("Reshape", ["z", "square"], ["all"]),
        helper.make_node("Gather", ["all", "pairs"], ["dots"], axis=1),
        helper.make_node("Concat", ["x", "dots"], ["top"], axis=1),
        helper.make_node("Gemm", ["top", "w0", "b0"], ["h0"]),
        helper.make_node("Relu", ["h0"], ["r0"]),
        helper.make_node("Gemm", ["r0", "w1"], ["h1"]),
        helper.make_node("Relu", ["h1"], ["r1"]),
        helper.make_node("Gemm", ["r1", "w2"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    random = np.random.default_rng(0)
    constants = {
        "fields": np.array([-1, 13, 8]),
        "square": np.array([-1, 169]),
        "pairs": left * 13 + right,
        "w0": random.normal(size=(86, width)).astype(np.float32) / 20,
        "b0": random.normal(size=width).astype(np.float32),
        "w1": random.normal(size=(width, 32)).astype(np.float32) / 7,
        "w2": random.normal(size=(32, 1)).astype(np.float32) / 6,
    }
    inputs = {name: (FLOAT, ["N", 8]) for name in names}
    return make_model(nodes, inputs, {"score": (FLOAT, ["N", 1])}, constants).SerializeToString()


def sides(rows: int, seed: int = 0) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Inputs of one request, of items, and of candidates."""
    random = np.random.default_rng(seed)
    request = {f"u{i}": random.normal(size=(1, 8)).astype(np.float32) for i in range(8)}
    items = {f"i{i}": random.normal(size=(rows, 8)).astype(np.float32) for i in range(4)}
    return request, items, {"x": random.normal(size=(rows, 8)).astype(np.float32)}
