"""Soundness of the row analysis: what is called row-wise is, and what is not is run on all rows."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from support.models import FLOAT, INT64, Value, make_model
from support.random_graphs import equal, evaluate, inputs_of, random_model

import pyrec_infer
from pyrec_infer.errors import ShapeError
from pyrec_infer.formats import import_model
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes import compile_graph

ROWS = 45
"""With tiles of 16 rows: two full ones and a part."""

FIXED = settings(max_examples=120, deadline=None, derandomize=True)

Array = NDArray[Any]
Step = tuple[str, list[str], dict[str, Any]]


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrec_infer.plan.planner._TILE_BYTES", 1)
    monkeypatch.setattr("pyrec_infer.backends.numba._TILE_ROWS", 16, raising=False)


CONSTANTS: dict[str, Array] = {
    "zero": np.asarray([0]),
    "one": np.asarray([1]),
    "last": np.asarray([-1]),
    "two": np.asarray([2]),
    "three": np.asarray([3]),
    "first": np.asarray(0),
    "end": np.asarray([2**31 - 1]),
    "rows_first": np.asarray([-1, 1]),
    "columns_first": np.asarray([1, -1]),
    "keep": np.asarray([0, -1]),
    "flat": np.asarray([-1]),
    "pairs": np.asarray([2, -1]),
    "twice": np.asarray([1, 2]),
    "rows_twice": np.asarray([2, 1]),
    "pad_columns": np.asarray([0, 1, 0, 0]),
    "pad_rows": np.asarray([1, 0, 0, 0]),
    "depth": np.asarray(5),
    "values": np.asarray([0, 1], np.float32),
    "table": np.arange(15, dtype=np.float32).reshape(5, 3),
    "w": np.arange(6, dtype=np.float32).reshape(3, 2),
    "left": np.ones((2, 2), np.float32),
    "scale": np.asarray([1, 2, 3], np.float32),
    "images": np.asarray([0, 1, 1, -1]),
    "kernel": np.ones((4, 1, 2), np.float32),
}


def _model(*steps: Step) -> bytes:
    """Inputs as of random models; step k makes value ``sk``, the last one ``y``."""
    nodes = []
    for number, (op, operands, attributes) in enumerate(steps):
        name = "y" if number == len(steps) - 1 else f"s{number}"
        nodes.append(helper.make_node(op, operands, [name], name=f"n{number}", **attributes))
    inputs: dict[str, Value] = {
        "u": (FLOAT, ["N", 3]),
        "v": (FLOAT, ["N", 2, 2]),
        "b": (FLOAT, ["N"]),
        "i": (INT64, ["N"]),
    }
    used = {name for _, operands, _ in steps for name in operands}
    constants = {name: value for name, value in CONSTANTS.items() if name in used}
    chosen = {name: value for name, value in inputs.items() if name in used}
    proto = make_model(nodes, chosen, {"y": (0, None)}, constants)
    return bytes(proto.SerializeToString())


def _inputs(model: pyrec_infer.Model, rows: int) -> dict[str, Array]:
    found = inputs_of(rows, 3)
    found["b"] = found.pop("w")
    return {item.name: found[item.name] for item in model.inputs}


ROW_WISE: dict[str, tuple[int, list[Step]]] = {
    "elementwise": (0, [("Mul", ["u", "scale"], {})]),
    "two batched": (0, [("Add", ["v", "v"], {})]),
    "where": (0, [("Cast", ["u"], {"to": 9}), ("Where", ["s0", "u", "scale"], {})]),
    "row at the end": (1, [("Transpose", ["u"], {"perm": [1, 0]}), ("Mul", ["s0", "b"], {})]),
    "matmul": (0, [("MatMul", ["u", "w"], {})]),
    "matmul of pairs": (0, [("MatMul", ["v", "v"], {})]),
    "matmul with shared left": (0, [("MatMul", ["left", "v"], {})]),
    "columns of a product": (
        1,
        [
            ("Transpose", ["v"], {"perm": [1, 2, 0]}),
            ("Gather", ["s0", "first"], {}),
            ("MatMul", ["left", "s1"], {}),
        ],
    ),
    "gemm": (0, [("Gemm", ["u", "w"], {})]),
    "turned gemm": (0, [("Transpose", ["u"], {"perm": [1, 0]}), ("Gemm", ["s0", "w"], {"transA": 1})]),
    "einsum": (0, [("Einsum", ["v", "v"], {"equation": "nij,njk->nik"})]),
    "lookup": (0, [("Gather", ["table", "i"], {})]),
    "column": (0, [("Gather", ["u", "first"], {"axis": 1})]),
    "gather elements": (
        0,
        [
            ("Unsqueeze", ["i", "one"], {}),
            ("Clip", ["s0", "", "depth_limit"], {}),
            ("GatherElements", ["u", "s1"], {"axis": 1}),
        ],
    ),
    "concat": (0, [("Gather", ["table", "i"], {}), ("Concat", ["u", "s0"], {"axis": 1})]),
    "reshape": (0, [("Reshape", ["v", "keep"], {})]),
    "reshape to several rows each": (0, [("Reshape", ["u", "rows_first"], {})]),
    "flatten": (0, [("Flatten", ["v"], {"axis": 1})]),
    "reduce": (0, [("ReduceSum", ["v", "two"], {"keepdims": 0})]),
    "reduce before the rows": (
        0,
        [("Transpose", ["u"], {"perm": [1, 0]}), ("ReduceSum", ["s0", "zero"], {"keepdims": 0})],
    ),
    "argmax": (0, [("ArgMax", ["u"], {"axis": 1})]),
    "softmax": (0, [("Softmax", ["u"], {"axis": -1})]),
    "slice": (0, [("Slice", ["u", "one", "end", "one"], {})]),
    "all rows sliced": (0, [("Slice", ["u", "zero", "end", "zero"], {})]),
    "tile": (0, [("Tile", ["u", "twice"], {})]),
    "pad": (0, [("Pad", ["u", "pad_columns"], {})]),
    "one hot": (0, [("OneHot", ["i", "depth", "values"], {})]),
    "one hot in front": (1, [("OneHot", ["i", "depth", "values"], {"axis": 0})]),
    "unsqueeze": (1, [("Unsqueeze", ["u", "zero"], {})]),
    "squeeze": (0, [("Unsqueeze", ["u", "one"], {}), ("Squeeze", ["s0", "one"], {})]),
    "cumsum": (0, [("CumSum", ["u", "first_axis"], {})]),
    "topk": (0, [("TopK", ["u", "two"], {"axis": 1})]),
    "convolution": (0, [("Reshape", ["u", "images_of"], {}), ("Conv", ["s0", "kernel"], {})]),
    "layer normalization": (0, [("LayerNormalization", ["u", "scale"], {})]),
    "rows of ones": (0, [("Shape", ["u"], {}), ("Expand", ["scale", "s0"], {})]),
}
CONSTANTS |= {
    "depth_limit": np.asarray(2),
    "first_axis": np.asarray(1),
    "row_axis": np.asarray(0),
    "images_of": np.asarray([-1, 1, 3]),
}

COUPLED: dict[str, tuple[str, list[Step]]] = {
    "softmax of the batch": ("Softmax", [("Softmax", ["u"], {"axis": 0})]),
    "sum of the batch": ("ReduceMean", [("ReduceMean", ["u", "zero"], {}), ("Sub", ["u", "s0"], {})]),
    "sum of everything": ("ReduceSum", [("ReduceSum", ["u"], {}), ("Mul", ["u", "s0"], {})]),
    "running sum": ("CumSum", [("CumSum", ["u", "row_axis"], {})]),
    "first row": ("Gather", [("Gather", ["u", "first"], {}), ("Sub", ["u", "s0"], {})]),
    "reversed": ("Slice", [("Slice", ["u", "last", "lowest", "zero", "last"], {})]),
    "joined rows": ("Concat", [("Concat", ["u", "u"], {"axis": 0})]),
    "rows of several rows": ("Reshape", [("Reshape", ["v", "pairs"], {})]),
    "rows after columns": (
        "Reshape",
        [("Transpose", ["u"], {"perm": [1, 0]}), ("Reshape", ["s0", "flat"], {})],
    ),
    "every pair of rows": ("MatMul", [("Transpose", ["u"], {"perm": [1, 0]}), ("MatMul", ["u", "s0"], {})]),
    "summed over rows": ("MatMul", [("Transpose", ["u"], {"perm": [1, 0]}), ("MatMul", ["s0", "u"], {})]),
    "broadcast against rows": ("Mul", [("Unsqueeze", ["b", "one"], {}), ("Mul", ["s0", "b"], {})]),
    "repeated rows": ("Tile", [("Tile", ["u", "rows_twice"], {})]),
    "padded rows": ("Pad", [("Pad", ["u", "pad_rows"], {})]),
    "best rows": ("TopK", [("TopK", ["u", "two"], {"axis": 0})]),
    "number of rows as data": (
        "Cast",
        [("Shape", ["b"], {}), ("Cast", ["s0"], {"to": 1}), ("Div", ["b", "s1"], {})],
    ),
    "rows chosen by rows": ("Gather", [("Gather", ["u", "i"], {})]),
    "squeeze of any axis": ("Squeeze", [("Squeeze", ["u"], {})]),
    "numbered rows": (
        "Range",
        [
            ("Shape", ["b"], {}),
            ("Squeeze", ["s0"], {}),
            ("Range", ["range_from", "s1", "range_step"], {}),
            ("Cast", ["s2"], {"to": 1}),
            ("Add", ["b", "s3"], {}),
        ],
    ),
}
CONSTANTS |= {"lowest": np.asarray([-(2**31)]), "range_from": np.asarray(0), "range_step": np.asarray(1)}


def _outputs(name: str, steps: list[Step]) -> bytes:
    if steps[-1][0] != "TopK":
        return _model(*steps)
    node = helper.make_node("TopK", steps[-1][1], ["y", "places"], **steps[-1][2])
    inputs: dict[str, Value] = {"u": (FLOAT, ["N", 3])}
    proto = make_model([node], inputs, {"y": (0, None)}, {"two": CONSTANTS["two"]})
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize("case", ROW_WISE)
def test_row_wise_operators_give_each_row_alone(case: str) -> None:
    axis, steps = ROW_WISE[case]
    model = pyrec_infer.load(_outputs(case, steps), threads=2)
    explained = model.explain().as_dict()
    assert explained["coupled"] == []
    assert explained["values"]["y"]["rows"] == axis
    inputs = _inputs(model, ROWS)
    whole = model.run(inputs)["y"]
    alone = [model.run({key: x[row : row + 1] for key, x in inputs.items()})["y"] for row in range(ROWS)]
    assert equal(whole, np.concatenate(alone, axis))


@pytest.mark.parametrize("case", COUPLED)
def test_coupled_operators_are_named_and_run_on_all_rows(case: str) -> None:
    op, steps = COUPLED[case]
    model = pyrec_infer.load(_outputs(case, steps), threads=2)
    explained = model.explain().as_dict()
    assert op in {item["operator"] for item in explained["coupled"]}
    inputs = _inputs(model, ROWS)
    expected = evaluate(import_model(_outputs(case, steps)).graph, inputs, ROWS)["y"]
    assert equal(model.run(inputs)["y"], expected)


@FIXED
@given(st.randoms(use_true_random=False), st.integers(0, 2**16))
def test_run_equals_the_interpreter(random: Random, seed: int) -> None:
    made = random_model(random)
    inputs = inputs_of(ROWS, seed)
    model = pyrec_infer.load(made.proto.SerializeToString(), threads=2)
    assert equal(model.run(inputs)["y"], evaluate(made.graph, inputs, ROWS)["y"]), made


@FIXED
@given(st.randoms(use_true_random=False), st.sets(st.sampled_from("uvwi"), max_size=3), st.integers(1, ROWS))
def test_score_equals_run_with_the_request_repeated(random: Random, request: set[str], rows: int) -> None:
    made = random_model(random)
    inputs = inputs_of(rows, rows)
    own = {name: inputs[name][:1] for name in request}
    others = {name: value for name, value in inputs.items() if name not in request}
    repeated = {**others, **{name: np.repeat(value, rows, 0) for name, value in own.items()}}
    expected = evaluate(made.graph, repeated, rows)["y"]
    model = pyrec_infer.load(made.proto.SerializeToString(), threads=2)
    described = model.explain(request=request).as_dict()
    (axis,) = [described["values"][item["name"]]["rows"] for item in described["outputs"]]
    try:
        scores, refusal = model.score(own, others), ""
    except ShapeError as error:
        scores, refusal = expected, str(error)
    if refusal:
        # No row for each candidate, or several, or a column for each of several classes.
        one_each = isinstance(axis, int) and expected.shape[axis] == rows
        assert not one_each or "name a column" in refusal
        return
    if isinstance(axis, int):
        expected = np.moveaxis(expected, axis, 0)
    assert equal(scores.reshape(expected.shape), expected), made


@pytest.mark.once
@FIXED
@given(st.randoms(use_true_random=False), st.integers(0, 2**16))
def test_claims_hold_for_single_rows(random: Random, seed: int) -> None:
    made = random_model(random)
    analysis = analyze(compile_graph(made.graph))
    axis = analysis.infos["y"].rows
    if analysis.coupled:
        return
    rows = 12
    inputs = inputs_of(rows, seed)
    whole = evaluate(made.graph, inputs, rows)["y"]
    alone = [evaluate(made.graph, {k: x[i : i + 1] for k, x in inputs.items()}, 1)["y"] for i in range(rows)]
    if axis >= 0:
        assert equal(np.concatenate(alone, axis), whole), made
    else:
        assert all(equal(part, whole) for part in alone), made


def test_a_batch_of_one_that_the_file_fixes_is_run_as_it_is() -> None:
    """All first sizes are 1, but no axis 0 is a batch."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0]),
        helper.make_node("ReduceSum", ["turned", "zero"], ["total"]),
        helper.make_node("MatMul", ["x", "turned"], ["square"]),
        helper.make_node("Add", ["total", "square"], ["y"]),
    ]
    inputs: dict[str, Value] = {"x": (FLOAT, [1, 4])}
    proto = make_model(nodes, inputs, {"y": (FLOAT, [1, 1])}, {"zero": np.asarray([0])})
    x = np.arange(4, dtype=np.float32)[None]
    made = pyrec_infer.load(proto.SerializeToString()).run({"x": x})["y"]
    np.testing.assert_array_equal(made, [[6 + 14]])
