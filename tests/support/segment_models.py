"""Small models whose bags are segments as TensorFlow's converter writes them: tables of places."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_node
from onnx.numpy_helper import from_array

from support.bag_models import TABLE, WEIGHTS
from support.models import FLOAT, INT64, Value, make_model

Array = NDArray[Any]

_NEUTRAL = {"sum": 0.0, "mean": 0.0, "max": -np.inf, "min": np.inf}
_REDUCE = {"sum": "ReduceSum", "mean": "ReduceSum", "max": "ReduceMax", "min": "ReduceMin"}
_CONSTANTS: Mapping[str, Array] = {
    "table": TABLE,
    "dense": WEIGHTS,
    "zero": np.asarray(0),
    "one": np.asarray(1),
    "two": np.asarray(2),
    "zero1": np.asarray([0]),
    "one1": np.asarray([1]),
    "last1": np.asarray([-1]),
    "two1": np.asarray([2]),
    "f0": np.float32(0),
    "f1": np.float32(1),
    "both": np.float32(2),
    "ending": np.asarray([np.iinfo(np.int64).max]),
}


def _places(counted: bool) -> list[onnx.NodeProto]:
    """The table of the places of each row in the list ``rows``, with -1 where there are no more."""
    nodes = [
        make_node("Shape", ["rows"], ["total1"]),
        make_node("Squeeze", ["total1", "zero1"], ["total"]),
        make_node("TopK", ["rows", "total1"], ["ordered", "order"], axis=0, largest=0, sorted=1),
        make_node("Unique", ["ordered"], ["named", "", "number", "counts"], axis=0, sorted=1),
        make_node("ReduceMax", ["counts", "zero1"], ["most"], keepdims=1),
        make_node("Range", ["zero", "total", "one"], ["numbers"]),
        make_node("Gather", ["counts", "number"], ["own_count"]),
        make_node("Mod", ["numbers", "own_count"], ["within"]),
        make_node("Unsqueeze", ["ordered", "last1"], ["row_column"]),
        make_node("Unsqueeze", ["within", "last1"], ["number_column"]),
        make_node("Concat", ["row_column", "number_column"], ["corners"], axis=1),
        make_node("ReduceMax", ["rows", "zero1"], ["last_row"], keepdims=0),
        make_node("Add", ["last_row", "one"], ["after"]),
        make_node("Unsqueeze", ["after", "zero1"], ["count"]),
    ]
    if counted:
        nodes[-3:] = [make_node("Shape", ["x"], ["count"], start=0, end=1)]
    return [
        *nodes,
        make_node("Concat", ["count", "most"], ["size"], axis=0),
        make_node("ConstantOfShape", ["size"], ["none"], value=from_array(np.asarray([-1]))),
        make_node("ScatterND", ["none", "corners", "order"], ["places"]),
    ]


def _segment(values: str, reduce: str, neutral: float, made: str) -> list[onnx.NodeProto]:
    """The values at each row's places, and one that changes nothing at -1, reduced."""
    fill = from_array(np.float32([neutral]))
    return [
        make_node("Shape", [values], [f"{made}_shape"]),
        make_node("Slice", [f"{made}_shape", "one1", "ending", "zero1"], [f"{made}_width"]),
        make_node("ConstantOfShape", [f"{made}_width"], [f"{made}_filled"], value=fill),
        make_node("Unsqueeze", [f"{made}_filled", "zero1"], [f"{made}_neutral"]),
        make_node("Concat", [values, f"{made}_neutral"], [f"{made}_values"], axis=0),
        make_node("Gather", [f"{made}_values", "places"], [f"{made}_taken"], axis=0),
        make_node(reduce, [f"{made}_taken", "one1"], [made], keepdims=0),
    ]


def _divided(counted: bool) -> list[onnx.NodeProto]:
    """The sums by the number of values: of the named rows, or as sums of ones that are one at least."""
    if counted:
        return [
            make_node("Shape", ["rows"], ["sizes"]),
            make_node("Expand", ["f1", "sizes"], ["ones"]),
            *_segment("ones", "ReduceSum", 0.0, "counted"),
            make_node("Max", ["counted", "f1"], ["some"]),
            make_node("Unsqueeze", ["some", "one1"], ["divisor"]),
            make_node("Div", ["total_sum", "divisor"], ["bags"]),
        ]
    return [
        make_node("ConstantOfShape", ["count"], ["no_counts"], value=from_array(np.asarray([0]))),
        make_node("ScatterElements", ["no_counts", "named", "counts"], ["all_counts"], axis=0),
        make_node("Cast", ["all_counts"], ["counts_f"], to=FLOAT),
        make_node("Unsqueeze", ["counts_f", "one1"], ["divisor"]),
        make_node("Div", ["total_sum", "divisor"], ["bags"]),
    ]


