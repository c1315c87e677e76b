"""One long string among many short ones takes its own memory, not that of a matrix as wide as itself."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

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
