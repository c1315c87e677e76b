"""Small models whose bags of ids are spelt in the ways that exporters have."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto
from onnx.helper import make_node
from onnx.numpy_helper import from_array

from support.models import FLOAT, INT64, Value, make_graph, make_model

Array = NDArray[Any]

TABLE = np.random.default_rng(5).normal(size=(20, 4)).astype(np.float32)
PADDING = 3
WEIGHTS = np.random.default_rng(6).normal(size=(9, 1)).astype(np.float32)

_REDUCE = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}
_CONSTANTS: Mapping[str, Array] = {
    "table": TABLE,
    "dense": WEIGHTS,
    "zero": np.asarray(0),
    "one": np.asarray(1),
    "two": np.asarray(2),
    "minus_one": np.asarray(-1),
    "zero1": np.asarray([0]),
    "zeros2": np.asarray([0, 0]),
    "reach": np.asarray([-2, 0]),
    "one1": np.asarray([1]),
    "minus1": np.asarray([-1]),
    "end": np.asarray([2**63 - 1]),
    "true": np.asarray(True),
    "f0": np.float32(0),
    "half": np.float32(0.5),
    "steps": np.arange(4, dtype=np.float32),
    "lowest": np.float32(np.finfo(np.float32).min),
    "highest": np.float32(np.finfo(np.float32).max),
    "f1": np.float32([1]),
    "width": np.asarray([4]),
    "table_rows": np.asarray(len(TABLE)),
    "padding": np.asarray(PADDING),
    "by_field": np.asarray([3, -1, 4]),
    "by_row": np.asarray([-1, 3, 4]),
    "field_weights": np.arange(1, 4, dtype=np.float32).reshape(3, 1, 1),
    "row_weights": np.arange(1, 4, dtype=np.float32).reshape(1, 3, 1),
    "no_places": np.zeros(0, np.int64),
}


def _model(nodes: list[onnx.NodeProto], inputs: Mapping[str, Value], bags: str = "bags") -> bytes:
    """``y = [bags | x] W`` after nodes that make the bags [N, 4]."""
    nodes = [
        *nodes,
        make_node("Concat", [bags, "x"], ["joined"], axis=1),
        make_node("MatMul", ["joined", "dense"], ["y2"]),
        make_node("Squeeze", ["y2", "one1"], ["y"]),
    ]
    given = {**inputs, "x": (FLOAT, ["B", 5])}
    return make_model(nodes, given, {"y": (FLOAT, ["B"])}, dict(_CONSTANTS), opset=18).SerializeToString()


def _offsets(last: bool) -> tuple[list[onnx.NodeProto], dict[str, Value], str]:
    inputs: dict[str, Value] = {"ids": (INT64, ["L"]), "offsets": (INT64, ["B1" if last else "B"])}
    if last:
        return [], inputs, "offsets"
    nodes = [
        make_node("Shape", ["ids"], ["total"]),
        make_node("Concat", ["offsets", "total"], ["all"], axis=0),
    ]
    return nodes, inputs, "all"


def _loop(nodes: list[onnx.NodeProto], whole: str, mode: str, weighted: bool) -> None:
    """TorchScript's loop over the bags between the elements of ``whole``."""
    rows = "found"
    body = [
        make_node("Gather", [whole, "i"], ["a"]),
        make_node("Gather", ["ends", "i"], ["b"]),
        make_node("Unsqueeze", ["a", "zero1"], ["a1"]),
        make_node("Unsqueeze", ["b", "zero1"], ["b1"]),
        make_node("Slice", ["ids", "a1", "b1", "zero1"], ["own"]),
        make_node("Gather", ["table", "own"], [rows]),
    ]
    if weighted:
        rows = "scaled"
        body += [
            make_node("Slice", ["weights", "a1", "b1", "zero1"], ["factors"]),
            make_node("Unsqueeze", ["factors", "one1"], ["column"]),
            make_node("Mul", ["found", "column"], [rows]),
        ]
    body += [
        make_node(_REDUCE[mode], [rows, "zero1"], ["row"], keepdims=0),
        make_node("Cast", ["true"], ["again"], to=TensorProto.BOOL),
    ]
    graph = make_graph(
        body,
        {"i": (INT64, []), "condition": (TensorProto.BOOL, [])},
        {"again": (TensorProto.BOOL, []), "row": (FLOAT, [4])},
    )
    nodes += [
        make_node("Slice", [whole, "one1", "end", "zero1", "one1"], ["ends"]),
        make_node("Shape", ["ends"], ["count1"]),
        make_node("Gather", ["count1", "zero"], ["count"]),
        make_node("Loop", ["count", "true"], ["bags"], body=graph),
    ]


