"""ONNX files to graphs: old opsets, stored values, functions, bodies, and where the batch is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.models import FLOAT, INT64, STRING, USERS, make_graph, make_model, one_node, ranker

import pyrec_infer as pi
from pyrec_infer.errors import InputError, ModelError, PyrecError, UnsupportedModelError
from pyrec_infer.formats import import_model
from pyrec_infer.formats.onnx.batch import find_batch
from pyrec_infer.formats.onnx.upgrade import RULES
from pyrec_infer.ir import BATCH, Dim, Rows

Array = NDArray[Any]


def run(proto: onnx.ModelProto, inputs: Mapping[str, Any]) -> dict[str, Array]:
    return pi.load(proto.SerializeToString()).run(inputs)


MATRIX = np.asarray([[3, -1, 2, 5], [0, 7, -4, 1]], np.float32)
X: Mapping[str, Any] = {"x": (FLOAT, ["N", 4])}


# Old opsets


def softmax(x: Array) -> Array:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


CUBE = np.arange(12, dtype=np.float32).reshape(2, 3, 2)

OLD_FORMS: list[tuple[str, int, dict[str, Any], Array, Array]] = [
    ("Clip", 6, {"min": 0.0, "max": 3.0}, MATRIX, np.clip(MATRIX, 0, 3)),
    ("Clip", 9, {"max": 2.0}, MATRIX, np.minimum(MATRIX, 2)),
    ("Clip", 9, {}, MATRIX, MATRIX),
    ("Slice", 9, {"starts": [1], "ends": [3], "axes": [1]}, MATRIX, MATRIX[:, 1:3]),
    ("Slice", 9, {"starts": [0, -2], "ends": [9, 2**31 - 1]}, MATRIX, MATRIX[:, -2:]),
    ("Squeeze", 9, {"axes": [1]}, CUBE[:, :1], CUBE[:, 0]),
    ("Squeeze", 11, {"axes": [-2]}, CUBE[:, :1], CUBE[:, 0]),
    ("Unsqueeze", 9, {"axes": [1]}, MATRIX, MATRIX[:, None]),
    ("Unsqueeze", 11, {"axes": [-1]}, MATRIX, MATRIX[..., None]),
    ("Softmax", 9, {}, CUBE, softmax(CUBE.reshape(2, 6)).reshape(CUBE.shape)),
    ("Softmax", 11, {"axis": 2}, CUBE, softmax(CUBE)),
    ("Softmax", 11, {"axis": -1}, CUBE, softmax(CUBE)),
    ("Softmax", 13, {}, CUBE, softmax(CUBE)),
    ("LogSoftmax", 11, {}, CUBE, np.log(softmax(CUBE.reshape(2, 6))).reshape(CUBE.shape)),
    ("TopK", 9, {"k": 2}, MATRIX, np.asarray([[5, 3], [7, 1]], np.float32)),
    ("Pad", 9, {"pads": [0, 1, 0, 2]}, MATRIX, np.pad(MATRIX, [(0, 0), (1, 2)])),
    (
        "Pad",
        2,
        {"pads": [0, 1, 0, 0], "value": 7.0},
        MATRIX,
        np.pad(MATRIX, [(0, 0), (1, 0)], constant_values=7),
    ),
    (
        "DFT",
        17,
        {"axis": 1, "onesided": 1},
        CUBE[..., :1],
        np.stack([np.fft.rfft(CUBE[..., 0]).real, np.fft.rfft(CUBE[..., 0]).imag], axis=-1),
    ),
    ("ReduceSum", 11, {"axes": [1], "keepdims": 0}, MATRIX, MATRIX.sum(1)),
    ("ReduceMean", 9, {"axes": [1]}, MATRIX, MATRIX.mean(1, keepdims=True)),
]


@pytest.mark.parametrize(("op", "opset", "attributes", "x", "expected"), OLD_FORMS)
def test_old_forms(op: str, opset: int, attributes: dict[str, Any], x: Array, expected: Array) -> None:
    outputs = ("y", "places") if op == "TopK" else ("y",)
    proto = one_node(op, {"x": (FLOAT, ["N", *x.shape[1:]])}, opset=opset, outputs=outputs, **attributes)
    np.testing.assert_allclose(run(proto, {"x": x})["y"], expected, rtol=1e-6)


def test_input_forms_of_the_same_operators() -> None:
    integers = {"begin": [1], "end": [3], "axes": [1], "k": [2], "pads": [0, 1, 0, 0]}
    constants: dict[str, Array] = {name: np.asarray(value) for name, value in integers.items()}
    constants["low"] = np.float32(0)
    nodes = [
        helper.make_node("Slice", ["x", "begin", "end", "axes"], ["sliced"]),
        helper.make_node("Clip", ["sliced", "low", ""], ["clipped"]),
        helper.make_node("TopK", ["clipped", "k"], ["best", ""]),
        helper.make_node("Pad", ["best", "pads"], ["padded"]),
        helper.make_node("Unsqueeze", ["padded", "axes"], ["tall"]),
        helper.make_node("Squeeze", ["tall", "axes"], ["y"]),
    ]
    made = run(make_model(nodes, X, {"y": (0, None)}, constants, opset=13), {"x": MATRIX})["y"]
    np.testing.assert_array_equal(made, [[0, 2, 0], [0, 7, 0]])


def test_training_mode_is_refused() -> None:
    ones = {name: np.ones(4, np.float32) for name in ("scale", "bias", "mean", "variance")}
    proto = one_node("BatchNormalization", X, ones, opset=15, training_mode=1)
    with pytest.raises(UnsupportedModelError, match="training mode"):
        pi.load(proto.SerializeToString())


# Inputs and stored values


def test_initialisers_that_are_also_inputs_may_be_given_and_are_ignored() -> None:
    proto = ranker()
    proto.graph.input.append(helper.make_tensor_value_info("b2", FLOAT, [1]))
    model = pi.load(proto.SerializeToString())
    assert [info.name for info in model.inputs] == ["user", "item", "dense"]
    inputs = {"user": [1, 2], "item": [3, 4], "dense": np.ones((2, 3), np.float32)}
    expected = model.run(inputs)["score"]
    np.testing.assert_array_equal(model.run({**inputs, "b2": np.zeros(1, np.float32)})["score"], expected)


@pytest.mark.parametrize(
    ("sizes", "attributes", "opset", "widths"),
    [
        ([1, 3], {}, 13, (1, 3)),
        (None, {"num_outputs": 2}, 18, (2, 2)),
        (None, {"num_outputs": 3}, 18, (2, 2, 0)),
        (None, {}, 13, (2, 2)),
    ],
)
def test_split(sizes: Sequence[int] | None, attributes: Any, opset: int, widths: tuple[int, ...]) -> None:
    names = tuple(f"y{i}" for i in range(len(widths)))
    constants = {} if sizes is None else {"sizes": np.asarray(sizes)}
    proto = one_node("Split", X, constants, outputs=names, opset=opset, axis=1, **attributes)
    made = run(proto, {"x": MATRIX})
    begin = 0
    for name, width in zip(names, widths, strict=True):
        np.testing.assert_array_equal(made[name], MATRIX[:, begin : begin + width])
        begin += width


TYPED: list[tuple[str, str, list[Any], Array]] = [
    ("FLOAT", "float_data", [1.5, -2.0], np.asarray([1.5, -2], np.float32)),
    ("DOUBLE", "double_data", [1.5, -2.0], np.asarray([1.5, -2], np.float64)),
    ("FLOAT16", "int32_data", [0x3E00, 0xC000], np.asarray([1.5, -2], np.float16)),
    ("INT8", "int32_data", [-128, 127], np.asarray([-128, 127], np.int8)),
    ("INT16", "int32_data", [-(2**15), 7], np.asarray([-(2**15), 7], np.int16)),
    ("INT32", "int32_data", [-(2**31), 7], np.asarray([-(2**31), 7], np.int32)),
    ("INT64", "int64_data", [-(2**63), 7], np.asarray([-(2**63), 7], np.int64)),
    ("UINT8", "int32_data", [0, 255], np.asarray([0, 255], np.uint8)),
    ("UINT16", "int32_data", [0, 65535], np.asarray([0, 65535], np.uint16)),
    ("UINT32", "uint64_data", [0, 2**32 - 1], np.asarray([0, 2**32 - 1], np.uint32)),
    ("UINT64", "uint64_data", [0, 2**64 - 1], np.asarray([0, 2**64 - 1], np.uint64)),
    ("BOOL", "int32_data", [0, 1], np.asarray([False, True])),
    ("STRING", "string_data", [b"a", "é".encode()], np.asarray(["a", "é"])),
]


@pytest.mark.parametrize(("kind", "field", "data", "expected"), TYPED)
def test_stored_values_of_every_type(kind: str, field: str, data: list[Any], expected: Array) -> None:
    code = TensorProto.DataType.Value(kind)
    proto = one_node("Gather", {"i": (INT64, ["N"])}, operands=["stored", "i"])
    tensors = [onnx.TensorProto(name="stored", data_type=code, dims=[2], **{field: data})]
    if kind != "STRING":
        tensors.append(onnx.TensorProto(name="stored", data_type=code, dims=[2], raw_data=expected.tobytes()))
    for tensor in tensors:
        del proto.graph.initializer[:]
        proto.graph.initializer.append(tensor)
        made = run(proto, {"i": [1, 0, 1]})["y"]
        np.testing.assert_array_equal(made, expected[[1, 0, 1]])
        assert made.dtype.kind == expected.dtype.kind
        assert kind == "STRING" or made.dtype == expected.dtype


NARROW: list[tuple[str, bytes, list[float]]] = [
    ("BFLOAT16", b"\xc0\x3f\x00\xc0\x80\x7f", [1.5, -2, np.inf]),
    ("INT4", b"\x98\x07", [-8, -7, 7]),
    ("UINT4", b"\xf8\x07", [8, 15, 7]),
]


def narrow(kind: str, data: bytes, in_field: bool, *nodes: onnx.NodeProto) -> onnx.ModelProto:
    """A model of values of a type that NumPy lacks, which nodes make ``y`` of."""
    wide = list(np.frombuffer(data, np.uint16 if kind == "BFLOAT16" else np.uint8))
    field: dict[str, Any] = {"int32_data": wide} if in_field else {"raw_data": data}
    proto = one_node("Identity", {"i": (INT64, ["N"])}, operands=["i"])
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    code = TensorProto.DataType.Value(kind)
    proto.graph.initializer.append(onnx.TensorProto(name="stored", data_type=code, dims=[3], **field))
    return proto


@pytest.mark.parametrize("in_field", [False, True])
@pytest.mark.parametrize(("kind", "data", "expected"), NARROW)
def test_narrow_types_may_be_moved_and_cast(
    kind: str, data: bytes, expected: list[float], in_field: bool
) -> None:
    moved = helper.make_node("Gather", ["stored", "i"], ["m"])
    proto = narrow(kind, data, in_field, moved, helper.make_node("Cast", ["m"], ["y"], to=FLOAT))
    made = run(proto, {"i": [2, 0, 1, 2]})["y"]
    np.testing.assert_array_equal(made, np.asarray(expected, np.float32)[[2, 0, 1, 2]])


def test_four_bits_are_dequantised_in_blocks() -> None:
    taken = helper.make_node("DequantizeLinear", ["stored", "scale"], ["d"], axis=0, block_size=2)
    proto = narrow("INT4", b"\x98\x07", False, taken, helper.make_node("Gather", ["d", "i"], ["y"]))
    proto.opset_import[0].version = 21
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray([0.5, 3], np.float32), "scale"))
    np.testing.assert_array_equal(run(proto, {"i": [0, 1, 2]})["y"], [-4, -3.5, 21])


NEGATES = helper.make_graph(
    [helper.make_node("Neg", ["m"], ["z"])], "negates", [], [onnx.ValueInfoProto(name="z")]
)


@pytest.mark.parametrize(
    "nodes",
    [
        [helper.make_node("Neg", ["m"], ["y"])],
        [helper.make_node("Concat", ["m", "m"], ["c"], axis=0), helper.make_node("Relu", ["c"], ["y"])],
        [helper.make_node("DequantizeLinear", ["m", "m"], ["y"])],
        [helper.make_node("Identity", ["m"], ["y"])],
        [helper.make_node("If", ["taken"], ["y"], then_branch=NEGATES, else_branch=NEGATES)],
    ],
    ids=["computes", "computes later", "scale", "is a result", "in a body"],
)
def test_computing_in_a_narrow_type_is_refused(nodes: list[onnx.NodeProto]) -> None:
    kind, data, _ = NARROW[0]
    proto = narrow(kind, data, False, *nodes, helper.make_node("Gather", ["stored", "i"], ["m"]))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(True), "taken"))
    with pytest.raises(UnsupportedModelError, match="bfloat16"):
        pi.load(proto.SerializeToString())


def test_stored_booleans_are_zero_or_one() -> None:
    proto = one_node("Cast", {"i": (INT64, ["N"])}, operands=["mask"], to=INT64)
    proto.graph.node.append(helper.make_node("Add", ["y", "i"], ["z"]))
    proto.graph.output.append(onnx.ValueInfoProto(name="z"))
    proto.graph.initializer.append(
        onnx.TensorProto(name="mask", data_type=TensorProto.BOOL, dims=[1], raw_data=b"\x07")
    )
    np.testing.assert_array_equal(run(proto, {"i": [0, 1]})["z"], [1, 2])


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("value_int", 3, np.asarray(3)),
        ("value_ints", [3, 4], np.asarray([3, 4])),
        ("value_float", 0.5, np.float32(0.5)),
        ("value_floats", [0.5], np.asarray([0.5], np.float32)),
        ("value", onnx.numpy_helper.from_array(np.asarray([2, 3], np.int8)), np.asarray([2, 3], np.int8)),
    ],
)
def test_constant_nodes(key: str, value: Any, expected: Array) -> None:
    proto = one_node("Constant", {}, **{key: value})
    made = import_model(proto.SerializeToString()).graph.constants["y"]
    np.testing.assert_array_equal(made, expected)
    assert made.dtype == expected.dtype


# Functions and bodies


def scaled_function() -> onnx.FunctionProto:
    """``y = x * factor``, where the factor is an attribute."""
    constant = helper.make_node("Constant", [], ["factor"])
    constant.attribute.append(
        onnx.AttributeProto(name="value_float", ref_attr_name="factor", type=onnx.AttributeProto.FLOAT)
    )
    nodes = [constant, helper.make_node("Mul", ["x", "factor"], ["y"])]
    return helper.make_function(
        "own", "Scaled", ["x"], ["y"], nodes, [helper.make_opsetid("", 21)], attributes=["factor"]
    )


@pytest.mark.parametrize("places", [[1, 4, 5], [[0, 1], [1, 1], [1, 2]], []])
@pytest.mark.parametrize("node", [False, True])
def test_sparse_values_are_dense(places: Any, node: bool) -> None:
    numbers = [0.5, -2.0, 4.0][: len(places)]
    values = helper.make_tensor("w", FLOAT, [len(places)], numbers)
    indices = helper.make_tensor("places", INT64, np.shape(places), np.ravel(places).astype(int))
    sparse = helper.make_sparse_tensor(values, indices, [2, 3])
    proto = one_node("MatMul", {"x": (FLOAT, ["N", 2])}, operands=["x", "w"])
    if node:
        proto.graph.node.insert(0, helper.make_node("Constant", [], ["w"], sparse_value=sparse))
    else:
        proto.graph.sparse_initializer.append(sparse)
    dense = np.asarray([[0, 0.5, 0], [0, -2, 4]] if places else np.zeros((2, 3)), np.float32)
    x = np.asarray([[1, 2], [3, 4], [-1, 1]], np.float32)
    np.testing.assert_array_equal(run(proto, {"x": x})["y"], x @ dense)


def test_local_functions_are_expanded() -> None:
    nodes = [
        helper.make_node("Scaled", ["x"], ["twice"], domain="own", factor=2.0),
        helper.make_node("Scaled", ["twice"], ["y"], domain="own", factor=-3.0),
    ]
    proto = make_model(nodes, X, {"y": (0, None)}, domains={"own": 1}, functions=[scaled_function()])
    np.testing.assert_array_equal(run(proto, {"x": MATRIX})["y"], MATRIX * -6)


def branching(condition: str) -> list[onnx.NodeProto]:
    """``y = condition ? 2 * h + k : h``, where the branches capture h, and k is stored in one."""
    then = make_graph(
        [helper.make_node("Add", ["h", "h"], ["double"]), helper.make_node("Add", ["double", "k"], ["a"])],
        {},
        {"a": (0, None)},
        {"k": np.float32(1)},
    )
    otherwise = make_graph([helper.make_node("Identity", ["h"], ["b"])], {}, {"b": (0, None)})
    return [
        helper.make_node("Neg", ["x"], ["h"]),
        helper.make_node("If", [condition], ["y"], then_branch=then, else_branch=otherwise),
    ]


@pytest.mark.parametrize("taken", [True, False])
def test_branches_capture_outer_values(taken: bool) -> None:
    expected = -2 * MATRIX + 1 if taken else -MATRIX
    given = make_model(branching("c"), {**X, "c": (TensorProto.BOOL, [])}, {"y": (0, None)})
    np.testing.assert_array_equal(run(given, {"x": MATRIX, "c": np.asarray(taken)})["y"], expected)
    stored = make_model(branching("c"), X, {"y": (0, None)}, {"c": np.asarray(taken)})
    model = pi.load(stored.SerializeToString())
    np.testing.assert_array_equal(model.run({"x": MATRIX})["y"], expected)
    assert "If" not in str(model.explain())


def test_nested_bodies_capture_outer_values() -> None:
    """A branch inside a loop's body reads what only the outer graph makes."""
    add = make_graph([helper.make_node("Add", ["state", "h"], ["a"])], {}, {"a": (0, None)})
    keep = make_graph([helper.make_node("Identity", ["state"], ["b"])], {}, {"b": (0, None)})
    body = make_graph(
        [
            helper.make_node("Less", ["i", "two"], ["early"]),
            helper.make_node("If", ["early"], ["next"], then_branch=add, else_branch=keep),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        {"i": (INT64, []), "go": (TensorProto.BOOL, []), "state": (FLOAT, None)},
        {"go_on": (TensorProto.BOOL, []), "next": (FLOAT, None)},
    )
    nodes = [
        helper.make_node("Neg", ["x"], ["h"]),
        helper.make_node("Loop", ["trips", "", "x"], ["y"], body=body),
    ]
    proto = make_model(nodes, X, {"y": (0, None)}, {"trips": np.asarray(5), "two": np.asarray(2)})
    np.testing.assert_array_equal(run(proto, {"x": MATRIX})["y"], -MATRIX)


# The batch axis


N = Dim.symbol(BATCH)


@pytest.mark.parametrize(
    ("inputs", "outputs", "expected", "rows"),
    [
        ({"x": ["batch", 3]}, {"y": ["batch"]}, (N, 3), 0),
        ({"x": [None, 3]}, {"y": [None]}, (N, 3), 0),
        ({"x": ["", 3]}, {"y": ["batch"]}, (N, 3), 0),
        ({"x": ["unk__7", 3]}, {"y": ["unk__9", 1]}, (N, 3), 0),
        ({"x": ["dense_dynamic_axes_1", 3]}, {"y": ["dense_dynamic_axes_2"]}, (N, 3), 0),
        ({"x": [5, "batch"]}, {"y": ["batch", 1]}, (5, N), 1),
        ({"x": ["length", "batch"]}, {"y": ["batch", 1]}, (Dim.symbol("length"), N), 1),
        ({"x": ["batch", "length"]}, {"y": ["batch", 1]}, (N, Dim.symbol("length")), 0),
        ({"x": ["s0", 3]}, {"y": ["s1", 1]}, (N, 3), 0),
        ({"x": [4, 3]}, {"y": ["batch", 1]}, (4, 3), Rows.INVARIANT),
        ({"x": []}, {"y": ["batch", 1]}, (), Rows.INVARIANT),
    ],
)
def test_batch_axis_of_one_input(inputs: Any, outputs: Any, expected: Any, rows: int) -> None:
    batch = find_batch(inputs, outputs)
    assert batch.shapes["x"] == expected
    assert batch.rows["x"] == rows
    assert not batch.static_rows


def test_batch_axes_of_several_inputs() -> None:
    inputs = {"a": ["batch", 2], "b": ["other", 2], "c": [None, 2]}
    by_output = find_batch(inputs, {"y": ["batch"]})
    assert dict(by_output.rows) == {"a": 0, "b": Rows.INVARIANT, "c": 0}
    by_none = find_batch(inputs, {"y": ["elsewhere"]})
    assert dict(by_none.rows) == {"a": 0, "b": 0, "c": 0}


def test_another_size_may_have_the_name_of_the_batch() -> None:
    """A list of ``N`` candidates for each request, as many in both inputs."""
    inputs = {"u": ["B", 2], "i": ["B", BATCH], "x": ["B", BATCH, 3], "z": ["B", f"{BATCH}'"]}
    batch = find_batch(inputs, {"y": ["B", BATCH]})
    rows, size = Dim.symbol(BATCH), batch.shapes["i"][1]
    assert batch.shapes == {
        "u": (rows, 2),
        "i": (rows, size),
        "x": (rows, size, 3),
        "z": (rows, Dim.symbol("N'")),
    }
    assert str(size) == "N''"


def test_models_fixed_to_one_row_run_row_by_row() -> None:
    assert find_batch({"x": [1, 4]}, {"y": [1, 4]}).static_rows
    proto = one_node("Softmax", {"x": (FLOAT, [1, 4])}, axis=1)
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, [1, 4]))
    np.testing.assert_allclose(run(proto, {"x": MATRIX})["y"], softmax(MATRIX), rtol=1e-6)


