"""Small models with a table for each field, whose bags lie in one list or in a list for each field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.helper import make_node

from support.models import FLOAT, INT64, Value, make_graph, make_model

Array = NDArray[Any]

FIELDS = 3
TABLES = np.random.default_rng(5).normal(size=(FIELDS, 20, 4)).astype(np.float32)
DENSE = np.random.default_rng(6).normal(size=(4 * FIELDS + 5, 1)).astype(np.float32)
WAYS = ("each", "each-last", "offsets", "sums", "sums-turned", "sums-weighted")
"""How bags are told: offsets in a list for each field, or lengths in one list cut by offsets or by sums."""

_CONSTANTS: Mapping[str, Array] = {
    **{f"table{f}": TABLES[f] for f in range(FIELDS)},
    **{f"number{f}": np.asarray(f) for f in range(FIELDS + 1)},
    "dense": DENSE,
    "zero1": np.asarray([0]),
    "one1": np.asarray([1]),
    "last": np.asarray(-1),
    "last1": np.asarray([-1]),
    "end": np.asarray([2**63 - 1]),
    "true": np.asarray(True),
}


def _bags(field: int, mode: str, ids: str, whole: str, weights: str = "") -> list[onnx.NodeProto]:
    """TorchScript's loop over the bags of a field between the elements of ``whole``."""
    rows = f"found{field}"
    body = [
        make_node("Gather", [whole, f"i{field}"], ["a"]),
        make_node("Gather", [f"ends{field}", f"i{field}"], ["b"]),
        make_node("Unsqueeze", ["a", "zero1"], ["a1"]),
        make_node("Unsqueeze", ["b", "zero1"], ["b1"]),
        make_node("Slice", [ids, "a1", "b1", "zero1"], ["own"]),
        make_node("Gather", [f"table{field}", "own"], [rows]),
    ]
    if weights:
        body += [
            make_node("Slice", [weights, "a1", "b1", "zero1"], ["factors"]),
            make_node("Unsqueeze", ["factors", "one1"], ["column"]),
            make_node("Mul", [rows, "column"], ["scaled"]),
        ]
        rows = "scaled"
    reduce = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}[mode]
    body += [
        make_node(reduce, [rows, "zero1"], ["row"], keepdims=0),
        make_node("Cast", ["true"], ["again"], to=onnx.TensorProto.BOOL),
    ]
    inputs: dict[str, Value] = {f"i{field}": (INT64, []), "condition": (onnx.TensorProto.BOOL, [])}
    graph = make_graph(body, inputs, {"again": (onnx.TensorProto.BOOL, []), "row": (FLOAT, [4])})
    return [
        make_node("Slice", [whole, "one1", "end", "zero1", "one1"], [f"ends{field}"]),
        make_node("Shape", [f"ends{field}"], [f"count1_{field}"]),
        make_node("Gather", [f"count1_{field}", "number0"], [f"count{field}"]),
        make_node("Loop", [f"count{field}", "true"], [f"bags{field}"], body=graph),
    ]


def _each(field: int, mode: str, last: bool) -> list[onnx.NodeProto]:
    """A list of ids for each field, and offsets [F, B], or [F, B + 1] with the last bag's end."""
    nodes = [
        make_node("Gather", ["ids", f"number{field}"], [f"ids{field}"], axis=0),
        make_node("Gather", ["offsets", f"number{field}"], [f"offsets{field}"], axis=0),
    ]
    if last:
        return [*nodes, *_bags(field, mode, f"ids{field}", f"offsets{field}")]
    return [
        *nodes,
        make_node("Shape", [f"ids{field}"], [f"total{field}"]),
        make_node("Concat", [f"offsets{field}", f"total{field}"], [f"all{field}"], axis=0),
        *_bags(field, mode, f"ids{field}", f"all{field}"),
    ]


