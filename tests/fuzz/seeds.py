"""Small valid models of many operator families, from which mutations start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper
from support.models import FLOAT, INT64, STRING, Value, make_graph, make_model, matrix_ranker, ranker
from support.random_graphs import random_model

ML = {"ai.onnx.ml": 3}


def _weights(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape, np.float32)


def _node(op: str, inputs: str, outputs: str, domain: str = "", **attributes: Any) -> onnx.NodeProto:
    names = [name if name != "_" else "" for name in inputs.split()]
    return helper.make_node(op, names, outputs.split(), name=f"n_{outputs}", domain=domain, **attributes)


_X: Mapping[str, Value] = {"x": (FLOAT, ["N", 4])}
_Y: Mapping[str, Value] = {"y": (0, None)}


def forest(classifier: bool = False) -> onnx.ModelProto:
    """Two trees of three leaves."""
    leaf, branch = "LEAF", "BRANCH_LEQ"
    kind = "class" if classifier else "target"
    attributes: dict[str, Any] = {
        "nodes_treeids": [0] * 5 + [1] * 3,
        "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
        "nodes_featureids": [0, 1, 0, 0, 0, 3, 0, 0],
        "nodes_modes": [branch, branch, leaf, leaf, leaf, "BRANCH_GT", leaf, leaf],
        "nodes_values": [0.5, -0.5, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 3, 0, 0, 0, 1, 0, 0],
        "nodes_falsenodeids": [2, 4, 0, 0, 0, 2, 0, 0],
        "nodes_missing_value_tracks_true": [0, 1, 0, 0, 0, 0, 0, 0],
        f"{kind}_treeids": [0, 0, 0, 1, 1],
        f"{kind}_nodeids": [2, 3, 4, 1, 2],
        f"{kind}_ids": [0, 1, 0, 1, 0],
        f"{kind}_weights": [0.1, 0.7, -0.3, 0.2, 0.4],
        "post_transform": "LOGISTIC" if classifier else "NONE",
    }
    if classifier:
        attributes["classlabels_int64s"] = [0, 1]
        node = _node("TreeEnsembleClassifier", "x", "label y", "ai.onnx.ml", **attributes)
    else:
        node = _node("TreeEnsembleRegressor", "x", "y", "ai.onnx.ml", n_targets=2, **attributes)
    return make_model([node], _X, _Y, domains=ML)


def linear() -> onnx.ModelProto:
    nodes = [
        _node("Scaler", "x", "scaled", "ai.onnx.ml", offset=[0.0, 1.0, 0.5, 0.0], scale=[1.0, 2.0, 0.5, 1.0]),
        _node(
            "LinearClassifier",
            "scaled",
            "label p",
            "ai.onnx.ml",
            coefficients=[0.1, 0.2, 0.3, 0.4, -0.1, -0.2, -0.3, -0.4],
            intercepts=[0.1, -0.1],
            classlabels_ints=[0, 1],
            post_transform="SOFTMAX",
        ),
        _node("Normalizer", "p", "y", "ai.onnx.ml", norm="L2"),
    ]
    return make_model(nodes, _X, {**_Y, "label": (0, None)}, domains=ML)


def strings() -> onnx.ModelProto:
    nodes = [
        _node(
            "LabelEncoder",
            "s",
            "id",
            "ai.onnx.ml",
            keys_strings=["a", "bb", "Zürich"],
            values_int64s=[0, 1, 2],
            default_int64=3,
        ),
        _node("Gather", "table id", "row"),
        _node("Equal", "s word", "same"),
        _node("Cast", "same", "flag", to=FLOAT),
        _node("Mul", "row flag", "y"),
        _node("StringConcat", "s word", "text"),
    ]
    constants = {"table": _weights(4, 3), "word": np.array(["a"])}
    inputs: dict[str, Value] = {"s": (STRING, ["N", 1])}
    return make_model(nodes, inputs, {**_Y, "text": (0, None)}, constants, domains=ML)


def words() -> onnx.ModelProto:
    nodes = [
        _node("StringNormalizer", "s", "t", case_change_action="UPPER"),
        _node("OneHotEncoder", "t", "y", "ai.onnx.ml", cats_strings=["A", "B"], zeros=1),
    ]
    return make_model(nodes, {"s": (STRING, ["N"])}, _Y, domains=ML)


def loop() -> onnx.ModelProto:
    inside = make_graph(
        [_node("Add", "held x", "grown"), _node("Identity", "go", "go_on"), _node("Relu", "grown", "out")],
        {"i": (INT64, []), "go": (TensorProto.BOOL, []), "held": (FLOAT, None)},
        {"go_on": (TensorProto.BOOL, []), "grown": (0, None), "out": (0, None)},
    )
    nodes = [_node("Loop", "trips yes x", "y all", body=inside), _node("ReduceSum", "all axes", "z")]
    constants = {"trips": np.asarray(3), "yes": np.asarray(True), "axes": np.asarray([0])}
    return make_model(nodes, _X, {**_Y, "z": (0, None)}, constants)


def branch() -> onnx.ModelProto:
    then = make_graph([_node("Relu", "x", "a")], {}, {"a": (0, None)})
    other = make_graph([_node("Neg", "x", "b")], {}, {"b": (0, None)})
    nodes = [
        _node("ReduceMax", "x", "most", keepdims=0),
        _node("Greater", "most zero", "positive"),
        _node("If", "positive", "y", then_branch=then, else_branch=other),
    ]
    return make_model(nodes, _X, _Y, {"zero": np.float32(0)})


def scan() -> onnx.ModelProto:
    inside = make_graph(
        [_node("Add", "state step", "next"), _node("Mul", "next step", "out")],
        {"state": (FLOAT, None), "step": (FLOAT, None)},
        {"next": (0, None), "out": (0, None)},
    )
    node = _node(
        "Scan", "start x", "last y", body=inside, num_scan_inputs=1, scan_input_axes=[1], scan_output_axes=[1]
    )
    return make_model(
        [_node("ReduceSum", "x axes", "start", keepdims=0), node], _X, _Y, {"axes": np.asarray([1])}
    )


def recurrent(op: str) -> onnx.ModelProto:
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[op]
    constants = {"w": _weights(1, gates * 3, 4), "r": _weights(1, gates * 3, 3), "b": _weights(1, gates * 6)}
    nodes = [
        _node("Transpose", "h", "time_first", perm=[1, 0, 2]),
        _node(op, "time_first w r b", "all last", hidden_size=3),
        _node("Squeeze", "last axes", "y"),
    ]
    constants["axes"] = np.asarray([0])
    return make_model(nodes, {"h": (FLOAT, ["N", 3, 4])}, _Y, constants)


def attention() -> onnx.ModelProto:
    """A request's history of five, masked, against a candidate: the form of DIN."""
    nodes = [
        _node("Gather", "table item", "query"),
        _node("Gather", "table history", "keys"),
        _node("Unsqueeze", "query one", "q"),
        _node("Mul", "q keys", "product"),
        _node("Sub", "q keys", "difference"),
        _node("Expand", "q wide", "q_all"),
        _node("Concat", "q_all keys difference product", "joined", axis=2),
        _node("MatMul", "joined w1", "m1"),
        _node("Add", "m1 b1", "a1"),
        _node("Sigmoid", "a1", "h1"),
        _node("MatMul", "h1 w2", "scores"),
        _node("Equal", "history zero", "padding"),
        _node("Unsqueeze", "padding two", "mask"),
        _node("Where", "mask low scores", "masked"),
        _node("Softmax", "masked", "weights", axis=1),
        _node("Mul", "weights keys", "weighted"),
        _node("ReduceSum", "weighted one", "pooled", keepdims=0),
        _node("Concat", "pooled query", "top", axis=1),
        _node("Gemm", "top w3 b3", "z"),
        _node("PRelu", "z slope", "active"),
        _node("Gemm", "active w4", "y"),
    ]
    constants: dict[str, Any] = {
        "table": _weights(7, 4),
        "one": np.asarray([1]),
        "two": np.asarray([2]),
        "wide": np.asarray([1, 5, 1]),
        "w1": _weights(16, 6),
        "b1": _weights(6),
        "w2": _weights(6, 1),
        "zero": np.asarray(0),
        "low": np.float32(-1e9),
        "w3": _weights(8, 5),
        "b3": _weights(5),
        "slope": _weights(5),
        "w4": _weights(5, 1),
    }
    return make_model(nodes, {"item": (INT64, ["N"]), "history": (INT64, ["N", 5])}, _Y, constants)


