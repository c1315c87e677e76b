"""The best items by int8 scores with bounds are those of all float32 scores, in every bit."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from fuzz.screened import run
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from support.models import FLOAT, make_model

import pyrec_infer as pi
from pyrec_infer import extension
from pyrec_infer.backends.select import select_backend
from pyrec_infer.catalog import screen
from pyrec_infer.catalog.bounds import LayerBound, ScoreBound
from pyrec_infer.catalog.items import find_items
from pyrec_infer.kernels.transcendental import sigmoid
from pyrec_infer.ops.fused_quantized import measure_rows
from pyrec_infer.passes.finish.screen_layers import ScreenedLayer
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS
from pyrec_infer.top_k import best_rows

USER, ITEM = 8, 12

native = pytest.mark.skipif(select_backend() == "numba", reason="this backend does not screen")


@pytest.fixture(scope="module", autouse=True)
def any_saving() -> Iterator[None]:
    """Small networks are screened too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(screen, "_LEAST_SAVED", -10.0)
        yield


def network(
    rng: np.random.Generator,
    hidden: Sequence[int] = (96, 96),
    activation: str = "Sigmoid",
    spread: float = 1.0,
    end: Sequence[onnx.NodeProto] = (),
) -> bytes:
    """Layers with ReLU over a user's and an item's numbers, and one number at the end."""
    nodes = [helper.make_node("Concat", ["user", "item"], ["x0"], axis=1)]
    constants, features = {}, USER + ITEM
    for place, columns in enumerate((*hidden, 1)):
        weights = rng.standard_normal((features, columns)) * (2 / features) ** 0.5
        constants[f"w{place}"] = weights.astype(np.float32)
        constants[f"b{place}"] = rng.standard_normal(columns).astype(np.float32) * np.float32(0.1)
        last = place == len(hidden)
        nodes.append(
            helper.make_node(
                "Gemm", [f"x{place}", f"w{place}", f"b{place}"], [f"s{place}" if not last else "s"]
            )
        )
        if not last:
            nodes.append(helper.make_node("Relu", [f"s{place}"], [f"x{place + 1}"]))
        features = columns
    constants[f"w{len(hidden)}"] *= np.float32(spread)
    nodes.append(helper.make_node(activation or "Identity", ["s"], ["score" if not end else "a"]))
    inputs = {"user": (FLOAT, ["N", USER]), "item": (FLOAT, ["N", ITEM])}
    made = make_model([*nodes, *end], inputs, {"score": (FLOAT, ["N", 1])}, constants)
    return made.SerializeToString()


def items(rng: np.random.Generator, count: int) -> np.ndarray:
    """Some of them alike, so that scores are equal."""
    made = rng.standard_normal((count, ITEM)).astype(np.float32)
    made[count // 2 :: 3] = made[: len(made[count // 2 :: 3])]
    return made


def check(catalog: pi.Catalog, users: np.ndarray, k: int) -> int:
    """Compare with the best of all scores; how many items the requests scored again."""
    found = catalog.top_k({"user": users}, k)
    for place, user in enumerate(users):
        scores = catalog.score({"user": user[None]})
        rows = best_rows(scores, k)
        assert found.ids[place].tolist() == rows.tolist()
        assert found.scores[place].tobytes() == scores[rows].tobytes()
    assert found.certified
    refined: int = found.refined
    return refined


@native
@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["", "Sigmoid"]), st.sampled_from([0.1, 1.0, 40.0]))
def test_the_best_are_those_of_all_scores(seed: int, activation: str, spread: float) -> None:
    rng = np.random.default_rng(seed)
    catalog = pi.load(network(rng, activation=activation, spread=spread), threads=1).catalog(
        {"item": items(rng, 400)}
    )
    catalog._scorer.screening[0]._most = 1.0
    assert 10 <= check(catalog, rng.standard_normal((2, USER)).astype(np.float32), 5) <= 800


@native
@pytest.mark.parametrize("seed", [0, 11])
def test_random_networks_over_items_that_are_nearly_alike(seed: int) -> None:
    """``python -m tests.fuzz.screened`` does the same with a thousand networks; in one here near sums are
    infinite."""
    tally = run(12, seed=seed)
    assert tally.faults == []
    assert (tally.models, tally.requests) == (12, 24)
    assert tally.refined < 0.9 * tally.items


