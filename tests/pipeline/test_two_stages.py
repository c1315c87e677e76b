"""Two stages in one call, against the stages one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from support.models import FLOAT, INT64, make_model, one_node

import pyrec_infer as pi
from pyrec_infer.bundled import MODEL, items, users
from pyrec_infer.errors import (
    DTypeError,
    IdRangeError,
    InputError,
    MissingInputError,
    PyrecError,
    RowCountError,
    ShapeError,
)
from pyrec_infer.features import Field
from pyrec_infer.pipeline.merge import merge

COUNT = 400
RNG = np.random.default_rng(0)
VECTORS = RNG.standard_normal((COUNT, 6)).astype(np.float32)
TASTES = RNG.standard_normal((3, 6)).astype(np.float32)
USERS = users(3, COUNT)


@pytest.fixture(scope="module")
def shop() -> pi.Catalog:
    return pi.load(MODEL).catalog({**items(COUNT), "affinity": USERS[0].affinity}, ids=np.arange(COUNT) + 10)


@pytest.fixture(scope="module")
def near() -> pi.Retriever:
    return pi.Retriever(VECTORS, np.arange(COUNT) + 10)


def popular(request: Any, k: int) -> Any:
    return pi.PopularItems(np.arange(COUNT + 20) % 37, np.arange(COUNT + 20)).recommend([0, 1, 2], None, k)


def of(number: int) -> dict[str, Any]:
    return {**USERS[number].request, "taste": TASTES[number]}


def together() -> dict[str, Any]:
    names = USERS[0].request
    own = {name: np.concatenate([np.atleast_1d(user.request[name]) for user in USERS]) for name in names}
    return {**own, "taste": TASTES}


def test_one_call_is_both_stages(shop: pi.Catalog, near: pi.Retriever) -> None:
    pipeline = pi.Pipeline(pi.Source(near, "taste", k=60), shop)
    found = pipeline.top_k(of(1), 7)
    candidates = near.top_k(TASTES[1], 60).ids[0]
    expected = shop.top_k(USERS[1].request, 7, ids=candidates)
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.scores.tolist() == expected.scores.tolist()
    assert (found.count, found.skipped, found.sources.shape) == (7, 0, (7, 1))
    assert set(found.times) == {"0", "merge", "rank"}
    assert pipeline.top_k(of(1), 1000).count == 60
    assert pipeline.top_k(of(1), 0).count == 0
    out = pipeline.top_k(of(1), 7, exclude=expected.ids[:2])
    assert out.ids.tolist() == shop.top_k(USERS[1].request, 9, ids=candidates).ids.tolist()[2:]


def test_several_requests_and_sources(shop: pi.Catalog, near: pi.Retriever) -> None:
    pipeline = pi.Pipeline([pi.Source(near, "taste", k=40), pi.Source(popular, k=30, name="popular")], shop)
    found = pipeline.top_k(together(), 12)
    assert pipeline.names == ("0", "popular")
    often = popular(None, 30).ids[0]
    known = often[often >= 10]
    assert found.skipped.tolist() == [30 - len(known)] * 3
    for row, user in enumerate(USERS):
        close = near.top_k(TASTES[row], 40).ids[0]
        expected = shop.top_k(user.request, 12, ids=np.unique(np.concatenate([close, known])))
        np.testing.assert_array_equal(found.ids[row], expected.ids)
        # Others are scored beside them, which some backends add up otherwise.
        np.testing.assert_allclose(found.scores[row], expected.scores, rtol=1e-5)
        gave = np.column_stack([np.isin(found.ids[row], close), np.isin(found.ids[row], known)])
        np.testing.assert_array_equal(found.sources[row], gave)
    text = str(pipeline.explain())
    assert "source popular" in text
    assert "metric ip" in text
    assert pipeline.explain().as_dict()["ranker"]["catalog"]["items"] == COUNT


def test_queries_of_models_and_functions(shop: pi.Catalog, near: pi.Retriever) -> None:
    weights = RNG.standard_normal((2, 6)).astype(np.float32)
    node = one_node("MatMul", {"who": (FLOAT, ["N", 2])}, {"w": weights})
    tower = pi.load(node.SerializeToString())
    who = np.asarray([[0.5, 2.0]], np.float32)
    by_model = pi.Pipeline(pi.Source(near, tower, k=50), shop).top_k({**USERS[0].request, "who": who}, 5)
    by_function = pi.Pipeline(pi.Source(near, lambda request: request["who"] @ weights, k=50), shop)
    found = by_function.top_k({**USERS[0].request, "who": who}, 5)
    assert by_model.ids.shape == (5,)
    assert by_model.ids.tolist() == found.ids.tolist()


def test_towers_read_requests_as_rankers_do(shop: pi.Catalog, near: pi.Retriever) -> None:
    inputs = {"user": (INT64, ["N"]), "tastes": (INT64, ["N", 2]), "mood": (FLOAT, ["N", 6])}
    nodes = [
        helper.make_node("Gather", ["table", "user"], ["own"]),
        helper.make_node("Gather", ["table", "tastes"], ["each"]),
        helper.make_node("ReduceMax", ["each"], ["most"], axes=[1], keepdims=0),
        helper.make_node("Sum", ["own", "most", "mood"], ["vector"]),
    ]
    table = RNG.standard_normal((9, 6)).astype(np.float32)
    model = make_model(nodes, inputs, {"vector": (FLOAT, ["N", 6])}, {"table": table}, opset=17)
    tower = pi.load(model.SerializeToString())
    pipeline = pi.Pipeline(pi.Source(near, tower, k=50), shop)
    tastes, mood = [3, 8], TASTES[0].tolist()
    bare = {**USERS[0].request, "user": 7, "tastes": tastes, "mood": mood}
    rows = {**USERS[0].request, "user": [7], "tastes": [tastes], "mood": [mood]}
    found = pipeline.top_k(bare, 5)
    assert found.ids.tolist() == pipeline.top_k(rows, 5).ids.tolist()
    with pytest.raises(IdRangeError, match="'user'"):
        pipeline.top_k({**bare, "user": -2}, 5)
    with pytest.raises(ShapeError, match="'mood'"):
        pipeline.top_k({**bare, "mood": mood[:-1]}, 5)


def test_limits_take_what_sources_rank_high(shop: pi.Catalog) -> None:
    def first(request: Any, k: int) -> Any:
        return np.arange(20, 20 + k), np.ones(k)

    def second(request: Any, k: int) -> Any:
        return np.arange(24, 24 + k), np.ones(k)

    sources = [pi.Source(first, k=5, name="a"), pi.Source(second, k=5, weight=10, name="b")]
    found = pi.Pipeline(sources, shop, limit=3).top_k(of(0), 9)
    assert sorted(found.ids.tolist()) == [24, 25, 26]
    assert found.sources[found.ids.tolist().index(24)].tolist() == [True, True]


@settings(max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=8), min_size=1, max_size=4),
    st.one_of(st.none(), st.integers(0, 6)),
)
def test_merging(lists: list[list[int]], limit: int | None) -> None:
    found = [(np.asarray(ids, np.int64), np.ones(len(ids), np.float32)) for ids in lists]
    weights = [1.0 + number for number in range(len(lists))]
    merged = merge(found, weights, limit)
    shares: dict[int, float] = {}
    for weight, ids in zip(weights, lists, strict=True):
        for name in dict.fromkeys(ids):
            shares[name] = shares.get(name, 0) + weight / (61 + ids.index(name))
    assert len(set(merged.ids.tolist())) == len(merged.ids) == len(list(shares)[:limit])
    taken = [shares[name] for name in merged.ids.tolist()]
    np.testing.assert_allclose(taken, sorted(shares.values(), reverse=True)[:limit], rtol=1e-12)
    for name, gave in zip(merged.ids.tolist(), merged.given.tolist(), strict=True):
        assert gave == [name in ids for ids in lists]


def nothing(request: Any, k: int) -> Any:
    return [], []


def test_sources_without_candidates(shop: pi.Catalog, near: pi.Retriever) -> None:
    found = pi.Pipeline(pi.Source(nothing), shop).top_k(of(0), 5)
    assert (found.count, found.ids.shape, found.sources.shape) == (0, (0,), (0, 1))
    empty = pi.Retriever(np.ones((0, 6)))
    assert pi.Pipeline(pi.Source(empty, "taste"), shop).top_k(of(0), 5).count == 0
    both = pi.Pipeline([pi.Source(nothing), pi.Source(near, "taste", k=5)], shop)
    assert both.top_k(of(0), 9).count == 5
    assert pi.Pipeline(pi.Source(near, "taste", k=0), shop).top_k(of(0), 5).count == 0


def test_functions_give_results_of_any_top_k_and_no_more_than_their_number(
    shop: pi.Catalog, near: pi.Retriever
) -> None:
    """What is no result does not count, wherever it stands."""
    listed = pi.Source(lambda request, k: ([10, 11, 12, 13], [4, -np.inf, 2, 1]), k=2)
    assert sorted(pi.Pipeline(listed, shop).top_k(of(0), 5).ids.tolist()) == [10, 12]
    plain = pi.Pipeline(pi.Source(near, "taste", k=7), shop).top_k(of(0), 5)
    other = pi.Source(lambda request, k: near.top_k(request["taste"], k + 3), k=7)
    assert pi.Pipeline(other, shop).top_k({**of(0)}, 5).ids.tolist() == plain.ids.tolist()
    both = pi.Pipeline(other, shop).top_k(together(), 5)
    assert both.ids[0].tolist() == plain.ids.tolist()


@pytest.mark.parametrize("given", [None, 3, ([1],), ([1], [1], [1])])
def test_functions_that_give_something_else(shop: pi.Catalog, given: Any) -> None:
    with pytest.raises(DTypeError, match="expected ids and scores"):
        pi.Pipeline(pi.Source(lambda request, k: given), shop).top_k(of(0), 3)


def giving(ids: Any, scores: Any) -> Any:
    return lambda request, k: (ids, scores)


@pytest.mark.parametrize(
    ("ids", "scores", "expected"),
    [
        ([1, 2], [1], ShapeError),
        ([[[1]]], [[[1]]], ShapeError),
        ([0.5], [1], DTypeError),
        (["a"], [1], DTypeError),
        ([1], ["a"], DTypeError),
        ([[10], [11]], [[1], [1]], PyrecError),
        ([9999], [1], IdRangeError),
    ],
)
def test_sources_that_do_not_fit(shop: pi.Catalog, ids: Any, scores: Any, expected: Any) -> None:
    source = pi.Source(giving(ids, scores))
    other = pi.Source(giving(np.full((3, 1), 10), np.ones((3, 1))), name="other")
    sources = [source, other] if np.ndim(ids) == 2 else source
    with pytest.raises(expected):
        pi.Pipeline(sources, shop, missing="error").top_k(of(0), 3)


def test_calls_that_do_not_fit(shop: pi.Catalog, near: pi.Retriever) -> None:
    pipeline = pi.Pipeline(pi.Source(near, "taste"), shop)
    with pytest.raises(MissingInputError, match="taste"):
        pipeline.top_k(USERS[0].request)
    with pytest.raises(MissingInputError):
        pipeline.top_k({"taste": TASTES[0]})
    with pytest.raises(ShapeError, match="queries"):
        pipeline.top_k({**of(0), "taste": np.ones(5)})
    with pytest.raises(InputError, match="finite"):
        pipeline.top_k({**of(0), "taste": np.full(6, np.nan)})
    with pytest.raises(RowCountError, match="3 requests"):
        pipeline.top_k({**together(), "hour": USERS[0].request["hour"].repeat(2)})
    with pytest.raises(RowCountError, match="row for each"):
        pipeline.top_k({**together(), "taste": TASTES[0]})
    with pytest.raises(InputError, match="ids"):
        pipeline.top_k(of(0), ids=[1])
    with pytest.raises(DTypeError, match="request: expected inputs by name, got int"):
        pipeline.top_k(1)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="expected dictionaries, one for each row, got int"):
        pipeline.top_k([1])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        pipeline.top_k(of(0), unheard=1)
    unsigned = pi.Source(giving(np.asarray([1], np.uint64), [1]), name="u")
    with pytest.raises(DTypeError, match="one kind"):
        pi.Pipeline([pi.Source(near, "taste"), unsigned], shop).top_k(of(0))


def test_parts_that_do_not_fit(shop: pi.Catalog, near: pi.Retriever) -> None:
    tower = pi.load(MODEL)
    for parts, expected in (
        ((near,), InputError),
        ((popular, "taste"), InputError),
        ((3,), DTypeError),
        ((near, 3), DTypeError),
        ((near, "taste", "vector"), InputError),
        ((near, tower, "nothing"), InputError),
        ((near, "taste", None, -1), InputError),
        ((near, "taste", None, 5, np.nan), InputError),
        ((near, "taste", None, 5, -1), InputError),
    ):
        with pytest.raises(expected):
            pi.Source(*parts)  # type: ignore[arg-type]
    source = pi.Source(near, "taste")
    named = pi.Source(near, "taste", name="rank")
    for sources, ranker, more, expected in (
        ([], shop, {}, InputError),
        ([near], shop, {}, DTypeError),
        (source, near, {}, DTypeError),
        (named, shop, {}, InputError),
        ([named, named], shop, {}, InputError),
        (source, shop, {"missing": "nan"}, InputError),
        (source, shop, {"limit": -1}, InputError),
    ):
        with pytest.raises(expected):
            pi.Pipeline(sources, ranker, **more)  # type: ignore[arg-type]


def test_which_ids_are_there(shop: pi.Catalog, near: pi.Retriever) -> None:
    for held in (shop, near):
        assert held.contains([10, 5, 11, -3]).tolist() == [True, False, True, False]
        assert held.contains([]).shape == (0,)
        with pytest.raises(DTypeError):
            held.contains(["a"])


def test_names_that_nobody_reads(shop: pi.Catalog, near: pi.Retriever) -> None:
    request = {**of(0), "colour": np.ones(1)}
    with pytest.raises(InputError, match="'colour': expected one that a source or the ranker has") as told:
        pi.Pipeline(pi.Source(near, "taste", k=9), shop).top_k(request, 3)
    assert "taste" in str(told.value)
    some = pi.Source(lambda given, k: (np.arange(10, 10 + k), np.ones(k)), k=5, name="some")
    for source in (pi.Source(near, lambda given: given["taste"], k=9), some):
        assert pi.Pipeline([source, pi.Source(near, "taste", k=9)], shop).top_k(request, 3).count == 3


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_several_requests_are_one_after_the_other(shop: pi.Catalog, near: pi.Retriever, data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    limit = data.draw(st.sampled_from([None, 0, 25]))
    sources = [
        pi.Source(near, "taste", k=data.draw(st.sampled_from([0, 1, 40]))),
        pi.Source(popular_of, k=30),
    ]
    pipeline = pi.Pipeline(sources[: data.draw(st.integers(1, 2))], shop, limit=limit)
    shape = data.draw(st.sampled_from([(COUNT,), (3, COUNT)]))
    boost, scale = rng.integers(0, 3, shape), rng.random(COUNT)
    seen = [rng.choice(COUNT, 60) + 10 for _ in range(3)]
    allow = data.draw(st.sampled_from([None, rng.random(COUNT) < 0.8]))
    rules: dict[str, Any] = {"scale": scale, "allow": allow}
    found = pipeline.top_k(together(), 7, boost=boost, exclude=seen, **rules)
    for row in range(3):
        one = pipeline.top_k(
            of(row), 7, boost=boost if boost.ndim == 1 else boost[row], exclude=seen[row], **rules
        )
        assert found.ids[row, : found.count[row]].tolist() == one.ids.tolist()
        np.testing.assert_allclose(found.scores[row, : one.count], one.scores, rtol=1e-5)
        np.testing.assert_array_equal(found.sources[row, : one.count], one.sources)
        assert found.skipped[row] == one.skipped
        scores = shop.score(USERS[row].request, one.ids)
        places = shop.places(one.ids)
        boosted = (
            scores * scale[places].astype(np.float32) + (boost if boost.ndim == 1 else boost[row])[places]
        )
        np.testing.assert_allclose(one.scores, boosted, rtol=1e-5)
        assert not set(one.ids.tolist()) & set(seen[row].tolist())
        assert allow is None or allow[places].all()


def popular_of(request: Any, k: int) -> Any:
    found = pi.PopularItems(np.arange(COUNT + 20) % 37, np.arange(COUNT + 20))
    taste = np.asarray(request["taste"])
    return found.recommend(0 if taste.ndim == 1 else np.arange(len(taste)), None, k)


def test_requests_as_raw_rows(near: pi.Retriever) -> None:
    nodes = [helper.make_node("Mul", ["u", "i"], ["p"]), helper.make_node("Add", ["p", "w"], ["score"])]
    made = make_model(nodes, dict.fromkeys("uiw", (FLOAT, ["N"])), {"score": (FLOAT, ["N"])})
    fields = [
        Field("mood", "request", to="u", dtype="number"),
        Field("price", "item", to="i", dtype="number"),
        Field("hour", "request", to="w", dtype="number", missing="default", default=3),
    ]
    ranker = pi.load(made.SerializeToString(), schema=pi.Schema(fields)).catalog(
        {"price": np.arange(COUNT) % 31}, ids=np.arange(COUNT) + 10
    )
    pipeline = pi.Pipeline(pi.Source(near, "taste", k=50), ranker)
    rows = [{"mood": 1.5, "hour": 2, "taste": TASTES[0]}, {"mood": -2, "hour": None, "taste": TASTES[1]}]
    found = pipeline.top_k(rows, 4)
    assert found.ids.shape == (2, 4)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    assert pipeline.top_k(columns, 4).ids.tolist() == found.ids.tolist()
    for number, row in enumerate(rows):
        one = pipeline.top_k(row, 4)
        assert one.ids.tolist() == found.ids[number].tolist()
        ids = near.top_k(TASTES[number], 50).ids[0]
        expected = ranker.top_k({name: row[name] for name in ("mood", "hour")}, 4, ids=ids)
        assert expected.ids.tolist() == one.ids.tolist()
        assert pipeline.top_k([row], 4).ids.tolist() == [one.ids.tolist()]
    with pytest.raises(InputError, match="field 'mood'"):
        pipeline.top_k({**rows[0], "mood": "a"}, 4)
    with pytest.raises(InputError, match="'colour': expected one that a source or the ranker has"):
        pipeline.top_k({**rows[0], "colour": 1}, 4)
