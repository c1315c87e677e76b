"""The best of many scores for one request and for several, in calls of models and of catalogues."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.models import FLOAT, INT64, ITEMS, USERS, Value, make_model, ranker

import pyrec_infer as pi
from pyrec_infer import limits
from pyrec_infer.errors import InputError, ResourceLimitError, RowCountError, ShapeError
from pyrec_infer.execution import calls
from pyrec_infer.top_k import Adjustment

Arrays = dict[str, NDArray[Any]]
Scores = NDArray[np.float32]


@contextmanager
def many_from(rows: int) -> Iterator[None]:
    """Compare scores where they are made from so many candidates on."""
    with mock.patch.object(calls, "FEW", rows):
        yield


def saturated() -> dict[int, pi.Model]:
    """Scores of which many are equal, once they went through a sigmoid, and some are NaN."""
    generator = np.random.default_rng(2)
    nodes = [
        helper.make_node("Gather", ["users", "user"], ["u"]),
        helper.make_node("Gather", ["items", "item"], ["i"]),
        helper.make_node("Mul", ["u", "i"], ["products"]),
        helper.make_node("ReduceSum", ["products", "axes"], ["dot"], keepdims=1),
        helper.make_node("Add", ["dot", "extra"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    constants = {
        "users": generator.standard_normal((USERS, 4), np.float32) * 4,
        "items": generator.standard_normal((ITEMS, 4), np.float32) * 4,
        "axes": np.asarray([1]),
    }
    inputs: dict[str, Value] = {"user": (INT64, ["N"]), "item": (INT64, ["N"]), "extra": (FLOAT, ["N", 1])}
    proto = make_model(nodes, inputs, {"score": (FLOAT, ["N", 1])}, constants)
    return {threads: pi.load(proto.SerializeToString(), threads=threads) for threads in (1, 3)}


MODELS = saturated()
DOUBLE = TensorProto.DOUBLE
EXTRA = (0.0, 0.0, 0.0, 30.0, -200.0, float("nan"), float("inf"), -float("inf"))


def stable_best(scores: Scores, k: int) -> NDArray[np.int64]:
    """Rows of the best scores; equal ones by row, NaN last."""
    return np.lexsort((-scores, np.isnan(scores)))[:k]


def require_best(found: pi.TopK, scores: Scores, k: int, names: NDArray[Any]) -> None:
    best = stable_best(scores, k)
    assert found.count == len(best)
    np.testing.assert_array_equal(found.ids, names[best])
    np.testing.assert_array_equal(found.scores.view(np.int32), scores[best].view(np.int32))


def require_ranked(found: pi.Ranked, scores: list[Scores], k: int, names: list[Any]) -> None:
    """Each row holds its request's best, and nothing beyond them."""
    assert isinstance(found, pi.Ranked)
    assert found.counts.tolist() == [min(k, len(own)) for own in scores]
    assert found.ids.shape == found.scores.shape == (len(scores), max([0, *found.counts.tolist()]))
    for number, (own, known) in enumerate(zip(scores, names, strict=True)):
        count = found.counts[number]
        alone = pi.TopK(found.ids[number, :count], found.scores[number, :count], int(count))
        require_best(alone, own, k, known)
        assert not found.ids[number, count:].any()
        assert np.isneginf(found.scores[number, count:]).all()


def shop(count: int, seed: int) -> Arrays:
    generator = np.random.default_rng(seed)
    extra = generator.choice(np.asarray(EXTRA, np.float32), (count, 1))
    return {"item": generator.integers(0, ITEMS, count), "extra": extra}


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([1, 3]),
    st.sampled_from([0, 1 << 12]),
    st.integers(0, 700),
    st.sampled_from([0, 1, 3, 10, 100, 1000]),
    st.integers(0, 2**32 - 1),
)
def test_one_request_gets_the_best_scores(threads: int, few: int, count: int, k: int, seed: int) -> None:
    with many_from(few):
        require_one(threads, count, k, seed)