def test_batch_at_axis_1_runs() -> None:
    proto = one_node("ReduceSum", {"x": (FLOAT, [4, "batch"])}, {"axes": np.asarray([0])}, keepdims=0)
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, ["batch"]))
    model = pi.load(proto.SerializeToString())
    np.testing.assert_array_equal(model.score({}, {"x": MATRIX.T}), MATRIX.sum(1))


def test_inputs_without_a_rank_are_refused() -> None:
    proto = one_node("Relu", {"x": (FLOAT, None)})
    with pytest.raises(UnsupportedModelError, match="'x' declares no tensor type and rank"):
        pi.load(proto.SerializeToString())


def test_names_that_rules_make_up_may_be_taken() -> None:
    """An initialiser with the name that the import would give the axes of a node."""
    nodes = [helper.make_node("Squeeze", ["x"], ["y"], axes=[1])]
    proto = make_model(
        nodes, {"x": (FLOAT, ["N", 1])}, {"y": (0, None)}, {"y/axes": np.asarray([0])}, opset=11
    )
    np.testing.assert_array_equal(run(proto, {"x": MATRIX[:, :1]})["y"], MATRIX[:, 0])


@pytest.mark.parametrize("op", sorted(RULES))
@pytest.mark.parametrize("opset", [1, 7, 9, 10, 12, 13])
@pytest.mark.parametrize("operands", [[], [""], ["", "x"]])
def test_operators_of_old_opsets_without_their_first_input(op: str, opset: int, operands: list[str]) -> None:
    proto = one_node(op, X, operands=operands, opset=opset)
    with pytest.raises(PyrecError, match=op):
        pi.load(proto.SerializeToString())