def _weighted(mode: str) -> list[onnx.NodeProto]:
    """Rows of different ids are looked up once and weighed; means divide by weights or their norm."""
    nodes = [
        make_node("Unique", ["ids"], ["once", "", "which", ""], sorted=0),
        make_node("Cast", ["which"], ["which32"], to=onnx.TensorProto.INT32),
        make_node("Gather", ["table", "once"], ["once_found"], axis=0),
        make_node("Gather", ["once_found", "which32"], ["found"], axis=0),
        make_node("Unsqueeze", ["weights", "one1"], ["factors"]),
        make_node("Mul", ["found", "factors"], ["scaled"]),
        *_segment("scaled", "ReduceSum", 0.0, "bags" if mode == "sum" else "total_sum"),
    ]
    if mode == "sum":
        return nodes
    power, divisor = ("factors", "divisor") if mode == "mean" else ("squares", "root")
    if mode == "sqrtn":
        nodes.append(make_node("Pow", ["factors", "both"], ["squares"]))
    nodes += _segment(power, "ReduceSum", 0.0, "divisor")
    if mode == "sqrtn":
        nodes.append(make_node("Sqrt", ["divisor"], ["root"]))
    return [
        *nodes,
        make_node("Div", ["total_sum", divisor], ["quotient"]),
        make_node("Equal", [divisor, "f0"], ["no_weight"]),
        make_node("Where", ["no_weight", "f0", "quotient"], ["bags"]),
    ]


def segments(mode: str, counted: bool = False, weighted: bool = False, neutral: float | None = None) -> bytes:
    """``y = [bags | x] W`` of segments of which a list names the rows; ``counted`` are as many as ``x`` has.

    Others end with the last row that is named. No axis has a name, as in files of that converter. Another
    ``neutral`` value than the reduction's own changes bags that are shorter than the longest.
    """
    nodes = _places(counted)
    if weighted:
        nodes += _weighted(mode)
    else:
        made = "total_sum" if mode == "mean" else "bags"
        nodes.append(make_node("Gather", ["table", "ids"], ["found"], axis=0))
        nodes += _segment("found", _REDUCE[mode], _NEUTRAL[mode] if neutral is None else neutral, made)
        nodes += _divided(counted) if mode == "mean" else []
    nodes += [
        make_node("Concat", ["bags", "x"], ["joined"], axis=1),
        make_node("MatMul", ["joined", "dense"], ["y2"]),
        make_node("Squeeze", ["y2", "one1"], ["y"]),
    ]
    inputs: dict[str, Value] = {"ids": (INT64, [None]), "rows": (INT64, [None]), "x": (FLOAT, [None, 5])}
    if weighted:
        inputs["weights"] = (FLOAT, [None])
    return make_model(nodes, inputs, {"y": (FLOAT, [None])}, dict(_CONSTANTS), opset=18).SerializeToString()


def rows_behind(model: bytes, cut: bool) -> bytes:
    """The model, whose rows are the first column of an input ``indices``; or all but the last of ``rows``."""
    proto = onnx.ModelProto.FromString(model)
    (rows,) = (value for value in proto.graph.input if value.name == "rows")
    if cut:
        nodes = [make_node("Slice", ["given", "zero1", "last1", "zero1"], ["rows"])]
        rows.name = "given"
    else:
        nodes = [
            make_node("Slice", ["indices", "zeros2", "corner", "axes2"], ["column"]),
            make_node("Squeeze", ["column", "one1"], ["rows"]),
        ]
        rows.name = "indices"
        rows.type.tensor_type.shape.dim.add().dim_value = 2
        for name, value in (("zeros2", [0, 0]), ("corner", [2**31 - 1, 1]), ("axes2", [0, 1])):
            proto.graph.initializer.append(from_array(np.asarray(value), name))
    kept = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *kept])
    return proto.SerializeToString()
