"""Models that filter a history by the frequencies in it."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi


@pytest.mark.parametrize("opset", [17, 21])
def test_catalogues_of_filters_of_frequencies(opset: int) -> None:
    """A history filtered by learned weights of its frequencies, times an item."""
    rng = np.random.default_rng(0)
    places, width = 10, 4
    weights = rng.normal(size=(places // 2 + 1, width, 2)).astype(np.float32)
    table = rng.normal(size=(30, width)).astype(np.float32)
    forward, back = {"onesided": 1}, {"onesided": 1, "inverse": 1}
    axis = [] if opset >= 20 else [("axis", 1)]
    third = ["one"] if opset >= 20 else []
    nodes = [
        helper.make_node("Gather", ["table", "hist"], ["h"]),
        helper.make_node("Unsqueeze", ["h", "last"], ["real"]),
        helper.make_node("DFT", ["real", "n", *third], ["f"], **forward, **dict(axis)),
        helper.make_node("Split", ["f", "halves"], ["a", "b"], axis=-1),
        helper.make_node("Mul", ["a", "wr"], ["ar"]),
        helper.make_node("Mul", ["b", "wi"], ["bi"]),
        helper.make_node("Mul", ["a", "wi"], ["ai"]),
        helper.make_node("Mul", ["b", "wr"], ["br"]),
        helper.make_node("Sub", ["ar", "bi"], ["re"]),
        helper.make_node("Add", ["ai", "br"], ["im"]),
        helper.make_node("Concat", ["re", "im"], ["filtered"], axis=-1),
        helper.make_node("DFT", ["filtered", "n", *third], ["t"], **back, **dict(axis)),
        helper.make_node("Squeeze", ["t", "last"], ["s"]),
        helper.make_node(
            "ReduceMax",
            ["s"] if opset < 18 else ["s", "axes"],
            ["u"],
            keepdims=0,
            **({"axes": [1]} if opset < 18 else {}),
        ),
        helper.make_node("Gather", ["table", "item"], ["i"]),
        helper.make_node("Mul", ["u", "i"], ["m"]),
        helper.make_node("ReduceSum", ["m", "axes"], ["p"], keepdims=0),
    ]
    constants = {
        "table": table,
        "wr": weights[..., :1],
        "wi": weights[..., 1:],
        "n": np.asarray(places),
        "one": np.asarray(1),
        "axes": np.asarray([1]),
        "last": np.asarray([3]),
        "halves": np.asarray([1, 1]),
    }
    inputs = {"hist": (INT64, ["B", places]), "item": (INT64, ["B"])}
    proto = make_model(nodes, inputs, {"p": (FLOAT, ["B"])}, constants, opset=opset)
    hist, item = rng.integers(0, 30, places), np.arange(30)
    filtered = np.fft.rfft(table[hist], axis=0) * (weights[..., 0] + 1j * weights[..., 1])
    expected = table @ np.fft.irfft(filtered, places, axis=0).max(axis=0)
    model = pi.load(proto.SerializeToString())
    np.testing.assert_allclose(model.score({"hist": hist}, {"item": item}), expected, rtol=1e-5, atol=1e-5)
    best = model.catalog({"item": item}).top_k({"hist": hist}, 5)
    assert best.ids.tolist() == np.argsort(-expected)[:5].tolist()