@native
@pytest.mark.parametrize("bounds", [0.1, 0.4])
def test_bounds_that_are_too_small_are_noticed(bounds: float) -> None:
    """By the same networks, so that what they say of the right bounds means something."""
    assert len(run(12, bounds=bounds).faults) >= 2


@native
def test_few_items_are_scored_again_and_int8_alone_would_be_wrong() -> None:
    rng = np.random.default_rng(3)
    model = network(rng)
    item, users = items(rng, 1500), rng.standard_normal((2, USER)).astype(np.float32)
    catalog = pi.load(model, threads=1).catalog({"item": item})
    catalog._scorer.screening[0]._most = 1.0
    assert check(catalog, users, 20) < 1400
    rounded = pi.load(model, threads=1, precision="int8").catalog({"item": item}).top_k({"user": users}, 20)
    assert (rounded.ids != catalog.top_k({"user": users}, 20).ids).any()


def test_what_was_scored_is_told_beside_the_results() -> None:
    rng = np.random.default_rng(10)
    model, item, user = pi.load(network(rng), threads=1), items(rng, 90), np.ones((1, USER), np.float32)
    catalog = model.catalog({"item": item}, attributes={"even": np.arange(90) % 2})
    few = catalog.where("even", 1)
    for found, scored in (
        (catalog.top_k({"user": user}, 9), 90),
        (catalog.top_k({"user": user}, 9, where=few, exclude=[1]), 45),
        (catalog.top_k({"user": np.repeat(user, 3, 0)}, 9), 270),
        (model.top_k({"user": user}, {"item": item}, 9, exclude=[1]), 90),
        (model.top_k({"user": np.repeat(user, 2, 0)}, {"item": item}, 9, offsets=[0, 40, 90]), 90),
    ):
        assert (found.refined, found.certified) == (scored, True)
        assert len(tuple(found)) == 3
    again = pickle.loads(pickle.dumps(found))
    assert (again.refined, again.certified) == (90, True)


@native
@pytest.mark.parametrize("value", [np.nan, -np.inf, 1e30, 1e-40])
def test_unusual_items_and_requests_are_ranked_as_by_all_scores(value: float) -> None:
    rng = np.random.default_rng(4)
    item, users = items(rng, 300), rng.standard_normal((2, USER)).astype(np.float32)
    item[[5, 77], 3] = value
    catalog = pi.load(network(rng, activation=""), threads=1).catalog({"item": item})
    catalog._scorer.screening[0]._most = 1.0
    check(catalog, users, 6)
    users[0, 2] = value
    check(catalog, users, 6)


def _layers(rng: np.random.Generator, outlier: float) -> list[ScreenedLayer]:
    first = rng.standard_normal((48, 40)).astype(np.float32)
    first[3, :] *= np.float32(outlier)
    second = rng.standard_normal((40, 1)).astype(np.float32)
    return [ScreenedLayer(first, np.zeros(40, np.float32), True), ScreenedLayer(second, None, False)]


@native
@pytest.mark.parametrize("outlier", [1.0, 1e4])
def test_no_error_is_beyond_its_bound(outlier: float) -> None:
    """Rounding errors are made as large as they can be: all of one row point where the weights do."""
    rng = np.random.default_rng(5)
    first, last = _layers(rng, outlier)
    direction = np.sign(first.weights @ last.weights)[:, 0]
    half = np.where(direction > 0, 0.49, 0.51)
    step = rng.integers(0, 126, (200, 48)) + half
    rows = np.asarray(step * np.logspace(-6, 6, 200)[:, None] / 127, np.float32)
    rows[:, 0] = rows.max(1)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["score"]),
    ]
    constants = {"w": first.weights, "v": last.weights}
    model = make_model(
        nodes, {"x": (FLOAT, ["N", 48])}, {"score": (FLOAT, ["N", 1])}, constants
    ).SerializeToString()
    exact, near = (
        pi.load(model, threads=1, precision=precision).score({}, {"x": rows})
        for precision in ("fp32", "int8")
    )
    bounds = ScoreBound([first, last]).errors(near, [measure_rows(rows)])
    errors = np.abs(exact.astype(np.float64) - near)
    assert (errors <= bounds).all()
    assert (errors > bounds / 400).any()