def scripted(mode: str = "sum", last: bool = False, weighted: bool = False) -> bytes:
    """TorchScript's form of an embedding bag."""
    nodes, inputs, whole = _offsets(last)
    _loop(nodes, whole, mode, weighted)
    if weighted:
        inputs["weights"] = (FLOAT, ["L"])
    return _model(nodes, inputs)


def summed_lengths(spelling: str) -> bytes:
    """Lengths whose sums are the offsets of TorchScript's form."""
    nodes = [make_node("CumSum", ["lengths", "zero"], ["sums"], exclusive=int(spelling == "exclusive"))]
    if spelling == "exclusive":
        nodes.append(make_node("Identity", ["sums"], ["offsets"]))
    elif spelling == "less":
        nodes.append(make_node("Sub", ["sums", "lengths"], ["offsets"]))
    else:
        nodes.append(make_node("Slice", ["sums", "zero1", "minus1", "zero1"], ["before"]))
        nodes.append(make_node("Concat", ["zero1", "before"], ["offsets"], axis=0))
    nodes.append(make_node("Shape", ["ids"], ["total"]))
    nodes.append(make_node("Concat", ["offsets", "total"], ["all"], axis=0))
    _loop(nodes, "all", "sum", False)
    return _model(nodes, {"ids": (INT64, ["L"]), "lengths": (INT64, ["B"])})


def _ended(mode: str) -> onnx.GraphProto:
    """Dynamo's branch for a mean or maximum: the last bag is one that ends with the ids."""
    last = [make_node("Sub", ["count", "one"], ["last"]), make_node("Equal", ["i", "last"], ["is_last"])]
    if mode == "max":
        ends = (
            make_graph([make_node("Slice", ["matrix", "a", end], [name])], {}, {name: (0, None)})
            for end, name in (("total_ids", "to_end"), ("b", "to_b"))
        )
        first, second = ends
        nodes = [
            make_node("If", ["is_last"], ["own"], then_branch=first, else_branch=second),
            make_node("ReduceMax", ["own", "zero1"], ["full"]),
        ]
        return make_graph([*last, *nodes], {}, {"full": (0, None)})
    divided = [make_node("Cast", ["left"], ["left_f"], to=1), make_node("Div", ["added", "left_f"], ["mean"])]
    some = make_graph(divided, {}, {"mean": (0, None)})
    none = make_graph([make_node("Identity", ["added"], ["as_is"])], {}, {"as_is": (0, None)})
    to_end = [
        make_node("ReduceSum", ["own", "zero1"], ["added"]),
        make_node("Sub", ["total_ids", "a"], ["left"]),
        make_node("Greater", ["left", "zero1"], ["some"]),
        make_node("If", ["some"], ["last_row"], then_branch=some, else_branch=none),
    ]
    plain = [make_node("ReduceMean", ["own", "zero1"], ["other_row"])]
    nodes = [
        make_node("Slice", ["matrix", "a", "b"], ["own"]),
        make_node(
            "If",
            ["is_last"],
            ["full"],
            then_branch=make_graph(to_end, {}, {"last_row": (0, None)}),
            else_branch=make_graph(plain, {}, {"other_row": (0, None)}),
        ),
    ]
    return make_graph([*last, *nodes], {}, {"full": (0, None)})