def deepfm() -> onnx.ModelProto:
    """Three fields, a factorisation machine by sums of squares, cross layer and batch normalisation."""
    fields = ("a", "b", "c")
    nodes = [_node("Gather", f"t_{name} {name}", f"r_{name}") for name in fields]
    nodes += [
        _node("Concat", "r_a r_b r_c dense", "joined", axis=1),
        _node("Sum", "r_a r_b r_c", "total"),
        _node("Mul", "total total", "square"),
        _node("Mul", "r_a r_a", "s_a"),
        _node("Mul", "r_b r_b", "s_b"),
        _node("Mul", "r_c r_c", "s_c"),
        _node("Sum", "s_a s_b s_c", "squares"),
        _node("Sub", "square squares", "cross"),
        _node("ReduceSum", "cross one", "fm", keepdims=1),
        _node("MatMul", "joined wc", "xc"),
        _node("Add", "xc bc", "xb"),
        _node("Mul", "xb joined", "crossed"),
        _node("Add", "crossed joined", "deep_in"),
        _node("Gemm", "deep_in w1 b1", "h1"),
        _node("BatchNormalization", "h1 scale bias mean var", "h2"),
        _node("Relu", "h2", "h3"),
        _node("Gemm", "h3 w2 b2", "h4", transB=1),
        _node("Add", "h4 fm", "logit"),
        _node("Sigmoid", "logit", "y"),
    ]
    constants: dict[str, Any] = {f"t_{name}": _weights(5, 4) for name in fields}
    constants |= {"one": np.asarray([1]), "wc": _weights(14, 14), "bc": _weights(14), "w1": _weights(14, 9)}
    constants |= {"b1": _weights(9), "scale": _weights(9), "bias": _weights(9), "mean": _weights(9)}
    constants |= {"var": np.abs(_weights(9)) + 1, "w2": _weights(1, 9), "b2": _weights(1)}
    inputs: dict[str, Value] = {name: (INT64, ["N"]) for name in fields}
    return make_model(nodes, {**inputs, "dense": (FLOAT, ["N", 2])}, _Y, constants)


