"""When a request may be repeated: a score equals the request's own row, or the call is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto
from onnx.helper import make_node
from support.models import FLOAT, INT64, Value, make_graph, make_model

import pyrec_infer as pi
from pyrec_infer.errors import InputError, PyrecError

Array = NDArray[Any]
Nodes = list[NodeProto]

INPUTS: Mapping[str, Value] = {
    "list": (FLOAT, ["L"]),
    "start": (INT64, ["N"]),
    "x": (FLOAT, ["N"]),
}
CONSTANTS: Mapping[str, Array] = {
    "zero": np.asarray(0),
    "one": np.asarray(1),
    "zero1": np.asarray([0]),
    "one1": np.asarray([1]),
    "by_row": np.asarray([-1, 1]),
    "f0": np.float32(0),
    "off_on": np.float32([0, 1]),
    "true": np.asarray(True),
}
SIZES: Nodes = [
    make_node("Shape", ["list"], ["length1"]),
    make_node("Squeeze", ["length1", "zero1"], ["length"]),
    make_node("Sub", ["length", "one"], ["last"]),
    make_node("Shape", ["x"], ["rows1"]),
    make_node("Squeeze", ["rows1", "zero1"], ["rows"]),
    make_node("Range", ["zero", "length", "one"], ["places"]),
]

PLACES: Mapping[str, Nodes] = {
    "own": [make_node("Identity", ["start"], ["at"])],
    "next": [make_node("Add", ["start", "one"], ["at"])],
    "summed": [make_node("CumSum", ["start", "zero"], ["at"])],
    "before": [make_node("CumSum", ["start", "zero"], ["at"], exclusive=1)],
    "numbered": [
        make_node("Range", ["zero", "rows", "one"], ["numbers"]),
        make_node("Add", ["start", "numbers"], ["at"]),
    ],
}
"""Which place of the list belongs to a row."""


def _loop() -> Nodes:
    body = make_graph(
        [
            make_node("Gather", ["at", "i"], ["a"]),
            make_node("Unsqueeze", ["a", "zero1"], ["a1"]),
            make_node("Slice", ["list", "a1", "length1", "zero1"], ["rest"]),
            make_node("ReduceSum", ["rest", "zero1"], ["row"], keepdims=0),
            make_node("Identity", ["c"], ["again"]),
        ],
        {"i": (INT64, []), "c": (TensorProto.BOOL, [])},
        {"again": (TensorProto.BOOL, []), "row": (FLOAT, [])},
    )
    return [make_node("Loop", ["rows", "true"], ["z"], body=body)]


READERS: Mapping[str, Nodes] = {
    "gather": [
        make_node("Min", ["at", "last"], ["bounded"]),
        make_node("Gather", ["list", "bounded"], ["z"]),
    ],
    "mask": [
        make_node("Reshape", ["at", "by_row"], ["column"]),
        make_node("Less", ["places", "column"], ["before"]),
        make_node("Where", ["before", "list", "f0"], ["kept"]),
        make_node("ReduceSum", ["kept", "one1"], ["z"], keepdims=0),
    ],
    "product": [
        make_node("Reshape", ["at", "by_row"], ["column"]),
        make_node("LessOrEqual", ["places", "column"], ["before"]),
        make_node("Cast", ["before"], ["ones"], to=TensorProto.FLOAT),
        make_node("MatMul", ["ones", "list"], ["z"]),
    ],
    "scatter": [
        make_node("Mod", ["places", "rows"], ["row"]),
        make_node("Mul", ["x", "f0"], ["zeros"]),
        make_node("ScatterElements", ["zeros", "row", "list"], ["z"], axis=0, reduction="add"),
    ],
    "one_hot": [
        make_node("Mod", ["places", "rows"], ["row"]),
        make_node("OneHot", ["row", "rows", "off_on"], ["hot"]),
        make_node("MatMul", ["list", "hot"], ["z"]),
    ],
    "loop": _loop(),
    "fold": [
        make_node("Concat", ["rows1", "minus1"], ["grid"], axis=0),
        make_node("Reshape", ["list", "grid"], ["folded"]),
        make_node("ReduceSum", ["folded", "one1"], ["z"], keepdims=0),
    ],
    "front": [
        make_node("Slice", ["list", "zero1", "rows1", "zero1"], ["z"]),
    ],
    "total": [
        make_node("ReduceSum", ["list", "zero1"], ["sum"], keepdims=0),
        make_node("Mul", ["x", "sum"], ["z"]),
    ],
}
"""Ways in which rows read the list."""

TIES: Mapping[str, Nodes] = {
    "none": [],
    "softmax": [make_node("Softmax", ["x"], ["tied"], axis=0)],
    "summed": [
        make_node("CumSum", ["start", "zero"], ["sums"]),
        make_node("Cast", ["sums"], ["tied"], to=TensorProto.FLOAT),
    ],
    "centred": [make_node("ReduceMean", ["x", "zero1"], ["mean"]), make_node("Sub", ["x", "mean"], ["tied"])],
}
"""What ties rows together without the list."""


def build(parts: list[Nodes], result: list[str]) -> pi.Model:
    nodes = [*SIZES, *(node for part in parts for node in part)]
    nodes.append(make_node("Sum", [*result, "x"], ["y"]))
    constants = {**CONSTANTS, "minus1": np.asarray([-1])}
    return pi.load(make_model(nodes, INPUTS, {"y": (FLOAT, ["N"])}, constants, opset=18).SerializeToString())


def outcome(call: Callable[[], Array]) -> Array | None:
    try:
        return call()
    except PyrecError:
        return None


def rows_of(inputs: Mapping[str, Array], rows: Array) -> dict[str, Array]:
    return {name: value if name == "list" else value[rows] for name, value in inputs.items()}


@settings(max_examples=60, deadline=None)
@given(
    place=st.sampled_from(sorted(PLACES)),
    reader=st.sampled_from(sorted(READERS)),
    tie=st.sampled_from(sorted(TIES)),
    request=st.sampled_from([{"list"}, {"start"}, {"x"}, {"list", "start"}, {"list", "x"}]),
    length=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_score_is_the_requests_own_row_or_an_error(
    place: str, reader: str, tie: str, request: set[str], length: int, seed: int
) -> None:
    generator, count = np.random.default_rng(seed), 4
    inputs = {
        "list": generator.integers(1, 9, length).astype(np.float32),
        "start": generator.integers(0, length, count),
        "x": generator.integers(-3, 4, count).astype(np.float32),
    }
    own = {name: inputs[name] if name == "list" else inputs[name][:1] for name in request}
    others = {name: value for name, value in inputs.items() if name not in request}
    tied = [] if tie == "none" else ["tied"]
    whole = build([PLACES[place], READERS[reader], TIES[tie]], ["z", *tied])
    scores = outcome(lambda: whole.score(own, others))
    if scores is None:
        return
    repeated = {
        **others,
        **{name: own[name] if name == "list" else np.repeat(own[name], count) for name in own},
    }
    together = whole.run(repeated)["y"]
    if "list" in request:
        # Each row by itself finds what it finds in the batch, but for what ties rows without the list.
        reading = build([PLACES[place], READERS[reader]], ["z"])
        single = [reading.run(rows_of(repeated, np.asarray([row])))["y"] for row in range(count)]
        tying = build([TIES[tie]], tied).run(repeated)["y"] - repeated["x"]
        np.testing.assert_allclose(scores, np.concatenate(single) + tying, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores, together, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reader", ["scatter", "one_hot", "loop", "fold", "front"])
def test_lists_that_rows_read_by_their_order_are_refused(reader: str) -> None:
    model = build([PLACES["own"], READERS[reader]], ["z"])
    request = {"list": np.float32([1, 2, 3]), "start": np.asarray([0])}
    with pytest.raises(InputError, match=r"input 'list'.*node"):
        model.score(request, {"x": np.zeros(3, np.float32)})


@pytest.mark.parametrize("reader", ["gather", "mask", "product"])
def test_places_that_follow_from_other_rows_are_refused(reader: str) -> None:
    model = build([PLACES["summed"], READERS[reader]], ["z"])
    request = {"list": np.float32([1, 2, 3]), "start": np.asarray([1])}
    with pytest.raises(InputError, match="input 'list'"):
        model.score(request, {"x": np.zeros(3, np.float32)})


@pytest.mark.parametrize("reader", ["gather", "mask", "product", "total"])
def test_what_rows_share_is_shared(reader: str) -> None:
    model = build([PLACES["own"], READERS[reader]], ["z"])
    request = {"list": np.float32([1, 2, 3]), "start": np.asarray([2])}
    x = np.float32([1, 2, 3, 4])
    wanted = model.run({**request, "start": np.repeat(2, 4), "x": x})["y"]
    np.testing.assert_allclose(model.score(request, {"x": x}), wanted)


def test_a_list_of_the_candidates_belongs_to_one_request() -> None:
    model = build([PLACES["own"], READERS["loop"]], ["z"])
    candidates = {"list": np.float32([1, 2, 3]), "start": np.asarray([0, 1, 2])}
    x = np.float32([1, 2])
    wanted = model.run({**candidates, "x": np.repeat(x[:1], 3)})["y"]
    np.testing.assert_allclose(model.score({"x": x[:1]}, candidates), wanted)
    with pytest.raises(InputError, match=r"input 'list'.*one request"):
        model.score({"x": x}, candidates, offsets=[0, 1, 3])


def test_rows_that_are_tied_without_a_list_are_repeated() -> None:
    model = build([TIES["summed"]], ["tied"])
    x = np.float32([0, 0, 0])
    scores = model.score({"start": np.asarray([2])}, {"x": x})
    np.testing.assert_allclose(scores, [2, 4, 6])