def ended(mode: str = "mean", last: bool = False) -> bytes:
    """Dynamo's form of a mean or maximum."""
    return sequenced(mode, last, filled=_ended(mode))


def sequenced(
    mode: str = "sum", last: bool = False, weighted: bool = False, filled: onnx.GraphProto | None = None
) -> bytes:
    """Dynamo's form of an embedding bag: all rows are read first, and a sequence of bags is joined."""
    nodes, inputs, whole = _offsets(last)
    if filled is None:
        reduce = [
            make_node("Slice", ["matrix", "a", "b"], ["own"]),
            make_node(_REDUCE[mode], ["own", "zero1"], ["full"]),
        ]
        filled = make_graph(reduce, {}, {"full": (0, None)})
    nodes.append(make_node("Shape", ["ids"], ["total_ids"]))
    body = [
        make_node("Reshape", ["i", "minus1"], ["i1"]),
        make_node("Add", ["i1", "one"], ["next"]),
        make_node("Add", ["i1", "two"], ["after"]),
        make_node("Slice", [whole, "i1", "next"], ["a"]),
        make_node("Slice", [whole, "next", "after"], ["b"]),
        make_node("Equal", ["a", "b"], ["no"]),
        make_node("If", ["no"], ["row"], then_branch=_no_row(), else_branch=filled),
    ]
    return _sequence(nodes, inputs, body, last, weighted)


def _no_row() -> onnx.GraphProto:
    return make_graph([], {}, {"none": (FLOAT, [1, 4])}, {"none": np.zeros((1, 4), np.float32)})


def _sequence(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Value],
    body: list[onnx.NodeProto],
    last: bool,
    weighted: bool,
) -> bytes:
    """The model whose bags are the ``row`` of each iteration of a body."""
    body = [
        *body,
        make_node("SequenceInsert", ["before", "row"], ["rows"]),
        make_node("Add", ["i", "one"], ["i_after"]),
        make_node("Less", ["i_after", "count"], ["again"]),
    ]
    graph = make_graph(
        body,
        {
            "n": (INT64, []),
            "condition": (TensorProto.BOOL, []),
            "before": (0, None),
            "i": (INT64, []),
        },
        {"again": (TensorProto.BOOL, []), "rows": (0, None), "i_after": (INT64, [])},
    )
    nodes += [
        make_node("Gather", ["table", "ids"], ["found"]),
        make_node("Shape", ["ids"], ["size"]),
        make_node("Expand", ["f1", "size"], ["ones"]),
        make_node("Unsqueeze", ["weights" if weighted else "ones", "one1"], ["column"]),
        make_node("Mul", ["found", "column"], ["matrix"]),
        make_node("Size", ["offsets"], ["offset_count"]),
        make_node("Sub", ["offset_count", "one" if last else "zero"], ["count"]),
        make_node("SequenceEmpty", [], ["start"]),
        make_node("Less", ["zero", "count"], ["begin"]),
        make_node("Loop", ["", "begin", "start", "zero"], ["sequence", "stop"], body=graph),
        make_node("ConcatFromSequence", ["sequence"], ["bags"], axis=0),
    ]
    if weighted:
        inputs["weights"] = (FLOAT, ["L"])
    return _model(nodes, inputs)