def test_negative_sizes_of_a_reshape_are_refused_by_every_call() -> None:
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["r"]),
        helper.make_node("Add", ["r", "z"], ["y"]),
    ]
    inputs = {"x": (FLOAT, ["N", 4]), "shape": (INT64, [2]), "z": (FLOAT, ["N", 4])}
    model = pi.load(make_model(nodes, inputs, {"y": (FLOAT, ["N", 4])}).SerializeToString())
    rows, shape = np.ones((7, 4), np.float32), np.asarray([-7, 4])
    with pytest.raises(PyrecError):
        model.run({"x": rows, "shape": shape, "z": rows})
    for request, items in (({"shape": shape}, {"x": rows}), ({}, {"x": rows, "shape": shape})):
        with pytest.raises(PyrecError):
            model.catalog(items, candidates=["z"]).score(request, np.arange(7), {"z": rows})
        with pytest.raises(PyrecError):
            model.score({**request, "z": rows[:1]}, items)


def test_strings_outside_utf8_are_refused() -> None:
    proto = one_node(
        "LabelEncoder",
        {"x": (STRING, ["N"])},
        domain="ai.onnx.ml",
        keys_strings=[b"\xff"],
        values_int64s=[1],
        opset=21,
    )
    proto.opset_import[1].version = 2
    with pytest.raises(ModelError, match=r"'keys_strings'.*UTF-8"):
        pi.load(proto.SerializeToString())


