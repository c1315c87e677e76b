"""Lists of ids as counts of each id, beside counting in Python."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.errors import SchemaError

WORDS = ["a", "b", "c", "d"]
WEIGHTS = [0.5, 1.0, 2.0, 4.0, 8.0]


def field(**options: Any) -> features.ListField:
    counts = features.Counts(5, options.pop("weights", ()), options.pop("once", False))
    transforms = [features.Vocabulary(WORDS, 1), counts]
    return features.ListField("tags", "item", "x", transforms=transforms, length=6, **options)


def model(tags: features.ListField) -> pi.Model:
    kind = (TensorProto.FLOAT, ["N", 5])
    proto = make_model([helper.make_node("Identity", ["x"], ["y"])], {"x": kind}, {"y": kind})
    return pi.load(proto.SerializeToString(), schema=pi.Schema([tags]))


MODELS = {
    name: model(field(**options))
    for name, options in {
        "count": {},
        "once": {"once": True},
        "weighted": {"weights": WEIGHTS},
        "last": {"keep": "last", "pad": "left"},
    }.items()
}


def counted(name: str, values: list[str]) -> list[float]:
    kept = values[-6:] if name == "last" else values[:6]
    found = Counter(WORDS.index(value) + 1 if value in WORDS else 0 for value in kept)
    counts = [float(found[place]) for place in range(5)]
    if name == "once":
        return [float(count > 0) for count in counts]
    return (
        [count * weight for count, weight in zip(counts, WEIGHTS, strict=True)]
        if name == "weighted"
        else counts
    )


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=30, deadline=None, derandomize=True)
@given(rows=st.lists(st.lists(st.sampled_from([*WORDS, "z"]), max_size=9), min_size=1, max_size=20))
def test_counts_are_those_of_python(name: str, rows: list[list[str]]) -> None:
    expected = np.asarray([counted(name, row) for row in rows], np.float32)
    np.testing.assert_array_equal(MODELS[name].run({"tags": rows})["y"], expected)


def test_a_single_value_counts_too() -> None:
    kind = (TensorProto.FLOAT, ["N", 5])
    proto = make_model([helper.make_node("Identity", ["x"], ["y"])], {"x": kind}, {"y": kind})
    transforms = [features.Vocabulary(WORDS, 1), features.Counts(5, WEIGHTS)]
    loaded = pi.load(
        proto.SerializeToString(),
        schema=pi.Schema([features.Field("tag", "item", "x", transforms=transforms)]),
    )
    np.testing.assert_array_equal(loaded.run({"tag": ["c", "z"]})["y"], [[0, 0, 0, 4, 0], [0.5, 0, 0, 0, 0]])


def test_counts_of_items_and_of_the_request() -> None:
    flat, scalar = (TensorProto.FLOAT, ["N", 5]), (TensorProto.FLOAT, ["N"])
    nodes = [
        helper.make_node("Mul", ["x", "q"], ["p"]),
        helper.make_node("ReduceSum", ["p", "one"], ["y"], keepdims=0),
    ]
    proto = make_model(nodes, {"x": flat, "q": flat}, {"y": scalar}, {"one": np.asarray([1])})
    asked = features.ListField(
        "liked", "request", "q", transforms=[features.Vocabulary(WORDS, 1), features.Counts(5)], length=6
    )
    loaded = pi.load(proto.SerializeToString(), schema=pi.Schema([field(), asked]))
    items = [{"tags": ["a", "b"]}, {"tags": []}, {"tags": ["b", "b", "c"]}]
    expected = [2.0, 0.0, 2.0]
    request = {"liked": ["b", "a"]}
    np.testing.assert_array_equal(loaded.score(request, items), expected)
    catalog = loaded.catalog(items)
    np.testing.assert_array_equal(catalog.score(request, [0, 1, 2]), expected)
    assert catalog.top_k(request, k=3).ids.tolist() == [0, 2, 1]


@pytest.mark.once
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: field(padding=1), "tags.*counts: expected lists of a length that is given"),
        (lambda: field(weights=[1.0]), "tags.*weights: expected 5, one for each id, got 1"),
        (lambda: field(weights=[float("nan")] * 5), "tags.*weights"),
        (
            lambda: features.ListField(
                "tags",
                "item",
                "x",
                transforms=[features.Counts(3), features.Clip(0, 1)],
                dtype="integer",
                length=2,
            ),
            "tags.*counts: expected as the last transform",
        ),
        (
            lambda: features.ListField(
                "tags", "item", "x", dtype="integer", transforms=[features.Counts(3)], offsets_to="o"
            ),
            "tags.*counts: expected lists of a length",
        ),
    ],
)
def test_counts_that_do_not_fit(make: Any, text: str) -> None:
    with pytest.raises(SchemaError, match=text):
        pi.Schema([make()])