def padded(mode: str = "sum", last: bool = False, weighted: bool = False, by_lengths: bool = False) -> bytes:
    """Dynamo's form of an embedding bag with a padding id: a loop in the loop collects the other places."""
    nodes, inputs, whole = _offsets(False)
    if last:
        nodes[1] = make_node("ScatterElements", ["offsets", "minus1", "total"], ["all"])
        inputs["offsets"] = (INT64, ["B1"])
    if by_lengths:
        del inputs["offsets"]
        inputs["lengths"] = (INT64, ["B"])
        nodes[:0] = [
            make_node("CumSum", ["lengths", "zero"], ["sums"]),
            make_node("Concat", ["zero1", "sums"], ["offsets"], axis=0),
        ]
    wrapped = make_graph([make_node("Add", ["id", "table_rows"], ["up"])], {}, {"up": (INT64, [])})
    plain = make_graph([make_node("Identity", ["id"], ["same"])], {}, {"same": (INT64, [])})
    more = make_graph(
        [
            make_node("Reshape", ["j", "minus1"], ["j1"]),
            make_node("Concat", ["places", "j1"], ["grown"], axis=0),
        ],
        {},
        {"grown": (INT64, None)},
    )
    skip = make_graph([make_node("Identity", ["places"], ["kept"])], {}, {"kept": (INT64, None)})
    search = [
        make_node("Gather", ["ids", "j"], ["id"]),
        make_node("Less", ["id", "zero"], ["negative"]),
        make_node("If", ["negative"], ["row_of_id"], then_branch=wrapped, else_branch=plain),
        make_node("Equal", ["row_of_id", "padding"], ["is_padding"]),
        make_node("Not", ["is_padding"], ["is_id"]),
        make_node("If", ["is_id"], ["places_after"], then_branch=more, else_branch=skip),
        make_node("Add", ["j", "one"], ["j_after"]),
        make_node("Less", ["j_after", "b"], ["more"]),
    ]
    condition: Value = (TensorProto.BOOL, [])
    inner = make_graph(
        search,
        {"m": (INT64, []), "within": condition, "places": (INT64, None), "j": (INT64, [])},
        {"more": condition, "places_after": (INT64, None), "j_after": (INT64, [])},
    )
    filled = make_graph(
        [
            make_node("Gather", ["matrix", "own_places"], ["own"]),
            make_node(_REDUCE[mode], ["own", "zero1"], ["full"]),
        ],
        {},
        {"full": (0, None)},
    )
    body = [
        make_node("Gather", [whole, "i"], ["a"]),
        make_node("Add", ["i", "one"], ["next"]),
        make_node("Gather", [whole, "next"], ["b"]),
        make_node("Less", ["a", "b"], ["any"]),
        make_node("Loop", ["", "any", "no_places", "a"], ["own_places", "j_end"], body=inner),
        make_node("Size", ["own_places"], ["own_count"]),
        make_node("Equal", ["own_count", "zero"], ["no"]),
        make_node("If", ["no"], ["row"], then_branch=_no_row(), else_branch=filled),
    ]
    return _sequence(nodes, inputs, body, last, weighted)


def pairs(spelling: str, mean: bool = False) -> bytes:
    """Table rows added up at the rows of the batch that a list names."""
    total = "total" if mean else "bags"
    nodes = [
        make_node("Gather", ["table", "ids"], ["found"]),
        make_node("Shape", ["x"], ["batch"], start=0, end=1),
        make_node("Concat", ["batch", "width"], ["to"], axis=0),
        make_node("Expand", ["f0", "to"], ["zeros"]),
        make_node("Unsqueeze", ["rows", "minus1"], ["column"]),
    ]
    if spelling == "ScatterND":
        nodes.append(make_node("ScatterND", ["zeros", "column", "found"], [total], reduction="add"))
    else:
        nodes.append(make_node("Shape", ["found"], ["places"]))
        nodes.append(make_node("Expand", ["column", "places"], ["spread"]))
        nodes.append(
            make_node("ScatterElements", ["zeros", "spread", "found"], [total], axis=0, reduction="add")
        )
    if mean:
        nodes += [
            make_node("Expand", ["f0", "batch"], ["nothing"]),
            make_node("Shape", ["rows"], ["pairs"]),
            make_node("Expand", ["f1", "pairs"], ["ones"]),
            make_node("ScatterND", ["nothing", "column", "ones"], ["counts"], reduction="add"),
            make_node("Max", ["counts", "f1"], ["least"]),
            make_node("Unsqueeze", ["least", "one1"], ["divisor"]),
            make_node("Div", ["total", "divisor"], ["bags"]),
        ]
    return _model(nodes, {"ids": (INT64, ["L"]), "rows": (INT64, ["L"])})


