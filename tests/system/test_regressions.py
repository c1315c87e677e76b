"""Small graphs of forms that exporters and optimisers write, each once scored wrongly or slowly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError

FLOAT, INT64, TEXT = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING
Declared = Mapping[str, tuple[int, Sequence[int | str]]]
ROWS = 600


def _model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Declared,
    outputs: Declared,
    weights: Mapping[str, Any] | None = None,
) -> pi.Model:
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, *declared) for name, declared in inputs.items()],
        [helper.make_tensor_value_info(name, *declared) for name, declared in outputs.items()],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    return pi.load(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_sizes_of_a_lengthened_history_are_those_of_the_whole_batch() -> None:
    """The length is a sum, so the shape is read at run time; rows after it are tiled again."""
    nodes = [
        helper.make_node("Concat", ["history", "target"], ["all"], axis=1),
        helper.make_node("Transpose", ["all"], ["by_time"], perm=[1, 0, 2]),
        helper.make_node("Shape", ["by_time"], ["shape"], start=0, end=2),
        helper.make_node("Concat", ["shape", "heads"], ["headed"], axis=0),
        helper.make_node("Reshape", ["by_time", "headed"], ["split"]),
        helper.make_node("ReduceMax", ["split"], ["best"], axes=[0, 3], keepdims=0),
    ]
    history, target = _values(ROWS, 3, 4), _values(ROWS, 1, 4)
    model = _model(
        nodes,
        {"history": (FLOAT, ["batch", "length", 4]), "target": (FLOAT, ["batch", 1, 4])},
        {"best": (FLOAT, ["batch", 2])},
        {"heads": np.array([2, 2])},
    )
    expected = np.concatenate([history, target], 1).reshape(ROWS, 4, 2, 2).max((1, 3))
    np.testing.assert_array_equal(model.run({"history": history, "target": target})["best"], expected)
    shared = np.concatenate([np.repeat(history[:1], ROWS, 0), target], 1).reshape(ROWS, 4, 2, 2).max((1, 3))
    np.testing.assert_array_equal(model.score({"history": history[:1]}, {"target": target}), shared)


@pytest.mark.parametrize("equation", ["...mk,...nk->...mn", "b...k,bnk->b...n"])
def test_einsum_with_an_ellipsis_keeps_rows_apart(equation: str) -> None:
    a, b = _values(ROWS, 3, 4), _values(ROWS, 5, 4)
    model = _model(
        [helper.make_node("Einsum", ["a", "b"], ["y"], equation=equation)],
        {"a": (FLOAT, ["batch", 3, 4]), "b": (FLOAT, ["batch", 5, 4])},
        {"y": (FLOAT, ["batch", 3, 5])},
    )
    assert not model.explain().as_dict()["coupled"]
    np.testing.assert_allclose(model.run({"a": a, "b": b})["y"], a @ b.swapaxes(1, 2), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        model.score({"a": a[:1]}, {"b": b}), a[:1] @ b.swapaxes(1, 2), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("rows_last", [False, True])
def test_fused_product_with_transposed_batches(rows_last: bool) -> None:
    """``transBatchB`` moves the batch from behind the matrix's first axis to its front."""
    a, b = _values(ROWS, 3, 4), _values(ROWS, 4, 5)
    given = np.ascontiguousarray(b.transpose(2, 0, 1) if rows_last else b.transpose(1, 0, 2))
    product = helper.make_node(
        "FusedMatMul",
        ["a", "b"],
        ["y"],
        domain="com.microsoft",
        transBatchB=1,
        transB=int(rows_last),
        alpha=0.5,
    )
    model = _model(
        [product],
        {"a": (FLOAT, ["batch", 3, 4]), "b": (FLOAT, [given.shape[0], "batch", given.shape[2]])},
        {"y": (FLOAT, ["batch", 3, 5])},
    )
    assert not model.explain().as_dict()["coupled"]
    np.testing.assert_allclose(model.run({"a": a, "b": given})["y"], a @ b / 2, rtol=1e-4, atol=1e-5)


