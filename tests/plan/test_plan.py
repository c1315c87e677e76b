"""How graphs are cut into phases, ragged calls, and what `explain` tells."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from support.models import FLOAT, Value, make_model, ranker
from support.random_graphs import equal, inputs_of, random_model

import pyrec_infer
from pyrec_infer.errors import PyrecError
from pyrec_infer.top_k import Selection


@pytest.fixture(autouse=True)
def small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrec_infer.plan.planner._TILE_BYTES", 1)
    monkeypatch.setattr("pyrec_infer.backends.numba._TILE_ROWS", 16, raising=False)


def _two_sides(middle: list[onnx.NodeProto], last: str) -> pyrec_infer.Model:
    """A user part ``a`` of three steps, an item part ``b`` of one; ``middle`` makes ``last`` of their sum."""
    nodes = [
        helper.make_node("MatMul", ["user", "w"], ["a0"]),
        helper.make_node("Relu", ["a0"], ["a1"]),
        helper.make_node("Tanh", ["a1"], ["a"]),
        helper.make_node("MatMul", ["item", "w"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["sum"]),
        *middle,
        helper.make_node("Sigmoid", [last], ["y"]),
    ]
    inputs: dict[str, Value] = {"user": (FLOAT, ["N", 3]), "item": (FLOAT, ["N", 3])}
    constants = {"w": np.arange(6, dtype=np.float32).reshape(3, 2) / 9, "zero": np.asarray([0])}
    proto = make_model(nodes, inputs, {"y": (FLOAT, ["N", 2])}, constants)
    return pyrec_infer.load(proto.SerializeToString(), threads=2)


def _phases(model: pyrec_infer.Model, *request: str) -> list[tuple[str, list[str]]]:
    data = model.explain(request=request).as_dict()
    return [(phase["kind"], [step["operator"] for step in phase["steps"]]) for phase in data["phases"]]


def test_request_work_runs_once() -> None:
    model = _two_sides([], "sum")
    assert _phases(model, "user") == [
        ("request", ["pyrec.Dense", "Tanh"]),
        ("tile", ["pyrec.Dense"]),
    ]
    assert _phases(model, "item") == [
        ("request", ["pyrec.Dense"]),
        ("tile", ["pyrec.Dense", "Tanh", "Add", "Sigmoid"]),
    ]


def test_without_a_request_everything_is_tiled() -> None:
    ((kind, steps),) = _phases(_two_sides([], "sum"))
    assert kind == "tile"
    assert steps == ["pyrec.Dense", "Tanh", "pyrec.Dense"]


def test_a_coupled_node_runs_on_all_rows_between_tiles() -> None:
    middle = [
        helper.make_node("Softmax", ["sum"], ["share"], axis=0),
        helper.make_node("Neg", ["share"], ["minus"]),
    ]
    model = _two_sides(middle, "minus")
    assert _phases(model, "user") == [
        ("request", ["pyrec.Dense", "Tanh"]),
        ("tile", ["pyrec.Dense"]),
        ("whole", ["Softmax"]),
        ("tile", ["Neg", "Sigmoid"]),
    ]
    assert [node["operator"] for node in model.explain().as_dict()["coupled"]] == ["Softmax"]


def test_a_statistic_of_all_rows_is_shared_by_the_tiles_after_it() -> None:
    middle = [
        helper.make_node("ReduceMean", ["sum", "zero"], ["mean"]),
        helper.make_node("Sub", ["sum", "mean"], ["centred"]),
    ]
    model = _two_sides(middle, "centred")
    kinds = [kind for kind, _ in _phases(model, "user")]
    assert kinds[:3] == ["request", "tile", "whole"]
    generator = np.random.default_rng(0)
    user, item = generator.random((1, 3), np.float32), generator.random((45, 3), np.float32)
    expected = model.run({"user": np.repeat(user, 45, 0), "item": item})["y"]
    np.testing.assert_allclose(model.score({"user": user}, {"item": item}), expected, rtol=1e-5)


def test_explain_describes_every_value_and_step() -> None:
    model = pyrec_infer.load(ranker().SerializeToString())
    data: dict[str, Any] = model.explain(request=["user"]).as_dict()
    assert {item["name"]: item["side"] for item in data["inputs"]} == {
        "user": "request",
        "item": "candidates",
        "dense": "candidates",
    }
    steps = [step for phase in data["phases"] for step in phase["steps"]]
    for step in steps:
        assert step["kernel"]
        assert step["rate"] in ("request", "item", "pair", "size")
        assert len(step["shapes"]) == len(step["outputs"])
        for name, shape in zip(step["outputs"], step["shapes"], strict=True):
            assert data["values"][name]["shape"] == shape
            assert data["values"][name]["rate"] in ("model", "request", "item", "pair")
    assert [(step["operator"], step["rate"]) for step in steps] == [
        ("Gather", "request"),
        ("pyrec.Dense", "request"),
        ("pyrec.Lookup", "item"),
        ("pyrec.Dense", "pair"),
        ("pyrec.Dense", "pair"),
    ]
    assert data["values"]["score"] == {"rate": "pair", "shape": ["N", 1], "rows": 0}
    assert data["outputs"] == [{"name": "score", "shape": ["N", 1]}]


@pytest.mark.parametrize("offsets", [[0, 20, 20, 53], [0, 0, 53], [0, 53, 53], [0, 1, 2, 3, 53], [0, 53]])
def test_ragged_groups_equal_single_calls(offsets: list[int]) -> None:
    generator = np.random.default_rng(1)
    model = pyrec_infer.load(ranker().SerializeToString(), threads=2)
    users = generator.integers(0, 11, len(offsets) - 1)
    candidates = {
        "item": generator.integers(0, 23, 53),
        "dense": generator.random((53, 3), np.float32),
    }
    made = model.score({"user": users}, candidates, offsets=offsets)
    alone = [
        model.score({"user": users[i : i + 1]}, {key: value[a:b] for key, value in candidates.items()})
        for i, (a, b) in enumerate(pairwise(offsets))
    ]
    np.testing.assert_array_equal(made, np.concatenate(alone))


def test_coupled_rows_stay_inside_their_group() -> None:
    model = _two_sides([helper.make_node("Softmax", ["sum"], ["share"], axis=0)], "share")
    generator = np.random.default_rng(2)
    user, item = generator.random((3, 3), np.float32), generator.random((40, 3), np.float32)
    made = model.score({"user": user}, {"item": item}, offsets=[0, 7, 7, 40])
    first = model.score({"user": user[:1]}, {"item": item[:7]})
    last = model.score({"user": user[2:]}, {"item": item[7:]})
    np.testing.assert_array_equal(made, np.concatenate([first, last]))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.randoms(use_true_random=False),
    st.sets(st.sampled_from("uvwi"), max_size=3),
    st.lists(st.integers(0, 20), min_size=1, max_size=4),
)
def test_ragged_groups_of_random_models(random: Random, request: set[str], counts: list[int]) -> None:
    made = random_model(random)
    offsets = [0, *np.cumsum(counts).tolist()]
    inputs = inputs_of(offsets[-1])
    requests = {name: value for name, value in inputs_of(len(counts), 9).items() if name in request}
    candidates = {name: value for name, value in inputs.items() if name not in request}
    model = pyrec_infer.load(made.proto.SerializeToString(), threads=2)
    explained = model.explain(request=request).as_dict()
    (axis,) = [explained["values"][item["name"]]["rows"] for item in explained["outputs"]]
    if not isinstance(axis, int) or offsets[-1] == 0:
        return
    try:
        alone = [
            model.score(
                {name: value[i : i + 1] for name, value in requests.items()},
                {name: value[a:b] for name, value in candidates.items()},
            )
            for i, (a, b) in enumerate(pairwise(offsets))
            if a < b
        ]
    except PyrecError:
        return
    whole = model.score(requests, candidates, offsets=offsets)
    ranks = {part.ndim for part in alone} | {whole.ndim}
    parts = (
        np.concatenate(alone)
        if len(ranks) == 1 and whole.ndim > 1
        else np.concatenate([part.reshape(-1) for part in alone])
    )
    assert equal(whole.reshape(parts.shape), parts), made
    if whole.ndim == 1:
        found = model.top_k(requests, candidates, 7, offsets=offsets)
        wanted = Selection(7).best(whole, offsets)
        np.testing.assert_array_equal(found.ids, wanted.ids)
        np.testing.assert_array_equal(found.scores.view(np.int32), wanted.scores.view(np.int32))
