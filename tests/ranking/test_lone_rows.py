"""Requests whose values come without their axis of rows: the shortest way, the same answers and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from support.models import FLOAT, INT64, make_model
from support.products import FUSED

import pyrec_infer as pi
from pyrec_infer.arguments import Signature

USERS, ITEMS, LONG, COUNT = 7, 9, 3, 5


def model() -> pi.Model:
    """A user, what he has seen, his age and a column of one number, and items."""
    random = np.random.default_rng(0)
    nodes = [
        onnx.helper.make_node("Gather", ["users", "user"], ["u"]),
        onnx.helper.make_node("Gather", ["items", "seen"], ["h"]),
        onnx.helper.make_node("ReduceMean", ["h", "first"], ["m"], keepdims=0),
        onnx.helper.make_node("Gather", ["items", "item"], ["i"]),
        onnx.helper.make_node("Sum", ["u", "m", "bias"], ["s"]),
        onnx.helper.make_node("Mul", ["s", "i"], ["p"]),
        onnx.helper.make_node("ReduceSum", ["p", "last"], ["d"], keepdims=0),
        onnx.helper.make_node("Add", ["d", "age"], ["score"]),
    ]
    inputs = {
        "user": (INT64, ["N"]),
        "seen": (INT64, ["N", LONG]),
        "age": (FLOAT, ["N"]),
        "bias": (FLOAT, ["N", 1]),
        "item": (INT64, ["N"]),
        "unread": (FLOAT, ["N", 2]),
    }
    tables = {
        "users": random.normal(size=(USERS, 4)).astype(np.float32),
        "items": random.normal(size=(ITEMS, 4)).astype(np.float32),
        "first": np.asarray([1]),
        "last": np.asarray([-1]),
    }
    proto = make_model(nodes, inputs, {"score": (FLOAT, ["N"])}, tables)
    return pi.load(proto.SerializeToString())


SEEN = np.asarray([4, 0, 8])
CANDIDATES = {"item": np.asarray([3, 1, 8, 0, 3])}
WHOLE: Mapping[str, Any] = {
    "user": np.asarray([2]),
    "seen": SEEN[None],
    "age": np.asarray([0.5], np.float32),
    "bias": np.asarray([[0.25]], np.float32),
}
LONE: Mapping[str, Callable[[], dict[str, Any]]] = {
    "Python's": lambda: {"user": 2, "seen": SEEN, "age": 0.5, "bias": np.asarray([0.25], np.float32)},
    "NumPy's": lambda: {
        "user": np.int64(2),
        "seen": SEEN,
        "age": np.float32(0.5),
        "bias": WHOLE["bias"],
    },
    "and one that is not read": lambda: {**WHOLE, "unread": np.zeros((1, 2), np.float32)},
    "of other types": lambda: {"user": np.int32(2), "seen": SEEN.astype(np.int32), "age": 0.5, "bias": 0.25},
    "whole numbers for floats": lambda: {**WHOLE, "user": 2.0, "bias": np.asarray(0.25)},
    "lists": lambda: {"user": [2], "seen": [4, 0, 8], "age": (0.5,), "bias": [[0.25]]},
    "several": lambda: {"user": (2,), "seen": [[4, 0, 8]], "age": np.float64(0.5), "bias": [0.25]},
    "of no axis": lambda: {
        "user": np.asarray(2),
        "seen": np.asarray([[4, 0, 8], [1, 1, 1]])[0],
        "age": np.asarray(0.5, np.float32),
        "bias": np.asarray([0.25], np.float32),
    },
}


@pytest.fixture(params=["score", "few", "many", "items", "all items", "best items"])
def call(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    scorer = model()
    if request.param in ("score", "few"):
        if request.param == "score":
            return lambda own: scorer.score(own, CANDIDATES)
        return lambda own: scorer.top_k(own, CANDIDATES, k=3).scores
    if request.param == "many":
        return lambda own: scorer.score(own, CANDIDATES, offsets=[0, COUNT])
    shop = scorer.catalog(CANDIDATES)
    if request.param in ("items", "all items"):
        ids = np.arange(COUNT) if request.param == "items" else None
        return lambda own: shop.score(own, ids)
    return lambda own: shop.top_k(own, 3).scores


@pytest.mark.skipif(not FUSED, reason="every call of that backend gets a closer look")
@pytest.mark.parametrize("kind", LONE)
def test_they_need_no_closer_look(
    kind: str, call: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = call(WHOLE)
    np.testing.assert_array_equal(call(LONE[kind]()), expected)

    def looked(*_: Any) -> Any:
        raise AssertionError("a closer look")

    monkeypatch.setattr(Signature, "array", looked)
    np.testing.assert_array_equal(call(LONE[kind]()), expected)


@pytest.mark.parametrize(
    "changed",
    [
        {"user": 2.5},
        {"user": np.float32(2.5)},
        {"user": 2**70},
        {"user": -1},
        {"user": USERS},
        {"user": True, "seen": None},
        {"user": np.asarray([2, 2])},
        {"seen": np.asarray([4, 0])},
        {"seen": SEEN.astype(float) + 0.5},
        {"age": float("inf")},
        {"age": "old"},
        {"bias": np.asarray([0.25, 1], np.float32)},
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused_as_on_the_first_call(changed: Mapping[str, Any]) -> None:
    wrong = {**LONE["Python's"](), **changed}

    def outcome(scorer: pi.Model) -> str:
        try:
            return str(scorer.score(wrong, CANDIDATES))
        except pi.PyrecError as error:
            return f"{type(error).__name__}: {error}"

    first, later = model(), model()
    later.score(WHOLE, CANDIDATES)
    assert outcome(later) == outcome(first)


@pytest.mark.parametrize(
    "changed",
    [{"user": np.asarray([2], object)}, {"age": np.float16(1)}, {"seen": [np.int64(4), 0, 8.0]}],
    ids=str,
)
def test_what_needs_a_closer_look_gets_it(changed: Mapping[str, Any]) -> None:
    scorer = model()
    expected = scorer.score(WHOLE, CANDIDATES)
    made = scorer.score({**LONE["Python's"](), **changed}, CANDIDATES)
    np.testing.assert_allclose(made, expected + ("age" in changed) * 0.5, rtol=1e-6)


def test_a_catalogue_refuses_names_that_are_no_inputs_of_a_request() -> None:
    shop = model().catalog(CANDIDATES)
    shop.score(WHOLE, [0])
    for name in ("item", "other"):
        with pytest.raises(pi.InputError, match=f"'{name}'"):
            shop.score({**WHOLE, name: np.asarray([0])}, [0])
    with pytest.raises(pi.InputError, match="'age'"):
        shop.score({name: value for name, value in WHOLE.items() if name != "age"} | {"unread": 1}, [0])