def bag() -> onnx.ModelProto:
    """A masked mean of a history's rows, and a bucket of a number."""
    nodes = [
        _node("Gather", "table history", "rows"),
        _node("Greater", "history zero", "kept"),
        _node("Cast", "kept", "mask", to=FLOAT),
        _node("Unsqueeze", "mask last", "column"),
        _node("Mul", "rows column", "masked"),
        _node("ReduceSum", "masked one", "sums", keepdims=0),
        _node("ReduceSum", "mask one", "count", keepdims=1),
        _node("Add", "count tiny", "safe"),
        _node("Div", "sums safe", "mean"),
        _node("Floor", "price", "floor"),
        _node("Clip", "floor least most", "clipped"),
        _node("Cast", "clipped", "bucket", to=INT64),
        _node("GatherElements", "bounds bucket", "bound"),
        _node("OneHot", "bucket depth values", "hot"),
        _node("ReduceMean", "mean one", "m", keepdims=0),
        _node("ReduceMax", "hot all", "h", keepdims=0),
        _node("Sum", "m h bound", "y"),
    ]
    constants: dict[str, Any] = {
        "table": _weights(9, 4),
        "zero": np.asarray(0),
        "one": np.asarray([1]),
        "all": np.asarray([1]),
        "last": np.asarray([2]),
        "tiny": np.float32(1e-8),
        "least": np.float32(0),
        "most": np.float32(3),
        "bounds": _weights(4),
        "depth": np.asarray(4),
        "values": np.asarray([0, 1], np.float32),
    }
    return make_model(nodes, {"history": (INT64, ["N", 6]), "price": (FLOAT, ["N"])}, _Y, constants)