def repeated_rows() -> bytes:
    """TorchScript's form of rows repeated by lengths, to which table rows are added."""
    body = [
        make_node("SequenceAt", ["each_length", "i"], ["length"]),
        make_node("SequenceAt", ["each_row", "i"], ["row"]),
        make_node("Unsqueeze", ["row", "one1"], ["row_column"]),
        make_node("Concat", ["one1", "length", "no_places"], ["to_length"], axis=0),
        make_node("Shape", ["to_length"], ["rank"]),
        make_node("ConstantOfShape", ["rank"], ["ones"], value=from_array(np.asarray([1]))),
        make_node("Mul", ["ones", "minus_one"], ["kept"]),
        make_node("Equal", ["to_length", "kept"], ["is_kept"]),
        make_node("Where", ["is_kept", "ones", "to_length"], ["sizes"]),
        make_node("Expand", ["row_column", "sizes"], ["copies"]),
        make_node("Reshape", ["copies", "minus1"], ["flat"]),
        make_node("SequenceInsert", ["before", "flat"], ["after"]),
        make_node("Cast", ["true"], ["again"], to=TensorProto.BOOL),
    ]
    graph = make_graph(
        body,
        {"i": (INT64, []), "condition": (TensorProto.BOOL, []), "before": (0, None)},
        {"again": (TensorProto.BOOL, []), "after": (0, None)},
    )
    nodes = [
        make_node("Gather", ["table", "ids"], ["found"]),
        make_node("Shape", ["lengths"], ["count1"]),
        make_node("Squeeze", ["count1"], ["count"]),
        make_node("Range", ["zero", "count", "one"], ["numbers"]),
        make_node("ConstantOfShape", ["count1"], ["singles"], value=from_array(np.asarray([1]))),
        make_node("SplitToSequence", ["lengths", "singles"], ["each_length"], axis=0),
        make_node("SplitToSequence", ["numbers", "singles"], ["each_row"], axis=0),
        make_node("SequenceEmpty", [], ["start"], dtype=INT64),
        make_node("Loop", ["count1", "true", "start"], ["sequence"], body=graph),
        make_node("ConcatFromSequence", ["sequence"], ["rows"], axis=0),
        make_node("Concat", ["count1", "width"], ["to"], axis=0),
        make_node("Expand", ["f0", "to"], ["zeros"]),
        make_node("Unsqueeze", ["rows", "one1"], ["column"]),
        make_node("Shape", ["found"], ["size_of_found"]),
        make_node("Expand", ["column", "size_of_found"], ["places"]),
        make_node("Shape", ["places"], ["size_of_places"]),
        make_node("Slice", ["found", "zeros2", "size_of_places"], ["updates"]),
        make_node("ScatterElements", ["zeros", "places", "updates"], ["bags"], axis=0, reduction="add"),
    ]
    return _model(nodes, {"ids": (INT64, ["L"]), "lengths": (INT64, ["B"])})


def extremes(spelling: str, largest: bool, begun: str) -> bytes:
    """The largest or least numbers at the rows that a list names, of values begun with or replaced."""
    reduction, put = ("max", "lowest") if largest else ("min", "highest")
    nodes = [
        make_node("Gather", ["table", "ids"], ["found"]),
        make_node("Shape", ["x"], ["batch"], start=0, end=1),
        make_node("Concat", ["batch", "width"], ["to"], axis=0),
        make_node("Expand", [begun, "to"], ["begun"]),
        make_node("Unsqueeze", ["rows", "minus1"], ["places"]),
        make_node("Shape", ["found"], ["spread"]),
        make_node("Unsqueeze", ["ids", "minus1"], ["ids_column"]),
    ]
    if spelling == "ScatterElements":
        nodes[4:5] = [
            make_node("Unsqueeze", ["rows", "minus1"], ["column"]),
            make_node("Shape", ["found"], ["size_of_found"]),
            make_node("Expand", ["column", "size_of_found"], ["places"]),
        ]
    data = "begun"
    if begun == "f0":
        other = "min" if largest else "max"
        nodes.append(make_node("Expand", [put, "spread"], ["puts"]))
        nodes.append(make_node(spelling, ["begun", "places", "puts"], ["put"], reduction=other))
        data = "put"
    nodes.append(make_node(spelling, [data, "places", "found"], ["bags"], reduction=reduction))
    return _model(nodes, {"ids": (INT64, ["L"]), "rows": (INT64, ["L"])})


