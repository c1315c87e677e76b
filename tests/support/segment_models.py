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

INT32 = onnx.TensorProto.INT32

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
    "zeros2": np.asarray([0, 0]),
    "corner": np.asarray([2**31 - 1, 1]),
    "axes2": np.asarray([0, 1]),
    "far": np.asarray([2**31 - 1]),
    "minus_one": np.asarray(-1),
    "zero32": np.int32(0),
    "one32": np.int32(1),
    "one132": np.int32([1]),
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
        make_node("Cast", ["which"], ["which32"], to=INT32),
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
    inputs: dict[str, Value] = {"ids": (INT64, [None]), "rows": (INT64, [None])}
    if weighted:
        inputs["weights"] = (FLOAT, [None])
    return _scored(nodes, inputs)


def _scored(nodes: list[onnx.NodeProto], inputs: Mapping[str, Value]) -> bytes:
    """The model of the bags that nodes make."""
    nodes = [
        *nodes,
        make_node("Concat", ["bags", "x"], ["joined"], axis=1),
        make_node("MatMul", ["joined", "dense"], ["y2"]),
        make_node("Squeeze", ["y2", "one1"], ["y"]),
    ]
    given = {**inputs, "x": (FLOAT, [None, 5])}
    return make_model(nodes, given, {"y": (FLOAT, [None])}, dict(_CONSTANTS), opset=18).SerializeToString()


def _splits(how: str) -> tuple[list[onnx.NodeProto], Value]:
    """The splits of rows, and the input of that name."""
    given: Value = (INT64, [None])
    if how == "lengths":
        return [
            make_node("CumSum", ["lengths", "zero"], ["sums"]),
            make_node("Concat", ["zero1", "sums"], ["offsets"], axis=0),
        ], given
    if how == "starts":
        return [
            make_node("Shape", ["ids"], ["all_ids"]),
            make_node("Concat", ["starts", "all_ids"], ["offsets"], axis=0),
        ], given
    if how == "rowids":
        return [
            make_node("Shape", ["x"], ["batch1"], start=0, end=1),
            make_node("Squeeze", ["batch1", "zero1"], ["batch"]),
            make_node("Unique", ["rowids"], ["own", "", "", "own_counts"], sorted=1),
            make_node("Greater", ["own", "minus_one"], ["above"]),
            make_node("Less", ["own", "batch"], ["below"]),
            make_node("And", ["above", "below"], ["there"]),
            make_node("Compress", ["own", "there"], ["own_there"], axis=0),
            make_node("Compress", ["own_counts", "there"], ["counts_there"], axis=0),
            make_node("ConstantOfShape", ["batch1"], ["no_counts"], value=from_array(np.asarray([0]))),
            make_node("ScatterElements", ["no_counts", "own_there", "counts_there"], ["lengths"], axis=0),
            make_node("CumSum", ["lengths", "zero"], ["sums"]),
            make_node("Concat", ["zero1", "sums"], ["offsets"], axis=0),
        ], given
    return [make_node("Identity", ["splits"], ["offsets"])], given


def partitions(how: str, mode: str = "sum") -> bytes:
    """``y = [bags | x] W`` of rows of a ragged tensor, by its splits, lengths, starts or rows."""
    splits, given = _splits(how)
    nodes = [
        *splits,
        make_node("Slice", ["offsets", "one1", "far", "zero1"], ["later"]),
        make_node("Slice", ["offsets", "zero1", "last1", "zero1"], ["earlier"]),
        make_node("Sub", ["later", "earlier"], ["between"]),
        make_node("Cast", ["between"], ["between32"], to=INT32),
        make_node("Shape", ["offsets"], ["split_count1"]),
        make_node("Squeeze", ["split_count1", "zero1"], ["split_count"]),
        make_node("Sub", ["split_count", "one"], ["row_count"]),
        make_node("Range", ["zero", "row_count", "one"], ["all_rows"]),
        make_node("Shape", ["all_rows"], ["as_many"]),
        make_node("Expand", ["between32", "as_many"], ["limits"]),
        make_node("ReduceMax", ["limits", "zero1"], ["longest"], keepdims=0),
        make_node("Max", ["zero32", "longest"], ["width"]),
        make_node("Range", ["zero32", "width", "one32"], ["steps"]),
        make_node("Cast", ["steps"], ["steps_f"], to=FLOAT),
        make_node("Unsqueeze", ["limits", "last1"], ["limit_column"]),
        make_node("Cast", ["limit_column"], ["limits_f"], to=FLOAT),
        make_node("Less", ["steps_f", "limits_f"], ["mask"]),
        make_node("Reshape", ["mask", "last1"], ["flat_mask"]),
        make_node("NonZero", ["flat_mask"], ["found_places"]),
        make_node("Transpose", ["found_places"], ["turned_places"]),
        make_node("Squeeze", ["turned_places", "one1"], ["kept_places"]),
        make_node("Unsqueeze", ["all_rows", "one1"], ["all_rows_column"]),
        make_node("Unsqueeze", ["width", "zero1"], ["width1"]),
        make_node("Concat", ["one132", "width1"], ["repeats32"], axis=0),
        make_node("Cast", ["repeats32"], ["repeats"], to=INT64),
        make_node("Tile", ["all_rows_column", "repeats"], ["spread"]),
        make_node("Reshape", ["spread", "last1"], ["flat_rows"]),
        make_node("Gather", ["flat_rows", "kept_places"], ["rows"], axis=0),
        *_places(True),
    ]
    (count,) = (node for node in nodes if "count" in node.output)
    nodes[nodes.index(count)] = make_node("Unsqueeze", ["row_count", "zero1"], ["count"])
    nodes.append(make_node("Gather", ["table", "ids"], ["found"], axis=0))
    nodes += _segment("found", _REDUCE[mode], _NEUTRAL[mode], "bags")
    return _scored(nodes, {"ids": (INT64, [None]), how: given})


def behind(model: bytes, name: str, given: str, nodes: list[onnx.NodeProto], columns: int = 0) -> bytes:
    """The model, an input of which nodes make of another, which may be a matrix."""
    proto = onnx.ModelProto.FromString(model)
    (value,) = (value for value in proto.graph.input if value.name == name)
    value.name = given
    if columns:
        value.type.tensor_type.shape.dim.add().dim_value = columns
    kept = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *kept])
    return proto.SerializeToString()