def shapes() -> onnx.ModelProto:
    """The chains by which exporters read the batch size."""
    nodes = [
        _node("Shape", "x", "shape"),
        _node("Gather", "shape zero", "n"),
        _node("Unsqueeze", "n first", "n1"),
        _node("Concat", "n1 rest", "target", axis=0),
        _node("Reshape", "x target", "cube"),
        _node("Transpose", "cube", "turned", perm=[0, 2, 1]),
        _node("MatMul", "cube turned", "gram"),
        _node("Slice", "gram from to axes", "cut"),
        _node("Flatten", "cut", "flat"),
        _node("ConstantOfShape", "n1", "zeros"),
        _node("Unsqueeze", "zeros axes", "column"),
        _node("Add", "flat column", "moved"),
        _node("Split", "moved parts", "left right", axis=1),
        _node("Pad", "left pads", "padded"),
        _node("Tile", "right twice", "tiled"),
        _node("Concat", "padded tiled", "y", axis=1),
        _node("TopK", "moved k", "best place", axis=1),
        _node("CumSum", "best axis", "z"),
    ]
    constants: dict[str, Any] = {
        "zero": np.asarray(0),
        "first": np.asarray([0]),
        "rest": np.asarray([2, 2]),
        "from": np.asarray([0]),
        "to": np.asarray([2]),
        "axes": np.asarray([1]),
        "parts": np.asarray([1, 3]),
        "pads": np.asarray([0, 1, 0, 0]),
        "twice": np.asarray([1, 2]),
        "k": np.asarray([2]),
        "axis": np.asarray(1),
    }
    return make_model(nodes, _X, {**_Y, "z": (0, None)}, constants)


def quantized() -> onnx.ModelProto:
    nodes = [
        _node("QuantizeLinear", "x sx zx", "qx"),
        _node("DequantizeLinear", "qx sx zx", "dx"),
        _node("DequantizeLinear", "qw sw zw", "dw", axis=1),
        _node("MatMul", "dx dw", "m"),
        _node("QLinearMatMul", "qx sx zx qv sx zx sx zx", "qy"),
        _node("DequantizeLinear", "qy sx zx", "dy"),
        _node("Concat", "m dy", "y", axis=1),
    ]
    constants: dict[str, Any] = {
        "sx": np.float32(0.05),
        "zx": np.uint8(128),
        "qw": np.arange(12, dtype=np.int8).reshape(4, 3),
        "sw": np.abs(_weights(3)) + 0.1,
        "zw": np.zeros(3, np.int8),
        "qv": np.arange(8, dtype=np.uint8).reshape(4, 2),
    }
    return make_model(nodes, _X, _Y, constants)


def convolution() -> onnx.ModelProto:
    nodes = [
        _node("Conv", "h w b", "c", kernel_shape=[3], pads=[1, 1]),
        _node("MaxPool", "c", "p", kernel_shape=[2], strides=[2]),
        _node("LayerNormalization", "p scale bias", "l", axis=-1),
        _node("GlobalAveragePool", "l", "g"),
        _node("Einsum", "g m", "y", equation="bij,jk->bk"),
    ]
    constants = {"w": _weights(2, 3, 3), "b": _weights(2), "scale": _weights(2), "bias": _weights(2)}
    return make_model(nodes, {"h": (FLOAT, ["N", 3, 4])}, _Y, {**constants, "m": _weights(1, 3)})