@native
@pytest.mark.parametrize("size", [0.3, 1e3])
def test_no_error_behind_gates_is_beyond_its_bound(size: float) -> None:
    """The same where a gate and a sum stand before the last layer."""
    rng = np.random.default_rng(11)
    first, last = _layers(rng, 1.0)
    signs = np.sign(last.weights[:, 0])
    direction = np.sign(first.weights.sum(1))
    step = rng.integers(0, 126, (200, 48)) + np.where(direction > 0, 0.49, 0.51)
    rows = np.asarray(step * np.logspace(-6, 6, 200)[:, None] / 127, np.float32)
    rows[:, 0] = rows.max(1)
    gate = (np.abs(rng.standard_normal((200, 40))) * size * signs).astype(np.float32)
    addend = rng.standard_normal((200, 40)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Mul", ["h", "gate"], ["g"]),
        helper.make_node("Add", ["g", "addend"], ["y"]),
        helper.make_node("MatMul", ["y", "v"], ["score"]),
    ]
    inputs = {"x": (FLOAT, ["N", 48]), "gate": (FLOAT, ["N", 40]), "addend": (FLOAT, ["N", 40])}
    constants = {"w": first.weights, "v": last.weights}
    model = make_model(nodes, inputs, {"score": (FLOAT, ["N", 1])}, constants).SerializeToString()
    given = {"x": rows, "gate": gate, "addend": addend}
    exact, near = (
        pi.load(model, threads=1, precision=precision).score({}, given) for precision in ("fp32", "int8")
    )
    lengths = [np.linalg.norm(each, axis=1) for each in (gate * last.weights[:, 0], gate, addend)]
    gates = np.stack([lengths[0], (np.abs(addend) @ np.abs(last.weights))[:, 0], lengths[1] + lengths[2]], 1)
    bound = ScoreBound([first, ScreenedLayer(last.weights, None, False, 2)])
    bounds = bound.errors(near, [measure_rows(rows), gates.astype(np.float32)])
    errors = np.abs(exact.astype(np.float64) - near)
    assert (errors <= bounds).all()
    assert (errors > bounds / 100).any()
    large = np.full_like(gates, 1e6, np.float32)
    assert np.isinf(bound.errors(near, [measure_rows(rows), large])).all()


@native
@pytest.mark.parametrize("outlier", [1.0, 1e4])
def test_no_error_of_a_halved_relu_is_beyond_its_bound(outlier: float) -> None:
    """The same where the signs of the layer's sums are known: only a wrong size of each is left."""
    rng = np.random.default_rng(13)
    first, last = _layers(rng, outlier)
    signs = np.where(np.arange(40) % 2, 1, -1)
    direction = np.sign(first.weights @ (last.weights[:, 0] * signs))
    step = rng.integers(0, 126, (200, 48)) + np.where(direction > 0, 0.49, 0.51)
    rows = np.asarray(step * np.logspace(-6, 6, 200)[:, None] / 127, np.float32)
    rows[:, 0] = rows.max(1)
    nodes = [
        helper.make_node("Add", ["user", "item"], ["s"]),
        helper.make_node("Relu", ["s"], ["x"]),
        helper.make_node("Gemm", ["x", "w", "b"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "v"], ["score"]),
    ]
    bias = (signs * 50 * outlier).astype(np.float32)
    constants = {"w": first.weights, "b": bias, "v": last.weights}
    inputs = {name: (FLOAT, ["N", 48]) for name in ("user", "item")}
    model = make_model(nodes, inputs, {"score": (FLOAT, ["N", 1])}, constants).SerializeToString()
    catalog = pi.load(model, threads=1).catalog({"item": rows})
    screens = catalog._scorer.screening[0]
    view, places = find_items(catalog._store, catalog._id_type, None)
    user = np.zeros((1, 48), np.float32)
    given = {"user": user, ROWS: places, RECORDS: view.records}
    sums, measures = screens._near.run(given, range(0), 200).values()
    bounds = screens._bound.errors(sums.reshape(-1), [measures])
    wrong = np.abs(catalog.score({"user": user}).astype(np.float64) - sums[:, 0])
    assert (wrong <= bounds).all()
    assert (wrong > bounds / 100).any()