def require_one(threads: int, count: int, k: int, seed: int) -> None:
    model, rows, user = MODELS[threads], shop(count, seed), {"user": np.asarray([seed % USERS])}
    names = np.arange(count) + 1000
    require_best(model.top_k(user, rows, k), model.score(user, rows), k, np.arange(count))
    boost = np.random.default_rng(seed).choice(np.float32([0, 1, -1]), count)
    with np.errstate(invalid="ignore"):
        boosted = model.score(user, rows) + boost
    require_best(model.top_k(user, rows, k, ids=names, boost=boost), boosted, k, names)
    catalog = model.catalog(rows, ids=names)
    require_best(catalog.top_k(user, k), catalog.score(user), k, names)
    kept = names[seed % 2 :: 2]
    require_best(catalog.top_k(user, k, allow=kept), catalog.score(user, kept), k, kept)


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([1, 3]),
    st.lists(st.sampled_from([0, 1, 5, 60, 500]), min_size=1, max_size=6),
    st.sampled_from([0, 1, 7, 1000]),
    st.integers(0, 2**32 - 1),
)
def test_several_requests_get_their_own(threads: int, counts: list[int], k: int, seed: int) -> None:
    model, rows = MODELS[threads], shop(sum(counts), seed)
    offsets = np.cumsum([0, *counts])
    users = {"user": np.random.default_rng(seed).integers(0, USERS, len(counts))}
    if not sum(counts):
        return
    scores = np.split(model.score(users, rows, offsets=offsets), offsets[1:-1])
    names = np.split(np.arange(len(rows["item"])), offsets[1:-1])
    require_ranked(model.top_k(users, rows, k, offsets=offsets), scores, k, names)
    catalog = model.catalog(rows)
    if len(counts) > 1:
        each = [catalog.score({"user": user[np.newaxis]}) for user in users["user"]]
        require_ranked(catalog.top_k(users, k), each, k, [catalog.ids] * len(counts))


@pytest.mark.parametrize("few", [0, 1 << 12])
@pytest.mark.parametrize("late", [False, True])
def test_adjusted_scores_are_compared(few: int, late: bool) -> None:
    """Each request's own numbers, those of all, and only rows that may be found."""
    rows, users = shop(3000, 5), {"user": np.asarray([4, 2])}
    extra = {"extra": np.tile(rows.pop("extra"), (2, 1))} if late else None
    catalog = MODELS[3].catalog(rows, candidates=["extra"] if late else [])
    generator = np.random.default_rng(3)
    times, plus = generator.choice(np.float32([0.5, 1, -2]), (2, 3000)), generator.random(3000, np.float32)
    view = catalog._store.read(None)
    places = view.rows(0)
    allowed = np.zeros(len(view.records), np.bool_)
    allowed[places[generator.random(3000) < 0.4]] = True
    chosen, own = np.flatnonzero(allowed[places]), np.where(allowed[places], places, -1)
    with many_from(few):
        found = catalog._scorer.best(view, own, users, extra, 50, Adjustment(times, plus))
    for number, user in enumerate(users["user"]):
        own = {"extra": extra["extra"][:3000]} if extra else None
        scores = catalog.score({"user": [user]}, candidates=own) * times[number] + plus
        alone = pi.TopK(found.ids[number], found.scores[number], int(found.counts[number]))
        require_best(alone, scores[chosen], 50, chosen)


def score_is_input(dtype: int) -> pi.Model:
    node = helper.make_node("Cast", ["x"], ["score"], to=dtype)
    return pi.load(
        make_model([node], {"x": (dtype, ["N"])}, {"score": (dtype, ["N"])}).SerializeToString(), threads=2
    )


@pytest.mark.parametrize("dtype", [FLOAT, DOUBLE, INT64])
def test_scores_of_any_type_and_sign(dtype: int) -> None:
    """Bits of NaN and of zeros are those of the scores; thousands of ties go by row."""
    values = np.random.default_rng(0).choice([-1, 0, 1, 2], 9000)
    rows = {"x": values.astype(np.int64 if dtype == INT64 else np.float64 if dtype == DOUBLE else np.float32)}
    if dtype != INT64:
        rows["x"][rows["x"] == 2] = np.nan
        rows["x"][::3] *= -0.0
    model = score_is_input(dtype)
    for k in (1, 700, 8999, 9000, 20000):
        require_best(model.top_k({}, rows, k), model.score({}, rows), k, np.arange(9000))
    assert model.explain().as_dict()["selection"] in ("tiles", "scores")