def assembled() -> onnx.ModelProto:
    """Scatters, gathers of many axes and sequences."""
    nodes = [
        _node("ScatterElements", "x ids x", "e", axis=1, reduction="add"),
        _node("GatherND", "x at", "g", batch_dims=1),
        _node("Reshape", "g as_column", "column"),
        _node("SplitToSequence", "x", "seq", axis=1, keepdims=1),
        _node("SequenceAt", "seq second", "one"),
        _node("ConcatFromSequence", "seq", "again", axis=1),
        _node("ArgMax", "again", "most", axis=1, keepdims=1),
        _node("Cast", "most", "number", to=FLOAT),
        _node("Concat", "e one number column", "y", axis=1),
    ]
    constants: dict[str, Any] = {
        "second": np.asarray(1),
        "as_column": np.asarray([-1, 1]),
    }
    inputs: dict[str, Value] = {**_X, "ids": (INT64, ["N", 4]), "at": (INT64, ["N", 1, 1])}
    return make_model(nodes, inputs, _Y, constants)


def chain() -> onnx.ModelProto:
    """Every common elementwise operator in a row."""
    names = (
        *(
            "Relu",
            "Tanh",
            "Exp",
            "Neg",
            "Abs",
            "Sqrt",
            "Log",
            "Softplus",
            "Erf",
            "HardSigmoid",
            "Mish",
            "Selu",
        ),
        *("Elu", "Celu", "LeakyRelu", "Gelu", "Sign", "Round", "Reciprocal", "Softsign", "HardSwish", "Sin"),
        *("Cos", "Floor"),
    )
    nodes = []
    for i, name in enumerate(names):
        nodes.append(_node(name, f"v{i}" if i else "x", f"v{i + 1}"))
    nodes.append(_node("Mod", f"v{len(names)} two", "modulo", fmod=1))
    nodes.append(_node("Pow", "modulo two", "y"))
    return make_model(nodes, _X, _Y, {"two": np.float32(2)})


BUILDERS: Mapping[str, Callable[[], onnx.ModelProto]] = {
    "ranker": ranker,
    "matrix_ranker": matrix_ranker,
    "forest": forest,
    "forest_classifier": lambda: forest(classifier=True),
    "linear": linear,
    "strings": strings,
    "words": words,
    "loop": loop,
    "branch": branch,
    "scan": scan,
    "rnn": lambda: recurrent("RNN"),
    "gru": lambda: recurrent("GRU"),
    "lstm": lambda: recurrent("LSTM"),
    "attention": attention,
    "deepfm": deepfm,
    "bag": bag,
    "shapes": shapes,
    "quantized": quantized,
    "convolution": convolution,
    "assembled": assembled,
    "chain": chain,
}


class Seeds:
    """Models to start from: the built ones, random graphs, and the small files of a folder.

    Parameters
    ----------
    corpus : Path, optional
        Its ``*.onnx`` of at most 100 KB, at any depth, are taken too.
    """

    def __init__(self, corpus: Path | None = None) -> None:
        self._built = [build().SerializeToString(deterministic=True) for build in BUILDERS.values()]
        found = sorted(corpus.rglob("*.onnx")) if corpus is not None else []
        self._files = [path for path in found if path.stat().st_size <= 100_000]

    def choose(self, random: Random) -> onnx.ModelProto:
        """A model that the caller may change."""
        place = random.random()
        if self._files and place < 0.3:
            return onnx.ModelProto.FromString(random.choice(self._files).read_bytes())
        if place > 0.85:
            return random_model(random).proto
        return onnx.ModelProto.FromString(random.choice(self._built))
