"""One long string among many short ones takes its own memory, not that of a matrix as wide as itself."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.models import INT64, STRING, make_model

import pyrec_infer as pi

NAMES = ["x" * 1_000_000, *(f"item-{i}" for i in range(1000))]


def encoder() -> bytes:
    """A score for each name, from a LabelEncoder."""
    known = {
        "keys_strings": NAMES[1:],
        "values_floats": [float(i) for i in range(1000)],
        "default_float": -1.0,
    }
    node = helper.make_node("LabelEncoder", ["name"], ["score"], domain="ai.onnx.ml", **known)
    name = helper.make_tensor_value_info("name", TensorProto.STRING, ["N"])
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N"])
    graph = helper.make_graph([node], "encoder", [name], [score])
    versions = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 4)]
    made: bytes = helper.make_model(graph, opset_imports=versions, ir_version=10).SerializeToString()
    return made


@pytest.mark.parametrize("form", ["list", "object", "StringDType"])
def test_memory_of_a_run_follows_the_bytes(form: str) -> None:
    model = pi.load(encoder())
    value: Any = NAMES
    if form == "object":
        value = np.asarray(NAMES, object)
    elif form == "StringDType":
        value = np.asarray(NAMES, np.dtypes.StringDType())
    tracemalloc.start()
    try:
        (made,) = model.run({"name": value}).values()
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
    np.testing.assert_array_equal(made, np.arange(-1, 1000, dtype=np.float32))
    with pytest.raises(pi.InputError):
        model.run({"name": [*NAMES, None]})


LONG = ["y" * 40_000, *(f"k{i}" for i in range(4000))]
"""Half a gibibyte in an array of a fixed width."""


def traced(work: Callable[[], Any]) -> tuple[Any, int]:
    """What it gives, and the most memory that it took."""
    tracemalloc.start()
    try:
        return work(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("place", ["initializer", "attribute"])
def test_memory_of_a_load_follows_the_bytes(place: str) -> None:
    words = np.asarray(LONG, object)
    if place == "attribute":
        known: dict[str, Any] = {"keys_int64s": range(len(LONG)), "values_strings": LONG}
        node = helper.make_node("LabelEncoder", ["i"], ["y"], domain="ai.onnx.ml", **known)
    else:
        node = helper.make_node("Gather", ["words", "i"], ["y"])
    constants = {"words": words} if place == "initializer" else {}
    inputs, outputs = {"i": (INT64, ["N"])}, {"y": (STRING, ["N"])}
    proto = make_model([node], inputs, outputs, constants, domains={"ai.onnx.ml": 4})
    data = proto.SerializeToString()
    made, peak = traced(lambda: pi.load(data).run({"i": np.arange(len(LONG))})["y"])
    assert made.tolist() == LONG
    assert peak < 20_000_000


def doubled(times: int, first: str) -> bytes:
    """Strings put together with themselves again and again, in front of those of an input."""
    nodes = [helper.make_node("StringConcat", [f"c{i}", f"c{i}"], [f"c{i + 1}"]) for i in range(times)]
    nodes.append(helper.make_node("StringConcat", [f"c{times}", "x"], ["y"]))
    inputs = {"x": (STRING, ["N"])} if first == "constant" else {"x": (STRING, ["N"]), "c0": (STRING, ["N"])}
    constants = {"c0": np.asarray(["a"], object)} if first == "constant" else {}
    made: bytes = make_model(nodes, inputs, {"y": (STRING, ["N"])}, constants).SerializeToString()
    return made


@pytest.mark.parametrize("first", ["constant", "input"])
def test_strings_without_end_are_refused_before_they_are_made(first: str) -> None:
    given = {"x": ["b"]} if first == "constant" else {"x": ["b"], "c0": ["a"]}
    model, peak = traced(lambda: pi.load(doubled(30, first), max_bytes=1 << 20))
    assert peak < 20_000_000
    with pytest.raises(pi.ResourceLimitError, match="max_bytes"):
        model.run(given)
    (made,) = pi.load(doubled(9, first)).run(given).values()
    assert made.tolist() == ["a" * 512 + "b"]


def test_a_view_of_a_long_string_is_no_copy_of_it() -> None:
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["many"]),
        helper.make_node("Equal", ["many", "x"], ["y"]),
        helper.make_node("Identity", ["many"], ["z"]),
    ]
    outputs = {"y": (TensorProto.BOOL, [None, "N"]), "z": (STRING, [None, "N"])}
    proto = make_model(nodes, {"x": (STRING, ["N"])}, outputs, {"shape": np.asarray([500, 1])})
    model = pi.load(proto.SerializeToString())
    made, peak = traced(lambda: model.run({"x": ["z" * 100_000]}))
    assert made["y"].all()
    assert made["z"].tolist() == [["z" * 100_000]] * 500
    assert peak < 20_000_000