def test_errors_of_calls_are_value_errors() -> None:
    model = pi.load(ranker().SerializeToString())
    with pytest.raises(ValueError, match="'user'") as caught:
        model.run({"user": [USERS], "item": [0], "dense": [[0, 0, 0]]})
    assert isinstance(caught.value, InputError)


def test_composites_of_other_domains_keep_their_attributes() -> None:
    nodes = [
        helper.make_node("FusedMatMul", ["x", "w"], ["a"], domain="com.microsoft", alpha=0.5, transB=1),
        helper.make_node("QuickGelu", ["a"], ["y"], domain="com.microsoft", alpha=3.0),
    ]
    weights = np.arange(6, dtype=np.float32).reshape(3, 2) / 4
    floats = onnx.TensorProto.FLOAT
    inputs, outputs = {"x": (floats, ["N", 2])}, {"y": (floats, ["N", 3])}
    proto = make_model(nodes, inputs, outputs, {"w": weights}, domains={"com.microsoft": 1})
    x = np.asarray([[1.0, -2.0], [0.5, 3.0]], np.float32)
    a = 0.5 * x @ weights.T
    made = pi.load(proto.SerializeToString()).run({"x": x})["y"]
    np.testing.assert_allclose(made, a / (1 + np.exp(-3 * a)), rtol=1e-5, atol=1e-6)