def _by_offsets(field: int, mode: str) -> list[onnx.NodeProto]:
    """The part of one list between a field's first and last offset of all, and the offsets in it."""
    before = [] if field else _all_offsets()
    return [
        *before,
        make_node("Mul", ["rows", f"number{field}"], [f"begin{field}"]),
        make_node("Mul", ["rows", f"number{field + 1}"], [f"before_end{field}"]),
        make_node("Add", [f"before_end{field}", "number1"], [f"end{field}"]),
        make_node("Unsqueeze", [f"begin{field}", "zero1"], [f"begin1_{field}"]),
        make_node("Unsqueeze", [f"end{field}", "zero1"], [f"end1_{field}"]),
        make_node("Slice", ["all", f"begin1_{field}", f"end1_{field}", "zero1"], [f"part{field}"]),
        make_node("Gather", [f"part{field}", "number0"], [f"first{field}"]),
        make_node("Gather", [f"part{field}", "last"], [f"behind{field}"]),
        make_node("Unsqueeze", [f"first{field}", "zero1"], [f"first1_{field}"]),
        make_node("Unsqueeze", [f"behind{field}", "zero1"], [f"behind1_{field}"]),
        make_node("Slice", ["ids", f"first1_{field}", f"behind1_{field}", "zero1"], [f"ids{field}"]),
        make_node("Sub", [f"part{field}", f"first{field}"], [f"own{field}"]),
        *_bags(field, mode, f"ids{field}", f"own{field}"),
    ]


def _all_offsets() -> list[onnx.NodeProto]:
    return [
        make_node("Reshape", ["lengths", "last1"], ["flat"]),
        make_node("CumSum", ["flat", "number0"], ["sums"]),
        make_node("Concat", ["zero1", "sums"], ["all"], axis=0),
        make_node("Shape", ["lengths"], ["size"]),
        make_node("Gather", ["size", "number1"], ["rows"]),
    ]


def _by_sums(field: int, mode: str, turned: bool, weighted: bool) -> list[onnx.NodeProto]:
    """The part of one list behind the sums of the fields before, and sums of the field's own lengths."""
    axis = int(turned)
    nodes = [
        make_node("ReduceSum", ["lengths", "zero1" if turned else "one1"], ["per_field"], keepdims=0),
        make_node("CumSum", ["per_field", "number0"], ["field_sums"]),
        make_node("Concat", ["zero1", "field_sums"], ["firsts"], axis=0),
    ]
    nodes = [] if field else nodes
    for name, place in (("first", field), ("behind", field + 1)):
        nodes.append(make_node("Gather", ["firsts", f"number{place}"], [f"{name}{field}"], axis=0))
        nodes.append(make_node("Unsqueeze", [f"{name}{field}", "zero1"], [f"{name}1_{field}"]))
    cut = [f"first1_{field}", f"behind1_{field}", "zero1"]
    nodes += [
        make_node("Slice", ["ids", *cut], [f"ids{field}"]),
        make_node("Gather", ["lengths", f"number{field}"], [f"lengths{field}"], axis=axis),
        make_node("CumSum", [f"lengths{field}", "number0"], [f"sums{field}"]),
        make_node("Concat", ["zero1", f"sums{field}"], [f"all{field}"], axis=0),
    ]
    if weighted:
        nodes.append(make_node("Slice", ["weights", *cut], [f"weights{field}"]))
    return [*nodes, *_bags(field, mode, f"ids{field}", f"all{field}", f"weights{field}" if weighted else "")]


def tables(way: str, mode: str = "sum") -> bytes:
    """``y = [bags of each field | x] W`` with a table for each field."""
    inputs: dict[str, Value] = {"ids": (INT64, ["L"])}
    nodes: list[onnx.NodeProto] = []
    for field in range(FIELDS):
        if way.startswith("each"):
            nodes += _each(field, mode, way == "each-last")
        elif way == "offsets":
            nodes += _by_offsets(field, mode)
        else:
            nodes += _by_sums(field, mode, way == "sums-turned", way == "sums-weighted")
    if way.startswith("each"):
        inputs = {"ids": (INT64, [FIELDS, "L"]), "offsets": (INT64, [FIELDS, "K" if "last" in way else "B"])}
    else:
        inputs["lengths"] = (INT64, ["B", FIELDS] if way == "sums-turned" else [FIELDS, "B"])
    if way == "sums-weighted":
        inputs["weights"] = (FLOAT, ["L"])
    nodes += [
        make_node("Concat", [*(f"bags{field}" for field in range(FIELDS)), "x"], ["joined"], axis=1),
        make_node("MatMul", ["joined", "dense"], ["y2"]),
        make_node("Squeeze", ["y2", "one1"], ["y"]),
    ]
    given = {**inputs, "x": (FLOAT, ["B", 5])}
    return make_model(nodes, given, {"y": (FLOAT, ["B"])}, dict(_CONSTANTS), opset=18).SerializeToString()
