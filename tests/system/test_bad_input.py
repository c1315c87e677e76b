"""Damaged and hostile models, and calls that do not fit: a typed error, never a crash or a wrong result."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.models import FLOAT, INT32, INT64, ITEMS, STRING, USERS, make_graph, make_model, one_node, ranker

import pyrec_infer as pi
from pyrec_infer.backends.select import select_backend
from pyrec_infer.bundled import MODEL, items, users
from pyrec_infer.errors import (
    DTypeError,
    IdRangeError,
    InputError,
    MissingInputError,
    ModelError,
    PyrecError,
    ResourceLimitError,
    RowCountError,
    ShapeError,
    UnexpectedInputError,
    UnsupportedModelError,
)

Array = NDArray[Any]


def load(proto: onnx.ModelProto) -> pi.Model:
    return pi.load(proto.SerializeToString())


def load_and_run(proto: onnx.ModelProto, inputs: Mapping[str, Any]) -> dict[str, Array]:
    return load(proto).run(inputs)


X: Mapping[str, Any] = {"x": (FLOAT, ["N", 3])}
ROWS = {"x": np.ones((2, 3), np.float32)}


# Files


def bundled_inputs(count: int) -> dict[str, Array]:
    (user,) = users(1, count)
    repeated = {name: np.repeat(value, count, axis=0) for name, value in user.request.items()}
    return {**repeated, **items(count), "affinity": user.affinity}


def test_truncated_models_are_refused() -> None:
    data = ranker().SerializeToString()
    for cut in range(1, len(data)):
        with pytest.raises(ModelError):
            pi.load(data[:cut])


def test_truncated_bundled_model_is_refused() -> None:
    data = MODEL.read_bytes()
    for cut in np.linspace(1, len(data) - 1, 40).astype(int):
        with pytest.raises(ModelError):
            pi.load(data[:cut])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"user_id,item_id\n1,2\n", "not an ONNX model"),
        (np.random.default_rng(0).bytes(5000), "not an ONNX model"),
        (b"\0" * 100, "not an ONNX model"),
    ],
)
def test_files_that_are_no_models(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "some.onnx"
    path.write_bytes(data)
    with pytest.raises(ModelError, match=f"some.onnx.*{message}"):
        pi.load(path)
    with pytest.raises(ModelError, match=message):
        pi.load(data)


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        pi.load(tmp_path)
    with pytest.raises(ModelError, match=r"absent.onnx.*cannot be read"):
        pi.load(tmp_path / "absent.onnx")
    with pytest.raises(ModelError, match="cannot be read"):
        pi.load("a\0b")


# Graphs


def node(op: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, outputs, name=f"made_{outputs[0] if outputs else None}", **attributes)


Y: Mapping[str, Any] = {"y": (0, None)}

BROKEN_GRAPHS: dict[str, tuple[list[onnx.NodeProto], Mapping[str, Any], str]] = {
    "cycle": (
        [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Relu", ["b"], ["y"])],
        Y,
        "cycle",
    ),
    "own input": ([node("Add", ["x", "y"], ["y"])], Y, "cycle"),
    "unmade": ([node("Add", ["x", "nowhere"], ["y"])], Y, "'nowhere'"),
    "twice": ([node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"])], Y, "'y'.*twice"),
    "twice in a node": ([node("TopK", ["x", "k"], ["y", "y"])], Y, "'y'"),
    "same as input": ([node("Relu", ["x"], ["x"])], {"x": (0, None)}, "'x'.*twice"),
    "same as constant": ([node("Relu", ["x"], ["k"])], {"k": (0, None)}, "'k'.*twice"),
    "constants": (
        [node("Constant", [], ["y"], value_int=1), node("Constant", [], ["y"], value_int=2)],
        Y,
        "'y'.*twice",
    ),
    "unmade output": ([node("Relu", ["x"], ["a"])], Y, "'y'"),
    "no outputs of a node": ([node("Relu", ["x"], [])], {"x": (0, None)}, "expected 1 outputs, got 0"),
    "too few inputs": ([node("Gather", ["x"], ["y"])], Y, "expected 2 inputs, got 1"),
    "too many inputs": ([node("Relu", ["x", "x"], ["y"])], Y, "expected 1 inputs, got 2"),
    "required input absent": ([node("Gather", ["", "k"], ["y"])], Y, "made_y"),
    "loop without body": ([node("Loop", ["k", ""], ["y"])], Y, "'body' is missing"),
    "if without else": (
        [
            node(
                "If", ["k"], ["y"], then_branch=make_graph([node("Relu", ["x"], ["a"])], {}, {"a": (0, None)})
            )
        ],
        Y,
        "'else_branch' is missing",
    ),
    "axis as string": ([node("Softmax", ["x"], ["y"], axis="one")], Y, "'axis'.*expected INT, got STRING"),
    "axis as float": ([node("Softmax", ["x"], ["y"], axis=1.5)], Y, "'axis'.*expected INT, got FLOAT"),
    "axis outside": ([node("Softmax", ["x"], ["y"], axis=2)], Y, "axis 2.*rank 2"),
    "unknown attribute": ([node("Relu", ["x"], ["y"], slope=2.0)], Y, "'slope'"),
    "perm too long": ([node("Transpose", ["x"], ["y"], perm=[0, 1, 2])], Y, "made_y"),
    "perm repeats": ([node("Transpose", ["x"], ["y"], perm=[0, 0])], Y, "made_y"),
    "perm outside": ([node("Transpose", ["x"], ["y"], perm=[0, 7])], Y, "made_y"),
    "cast to nothing": ([node("Cast", ["x"], ["y"], to=99)], Y, "99"),
    "cast to bfloat16": ([node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)], Y, "made_y"),
    "internal operator": ([node("DimValues", ["x"], ["y"], domain="pyrec")], Y, "'pyrec'"),
}


@pytest.mark.parametrize("case", BROKEN_GRAPHS)
def test_broken_graphs_are_refused(case: str) -> None:
    nodes, outputs, message = BROKEN_GRAPHS[case]
    proto = make_model(nodes, X, outputs, {"k": np.asarray([1])}, domains={"pyrec": 1})
    with pytest.raises(ModelError, match=message):
        load_and_run(proto, ROWS)


@pytest.mark.parametrize("hidden", [-1, 0, 7, 2**62])
@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_recurrent_sizes_that_do_not_fit_the_weights(op: str, hidden: int) -> None:
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    weights = {"w": np.ones((1, gates * 2, 3), np.float32), "r": np.ones((1, gates * 2, 2), np.float32)}
    proto = one_node(op, {"x": (FLOAT, [4, "N", 3])}, weights, hidden_size=hidden)
    with pytest.raises((ModelError, ShapeError)):
        load_and_run(proto, {"x": np.ones((4, 2, 3), np.float32)})


@pytest.mark.parametrize(
    ("kind", "places", "shape", "error", "message"),
    [
        (FLOAT, [0, 4], [4], ModelError, "places within shape"),
        (FLOAT, [-1, 1], [4], ModelError, "places within shape"),
        (FLOAT, [1, 1], [4], ModelError, "rising order"),
        (FLOAT, [2, 1], [4], ModelError, "rising order"),
        (FLOAT, [[0, 1], [2, 0]], [2, 2], ModelError, "places within shape"),
        (FLOAT, [[0, 1], [0, 0]], [2, 2], ModelError, "rising order"),
        (FLOAT, [0], [4], ModelError, "a place for each value"),
        (FLOAT, [0, 1], [], ModelError, "1 to .* sizes"),
        (FLOAT, [0, 1], [-4], ModelError, "sizes of at least 0"),
        (FLOAT, [0, 1], [1 << 40, 1 << 40], ResourceLimitError, "memory|bytes"),
        (STRING, [0, 1], [4], UnsupportedModelError, "element type"),
        (TensorProto.BFLOAT16, [0, 1], [4], UnsupportedModelError, "element type"),
    ],
)
def test_sparse_initialisers_that_do_not_fit(
    kind: int, places: Any, shape: list[int], error: type[Exception], message: str
) -> None:
    proto = one_node("Add", X, operands=["x", "w"])
    values = helper.make_tensor("w", kind, [2], ["a", "b"] if kind == STRING else [1.0, 2.0])
    indices = helper.make_tensor("w_indices", INT64, np.shape(places), np.ravel(places))
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, shape))
    with pytest.raises(error, match=message):
        load(proto)


def test_model_without_a_graph_is_refused() -> None:
    proto = onnx.ModelProto(ir_version=10, opset_import=[helper.make_opsetid("", 21)])
    with pytest.raises(ModelError, match="no graph"):
        load(proto)


def test_two_inputs_of_one_name_are_refused() -> None:
    proto = one_node("Relu", X)
    proto.graph.input.append(proto.graph.input[0])
    with pytest.raises(ModelError, match=r"'x'.*twice"):
        load(proto)


@pytest.mark.parametrize("text", [b"Relu", b"tested"])
def test_names_that_are_not_utf8_are_refused(text: bytes) -> None:
    data = one_node("Relu", X).SerializeToString()
    with pytest.raises(ModelError, match="UTF-8"):
        pi.load(data.replace(text, b"\xff" * len(text)))


def test_operator_sets_that_cannot_be_read() -> None:
    newer = one_node("Relu", X, opset=10_000)
    with pytest.raises(UnsupportedModelError, match="opset 10000"):
        load(newer)
    without = one_node("Relu", X)
    del without.opset_import[:]
    with pytest.raises(ModelError, match=r"ai\.onnx, which the model does not import"):
        load(without)
    twice = one_node("Relu", X)
    twice.opset_import.append(helper.make_opsetid("ai.onnx", 9))
    with pytest.raises(ModelError, match="versions 21 and 9"):
        load(twice)
    with pytest.raises(ModelError, match="opset -1"):
        load(one_node("Relu", X, opset=-1))


def nested_branches(depth: int) -> onnx.ModelProto:
    """Branches that all take the inner one, down to a Relu."""
    inner = make_graph([node("Relu", ["x"], ["y0"])], {}, {"y0": (0, None)})
    for level in range(1, depth + 1):
        name = f"y{level}"
        other = make_graph([node("Neg", ["x"], [f"other{level}"])], {}, {f"other{level}": (0, None)})
        branch = node("If", ["condition"], [name], then_branch=inner, else_branch=other)
        inner = make_graph([branch], {}, {name: (0, None)})
    inputs = {**X, "condition": (TensorProto.BOOL, [])}
    return make_model(list(inner.node), inputs, {f"y{depth}": (0, None)})


@pytest.mark.parametrize("depth", [1, 5, 30])
def test_nested_branches_run(depth: int) -> None:
    made = load_and_run(nested_branches(depth), {**ROWS, "condition": np.asarray(True)})
    np.testing.assert_array_equal(made[f"y{depth}"], ROWS["x"])


def test_branches_nested_without_measure_are_refused() -> None:
    def field(number: int, payload: bytes) -> bytes:
        size, length = b"", len(payload)
        while length > 127:
            size, length = size + bytes([length & 127 | 128]), length >> 7
        return bytes([number << 3 | 2]) + size + bytes([length]) + payload

    graph = b""
    for _ in range(2000):
        # The fields are Attribute.g, Node.attribute and Graph.node.
        graph = field(1, field(5, field(6, graph)))
    with pytest.raises(ModelError):
        pi.load(field(7, graph))


def function(name: str, called: list[str]) -> onnx.FunctionProto:
    names = ["x", *(f"v{i}" for i in range(len(called)))]
    nodes = [
        helper.make_node(other, [names[i]], [names[i + 1]], domain="own") for i, other in enumerate(called)
    ]
    nodes.append(helper.make_node("Relu", [names[-1]], ["y"]))
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("own", 1)]
    return helper.make_function("own", name, ["x"], ["y"], nodes, opsets)


def test_functions_that_call_themselves_are_refused() -> None:
    for functions in ([function("f", ["f"])], [function("f", ["g"]), function("g", ["f"])]):
        proto = make_model(
            [helper.make_node("f", ["x"], ["y"], domain="own")], X, Y, domains={"own": 1}, functions=functions
        )
        with pytest.raises(ModelError, match="calls itself"):
            load(proto)


def test_functions_that_grow_without_measure_are_refused() -> None:
    functions = [function("f0", [])] + [function(f"f{i}", [f"f{i - 1}"] * 2) for i in range(1, 40)]
    proto = make_model(
        [helper.make_node("f39", ["x"], ["y"], domain="own")], X, Y, domains={"own": 1}, functions=functions
    )
    with pytest.raises(ModelError, match="functions expanded"):
        load(proto)


# Initialisers


def with_initialiser(**fields: Any) -> onnx.ModelProto:
    """``y = x * weights`` where the initialiser has exactly these fields."""
    proto = one_node("Mul", X, operands=["x", "weights"])
    proto.graph.initializer.append(onnx.TensorProto(name="weights", **fields))
    return proto


RAW = np.ones(3, np.float32).tobytes()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"data_type": FLOAT, "dims": [3], "raw_data": RAW[:-1]}, "expected 12 bytes.*got 11"),
        ({"data_type": FLOAT, "dims": [3], "raw_data": RAW + b"1"}, "expected 12 bytes.*got 13"),
        ({"data_type": FLOAT, "dims": [3], "raw_data": b""}, "expected 12 bytes.*got 0"),
        ({"data_type": FLOAT, "dims": [3], "float_data": [1, 2]}, "expected 3 elements.*got 2"),
        ({"data_type": FLOAT, "dims": [3], "float_data": [1, 2, 3, 4]}, "expected 3 elements.*got 4"),
        ({"data_type": FLOAT, "dims": [3]}, "expected 3 elements.*got 0"),
        ({"data_type": FLOAT, "dims": [3], "int64_data": [1, 2, 3]}, "expected 3 elements.*got 0"),
        ({"data_type": FLOAT, "dims": [-3], "float_data": [1, 2, 3]}, "at least 0"),
        ({"data_type": FLOAT, "dims": [-1, -3], "float_data": [1, 2, 3]}, "at least 0"),
        ({"data_type": FLOAT, "dims": [2**62]}, "got 0"),
        ({"data_type": FLOAT, "dims": [2**62, 4], "raw_data": b""}, "got 0"),
        ({"data_type": FLOAT, "dims": [2**62, 2**62, 2**62], "float_data": [1]}, "got 1"),
        ({"data_type": FLOAT, "dims": [2**62, 2**62, 0], "raw_data": b""}, "shape"),
        ({"data_type": FLOAT, "dims": [1] * 9, "float_data": [1]}, "9 axes, expected at most 8"),
        ({"data_type": STRING, "dims": [2], "string_data": [b"a"]}, "expected 2 elements.*got 1"),
        ({"data_type": STRING, "dims": [1], "string_data": [b"\xff\xfe"]}, "UTF-8"),
        ({"data_type": TensorProto.INT8, "dims": [1], "int32_data": [200]}, "int8"),
        ({"data_type": TensorProto.FLOAT16, "dims": [1], "int32_data": [70000]}, "float16"),
        ({"data_type": TensorProto.UINT32, "dims": [1], "uint64_data": [2**40]}, "uint32"),
        ({"data_type": 0, "dims": [1], "float_data": [1]}, "UNDEFINED"),
        ({"data_type": 999, "dims": [1], "float_data": [1]}, "999"),
        ({"data_type": TensorProto.BFLOAT16, "dims": [2], "raw_data": b"\0" * 3}, "expected 4 bytes.*got 3"),
        ({"data_type": TensorProto.BFLOAT16, "dims": [1], "int32_data": [70000]}, "uint16"),
        ({"data_type": TensorProto.INT4, "dims": [3], "raw_data": b"\0" * 3}, "expected 2 bytes.*got 3"),
        ({"data_type": TensorProto.UINT4, "dims": [2], "int32_data": [256]}, "uint8"),
        *(
            ({"data_type": TensorProto.DataType.Value(name), "dims": [2], "raw_data": b"\0" * 16}, name)
            for name in ("FLOAT8E4M3FN", "FLOAT8E5M2", "COMPLEX64", "COMPLEX128")
        ),
    ],
)
def test_initialisers_that_do_not_hold_what_they_say(fields: Mapping[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=f"'weights'.*{message}"):
        load_and_run(with_initialiser(**fields), ROWS)


@pytest.mark.parametrize("kind", [TensorProto.BFLOAT16, TensorProto.FLOAT8E4M3FN, TensorProto.COMPLEX64])
def test_inputs_of_types_without_a_numpy_form_are_refused(kind: int) -> None:
    with pytest.raises(UnsupportedModelError, match="'x'"):
        load(one_node("Identity", {"x": (kind, ["N"])}))


def test_inputs_of_too_many_axes_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"'x'.*9 axes"):
        load(one_node("Identity", {"x": (FLOAT, ["N", *[1] * 8])}))


HUGE = 2**40
GROWING: dict[str, Callable[[int], onnx.ModelProto]] = {
    "ConstantOfShape": lambda size: one_node("ConstantOfShape", {"n": (INT64, ["k"])}),
    "Expand": lambda size: one_node("Expand", {**X, "n": (INT64, ["k"])}),
    "Tile": lambda size: one_node("Tile", {**X, "n": (INT64, ["k"])}),
    "Pad": lambda size: one_node("Pad", {**X, "n": (INT64, ["k"])}),
    "Reshape": lambda size: one_node("Reshape", {**X, "n": (INT64, ["k"])}),
    "Range": lambda size: one_node("Range", {"zero": (INT64, []), "n": (INT64, []), "one": (INT64, [])}),
    "OneHot": lambda size: one_node(
        "OneHot", {"i": (INT64, ["N"]), "n": (INT64, []), "values": (FLOAT, [2])}
    ),
}


def growing_arguments(op: str, size: int) -> dict[str, Array]:
    return {
        "ConstantOfShape": {"n": np.asarray([size])},
        "Expand": {**ROWS, "n": np.asarray([size, 1, 1])},
        "Tile": {**ROWS, "n": np.asarray([size, 1])},
        "Pad": {**ROWS, "n": np.asarray([0, 0, size, 0])},
        "Reshape": {**ROWS, "n": np.asarray([size, size])},
        "Range": {"zero": np.asarray(0), "n": np.asarray(size), "one": np.asarray(1)},
        "OneHot": {"i": np.asarray([1]), "n": np.asarray(size), "values": np.asarray([0, 1], np.float32)},
    }[op]


@pytest.mark.parametrize("size", [HUGE, 2**62, 2**63 - 1])
@pytest.mark.parametrize("op", GROWING)
def test_huge_results_are_refused_before_they_are_allocated(op: str, size: int) -> None:
    """Once with the size as an input, once as a constant of the model."""
    if op == "Expand" and select_backend() == "numba":
        pytest.skip("NumPy's result is a view")
    arguments = growing_arguments(op, size)
    proto = GROWING[op](size)
    with pytest.raises((ModelError, ResourceLimitError, ShapeError)):
        load_and_run(proto, arguments)
    stored = onnx.numpy_helper.from_array(arguments.pop("n"), "n")
    proto.graph.initializer.append(stored)
    kept = [value for value in proto.graph.input if value.name != "n"]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    with pytest.raises((ModelError, ResourceLimitError, ShapeError)):
        load_and_run(proto, arguments)


# Flipped bytes


FUZZED = (
    "skl_FeatureHasher_LR",
    "skl_Pipeline_strOneHot",
    "plain_HashMod_QR_ts",
    "keras3_GRU_keras",
    "plain_DIN_softmax_1e9_dice_ts",
    "plain_kjt_lengths_ts",
)


def flip(data: bytes, generator: np.random.Generator) -> bytes:
    flipped = bytearray(data)
    for position in generator.integers(0, len(data), generator.integers(1, 4)):
        flipped[position] = generator.integers(0, 256)
    return bytes(flipped)


def fuzz(data: bytes, inputs: Mapping[str, Array], count: int) -> None:
    generator = np.random.default_rng(17)
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(count):
            try:
                pi.load(flip(data, generator)).run(inputs)
            except PyrecError:
                refused += 1
    assert refused > 0


@pytest.mark.parametrize("name", FUZZED)
def test_flipped_bytes_give_typed_errors(name: str, shared: Path) -> None:
    folder = shared / "zoo" / "models" / name
    with np.load(folder / "inputs.npz") as stored:
        inputs = {key: stored[key][:5] for key in stored.files}
    fuzz((folder / "model.onnx").read_bytes(), inputs, 50)


def test_flipped_bytes_of_small_models_give_typed_errors() -> None:
    inputs = {"user": np.arange(5), "item": np.arange(5), "dense": np.ones((5, 3), np.float32)}
    fuzz(ranker().SerializeToString(), inputs, 150)
    # Weights are most of the file: damage what comes before and after them too.
    data = MODEL.read_bytes()
    generator = np.random.default_rng(18)
    for _ in range(40):
        begin, end = flip(data[:3000], generator), flip(data[-3000:], generator)
        try:
            pi.load(begin + data[3000:-3000] + end).run(bundled_inputs(5))
        except PyrecError:
            continue


# External data


def external(folder: Path, location: str = "weights.bin", **entries: Any) -> Path:
    """A model ``y = x * weights`` whose weights [1, 2, 3] are in another file; returns its path."""
    folder.mkdir(exist_ok=True)
    proto = one_node("Mul", X, operands=["x", "weights"])
    tensor = onnx.TensorProto(
        name="weights", data_type=FLOAT, dims=[3], data_location=onnx.TensorProto.EXTERNAL
    )
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=str(value))
    proto.graph.initializer.append(tensor)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


WEIGHTS = np.asarray([1, 2, 3], np.float32)


@pytest.mark.parametrize(
    ("entries", "data"),
    [
        ({}, WEIGHTS.tobytes()),
        ({"offset": 8, "length": 12}, b"\1" * 8 + WEIGHTS.tobytes() + b"\1"),
        ({"offset": 5, "length": 12}, b"\1" * 5 + WEIGHTS.tobytes()),
    ],
)
def test_external_data_in_the_folder(tmp_path: Path, entries: Mapping[str, int], data: bytes) -> None:
    path = external(tmp_path, "parts/weights.bin", **entries)
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "weights.bin").write_bytes(data)
    np.testing.assert_array_equal(pi.load(path).run(ROWS)["y"], ROWS["x"] * WEIGHTS)
    np.testing.assert_array_equal(pi.load(os.path.relpath(path)).run(ROWS)["y"], ROWS["x"] * WEIGHTS)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"offset": 1}, "expected 12 bytes at offset 1"),
        ({"offset": 2**62}, "expected 12 bytes at offset"),
        ({"offset": -4}, "-4"),
        ({"length": 11}, "expected 12 bytes.*got 11"),
        ({"length": 16}, "expected 12 bytes.*got 16"),
        ({"length": -12}, "expected 12 bytes"),
        ({"offset": "first"}, "not a number"),
        ({"length": "1e1"}, "not a number"),
        ({"location": ""}, "path"),
        ({"location": "."}, "external data"),
        ({"location": "absent.bin"}, "cannot be read"),
        ({"location": "a\0b"}, "path"),
        ({"location": "..\\weights.bin"}, "path"),
        ({"location": "../outside.bin"}, "path"),
        ({"location": "model/../../outside.bin"}, "path"),
        ({"location": "link.bin"}, "symbolic link"),
        ({"location": "folder/outside.bin"}, "symbolic link"),
        ({"location": "hard.bin"}, "other links"),
        ({"location": "pipe"}, "regular file"),
    ],
)
def test_external_data_that_must_not_be_read(
    tmp_path: Path, entries: Mapping[str, Any], message: str
) -> None:
    folder = tmp_path / "model"
    path = external(folder, **entries)
    (tmp_path / "outside.bin").write_bytes(WEIGHTS.tobytes())
    (folder / "weights.bin").write_bytes(WEIGHTS.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    (folder / "folder").symlink_to(tmp_path)
    (folder / "hard.bin").hardlink_to(tmp_path / "outside.bin")
    os.mkfifo(folder / "pipe")
    with pytest.raises(ModelError, match=f"'weights'.*{message}"):
        pi.load(path)


def test_external_data_at_an_absolute_path_or_of_bytes(tmp_path: Path) -> None:
    (tmp_path / "weights.bin").write_bytes(WEIGHTS.tobytes())
    with pytest.raises(ModelError, match=r"'weights'.*outside"):
        pi.load(external(tmp_path, str(tmp_path / "weights.bin")))
    with pytest.raises(ModelError, match=r"'weights'.*bytes"):
        pi.load(external(tmp_path).read_bytes())


# Operators nobody knows


LOOKUPS = {
    "dctrtf_DeepFM_hash_int": "Hash",
    "keras3_Discretization_keras": "Bucketize",
    "keras3_Hashing_keras": "Hash",
    "keras3_StringLookup_tf2onnx": "LookupTable",
    "keras3_TwoTower_tf2onnx": "Erfc",
}


@pytest.mark.parametrize("name", LOOKUPS)
def test_invalid_exports_are_refused_with_advice(name: str, shared: Path) -> None:
    path = shared / "zoo" / "invalid" / name / "model.onnx"
    with pytest.raises(UnsupportedModelError) as caught:
        pi.load(path)
    message = str(caught.value)
    assert LOOKUPS[name] in message
    assert "outside the graph" in message or "operators that ONNX has" in message


def two_unknown() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Frobnicate", ["x"], ["a"], name="first", domain="com.example"),
        helper.make_node("Defrobnicate", ["a"], ["y"], name="second", domain="com.example"),
    ]
    return make_model(nodes, X, Y, domains={"com.example": 1})


def test_every_unknown_operator_is_listed() -> None:
    with pytest.raises(UnsupportedModelError, match=r"Frobnicate.*'first'.*Defrobnicate.*'second'"):
        load(two_unknown())


def test_every_unknown_operator_is_listed_without_onnxruntime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnsupportedModelError, match=r"'first'.*'second'.*extra 'onnxruntime'"):
        load(two_unknown())


def determinant() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Mul", ["matrix", "matrix"], ["squared"]),
        helper.make_node("Det", ["squared"], ["det"], name="foreign"),
        helper.make_node("Add", ["det", "x"], ["y"]),
    ]
    return make_model(nodes, {"matrix": (FLOAT, ["N", 2, 2]), "x": (FLOAT, ["N"])}, {"y": (FLOAT, ["N"])})


def test_an_operator_that_only_onnxruntime_knows_runs_there() -> None:
    pytest.importorskip("onnxruntime")
    with pytest.warns(RuntimeWarning, match=r"Det \(node 'foreign'\)"):
        model = load(determinant())
    generator = np.random.default_rng(3)
    matrix, x = generator.random((5, 2, 2), np.float32), generator.random(5, np.float32)
    expected = np.linalg.det(matrix.astype(np.float64) ** 2) + x
    np.testing.assert_allclose(model.run({"matrix": matrix, "x": x})["y"], expected, rtol=1e-5)
    np.testing.assert_allclose(
        model.score({"matrix": matrix[:1]}, {"x": x}), expected[0] - x[0] + x, rtol=1e-5
    )
    text = str(model.explain())
    assert any("Det" in line and "onnxruntime" in line for line in text.splitlines())


def test_an_operator_that_only_onnxruntime_knows_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UnsupportedModelError, match=r"Det \(node 'foreign'\).*extra 'onnxruntime'"):
        load(determinant())


# Calls


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return load(ranker())


COUNT = 6


def sides() -> tuple[dict[str, Any], dict[str, Any]]:
    generator = np.random.default_rng(4)
    candidates = {
        "item": generator.integers(0, ITEMS, COUNT),
        "dense": generator.random((COUNT, 3), np.float32),
    }
    return {"user": np.asarray([3])}, candidates


DATES = np.zeros(COUNT, "datetime64[D]")
BAD_CALLS: dict[str, tuple[dict[str, Any], dict[str, Any], type[PyrecError], str]] = {
    "missing": ({}, {"item": None}, MissingInputError, "'item' is missing"),
    "missing request": ({"user": None}, {}, MissingInputError, "'user' is missing"),
    "unknown": (
        {},
        {"itme": np.zeros(COUNT, int)},
        UnexpectedInputError,
        "'itme'.*expected user, item, dense",
    ),
    "unknown request": ({"price": 1.0}, {}, UnexpectedInputError, "'price'"),
    "both sides": ({"item": [1]}, {}, InputError, "'item'.*both"),
    "strings": ({}, {"item": ["a"] * COUNT}, DTypeError, "'item': expected whole numbers.*got <U1"),
    "objects": ({}, {"item": [None] * COUNT}, InputError, "'item': expected a value in each row.*row 0"),
    "complex": ({}, {"dense": np.ones((COUNT, 3), complex)}, DTypeError, "'dense'.*got complex128"),
    "dates": ({}, {"item": DATES}, DTypeError, "'item'.*got datetime64"),
    "booleans": ({}, {"dense": np.ones((COUNT, 3), bool)}, DTypeError, "'dense': expected numbers.*got bool"),
    "boolean ids": (
        {},
        {"item": np.ones(COUNT, bool)},
        DTypeError,
        "'item': expected whole numbers.*got bool",
    ),
    "ragged": ({}, {"dense": [[1, 2, 3], [1, 2]]}, ShapeError, "'dense'"),
    "rank too high": ({}, {"item": np.zeros((COUNT, 2), int)}, ShapeError, "'item': expected rank 1"),
    "rank too low": ({}, {"dense": np.zeros(COUNT)}, ShapeError, "'dense': expected rank 2"),
    "width": ({}, {"dense": np.zeros((COUNT, 4))}, ShapeError, "'dense': expected size 3 along axis 1"),
    "row counts": ({}, {"dense": np.zeros((5, 3))}, RowCountError, "'dense': expected 6 rows.*'item'.*got 5"),
    "no rows of one": ({}, {"item": np.zeros(0, int)}, RowCountError, "'dense': expected 0 rows, got 6"),
    "two requests": ({"user": [1, 2]}, {}, RowCountError, "expected 1 row.*got 2"),
    "id too high": ({}, {"item": [1, 2, 3, 4, ITEMS, 0]}, IdRangeError, r"'item'.*row 4"),
    "id too low": ({}, {"item": [1, 2, 3, -ITEMS - 1, 0, 0]}, IdRangeError, r"'item'.*row 3"),
    "id of the request": ({"user": [USERS]}, {}, IdRangeError, r"'user'.*row 0"),
    "fraction": ({}, {"item": [0, 0.5, 0, 0, 0, 0]}, IdRangeError, r"'item'.*whole numbers.*row 1"),
    "nan": ({}, {"item": [0, 0, np.nan, 0, 0, 0]}, IdRangeError, r"'item'.*row 2"),
    "infinite": ({}, {"item": [0, 0, 0, 0, 0, np.inf]}, IdRangeError, r"'item'.*row 5"),
    "fraction in the request": ({"user": [0.5]}, {}, IdRangeError, r"'user'.*row 0"),
    "beyond float32": ({}, {"item": np.full(COUNT, 2**24 + 2, np.float32)}, IdRangeError, r"'item'.*row 0"),
}


@pytest.mark.parametrize("case", BAD_CALLS)
@pytest.mark.parametrize("method", ["score", "top_k"])
def test_calls_that_do_not_fit(model: pi.Model, case: str, method: str) -> None:
    own, others, error, message = BAD_CALLS[case]
    request, candidates = sides()
    for side, changes in ((request, own), (candidates, others)):
        side.update(changes)
        for name in [name for name, value in side.items() if value is None]:
            del side[name]
    with pytest.raises(error, match=message) as caught:
        getattr(model, method)(request, candidates)
    assert type(caught.value) is error


def test_messages_hold_no_feature_values(model: pi.Model) -> None:
    request, candidates = sides()
    secret = 987_654_321
    for value in (np.full(COUNT, secret), np.full(COUNT, secret + 0.5), np.full(COUNT, str(secret))):
        with pytest.raises(InputError) as caught:
            model.score(request, {**candidates, "item": value})
        assert str(secret) not in str(caught.value)


def test_int64_ids_beyond_the_models_int32() -> None:
    narrow = load(ranker(INT32))
    request, candidates = sides()
    expected = load(ranker()).score(request, candidates)
    np.testing.assert_array_equal(narrow.score(request, candidates), expected)
    beyond = candidates["item"].copy()
    beyond[2] += 2**32
    with pytest.raises(IdRangeError, match=r"'item'.*int32.*row 2"):
        narrow.score(request, {**candidates, "item": beyond})
    with pytest.raises(IdRangeError, match=r"'user'.*int32.*row 0"):
        narrow.score({"user": [2**40]}, candidates)


@pytest.mark.parametrize(
    ("value", "row"), [(0.5, 1), (np.nan, 1), (np.inf, 1), (float(2**24 + 2), 1), (-3e38, 1)]
)
def test_float_ids_in_the_graph_are_checked_by_score_and_cast_by_run(value: float, row: int) -> None:
    nodes = [
        helper.make_node("Cast", ["id"], ["whole"], to=INT64),
        helper.make_node("Gather", ["table", "whole"], ["rows"]),
        helper.make_node("Mul", ["rows", "x"], ["y"]),
    ]
    inputs = {"id": (FLOAT, ["N"]), "x": (FLOAT, ["N"])}
    made = load(make_model(nodes, inputs, Y, {"table": np.arange(4, dtype=np.float32) + 1}))
    ids = np.asarray([3, value, 2], np.float32)
    x = np.ones(3, np.float32)
    with pytest.raises(IdRangeError, match=rf"'id'.*row {row}"):
        made.score({}, {"id": ids, "x": x})
    with pytest.raises(IdRangeError, match=r"'id'.*row 0"):
        made.score({"id": ids[1:2]}, {"x": x})
    if value == 0.5:
        np.testing.assert_array_equal(made.run({"id": ids, "x": x})["y"], [4, 1, 3])


OFFSETS: dict[str, Any] = {
    "decreasing": [0, 4, 2, COUNT],
    "not from 0": [1, COUNT],
    "short": [0, COUNT - 1],
    "long": [0, COUNT + 1],
    "empty": [],
    "floats": [0.0, float(COUNT)],
    "strings": ["0", "6"],
    "matrix": [[0, COUNT]],
    "negative": [0, -1, COUNT],
}


@pytest.mark.parametrize("case", OFFSETS)
def test_offsets_that_do_not_fit(model: pi.Model, case: str) -> None:
    _, candidates = sides()
    offsets = OFFSETS[case]
    count = max(np.asarray(offsets).size - 1, 1)
    with pytest.raises(ShapeError, match="offsets"):
        model.score({"user": np.zeros(count, int)}, candidates, offsets=offsets)


def test_offsets_and_request_rows_must_agree(model: pi.Model) -> None:
    _, candidates = sides()
    with pytest.raises(RowCountError, match="expected 2 rows, one for each request, got 3"):
        model.score({"user": [1, 2, 3]}, candidates, offsets=[0, 2, COUNT])
    scores = model.score({"user": [1, 2, 3]}, candidates, offsets=[0, 2, 2, COUNT])
    np.testing.assert_array_equal(scores[:2], model.score({"user": 1}, candidates)[:2])
    np.testing.assert_array_equal(scores[2:], model.score({"user": 3}, candidates)[2:])


@pytest.mark.parametrize("given", [{"user": [1, 2]}, {"item": [1]}, {"dense": np.zeros((2, 3), np.float32)}])
def test_rows_where_there_are_no_candidates(model: pi.Model, given: dict[str, Any]) -> None:
    none = {"user": [1], "item": [], "dense": np.zeros((0, 3), np.float32)}
    values = {
        name: np.asarray(value, np.float32 if name == "dense" else np.int64)
        for name, value in {**none, **given}.items()
    }
    request, candidates = {"user": values["user"]}, {name: values[name] for name in ("item", "dense")}
    with pytest.raises(RowCountError):
        model.score(request, candidates)
    with pytest.raises(RowCountError):
        model.prepare(["user"], ["item", "dense"])(*values.values())
    with pytest.raises(ShapeError, match="offsets"):
        model.score({"user": 1}, {"item": [], "dense": none["dense"]}, offsets=[0, 2])


def test_no_candidates_give_empty_results(model: pi.Model) -> None:
    request, candidates = sides()
    none = {name: value[:0] for name, value in candidates.items()}
    assert model.score(request, none).shape == (0,)
    assert model.score(request, none).dtype == np.float32
    assert model.score({"user": [1, 2]}, none, offsets=[0, 0, 0]).shape == (0,)
    assert model.run({"user": np.zeros(0, int), **none})["score"].shape == (0, 1)
    best = model.top_k(request, none, k=5)
    assert (best.count, best.ids.shape, best.scores.shape) == (0, (0,), (0,))
    call = model.prepare(["user"], ["item", "dense"])
    assert call(request["user"], none["item"], none["dense"]).shape == (0,)


def unaligned(array: Array) -> Array:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def read_only(array: Array) -> Array:
    copy = array.copy()
    copy.flags.writeable = False
    return copy


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "strided": lambda array: np.repeat(array, 2, axis=0)[::2],
    "reversed": lambda array: array[::-1].copy()[::-1],
    "fortran": np.asfortranarray,
    "read-only": read_only,
    "big-endian": lambda array: array.astype(array.dtype.newbyteorder(">")),
    "unaligned": unaligned,
    "float64": lambda array: array.astype(np.float64),
    "int32 or float64": lambda array: array.astype(np.int32 if array.dtype.kind == "i" else np.float64),
    "float16": lambda array: array.astype(np.float16),
    "list": lambda array: array.tolist(),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_scores(model: pi.Model, layout: str) -> None:
    change = LAYOUTS[layout]
    request, candidates = sides()
    # Halves are exact in every float type.
    candidates["dense"] = np.round(candidates["dense"] * 4) / 2
    expected = model.score(request, candidates)
    made = model.score(
        {name: change(value) for name, value in request.items()},
        {name: change(value) for name, value in candidates.items()},
    )
    np.testing.assert_array_equal(made, expected)


def test_scalars_are_one_row(model: pi.Model) -> None:
    request, candidates = sides()
    expected = model.score(request, candidates)
    for value in (3, np.int64(3), np.asarray(3), [3], 3.0):
        np.testing.assert_array_equal(model.score({"user": value}, candidates), expected)


def test_arguments_of_top_k_that_do_not_fit(model: pi.Model) -> None:
    request, candidates = sides()
    with pytest.raises(InputError, match="k: expected at least 0, got -1"):
        model.top_k(request, candidates, k=-1)
    for name in ("ids", "boost"):
        with pytest.raises(ShapeError, match=rf"{name}: expected shape \[6\], got \[5\]"):
            model.top_k(request, candidates, **{name: np.zeros(5)})
        with pytest.raises(ShapeError, match=rf"{name}: expected shape \[6\], got \[6, 1\]"):
            model.top_k(request, candidates, **{name: np.zeros((6, 1))})
    with pytest.raises(DTypeError, match="boost"):
        model.top_k(request, candidates, boost=["a"] * COUNT)
    with pytest.raises(DTypeError, match="exclude"):
        model.top_k(request, candidates, exclude=["a"])


def test_outputs_that_do_not_exist(model: pi.Model) -> None:
    request, candidates = sides()
    with pytest.raises(InputError, match="'click': the model has no such output, expected score"):
        model.score(request, candidates, output="click")
    plain = load(one_node("Relu", {"x": (FLOAT, ["N"])}))
    with pytest.raises(InputError, match="logit"):
        plain.score({}, {"x": np.zeros(2)}, output="logit")
    wide = load(one_node("Relu", X))
    with pytest.raises(ShapeError, match=r"shape \[N, 3\].*name a column"):
        wide.top_k({}, ROWS)
