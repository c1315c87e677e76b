"""Layers of lower precision: operators, and the error that is reported."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given as examples
from hypothesis import settings
from hypothesis import strategies as st
from onnx import helper
from support.models import FLOAT, INT64, STRING, make_model

import pyrec_infer as pi
from benchmarks.obd import features
from pyrec_infer.backends.select import VARIABLE, available_backends, select_backend
from pyrec_infer.bundled import MODEL
from pyrec_infer.codecs.bf16 import round_bf16, widen_bf16
from pyrec_infer.ir import Array, Dim, Graph, Info, Node
from pyrec_infer.kernels import KERNELS, quantized
from pyrec_infer.kernels.spec import EXACT
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.precision import sample_inputs

try:
    from pyrec_infer import _native
except ImportError:
    _native = None

NATIVE = [name for name in available_backends() if name != "numba"]
ISAS = [*NATIVE, "stand_in"] if NATIVE else []
"""With the stand-ins for instructions that not every processor has."""
ROUNDING = {isa for isa in ISAS if _native.kernel_traits(isa)["multiplies_bf16"]}
"""Those that multiply bfloat16, so that activations are rounded as well as weights."""


F32 = np.dtype(np.float32)
OPERATORS = ("pyrec.DenseInt8", "pyrec.DenseBf16")
SPECS = {spec.name: spec for spec in KERNELS}
ACTIVATIONS = {"Relu": "relu_f32", "Sigmoid": "sigmoid_f32", "Tanh": "tanh_f32"}


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(F32)


def run_native(isa: str, node: Node, inputs: list[Array | None]) -> Array:
    attributes = dict(node.attributes)
    constants = [i == 1 for i in range(len(inputs))]
    (made,) = _native.run_node(isa, node.op, attributes, inputs, 1, constants)
    return np.asarray(made)


def rounded(x: Array | None) -> Array:
    assert x is not None
    return widen_bf16(round_bf16(x))


def rounds_rows(isa: str, op: str) -> bool:
    """Whether a layer rounds its input, as a processor that multiplies bfloat16 does."""
    return op == "pyrec.DenseBf16" and isa in ROUNDING


def agree(isa: str, op: str, inputs: list[Array | None], made: Array, activation: str = "") -> None:
    """int8 sums are exact, so only an activation may round; bf16 is a sum of products in any order."""
    x, weights = inputs[:2]
    assert x is not None
    if op == "pyrec.DenseInt8":
        (y,) = OPS[op].evaluate(Node(op, (), ()), inputs)
        spec = SPECS[ACTIVATIONS[activation]] if activation else None
        arguments: tuple[Any, ...] = (y,)
        expected, tolerance = (spec.oracle(y), spec.tolerance) if spec else (y, EXACT)
    else:
        spec = SPECS["gemm_f32"]
        bias = inputs[2] if len(inputs) > 2 else None
        given = rounded(x) if rounds_rows(isa, op) else x
        arguments = (given, rounded(weights), bias, activation.lower() or "none")
        expected, tolerance = spec.oracle(*arguments), spec.tolerance
    assert made.shape == expected.shape
    assert not tolerance.violations(made, expected, arguments).any()


def check(isa: str, op: str, inputs: list[Array | None], activation: str = "") -> None:
    node = Node(op, ("x", "w", "b")[: len(inputs)], ("y",), {"activation": activation})
    agree(isa, op, inputs, run_native(isa, node, inputs), activation)


@pytest.mark.once
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("activation", ["", "Relu", "Sigmoid", "Tanh"])
def test_native_equals_reference(isa: str, op: str, activation: str) -> None:
    for k, h in ((16, 16), (19, 33), (256, 128), (429, 50), (1, 1), (0, 3)):
        weights = normal(k, h)
        for rows in (0, 1, 9, 130, 300):
            x = normal(rows, k)
            x[: rows // 2] = np.abs(x[: rows // 2])
            check(isa, op, [x, weights], activation)
            check(isa, op, [x, weights, normal(h)], activation)
            check(isa, op, [x, weights, normal(1, h)], activation)
            check(isa, op, [x, weights, normal(rows, h)], activation)


@pytest.mark.once
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", OPERATORS)
def test_other_shapes_and_strides(isa: str, op: str) -> None:
    weights = normal(24, 20)
    check(isa, op, [normal(3, 5, 24), weights, normal(20)], "Relu")
    check(isa, op, [normal(3, 5, 24), weights, normal(5, 20)])
    check(isa, op, [normal(50, 60)[::2, 7:31], weights, normal(25, 40)[:, 5:25]])
    check(isa, op, [normal(50, 60)[::-1, 7:31], weights, normal(50, 40)[:, 30:10:-1]])
    check(isa, op, [normal(24, 40).T, weights, np.broadcast_to(normal(1, 20), (40, 20))])
    check(isa, op, [normal(1, 24), weights, normal(7, 20)])


def packed_by(isa: str, op: str, matrices: Array) -> Array:
    precision = {"pyrec.DenseInt8": "int8", "pyrec.DenseBf16": "bf16"}[op]
    (made,) = _native.run_node(isa, "pyrec.Pack", {"precision": precision}, [matrices], 1)
    return np.asarray(made)


@pytest.mark.once
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", OPERATORS)
def test_packed_matrices_give_what_constant_ones_give(isa: str, op: str) -> None:
    for k, h in ((32, 32), (160, 512), (19, 33), (5, 1), (1, 16), (0, 3), (3, 0)):
        wide = normal(k, 2 * h, seed=1)
        for weights in (wide[:, :h], wide[:, ::2], wide[::-1, :h], wide.T.copy().T[:, :h]):
            x = normal(140, k)
            x[:70] = np.abs(x[:70])
            for bias in (None, normal(h), normal(140, h)):
                plain = run_native(isa, Node(op, (), (), {"activation": "Relu"}), [x, weights, bias])
                node = Node(op, (), (), {"activation": "Relu", "columns": h})
                given: list[Array | None] = [x, packed_by(isa, op, weights), bias]
                (made,) = _native.run_node(isa, op, dict(node.attributes), given, 1)
                np.testing.assert_array_equal(made, plain)


@pytest.mark.once
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", OPERATORS)
def test_packed_matrices_of_rows(isa: str, op: str) -> None:
    weights = normal(3, 40, 36)
    weights[1, :, 4], weights[2, 3, 5], weights[2, 3, 6] = 0, np.nan, -np.inf
    for x in (normal(3, 1, 40), normal(3, 7, 40)):
        for chosen in (weights, np.broadcast_to(weights[:1], weights.shape), weights[:, ::-1]):
            given = [x, packed_by(isa, op, chosen)]
            (made,) = _native.run_node(isa, op, {"columns": 36}, given, 1)
            agree(isa, op, [x, chosen], np.asarray(made))


@pytest.mark.once
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", OPERATORS)
def test_columns_of_packed_matrices_may_be_counted_for_each_position(isa: str, op: str) -> None:
    x, packed = normal(5, 1, 40), packed_by(isa, op, normal(1, 40, 36))
    packed = np.broadcast_to(packed, (5, *packed.shape[1:]))
    (whole,) = _native.run_node(isa, op, {"columns": 36}, [x, packed], 1)
    (made,) = _native.run_node(isa, op, {"columns": 12}, [x, packed, None, np.arange(3)], 1)
    np.testing.assert_array_equal(made, whole)
    with pytest.raises(pi.errors.PyrecError):
        _native.run_node(isa, op, {"columns": 12}, [x, packed, None, np.arange(2)], 1)


@pytest.mark.once
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", OPERATORS)
def test_packed_matrices_that_do_not_fit_are_errors(isa: str, op: str) -> None:
    x, packed = normal(3, 40), packed_by(isa, op, normal(40, 36))
    for given, columns in (
        ([x, packed], 64),
        ([x, packed], -1),
        ([x, packed], 1 << 60),
        ([normal(3, 41), packed], 36),
        ([normal(3, 160), packed], 36),
        ([x, packed[:, :-1]], 36),
        ([x, packed[:, ::-1]], 36),
        ([x, packed[0]], 36),
        ([x, normal(40, 36)], 36),
        ([x, packed.astype(np.float64)], 36),
    ):
        with pytest.raises(pi.errors.PyrecError):
            _native.run_node(isa, op, {"columns": columns}, list(given), 1)
    with pytest.raises(pi.errors.PyrecError):
        _native.run_node(isa, "pyrec.Pack", {"precision": "int4"}, [normal(4, 4)], 1)


@pytest.mark.once
@pytest.mark.parametrize("isa", ISAS)
def test_a_row_or_column_that_is_not_finite_or_zero(isa: str) -> None:
    x, weights = normal(8, 20), normal(20, 18)
    x[1, 3], x[2, 4], x[3], x[4] = np.nan, np.inf, 0, 1e-40
    weights[:, 2] = 0
    weights[4, 5] = np.inf
    check(isa, "pyrec.DenseInt8", [x, weights, normal(18)], "Relu")


@pytest.mark.once
@settings(max_examples=20, deadline=None)
@examples(st.integers(1, 300), st.integers(1, 40), st.booleans(), st.integers(0, 1 << 30))
def test_sums_of_int8_layers_err_as_little_as_is_stated(k: int, h: int, signed: bool, seed: int) -> None:
    """Half a step of the row for each rounded weight, and half a step of the column for each number."""
    rng = np.random.default_rng(seed)
    x = (rng.standard_normal((5, k)) ** 3).astype(F32)
    x = x if signed else np.abs(x)
    weights = (rng.standard_normal((k, h)) ** 3).astype(F32)
    step = np.abs(x).max(1, keepdims=True) / np.where(np.signbit(x).any(1, keepdims=True), 63, 127)
    column = np.abs(weights).max(0) / 127
    bound = column / 2 * np.abs(x).sum(1, keepdims=True) + step / 2 * (np.abs(weights) + column / 2).sum(0)
    exact = x.astype(np.float64) @ weights.astype(np.float64)
    node = Node("pyrec.DenseInt8", ("x", "w"), ("y",))
    for isa in ISAS:
        assert (np.abs(run_native(isa, node, [x, weights]) - exact) <= bound * (1 + 1e-5)).all()
    (reference,) = OPS[node.op].evaluate(node, [x, weights])
    assert (np.abs(reference - exact) <= bound * (1 + 1e-5)).all()


@pytest.mark.once
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("op", OPERATORS)
def test_operands_that_do_not_fit_are_errors(isa: str, op: str) -> None:
    for inputs in (
        [normal(3, 5), normal(4, 6)],
        [normal(5), normal(5, 6)],
        [normal(3, 5), normal(2, 5, 6)],
        [normal(3, 5), normal(5, 6), normal(7)],
        [normal(3, 5).astype(np.float64), normal(5, 6)],
        [normal(3, 5), normal(5, 6).astype(np.float64)],
        [normal(3, 5), normal(5, 6), normal(6).astype(np.float64)],
    ):
        with pytest.raises(pi.errors.PyrecError):
            run_native(isa, Node(op, (), ()), list(inputs))


@pytest.mark.once
@pytest.mark.parametrize("isa", [isa for isa in ISAS if isa not in NATIVE])
@pytest.mark.parametrize("spec", quantized.KERNELS, ids=lambda spec: spec.name)
def test_stand_ins_against_oracle(spec: quantized.KernelSpec, isa: str) -> None:
    for arguments in spec.cases(np.random.default_rng(7)):
        with np.errstate(all="ignore"):
            expected = spec.oracle(*arguments)
        made = _native.run_kernel(isa, spec.name, *arguments)
        assert not spec.tolerance.violations(made, expected, arguments).any()


def ranker() -> bytes:
    """Two id columns of a float matrix, one of them moved by an offset, and numbers into three layers."""
    nodes = [
        helper.make_node("Slice", ["matrix", "zero", "two", "one"], ["columns"]),
        helper.make_node("Cast", ["columns"], ["raw"], to=INT64),
        helper.make_node("Add", ["raw", "moved"], ["ids"]),
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("Reshape", ["rows", "flat"], ["embedded"]),
        helper.make_node("Slice", ["matrix", "two", "five", "one"], ["numbers"]),
        helper.make_node("Gather", ["other", "item"], ["item_rows"]),
        helper.make_node("Concat", ["embedded", "numbers", "item_rows"], ["x"], axis=1),
        helper.make_node("Gemm", ["x", "w0", "b0"], ["h0"]),
        helper.make_node("Relu", ["h0"], ["r0"]),
        helper.make_node("Gemm", ["r0", "w1"], ["h1"]),
        helper.make_node("Relu", ["h1"], ["r1"]),
        helper.make_node("Gemm", ["r1", "w2"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    constants = {
        **{name: np.array([value]) for name, value in {"zero": 0, "one": 1, "two": 2, "five": 5}.items()},
        "moved": np.array([[0, 7]]),
        "flat": np.array([-1, 16]),
        "table": normal(20, 8),
        "other": normal(3, 40),
        "w0": normal(59, 48) / 4,
        "b0": normal(48),
        "w1": normal(48, 32) / 4,
        "w2": normal(32, 1) / 4,
    }
    inputs = {"matrix": (FLOAT, ["N", 5]), "item": (INT64, ["N"])}
    # Slices along the second axis.
    for node in nodes:
        if node.op_type == "Slice":
            node.input.insert(3, "one")
            del node.input[5:]
    return make_model(nodes, inputs, {"score": (FLOAT, ["N", 1])}, constants).SerializeToString()


def test_report_of_a_model() -> None:
    exact = pi.load(ranker())
    assert exact.precision == pi.PrecisionReport("fp32")
    assert "Precision" not in str(exact.explain())
    for precision, limit in (("bf16", 0.02), ("int8", 0.05)):
        model = pi.load(ranker(), precision=precision)
        report = model.precision
        assert (report.precision, report.rows, report.note) == (precision, 1000, "")
        assert report.layers >= 1
        assert 0 < report.mean_error < report.max_error < limit
        assert 0.8 <= report.overlap <= 1
        explanation = model.explain()
        assert str(report) in str(explanation)
        assert str(report) in explanation.as_dict()["precision"]
        assert pickle.loads(pickle.dumps(model)).precision == report
        rows = {"matrix": normal(50, 5) * 0 + 1, "item": np.arange(50) % 3}
        np.testing.assert_allclose(model.run(rows)["score"], exact.run(rows)["score"], atol=limit)
        split = {"matrix": rows["matrix"][:1]}, {"item": rows["item"]}
        np.testing.assert_allclose(model.score(*split), exact.score(*split), atol=limit)
        np.testing.assert_array_equal(pi.score(ranker(), *split, precision=precision), model.score(*split))


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_a_catalogue_has_the_precision_of_its_model(precision: str) -> None:
    exact, model = pi.load(ranker()), pi.load(ranker(), precision=precision)
    request, items = {"matrix": np.full((1, 5), 3, F32)}, {"item": np.arange(3)}
    catalog = model.catalog(items)
    assert str(model.precision) in str(catalog.explain())
    np.testing.assert_allclose(catalog.score(request, [2, 0]), exact.score(request, items)[[2, 0]], atol=0.05)
    steps = [step for phase in catalog.explain().as_dict()["phases"] for step in phase["steps"]]
    narrow = [step for step in steps if step["operator"] in OPERATORS]
    assert narrow
    assert {step["rate"] for step in narrow} == {"pair"}


def test_bf16_says_what_it_is_computed_in() -> None:
    text = str(pi.load(ranker(), precision="bf16").explain())
    assert ("bf16 weights, fp32 arithmetic" in text) == (select_backend() not in ROUNDING)


def test_sampled_ids_are_in_their_tables() -> None:
    n = Dim.symbol("N")
    nodes = (
        Node("Add", ("a", "offset"), ("moved",)),
        Node("Gather", ("table", "moved"), ("rows",)),
        Node("Concat", ("b", "c"), ("joined",), {"axis": 1}),
        Node(
            "pyrec.Lookup",
            ("joined", "small", "joined", "table"),
            ("looked",),
            {"columns": (0, 1), "offsets": (0, 0), "widths": (4, 4), "codecs": ("f32", "f32")},
        ),
    )
    constants = {"offset": np.array([0, 5, 19]), "table": normal(20, 4), "small": normal(2, 4)}
    int64 = np.dtype(np.int64)
    infos = {
        "a": Info(int64, (n, 3), 0),
        "b": Info(int64, (n, 1), 0),
        "c": Info(int64, (n, 1), 0),
        "history": Info(int64, (n, Dim.symbol("L")), 0),
        "flag": Info(np.dtype(bool), (n,), 0),
        "number": Info(F32, (4,)),
    }
    graph = Graph(tuple(infos), ("rows", "looked"), nodes, constants, infos)
    made = sample_inputs(graph, analyze(graph).infos, graph.inputs, 500)
    assert {name: value.dtype for name, value in made.items()} == {name: infos[name].dtype for name in infos}
    assert made["a"].max(0).tolist() == [19, 14, 0]
    assert made["a"].min() == 0
    assert (made["b"].max(), made["c"].max()) == (1, 19)
    assert made["history"].shape == (500, 8)
    assert made["number"].shape == (4,)


def strings() -> bytes:
    nodes = [
        helper.make_node(
            "LabelEncoder",
            ["word"],
            ["id"],
            domain="ai.onnx.ml",
            keys_strings=["a", "b"],
            values_int64s=[0, 1],
            default_int64=0,
        ),
        helper.make_node("Gather", ["table", "id"], ["x"]),
        helper.make_node("Gemm", ["x", "w"], ["h"]),
        helper.make_node("Gemm", ["h", "w"], ["y"]),
    ]
    constants = {"table": normal(2, 32), "w": normal(32, 32)}
    model = make_model(
        nodes, {"word": (STRING, ["N"])}, {"y": (FLOAT, ["N", 32])}, constants, domains={"ai.onnx.ml": 3}
    )
    return model.SerializeToString()


def test_what_cannot_be_sampled_is_said() -> None:
    model = pi.load(strings(), precision="int8")
    assert (model.precision.layers, model.precision.rows) == (1, 0)
    assert np.isnan(model.precision.max_error)
    assert "not measured: an input is of strings" in str(model.explain())
    rows = {"word": np.array(["a", "b", "a"])}
    measured = pi.load(strings(), precision="int8", calibration=rows)
    assert measured.precision.rows == 3
    assert measured.precision.max_error < 1
    assert pickle.loads(pickle.dumps(measured)).precision == measured.precision


def test_wrong_arguments_are_errors() -> None:
    with pytest.raises(pi.errors.InputError, match=r"^precision: expected one of fp32, .*int8, got 'int4'$"):
        pi.load(MODEL, precision="int4")
    with pytest.raises(pi.errors.InputError, match="nothing"):
        pi.load(MODEL, precision="int8", calibration={"nothing": np.zeros(3)})


@pytest.mark.parametrize("precision", ["bf16", "int8"])
def test_backends_agree(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = {"matrix": normal(40, 5), "item": np.arange(40) % 3}
    rows["matrix"][:, :2] = np.arange(80).reshape(40, 2) % 13
    scores = {}
    for backend in available_backends():
        monkeypatch.setenv(VARIABLE, backend)
        scores[backend] = pi.load(ranker(), precision=precision).run(rows)["score"]
    for backend, found in scores.items():
        # bfloat16 rounds to one part in 2^9; here two layers' activations are rounded in addition.
        rounds = backend in ROUNDING and precision == "bf16"
        np.testing.assert_allclose(found, scores["numba"], rtol=0, atol=2**-8 if rounds else 1e-3)


@pytest.mark.parametrize("precision", ["bf16", "int8"])
@pytest.mark.parametrize("name", ["deepfm_obd", "wide_deep_obd"])
def test_clicks_are_ranked_as_well(
    logs: features.Logs, held_out: features.Arrays, name: str, precision: str
) -> None:
    path = MODEL if name == "deepfm_obd" else Path(__file__).resolve().parents[1] / "data" / f"{name}.onnx"
    clicks = np.array([row.click for row in logs.held_out()])
    models = [pi.load(path, precision=chosen) for chosen in ("fp32", precision)]
    inputs = {item.name: held_out[item.name] for item in models[0].inputs}
    exact, narrow = (features.area_under_curve(clicks, model.run(inputs)["click"]) for model in models)
    assert abs(exact - narrow) < (1e-3 if precision == "int8" else 1e-4)