FIELDS = 3


def fields(axis: int, mode: str = "sum") -> bytes:
    """Bags of several fields, weighed and added; their lengths are a matrix with rows along an axis."""
    nodes = [
        make_node("Reshape", ["lengths", "minus1"], ["flat_lengths"]),
        make_node("CumSum", ["flat_lengths", "zero"], ["sums"]),
        make_node("Concat", ["zero1", "sums"], ["all"], axis=0),
    ]
    _loop(nodes, "all", mode, False)
    nodes += [
        make_node("Reshape", ["bags", "by_field" if axis else "by_row"], ["each"]),
        make_node("Mul", ["each", "field_weights" if axis else "row_weights"], ["weighed"]),
        make_node("ReduceSum", ["weighed", "zero1" if axis else "one1"], ["added"], keepdims=0),
    ]
    shape: list[int | str] = [FIELDS, "B"] if axis else ["B", FIELDS]
    return _model(nodes, {"ids": (INT64, ["L"]), "lengths": (INT64, shape)}, "added")


def with_input(model: bytes, value: str, place: int, name: str) -> bytes:
    """The model, the node of which that makes a value reads something else at a place."""

    def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
        for node in graph.node:
            yield node
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    yield from nodes_of(attribute.g)

    proto = onnx.ModelProto.FromString(model)
    (node,) = (node for node in nodes_of(proto.graph) if value in node.output)
    assert node.input[place] != name
    node.input[place] = name
    return proto.SerializeToString()


SPELLINGS: Mapping[str, Callable[[], bytes]] = {
    **{
        f"{make.__name__}-{mode}-{'last' if last else 'first'}": lambda make=make, mode=mode, last=last: make(
            mode, last
        )
        for make in (scripted, sequenced, padded)
        for mode in ("sum", "mean", "max")
        for last in (False, True)
    },
    **{
        f"ended-{mode}-{'last' if last else 'first'}": lambda mode=mode, last=last: ended(mode, last)
        for mode in ("mean", "max")
        for last in (False, True)
    },
    **{
        f"{make.__name__}-weighted": lambda make=make: make("sum", False, True)
        for make in (scripted, sequenced, padded)
    },
    "lengths-repeated": repeated_rows,
    "padded-mean-lengths": lambda: padded("mean", last=True, by_lengths=True),
    **{f"lengths-{how}": lambda how=how: summed_lengths(how) for how in ("exclusive", "less", "joined")},
    **{
        f"pairs-{how}{'-mean' if mean else ''}": lambda how=how, mean=mean: pairs(how, mean)
        for how in ("ScatterND", "ScatterElements")
        for mean in (False, True)
    },
    **{
        f"pairs-{how}-{mode}{'-begun' if begun == 'half' else ''}": lambda how=how, mode=mode, begun=begun: (
            extremes(how, mode == "max", begun)
        )
        for how in ("ScatterND", "ScatterElements")
        for mode in ("max", "min")
        for begun in ("f0", "half")
    },
}