@native
def test_equal_scores_of_a_saturated_sigmoid_are_all_kept() -> None:
    sums = np.linspace(-120, 120, 4001, dtype=np.float32)
    scores = sigmoid(sums).astype(np.float32)
    for score in scores[::40]:
        assert not (scores[sums < extension.native.least_sum(float(score), True)] >= score).any()
    assert extension.native.least_sum(1.0, True) < 13
    assert extension.native.least_sum(float("nan"), True) == -np.inf
    assert -0.001 < extension.native.least_sum(0.5, True) < 0
    assert extension.native.least_sum(0.5, False) == 0.5


def _explained(model: bytes, **options: Any) -> dict[str, str]:
    rng = np.random.default_rng(6)
    catalog = pi.load(model, threads=1, **options).catalog({"item": items(rng, 50)})
    found: dict[str, str] = catalog.explain().as_dict()["catalog"]["search"]
    assert found["why"] in str(catalog.explain())
    return found


@native
def test_explain_says_what_searches_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(7)
    assert _explained(network(rng))["path"] == "screened"
    clip = helper.make_node("Softplus", ["a"], ["score"])
    for model, options, why in (
        (network(rng, end=[clip]), {}, "Softplus makes the score"),
        (network(rng, (16,)), {}, "no layer of 32 features"),
        (network(rng), {"precision": "int8"}, "the layers run in int8"),
    ):
        found = _explained(model, **options)
        assert found["path"] == "plain"
        assert why in found["why"]
    monkeypatch.setattr(screen, "_LEAST_SAVED", 1.0)
    assert "would save" in _explained(network(rng))["why"]


@native
def test_a_call_that_leaves_many_items_is_made_plainly_and_the_next_ones_too() -> None:
    rng = np.random.default_rng(8)
    catalog = pi.load(network(rng, spread=0.0), threads=1).catalog({"item": items(rng, 200)})
    assert check(catalog, rng.standard_normal((2, USER)).astype(np.float32), 3) == 400
    assert catalog._scorer.screening[0]._paused == screen._PAUSE


@native
def test_a_call_that_may_not_hold_near_scores_is_made_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(9)
    catalog = pi.load(network(rng), threads=1).catalog({"item": items(rng, 200)})

    def refuse(*_: Any, **__: Any) -> None:
        raise pi.ResourceLimitError("too much")

    monkeypatch.setattr(catalog._scorer.screening[0]._executors[0], "run_screened", refuse)
    assert check(catalog, rng.standard_normal((2, USER)).astype(np.float32), 3) == 400


@native
@pytest.mark.parametrize("size", [1e-30, 1e-4, 1.0, 1e6, 1e17])
def test_bounds_added_up_in_float32_are_no_smaller(size: float) -> None:
    rng = np.random.default_rng(14)
    first, last = _layers(rng, 1.0)
    bound = ScoreBound([first, last])
    measures = (np.abs(rng.standard_normal((500, 3))) * size).astype(np.float32)
    measures[:100, 1:] = 0
    sums = (rng.standard_normal(500) * size * 10 ** rng.uniform(-6, 6, 500)).astype(np.float32)
    one, own, *known = np.eye(5)
    made = LayerBound.of(first).narrow(0 * one, known, one)
    factors = LayerBound.of(last).last(made.total, made.norm, own, one)
    exact = (
        factors[0] + np.abs(sums.astype(np.float64)) * factors[1] + measures.astype(np.float64) @ factors[2:]
    )
    errors = bound.errors(sums, [measures])
    assert (errors >= exact).all()
    assert ((sums + errors).astype(np.float64) >= sums.astype(np.float64) + exact).all()
    assert (
        errors[np.isfinite(errors)]
        <= 1.001 * exact[np.isfinite(errors)] + 1e-5 * np.abs(sums[np.isfinite(errors)])
    ).all()
