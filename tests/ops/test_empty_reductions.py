"""Reductions over no elements: what onnxruntime gives, in every opset's form and element type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.models import FLOAT, INT32, INT64, make_model

import pyrec_infer as pi

INF = float("inf")
OF_NOTHING = {
    "ReduceSum": 0.0,
    "ReduceMean": 0.0,
    "ReduceMax": -INF,
    "ReduceMin": INF,
    "ReduceProd": 1.0,
    "ReduceL1": 0.0,
    "ReduceL2": 0.0,
    "ReduceSumSquare": 0.0,
    "ReduceLogSum": -INF,
    "ReduceLogSumExp": -INF,
}
"""As onnxruntime 1.27 has them, and the specification where it says so; it leaves means open."""

DTYPES = {FLOAT: np.float32, TensorProto.DOUBLE: np.float64, INT64: np.int64, INT32: np.int32}
AXES_ARE_AN_INPUT = {"ReduceSum": 13}


def model_of(op: str, opset: int, kind: int, keep: int) -> pi.Model:
    """Over the second axis of [N, L, 3]."""
    attributes: dict[str, Any] = {"keepdims": keep}
    constants = {}
    if opset >= AXES_ARE_AN_INPUT.get(op, 18):
        constants["axes"] = np.asarray([1])
    else:
        attributes["axes"] = [1]
    nodes = [
        helper.make_node("Identity", ["x"], ["same"]),
        helper.make_node(op, ["same", *constants], ["y"], **attributes),
    ]
    inputs = {"x": (kind, ["N", "L", 3])}
    return pi.load(make_model(nodes, inputs, {"y": (0, None)}, constants, opset=opset).SerializeToString())


def expected_of(op: str, dtype: type) -> Any:
    value = OF_NOTHING[op]
    if np.dtype(dtype).kind == "f" or np.isfinite(value):
        return value
    return np.iinfo(dtype).max if value > 0 else np.iinfo(dtype).min


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("opset", [11, 13, 18, 20])
@pytest.mark.parametrize("op", OF_NOTHING)
def test_a_reduction_of_nothing(op: str, opset: int, kind: int) -> None:
    dtype = DTYPES[kind]
    if np.dtype(dtype).kind == "i" and op.startswith("ReduceLog"):
        pytest.skip("no integer is minus infinity: the specification leaves it open")
    for keep in (0, 1):
        x = np.zeros((4, 0, 3), dtype)
        made = model_of(op, opset, kind, keep).run({"x": x})["y"]
        assert made.dtype == dtype
        np.testing.assert_array_equal(made, np.full((4, 1, 3) if keep else (4, 3), expected_of(op, dtype)))


@pytest.mark.parametrize("op", OF_NOTHING)
def test_as_onnxruntime_has_it(op: str) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    node = helper.make_node(op, ["x", "axes"], ["y"], keepdims=0)
    proto = make_model(
        [node], {"x": (FLOAT, ["N", "L", 3])}, {"y": (FLOAT, None)}, {"axes": np.asarray([1])}, opset=18
    )
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"x": np.zeros((2, 0, 3), np.float32)})
    np.testing.assert_array_equal(made, np.full((2, 3), OF_NOTHING[op]))


@pytest.mark.parametrize("op", OF_NOTHING)
def test_a_request_without_a_history(op: str) -> None:
    """The bag is the request's and empty; each candidate adds its own number."""
    nodes = [
        helper.make_node(op, ["x", "axes"], ["bag"], keepdims=0),
        helper.make_node("Mul", ["bag", "w"], ["y"]),
    ]
    inputs = {"x": (FLOAT, ["N", "L"]), "w": (FLOAT, ["N"])}
    proto = make_model(nodes, inputs, {"y": (FLOAT, ["N"])}, {"axes": np.asarray([1])}, opset=18)
    model = pi.load(proto.SerializeToString())
    w = np.asarray([1.0, 2.0, 0.5], np.float32)
    scores = model.score({"x": np.zeros((1, 0), np.float32)}, {"w": w})
    np.testing.assert_array_equal(scores, w * np.float32(OF_NOTHING[op]))