NEAR_MISSES: Mapping[str, Sequence[tuple[str, str, int, str]]] = {
    "scripted_bags": (
        ("scripted-sum-first", "b1", 0, "i"),
        ("scripted-sum-last", "own", 1, "zero1"),
    ),
    "sequenced_bags": (
        ("padded-sum-first", "id", 1, "i"),  # the bag's number is no place
        ("padded-sum-first", "up", 1, "two"),  # not the table's size
        ("padded-sum-first", "negative", 1, "one"),
        ("padded-sum-first", "is_padding", 1, "j"),
        ("padded-sum-first", "grown", 1, "places"),
        ("padded-sum-first", "j_after", 1, "two"),
        ("padded-sum-first", "more", 1, "two"),
        ("padded-sum-first", "any", 1, "two"),
        ("padded-sum-first", "no", 1, "one"),
        ("padded-sum-last", "no", 0, "a"),
        ("padded-max-last", "own_places", 3, "next"),
        ("padded-mean-last", "all", 1, "zero1"),
        ("padded-mean-last", "b", 0, "offsets"),
        ("padded-sum-first", "full", 1, "one1"),
        ("padded-sum-first", "i_after", 1, "two"),
        ("sequenced-sum-first", "no", 1, "a"),
        ("sequenced-sum-last", "a", 1, "zero1"),
        ("sequenced-mean-last", "b", 2, "end"),
        ("ended-mean-first", "last", 1, "two"),
        ("ended-mean-first", "left", 0, "one1"),
        ("ended-mean-last", "left", 1, "b"),
        ("ended-max-first", "to_end", 2, "one1"),
        ("ended-max-last", "is_last", 1, "zero"),
    ),
    "segments": (
        ("pairs-ScatterND-max", "put", 1, "ids_column"),
        ("pairs-ScatterElements-min", "puts", 0, "steps"),
        ("pairs-ScatterND-min-begun", "begun", 0, "steps"),
    ),
    "repeated_rows": (
        ("lengths-repeated", "row", 0, "each_length"),
        ("lengths-repeated", "sizes", 2, "ones"),
        ("lengths-repeated", "kept", 1, "one"),
        ("lengths-repeated", "to_length", 0, "length"),
        ("lengths-repeated", "numbers", 0, "minus_one"),
        ("lengths-repeated", "sequence", 0, "one1"),
        ("lengths-repeated", "updates", 1, "reach"),
    ),
}
"""For each pattern: a spelling, a value in it, and a place where the node of that value reads another."""


def mode_of(name: str) -> str:
    return next((mode for mode in ("mean", "max", "min") if mode in name), "sum")


def ragged(name: str, lengths: Array, seed: int = 0) -> dict[str, Array]:
    """The ragged inputs of a spelling for bags of these lengths."""
    generator = np.random.default_rng(seed)
    ends, total = np.cumsum(lengths), int(np.sum(lengths))
    found: dict[str, Array] = {"ids": generator.integers(0, len(TABLE), total)}
    if name.startswith("padded"):
        found["ids"][generator.random(total) < 0.3] = PADDING
    if name.startswith("pairs"):
        order = generator.permutation(total)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        found = {"ids": found["ids"][order], "rows": rows[order]}
    elif "lengths" in name:
        found["lengths"] = np.asarray(lengths)
    else:
        starts = np.asarray(ends) - lengths
        found["offsets"] = np.append(starts, total) if name.endswith("last") else starts
    if "weighted" in name:
        found["weights"] = generator.random(total).astype(np.float32)
    return found


def bags_of(name: str, given: Mapping[str, Array], lengths: Array) -> Array:
    """What the bags are, in float64."""
    rows = given.get("rows", np.repeat(np.arange(len(lengths)), lengths))
    numbers = TABLE.astype(np.float64)[given["ids"]]
    numbers = numbers * given.get("weights", np.ones(len(numbers)))[:, None]
    if name.startswith("padded"):
        kept = given["ids"] != PADDING
        rows, numbers = rows[kept], numbers[kept]
    reduce = {"sum": np.sum, "mean": np.mean, "max": np.max, "min": np.min}[mode_of(name)]
    begun = np.full((1, 4), 0.5) if name.endswith("begun") else np.zeros((0, 4))
    made = [np.concatenate([begun, numbers[rows == row]]) for row in range(len(lengths))]
    return np.stack([reduce(part, axis=0) if len(part) else np.zeros(4) for part in made])


def expected(name: str, given: Mapping[str, Array], lengths: Array, x: Array) -> Array:
    """The score of every row, in float64."""
    return np.concatenate([bags_of(name, given, lengths), x], axis=1) @ WEIGHTS.astype(np.float64)[:, 0]
