"""Recurrent, control-flow, sequence, tree and ai.onnx.ml operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from support.references import evaluate_in_double

from pyrec_infer.backends.native import plain_attributes
from pyrec_infer.errors import ModelError, PyrecError
from pyrec_infer.formats.onnx.maker import Maker
from pyrec_infer.formats.onnx.upgrade import upgrade
from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.interpret import interpret

pytestmark = pytest.mark.once

try:
    from pyrec_infer import _native
except ImportError:
    _native = None

needs_native = pytest.mark.skipif(_native is None, reason="no native extension")
random = np.random.default_rng(7)


def make(op: str, inputs: int, outputs: int = 1, bodies: tuple[Graph, ...] = (), **attributes: Any) -> Node:
    """A node in the form in which the IR has it."""
    names = tuple(f"i{k}" for k in range(inputs)), tuple(f"o{k}" for k in range(outputs))
    (node,) = upgrade(Node(op, *names, attributes, bodies), 99, Maker())
    return node


def agree(node: Node, inputs: list[Any], tolerance: float = 2e-6) -> list[Any]:
    """Evaluate, and compare with the native operator for variable and constant weights."""
    evaluate = evaluate_in_double if node.op in ("RNN", "GRU", "LSTM") else OPS[node.op].evaluate
    expected = list(evaluate(node, inputs))
    if _native is not None:
        for constants in ([False] * len(inputs), [False] + [True] * (len(inputs) - 1)):
            found = _native.run_node(
                "scalar", node.op, plain_attributes(node), inputs, len(node.outputs), constants
            )
            for a, b in zip(found, expected, strict=True):
                assert (a.dtype, a.shape) == (b.dtype, b.shape)
                np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
    return expected


# Recurrent


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_recurrent(op: str, direction: str, layout: int, dtype: type) -> None:
    steps, batch, size, hidden = 5, 3, 4, 6
    d = 2 if direction == "bidirectional" else 1
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]

    def normal(*shape: int) -> Any:
        return (random.normal(size=shape) * 0.5).astype(dtype)

    x, h, c = normal(steps, batch, size), normal(d, batch, hidden), normal(d, batch, hidden)
    if layout:
        x, h, c = x.swapaxes(0, 1).copy(), h.swapaxes(0, 1).copy(), c.swapaxes(0, 1).copy()
    w, r, b = (
        normal(d, gates * hidden, size),
        normal(d, gates * hidden, hidden),
        normal(d, 2 * gates * hidden),
    )
    inputs = [x, w, r, b, np.asarray([5, 0, 2], np.int32), h]
    if op == "LSTM":
        inputs += [c, normal(d, 3 * hidden)]
    for extra in ({}, {"clip": 0.4}, {"linear_before_reset": 1, "input_forget": 1}):
        outputs = 3 if op == "LSTM" else 2
        node = make(op, len(inputs), outputs, direction=direction, layout=layout, **extra)
        found = agree(node, inputs, 2e-5)
        y = found[0] if layout else found[0].transpose(2, 0, 1, 3)
        assert not y[2, 2:].any()  # beyond the length
        last = found[1][1] if layout else found[1][:, 1]
        np.testing.assert_array_equal(last, h[1] if layout else h[:, 1])


def test_recurrent_activations() -> None:
    names = ("HardSigmoid", "Softsign", "LeakyRelu", "Affine")
    node = make(
        "GRU",
        3,
        2,
        direction="bidirectional",
        activations=names,
        activation_alpha=(0.3, 0.02),
        activation_beta=(0.4,),
    )
    shapes = [(2, 3, 4), (2, 6, 4), (2, 6, 2)]
    agree(node, [random.normal(size=shape).astype(np.float32) for shape in shapes], 2e-5)


# Control flow


def body(inputs: str, outputs: str, *nodes: Node, **constants: Any) -> Graph:
    names = tuple(inputs.split())
    infos = dict.fromkeys(names, Info(None, None))
    arrays = {name: np.asarray(value) for name, value in constants.items()}
    return Graph(names, tuple(outputs.split()), nodes, arrays, infos)


def powers() -> Node:
    """Doubles a value `M` times and stacks it."""
    inside = body("i cond x", "cond y y", Node("Add", ("x", "x"), ("y",)))
    return make("Loop", 3, 2, (inside,))


@pytest.mark.parametrize("trips", [0, 1, 4])
def test_loop(trips: int) -> None:
    start = np.asarray([1.0, 3.0], np.float32)
    last, stacked = OPS["Loop"].evaluate(powers(), [np.asarray(trips), np.asarray(True), start])
    np.testing.assert_array_equal(last, start * 2**trips)
    assert stacked.shape == (trips, 2)
    assert stacked.dtype == np.float32


def test_loop_shapes() -> None:
    node = powers()
    known = [Info(np.dtype(np.int64), (), constant=np.asarray(4)), None]
    start = Info(np.dtype(np.float32), (Dim.symbol("N"), 2))
    last, stacked = OPS["Loop"].infer(node, [*known, start])
    assert last.shape == (Dim.symbol("N"), 2)
    assert stacked.shape == (4, Dim.symbol("N"), 2)


COUNTING = {
    "one counter": ("i cond x n", "go y m y", (("Add", "n step", "m"), ("Less", "m most", "go")), 0, 7, 5),
    "the iteration": ("i cond x n", "go y n y", (("Add", "i step", "m"), ("Less", "m most", "go")), 0, 7, 5),
    "the trip count first": (
        "i cond x n",
        "go y m y",
        (("Add", "n step", "m"), ("Less", "m most", "go")),
        0,
        3,
        3,
    ),
    "a counter cast": (
        "i cond x n",
        "go y m y",
        (("Add", "n step", "m"), ("Cast", "m", "f"), ("Less", "f half", "go")),
        0,
        9,
        5,
    ),
    "the condition": ("i cond x n", "go y n y", (("Not", "cond", "go"),), 0, 7, 1),
    "a sum of floats": (
        "i cond x n",
        "go y m y",
        (("Add", "n part", "m"), ("Less", "m half", "go")),
        0.0,
        9,
        None,
    ),
    "a value that is not known": (
        "i cond x n",
        "go y n y",
        (("ReduceMax", "y", "top"), ("Cast", "top", "t"), ("Less", "t half", "go")),
        0,
        9,
        None,
    ),
    "too long to count": (
        "i cond x n",
        "go y m y",
        (("Add", "n step", "m"), ("Less", "n far", "go")),
        0,
        2**30,
        None,
    ),
}


@pytest.mark.parametrize("case", COUNTING)
def test_loops_that_count(case: str) -> None:
    inputs, outputs, nodes, start, limit, expected = COUNTING[case]
    inside = body(
        inputs,
        outputs,
        Node("Add", ("x", "x"), ("y",)),
        *(
            Node(op, tuple(read.split()), (made,), {"to": "float32"} if op == "Cast" else {})
            for op, read, made in nodes
        ),
        step=np.asarray(1),
        most=np.asarray(5),
        far=np.asarray(2**40),
        half=np.float32(4.5),
        part=np.float32(1),
    )
    node = make("Loop", 4, 3, (inside,))
    x, counter = np.zeros(2, np.float32), np.asarray(start, np.float32 if isinstance(start, float) else None)
    known = [Info(value.dtype, value.shape, constant=value) for value in map(np.asarray, (limit, True))]
    x_info = Info(x.dtype, x.shape)
    stacked = OPS["Loop"].infer(node, [*known, x_info, Info(counter.dtype, (), constant=counter)])[2]
    assert stacked.shape is not None
    if expected is None:
        assert isinstance(stacked.shape[0], Dim)
    else:
        assert stacked.shape == (expected, 2)
    if limit < 10:
        made = OPS["Loop"].evaluate(node, [np.asarray(limit), np.asarray(True), x, counter])[2]
        assert expected in (None, len(made))


def test_loop_that_changes_a_shape() -> None:
    inside = body("i cond x", "cond y", Node("Concat", ("x", "x"), ("y",), {"axis": 0}))
    node = make("Loop", 3, 1, (inside,))
    (found,) = OPS["Loop"].infer(node, [None, None, Info(np.dtype(np.float32), (1, 5))])
    assert found.shape is not None
    assert isinstance(found.shape[0], Dim)
    assert found.shape[1] == 5


def test_if_takes_the_branch_of_a_constant() -> None:
    bodies = tuple(body("x", "y", Node(op, ("x",), ("y",))) for op in ("Neg", "Abs"))
    graph = Graph(
        ("x",),
        ("y",),
        (Node("If", ("c", "x"), ("y",), {"captures": 1}, bodies),),
        {"c": np.asarray(True)},
        {"x": Info(np.dtype(np.float32), (3,))},
    )
    assert analyze(graph).infos["y"].shape == (3,)
    (found,) = interpret(graph, [np.asarray([1, -2, 3], np.float32)])
    np.testing.assert_array_equal(found, [-1, 2, -3])


def test_scan_backwards() -> None:
    inside = body("s x", "t t", Node("Add", ("s", "x"), ("t",)))
    node = make("Scan", 2, 2, (inside,), num_scan_inputs=1, scan_input_axes=(1,), scan_input_directions=(1,))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    last, stacked = OPS["Scan"].evaluate(node, [np.zeros(2, np.float32), x])
    np.testing.assert_array_equal(last, x.sum(axis=1))
    np.testing.assert_array_equal(stacked, x[:, ::-1].cumsum(axis=1).T)


def test_shape_arithmetic_is_followed() -> None:
    nodes = (
        Node("Shape", ("x",), ("s",)),
        Node("Gather", ("s", "zero"), ("n",), {"axis": 0}),
        Node("Concat", ("n", "rest"), ("t",), {"axis": 0}),
        Node("Reshape", ("x", "t"), ("y",)),
    )
    constants = {"zero": np.asarray([0]), "rest": np.asarray([6])}
    info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2, 3), rows=0)
    analysis = analyze(Graph(("x",), ("y",), nodes, constants, {"x": info}))
    assert analysis.infos["y"].shape == (Dim.symbol("N"), 6)
    assert analysis.infos["y"].rows == 0
    assert not analysis.coupled


# Sequences


@pytest.mark.parametrize("new_axis", [0, 1])
def test_sequences(new_axis: int) -> None:
    a, b = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    (items,) = OPS["SequenceConstruct"].evaluate(make("SequenceConstruct", 2), [a, b])
    (items,) = OPS["SequenceInsert"].evaluate(make("SequenceInsert", 3), [items, b, np.asarray(-2)])
    (items,) = OPS["SequenceErase"].evaluate(make("SequenceErase", 1), [items])
    assert [item[0, 0] for item in items] == [1, 0]
    node = make("ConcatFromSequence", 1, axis=1, new_axis=new_axis)
    (joined,) = OPS[node.op].evaluate(node, [items])
    assert joined.shape == ((2, 2, 3) if new_axis else (2, 6))
    with pytest.raises(PyrecError):
        OPS["SequenceAt"].evaluate(make("SequenceAt", 2), [items, np.asarray(2)])


# Trees

STUMPS: Mapping[str, Any] = {
    "nodes_treeids": (0, 0, 0, 1, 1, 1),
    "nodes_nodeids": (0, 1, 2, 0, 1, 2),
    "nodes_featureids": (0, 0, 0, 1, 0, 0),
    "nodes_values": (0.5, 0.0, 0.0, -0.25, 0.0, 0.0),
    "nodes_modes": ("BRANCH_LEQ", "LEAF", "LEAF") * 2,
    "nodes_truenodeids": (1, 0, 0) * 2,
    "nodes_falsenodeids": (2, 0, 0) * 2,
    "nodes_missing_value_tracks_true": (1, 0, 0, 0, 0, 0),
}
ROWS = np.asarray([[0.5, -0.25], [0.75, 0.0], [np.nan, np.nan], [-1.0, 9.0]], np.float32)


def regressor(**changes: Any) -> Node:
    votes = {
        "target_treeids": (0, 0, 1, 1),
        "target_nodeids": (1, 2, 1, 2),
        "target_ids": (0, 0, 1, 0),
        "target_weights": (1.0, 2.0, 4.0, 8.0),
        "n_targets": 2,
    }
    return make("ai.onnx.ml.TreeEnsembleRegressor", 1, **{**STUMPS, **votes, **changes})


@pytest.mark.parametrize(
    ("aggregate", "expected"),
    [
        ("SUM", [[1, 4], [10, 0], [9, 0], [9, 0]]),
        ("AVERAGE", [[0.5, 2], [5, 0], [4.5, 0], [4.5, 0]]),
        ("MIN", [[1, 4], [2, 0], [1, 0], [1, 0]]),
        ("MAX", [[1, 4], [8, 0], [8, 0], [8, 0]]),
    ],
)
def test_tree_regressor(aggregate: str, expected: list[list[float]]) -> None:
    (found,) = agree(regressor(aggregate_function=aggregate), [ROWS])
    np.testing.assert_array_equal(found, expected)
    agree(regressor(aggregate_function=aggregate, base_values=(0.5, -1.0)), [ROWS.astype(np.float64)])


@pytest.mark.parametrize("mode", ["LEQ", "LT", "GTE", "GT", "EQ", "NEQ"])
@pytest.mark.parametrize("rows", [0, 1, 9, 70])
def test_tree_modes(mode: str, rows: int) -> None:
    modes = (f"BRANCH_{mode}", "LEAF", "LEAF", "BRANCH_LT", "LEAF", "LEAF")
    x = random.choice(np.asarray([0.5, -0.25, 0, 1, np.nan], np.float32), size=(rows, 2))
    agree(regressor(nodes_modes=modes), [x])


@pytest.mark.parametrize("post_transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("class_ids", [(0, 0, 0, 0), (1, 1, 1, 1), (0, 1, 2, 1)])
@pytest.mark.parametrize("base", [(), (0.3,)])
def test_tree_classifier(post_transform: str, class_ids: tuple[int, ...], base: tuple[float, ...]) -> None:
    ort = pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    attributes = {
        **STUMPS,
        "class_treeids": (0, 0, 1, 1),
        "class_nodeids": (1, 2, 1, 2),
        "class_ids": class_ids,
        "class_weights": (0.25, -0.5, 0.125, 0.75),
        "classlabels_int64s": (10, 20, 30) if max(class_ids) == 2 else (10, 20),
        "post_transform": post_transform,
    }
    if base and max(class_ids) < 2:
        attributes["base_values"] = base
    node = make("ai.onnx.ml.TreeEnsembleClassifier", 1, 2, **attributes)
    found = agree(node, [ROWS])
    proto = onnx.helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["y", "z"], domain="ai.onnx.ml", **attributes
    )
    graph = onnx.helper.make_graph(
        [proto],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])],
        [
            onnx.helper.make_tensor_value_info("y", onnx.TensorProto.INT64, [None]),
            onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [None, None]),
        ],
    )
    opsets = [onnx.helper.make_opsetid("ai.onnx.ml", 3), onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    labels, scores = session.run(None, {"x": ROWS})
    np.testing.assert_array_equal(found[0], labels)
    np.testing.assert_allclose(found[1], scores, rtol=1e-6, atol=1e-6)


HOSTILE: Mapping[str, Mapping[str, Any]] = {
    "cycle": {"nodes_truenodeids": (0, 0, 0, 1, 0, 0)},
    "own child": {"nodes_truenodeids": (1, 0, 0, 1, 0, 0), "nodes_falsenodeids": (0, 0, 0, 2, 0, 0)},
    "two roots": {"nodes_falsenodeids": (1, 0, 0, 2, 0, 0)},
    "no such child": {"nodes_falsenodeids": (7, 0, 0, 2, 0, 0)},
    "child in another tree": {"nodes_nodeids": (0, 1, 2, 3, 4, 5), "nodes_truenodeids": (1, 0, 0, 1, 0, 0)},
    "duplicate node": {"nodes_nodeids": (0, 1, 1, 0, 1, 2)},
    "short list": {"nodes_values": (0.5,)},
    "mode": {"nodes_modes": ("BRANCH_MAYBE",) + ("LEAF",) * 5},
    "feature": {"nodes_featureids": (-1, 0, 0, 1, 0, 0)},
    "target": {"target_ids": (0, 0, 2, 0)},
    "vote": {"target_nodeids": (1, 2, 1, 9)},
    "no nodes": dict.fromkeys(STUMPS, ()),
    "base values": {"base_values": (1.0,)},
    "number of targets": {"n_targets": 0},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_trees(case: str) -> None:
    with pytest.raises(ModelError):
        regressor(**HOSTILE[case])


def test_too_few_features() -> None:
    with pytest.raises(PyrecError, match="at least 2 features"):
        OPS["pyrec.Forest"].evaluate(regressor(), [ROWS[:, :1]])


# ai.onnx.ml and strings

X = np.asarray([[1.5, -2.0, 0.0], [0.0, 0.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    ("op", "attributes", "x"),
    [
        ("Scaler", {"scale": (2.0, 3.0, 4.0), "offset": (1.0,)}, X),
        ("Scaler", {"scale": (2.0,), "offset": (1.0,)}, X.astype(np.int64)),
        ("Normalizer", {"norm": "L1"}, X),
        ("Normalizer", {"norm": "L2"}, X),
        ("Normalizer", {"norm": "MAX"}, X),
        ("Binarizer", {"threshold": 0.5}, X.astype(np.float64)),
        ("Imputer", {"imputed_value_floats": (7.0,), "replaced_value_float": 0.0}, X),
        ("Imputer", {"imputed_value_int64s": (7, 8, 9), "replaced_value_int64": 0}, X.astype(np.int32)),
        ("OneHotEncoder", {"cats_int64s": (-2, 1)}, X),
        ("FeatureVectorizer", {"inputdimensions": (4,)}, X),
        ("LabelEncoder", {"keys_floats": (0.0, 1.5), "values_int64s": (4, 5), "default_int64": -3}, X),
        ("LabelEncoder", {"keys_int64s": (0, 1), "values_floats": (4.0, 5.0)}, X.astype(np.int64)),
        ("LinearRegressor", {"coefficients": tuple(range(6)), "intercepts": (1.0, 2.0), "targets": 2}, X),
    ],
)
def test_classical(op: str, attributes: Mapping[str, Any], x: Any) -> None:
    agree(make(f"ai.onnx.ml.{op}", 1, **attributes), [x])


@pytest.mark.parametrize("post_transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_linear_classifier(post_transform: str, classes: int) -> None:
    node = make(
        "ai.onnx.ml.LinearClassifier",
        1,
        2,
        coefficients=tuple(random.normal(size=3 * classes).tolist()),
        intercepts=tuple(random.normal(size=classes).tolist()),
        classlabels_ints=tuple(range(max(2, classes))),
        post_transform=post_transform,
    )
    agree(node, [X])


def test_array_feature_extractor() -> None:
    agree(make("ai.onnx.ml.ArrayFeatureExtractor", 2), [X, np.asarray([2, 0])])


@pytest.mark.parametrize(
    ("text", "expected"), [("", 0), ("a", 1009084850), ("hello", 613153351), ("hello, world", 345750399)]
)
def test_murmur(text: str, expected: int) -> None:
    node = make("com.microsoft.MurmurHash3", 1, seed=0)
    (found,) = OPS[node.op].evaluate(node, [np.asarray([text])])
    assert found.tolist() == [expected]
    assert found.dtype == np.uint32


def test_label_encoder_of_strings() -> None:
    node = make("ai.onnx.ml.LabelEncoder", 1, keys_strings=("a", "b"), values_int64s=(4, 5))
    (found,) = OPS[node.op].evaluate(node, [np.asarray([["b", "c"]])])
    assert found.tolist() == [[5, -1]]