def test_fused_convolution_adds_and_activates() -> None:
    x, weight, other = _values(ROWS, 3, 6), _values(2, 3, 1), _values(ROWS, 2, 6)
    convolution = helper.make_node(
        "FusedConv",
        ["x", "weight", "", "other"],
        ["y"],
        domain="com.microsoft",
        activation="LeakyRelu",
        activation_params=[0.25],
    )
    model = _model(
        [convolution],
        {"x": (FLOAT, ["batch", 3, 6]), "other": (FLOAT, ["batch", 2, 6])},
        {"y": (FLOAT, ["batch", 2, 6])},
        {"weight": weight},
    )
    total = np.einsum("oc,bcl->bol", weight[:, :, 0], x) + other
    expected = np.where(total < 0, total * np.float32(0.25), total)
    np.testing.assert_allclose(model.run({"x": x, "other": other})["y"], expected, rtol=1e-4, atol=1e-5)


def test_values_and_offsets_have_their_own_numbers_of_rows() -> None:
    """The output's name is the exporter's own; two inputs agree on the batch's."""
    nodes = [
        helper.make_node("ReduceSum", ["values"], ["total"], keepdims=0),
        helper.make_node("Add", ["offsets", "total"], ["moved"]),
        helper.make_node("Cast", ["moved"], ["cast"], to=FLOAT),
        helper.make_node("Add", ["cast", "dense"], ["y"]),
    ]
    model = _model(
        nodes,
        {"values": (INT64, ["nnz"]), "offsets": (INT64, ["batch"]), "dense": (FLOAT, ["batch"])},
        {"y": (FLOAT, ["Add_3_dim_0"])},
    )
    offsets, dense = np.arange(5), np.ones(5, np.float32)
    made = model.run({"values": np.arange(4), "offsets": offsets, "dense": dense})["y"]
    np.testing.assert_array_equal(made, offsets + 7)


def test_axes_are_dropped_behind_an_operator_that_is_made_of_others() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "half", "zero"], ["q"]),
        helper.make_node(
            "QLinearSigmoid", ["q", "half", "zero", "half", "zero"], ["s"], domain="com.microsoft"
        ),
        helper.make_node("Squeeze", ["s"], ["flat"]),
        helper.make_node("DequantizeLinear", ["flat", "half", "zero"], ["y"]),
    ]
    constants = {"half": np.asarray(0.5, np.float32), "zero": np.asarray(0, np.int8)}
    model = _model(nodes, {"x": (FLOAT, ["batch", 1])}, {"y": (FLOAT, None)}, constants)
    x = np.asarray([[-4], [0], [3]], np.float32)
    expected = model.run({"x": x})["y"]
    assert expected.shape == (3,)
    np.testing.assert_array_equal(model.score({}, {"x": x}), expected)
    np.testing.assert_array_equal(model.score({}, {"x": x[:1]}), expected[:1])
    np.testing.assert_array_equal(model.catalog({"x": x}).score({}), expected)


def test_an_element_of_each_row_is_taken_inside_the_row() -> None:
    """``x[arange(N), i]`` is how exporters write the last item of a history."""
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Squeeze", ["rows"], ["count"]),
        helper.make_node("Range", ["zero", "count", "one"], ["numbers"]),
        helper.make_node("Unsqueeze", ["numbers", "last"], ["column"]),
        helper.make_node("Unsqueeze", ["place", "last"], ["places"]),
        helper.make_node("Concat", ["column", "places"], ["coordinates"], axis=-1),
        helper.make_node("GatherND", ["x", "coordinates"], ["y"]),
    ]
    model = _model(
        nodes,
        {"x": (FLOAT, ["batch", 4, 3]), "place": (INT64, ["batch"])},
        {"y": (FLOAT, ["batch", 3])},
        {"zero": np.asarray(0), "one": np.asarray(1), "last": np.array([-1])},
    )
    assert not model.explain().as_dict()["coupled"]
    x, place = _values(ROWS, 4, 3), np.arange(ROWS) % 7 - 3
    np.testing.assert_array_equal(model.run({"x": x, "place": place})["y"], x[np.arange(ROWS), place])
    place = np.abs(place)
    np.testing.assert_array_equal(model.score({"x": x[:1]}, {"place": place}), x[0, place])
    np.testing.assert_array_equal(model.score({"place": place[:1]}, {"x": x}), x[:, place[0]])
    with pytest.raises(IdRangeError, match=r"input 'place'.*row 1"):
        model.score({"x": x[:1]}, {"place": np.asarray([0, -1])})