@pytest.mark.once
def test_idle_threads_take_no_time_and_keep_to_their_cpus() -> None:
    """Shortly after a call that they took part in."""
    rows = shop(4000, 1)
    MODELS[3].score({"user": [1]}, rows)
    allowed = os.sched_getaffinity(0)
    assert all(os.sched_getaffinity(int(task)) <= allowed for task in os.listdir("/proc/self/task"))
    time.sleep(0.01)
    begin = time.process_time()
    time.sleep(0.05)
    assert time.process_time() - begin < 0.01


def test_candidates_of_a_catalogue_are_of_each_request() -> None:
    rows, users = shop(50, 3), {"user": np.asarray([1, 4, 2])}
    extra = np.random.default_rng(1).standard_normal((150, 1), np.float32)
    names = [f"item {number}" for number in range(50)]
    catalog = MODELS[3].catalog({"item": rows["item"]}, ids=names, candidates=["extra"])
    found = catalog.top_k(users, 4, candidates={"extra": extra})
    for number, user in enumerate(users["user"]):
        own = {"extra": extra[50 * number : 50 * number + 50]}
        alone = catalog.top_k({"user": [user]}, 4, candidates=own)
        assert found.ids[number].tolist() == alone.ids.tolist()
        np.testing.assert_array_equal(found.scores[number], alone.scores)
    with pytest.raises(RowCountError, match="input 'extra': expected 150 rows, 50 for each of 3 requests"):
        catalog.top_k(users, 4, candidates={"extra": extra[:50]})


def test_results_have_a_place_for_each_request() -> None:
    catalog = MODELS[1].catalog(shop(5, 0), ids=list("abcde"))
    none = catalog.top_k({"user": np.empty(0, np.int64)}, 3)
    assert none.ids.shape == (0, 0)
    assert none.counts.shape == (0,)
    empty = catalog.top_k({"user": [1, 2]}, 3, exclude=list("abcde"))
    assert empty.ids.shape == (2, 0)
    assert empty.counts.tolist() == [0, 0]
    few = catalog.top_k({"user": [1, 2]}, 30, exclude=["a"])
    assert few.ids.shape == (2, 4)
    assert "a" not in few.ids
    assert isinstance(catalog.top_k({"user": [1]}, 3), pi.TopK)
    ragged = MODELS[1].top_k({"user": [1, 2]}, shop(3, 0), 2, offsets=[0, 1, 3], ids=list("abc"))
    assert ragged.ids.tolist()[0] == ["a", ""]
    assert ragged.counts.tolist() == [1, 2]
    excluded = MODELS[1].top_k({"user": [1, 2]}, shop(3, 0), 2, offsets=[0, 1, 3], exclude=[0])
    assert excluded.counts.tolist() == [0, 2]


def test_results_beyond_memory_are_refused() -> None:
    """Before anything is scored."""
    catalog = MODELS[1].catalog(shop(3000, 2))
    with (
        mock.patch.object(limits, "default_max_bytes", return_value=1 << 20),
        pytest.raises(ResourceLimitError),
    ):
        catalog.top_k({"user": np.zeros(1000, np.int64)}, 3000)


def test_requests_that_do_not_fit_are_refused() -> None:
    model = pi.load(ranker().SerializeToString())
    rows = {"item": np.arange(6), "dense": np.zeros((6, 3), np.float32)}
    catalog = model.catalog({"item": rows["item"]})
    users = {"user": np.asarray([1, 2]), "dense": np.zeros((3, 3), np.float32)}
    with pytest.raises(RowCountError, match="input 'dense': expected 2 rows, as input 'user' has, got 3"):
        catalog.top_k(users, 2)
    with pytest.raises(InputError, match="input 'user': expected 1 rows, one for each request, got 2"):
        model.top_k({"user": [1, 2]}, rows, 2)
    with pytest.raises(ShapeError, match="offsets"):
        model.top_k({"user": [1, 2]}, rows, 2, offsets=[0, 4, 3])
    several = model.catalog(rows, output=["score", "logit"])
    with pytest.raises(ShapeError, match="one score"):
        several.top_k({"user": [1, 2]}, 2)
