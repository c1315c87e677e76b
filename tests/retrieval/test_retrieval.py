"""Retrievers against the products of all pairs."""

from __future__ import annotations

import pickle
import threading
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.products import brute_force

import pyrec_infer as pi
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, ResourceLimitError, ShapeError
from pyrec_infer.retrieval import index
from pyrec_infer.retrieval.retriever import PRECISIONS
from pyrec_infer.retrieval.vectors import METRICS

Array = NDArray[Any]


def gaussian(rng: np.random.Generator, n: int, d: int) -> Array:
    return rng.standard_normal((n, d))


def clustered(rng: np.random.Generator, n: int, d: int) -> Array:
    return rng.standard_normal((5, d))[rng.integers(0, 5, n)] + 1e-3 * rng.standard_normal((n, d))


def heavy_tailed(rng: np.random.Generator, n: int, d: int) -> Array:
    return rng.standard_normal((n, d)) * rng.pareto(1.0, (n, 1))


def duplicates(rng: np.random.Generator, n: int, d: int) -> Array:
    return rng.standard_normal((3, d))[rng.integers(0, 3, n)]


def rising(rng: np.random.Generator, n: int, d: int) -> Array:
    """Products with a query of positive numbers rise from item to item, hardly."""
    return 1 + np.arange(n)[:, np.newaxis] * 1e-6 + np.zeros(d)


def outliers(rng: np.random.Generator, n: int, d: int) -> Array:
    """One number of each is so large that a scale for the whole vector leaves nothing of the others."""
    vectors = rng.standard_normal((n, d)) * 1e-3
    vectors[np.arange(n), rng.integers(0, d, n)] = 1e4
    return vectors


def tiny(rng: np.random.Generator, n: int, d: int) -> Array:
    return rng.standard_normal((n, d)) * 1e-23


def zeros(rng: np.random.Generator, n: int, d: int) -> Array:
    return np.where(rng.random((n, 1)) < 0.5, 0, rng.integers(-2, 3, (n, d)))


MAKERS = [gaussian, clustered, heavy_tailed, duplicates, rising, outliers, tiny, zeros]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("few", [0, index.FEW])
def test_results_equal_those_of_all_products(
    make: Any, metric: Any, precision: Any, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "FEW", few)
    rng = np.random.default_rng(MAKERS.index(make))
    for n, d, count, k in ((1000, 13, 3, 10), (130, 64, 1, 130), (700, 8, 8, 100), (5, 1, 2, 9)):
        items, queries = make(rng, n, d).astype(np.float32), make(rng, count, d).astype(np.float32)
        found = pi.Retriever(items, metric=metric, precision=precision).top_k(queries, k)
        rows, scores = brute_force(metric, queries, items, k)
        np.testing.assert_array_equal(found.scores, scores)
        np.testing.assert_array_equal(found.ids, rows)
        assert found.counts.tolist() == [min(n, k)] * count
        assert found.certified
        assert 0 < found.refined <= n * count


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", METRICS)
def test_recall_against_double_precision_is_one(metric: Any, precision: Any) -> None:
    rng = np.random.default_rng(3)
    items, queries = (rng.standard_normal((n, 32)).astype(np.float32) for n in (5000, 4))
    found = pi.Retriever(items, metric=metric, precision=precision).top_k(queries, 20)
    left, right = queries.astype(np.float64), items.astype(np.float64)
    if metric == "cosine":
        left, right = (m / np.linalg.norm(m, axis=1, keepdims=True) for m in (left, right))
    exact = left @ right.T
    if metric == "l2":
        exact = 2 * exact - np.square(right).sum(axis=1) - np.square(left).sum(axis=1, keepdims=True)
    best = np.argsort(-exact, axis=1, kind="stable")[:, :20]
    assert found.ids.tolist() == best.tolist()
    np.testing.assert_allclose(found.scores, np.take_along_axis(exact, best, axis=1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_pair_has_the_same_score_in_every_search(precision: Any) -> None:
    rng = np.random.default_rng(5)
    items, queries = (rng.standard_normal((n, 37)).astype(np.float32) for n in (300, 110))
    retriever = pi.Retriever(items, precision=precision, threads=2)
    together = retriever.top_k(queries, 300)
    scores = np.empty((110, 300), np.float32)
    np.put_along_axis(scores, together.ids, together.scores, axis=1)
    for count in (1, 2, 5):
        some = retriever.top_k(queries[7 : 7 + count], 50)
        np.testing.assert_array_equal(some.ids, together.ids[7 : 7 + count, :50])
        np.testing.assert_array_equal(some.scores, together.scores[7 : 7 + count, :50])
    few = pi.Retriever(items[100:103], precision=precision).top_k(queries, 3)
    np.testing.assert_array_equal(np.take_along_axis(scores[:, 100:103], few.ids, axis=1), few.scores)


FLOATS = st.one_of(
    st.floats(-4, 4, width=32),
    st.sampled_from([0.0, -0.0, 1.0, 1e-45, -1e-38, 1e-20, 1e17, -1e17, 1 + 2**-23, 1 - 2**-24, 64.0, 63.0]),
)


@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_screens_lose_nothing(metric: Any, data: st.DataObject) -> None:
    d, k = data.draw(st.integers(1, 19)), data.draw(st.integers(1, 5))
    vector = st.lists(FLOATS, min_size=d, max_size=d)
    some = data.draw(st.lists(vector, min_size=1, max_size=6))
    # Many that hardly differ, in an order of no meaning.
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    items = np.asarray(some, np.float32)[rng.integers(0, len(some), 150)]
    items = np.where(rng.random(items.shape) < 0.2, np.nextafter(items, np.float32(9)), items)
    queries = np.asarray([data.draw(vector)], np.float32)
    with patch.object(index, "FEW", data.draw(st.sampled_from([0, index.FEW]))):
        found = pi.Retriever(items, metric=metric, precision="int8").top_k(queries, k)
    rows, scores = brute_force(metric, queries, items, k)
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.ids, rows)


@pytest.mark.parametrize(("metric", "share"), [("ip", 0.5), ("l2", 0.75)])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_blocks_that_cannot_matter_are_passed_over(metric: Any, share: float, precision: Any) -> None:
    rng = np.random.default_rng(11)
    items = heavy_tailed(rng, 20_000, 16).astype(np.float32)
    queries = rng.standard_normal((3, 16)).astype(np.float32)
    retriever = pi.Retriever(items, metric=metric, precision=precision)
    found = retriever.top_k(queries, 10)
    rows, scores = brute_force(metric, queries, items, 10)
    np.testing.assert_array_equal(found.scores, scores)
    np.testing.assert_array_equal(found.ids, rows)
    if retriever.explain().as_dict()["backend"] != "numba":
        assert found.refined < 3 * 20_000 * (share if precision == "fp32" else 0.1)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("text", [False, True])
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_changes_equal_those_of_a_dictionary(precision: Any, text: bool, data: st.DataObject) -> None:
    numbers = st.integers(-2, 2).map(float)
    vectors = st.lists(numbers, min_size=3, max_size=3)
    names = st.integers(0, 30).map(str) if text else st.integers(-30, 30)
    metric = data.draw(st.sampled_from(METRICS))
    expected: dict[Any, list[float]] = {}
    retriever = pi.Retriever(
        np.empty((0, 3)), np.empty(0, str if text else int), metric=metric, precision=precision
    )
    for _ in range(data.draw(st.integers(1, 6))):
        if data.draw(st.booleans()):
            given_names = data.draw(st.lists(names, min_size=1, max_size=12))
            given = [data.draw(vectors) for _ in given_names]
            retriever.upsert(given, given_names)
            last = {name: row for row, name in enumerate(given_names)}
            expected.update((given_names[row], given[row]) for row in sorted(last.values()))
        else:
            gone = data.draw(st.lists(names, max_size=12))
            assert retriever.remove(gone) == len(expected.keys() & set(gone))
            expected = {name: vector for name, vector in expected.items() if name not in gone}
        assert retriever.ids.tolist() == list(expected)
        assert len(retriever) == len(expected)
        queries = np.asarray([data.draw(vectors)], np.float32)
        found = retriever.top_k(queries, 4)
        items = np.asarray(list(expected.values()), np.float32).reshape(-1, 3)
        rows, scores = brute_force(metric, queries, items, 4)
        np.testing.assert_array_equal(found.scores, scores)
        assert found.ids[0].tolist() == [list(expected)[row] for row in rows[0]]


def test_many_items_come_and_go() -> None:
    rng = np.random.default_rng(7)
    items = rng.standard_normal((3000, 5)).astype(np.float32)
    retriever = pi.Retriever(items, range(10_000, 13_000))
    gone = rng.choice(np.arange(10_000, 13_000), 2000, replace=False)
    assert retriever.remove(gone) == 2000
    retriever.upsert(items[:500] + 1, np.arange(500))
    kept = [*(name for name in range(10_000, 13_000) if name not in set(gone.tolist())), *range(500)]
    left = np.concatenate([items[np.asarray(kept[:1000]) - 10_000], items[:500] + 1])
    queries = rng.standard_normal((2, 5)).astype(np.float32)
    found = retriever.top_k(queries, 1500)
    rows, scores = brute_force("ip", queries, left, 1500)
    np.testing.assert_array_equal(found.ids, np.asarray(kept)[rows])
    np.testing.assert_array_equal(found.scores, scores)


def test_searches_see_whole_changes() -> None:
    retriever = pi.Retriever(np.full((500, 4), 1.0), threads=2)
    stop, wrong = threading.Event(), list[Any]()

    def search() -> None:
        while not stop.is_set():
            scores = retriever.top_k(np.ones((3, 4)), 500).scores
            if scores.min() != scores.max():
                wrong.append(scores)

    threads = [threading.Thread(target=search) for _ in range(2)]
    for thread in threads:
        thread.start()
    for version in range(30):
        retriever.upsert(np.full((500, 4), float(version)), range(500))
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert retriever.top_k(np.ones(4), 1).scores.tolist() == [[4 * 29.0]]


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("text", [False, True])
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_items_that_are_allowed_and_denied(precision: Any, text: bool, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    n, count, k = data.draw(st.integers(0, 90)), data.draw(st.integers(1, 3)), data.draw(st.integers(0, 12))
    items, queries = (rng.integers(-2, 3, (rows, 4)).astype(np.float32) for rows in (n, count))
    names: list[Any] = [str(name) if text else name for name in rng.permutation(200)[:n].tolist()]
    some = st.lists(st.integers(0, 220).map(str) if text else st.integers(-1, 220), max_size=60)
    allow = data.draw(st.none() | some)
    each = data.draw(st.lists(some, min_size=count, max_size=count))
    deny = data.draw(st.sampled_from([None, each[0], each]))
    retriever = pi.Retriever(items, np.asarray(names, str if text else int), precision=precision)
    found = retriever.top_k(queries, k, allow=allow, deny=deny)
    rows, scores = brute_force("ip", queries, items, n)
    for query in range(count):
        gone = set(each[query] if deny is each else deny or [])
        left = [
            (names[row], score)
            for row, score in zip(rows[query], scores[query], strict=True)
            if names[row] not in gone and (allow is None or names[row] in allow)
        ][:k]
        own = int(found.counts[query])
        assert found.ids[query, :own].tolist() == [name for name, _ in left]
        assert found.scores[query, :own].tolist() == [score for _, score in left]
        assert np.isneginf(found.scores[query, own:]).all()


def test_what_is_asked_for() -> None:
    retriever = pi.Retriever([[1, 2], [3, 4], [0, 1]], ids=np.asarray([7, 8, 2**64 - 1], np.uint64))
    assert retriever.top_k([1, 0], 2).ids.tolist() == [[8, 7]]
    assert retriever.top_k([1, 0], 2**70).ids.tolist() == [[8, 7, 2**64 - 1]]
    assert retriever.top_k([1, 0], 0).ids.shape == (1, 0)
    none = retriever.top_k(np.empty((0, 2)), 2)
    assert none.ids.shape == none.scores.shape == (0, 2)
    assert none.counts.tolist() == []
    assert 8 in retriever
    assert 9 not in retriever
    assert "8" not in retriever
    assert retriever.remove([7, 9]) == 1
    assert retriever.ids.tolist() == [8, 2**64 - 1]


def test_of_equal_ids_the_last_row_counts() -> None:
    retriever = pi.Retriever([[1.0], [2.0], [3.0]], ids=["a", "b", "a"])
    assert retriever.top_k([1.0], 3).ids.tolist() == [["a", "b"]]
    retriever.upsert([[5.0], [1.0]], ["b", "b"])
    assert retriever.top_k([1.0], 3).scores.tolist() == [[3.0, 1.0]]


def test_an_empty_retriever() -> None:
    retriever = pi.Retriever(np.empty((0, 3), np.float32))
    found = retriever.top_k(np.ones((2, 3)), 5)
    assert found.ids.shape == found.scores.shape == (2, 0)
    assert found.counts.tolist() == [0, 0]
    assert retriever.remove([1]) == 0
    retriever.upsert([[1, 2, 3]], [5])
    assert retriever.top_k([1, 0, 0], 5).ids.tolist() == [[5]]


BAD = [
    (lambda: pi.Retriever([[1.0]], metric="dot"), InputError, "metric: expected one of ip, cosine, l2"),  # type: ignore[arg-type]
    (lambda: pi.Retriever([[1.0]], precision="int4"), InputError, "precision: expected one of"),  # type: ignore[arg-type]
    (lambda: pi.Retriever([1.0, 2.0]), ShapeError, r"'item_vectors': expected vectors of shape \[\*, \*\]"),
    (lambda: pi.Retriever(np.empty((3, 0))), ShapeError, r"got \[3, 0\]"),
    (lambda: pi.Retriever([["a"]]), DTypeError, "'item_vectors': expected numbers"),
    (lambda: pi.Retriever([[1.0]], ids=[1, 2]), ShapeError, "ids: expected 1, one for each vector, got 2"),
    (lambda: pi.Retriever([[1.0]], ids=[1.5]), DTypeError, "ids: expected whole numbers or strings"),
    (lambda: pi.Retriever([[1.0], [np.nan]]), InputError, r"of finite numbers \(row 1\)"),
    (lambda: pi.Retriever([[1.0], [1e300]]), InputError, r"of finite numbers \(row 1\)"),
    (lambda: pi.Retriever([[2e18]]), InputError, r"shorter than 2\*\*60 \(row 0\)"),
    (lambda: pi.Retriever([[1.0]], threads=0), InputError, "threads: expected at least 1"),
    (lambda: known().top_k([[1.0]], 1), ShapeError, r"'queries': expected vectors of shape \[\*, 2\]"),
    (lambda: known().top_k([np.inf, 1], 1), InputError, r"'queries': .* finite numbers \(row 0\)"),
    (lambda: known().top_k([1, 1], -1), InputError, "k: expected at least 0, got -1"),
    (lambda: known().top_k([1, 1], 1.5), DTypeError, "k: expected a whole number"),  # type: ignore[arg-type]
    (lambda: known().upsert([[1, 2]], ["a"]), DTypeError, "ids: expected whole numbers, got strings"),
    (lambda: known().upsert([[1, 2]], [2**63]), IdRangeError, r"the type that the retriever has \(row 0\)"),
    (lambda: known().upsert([[1, 2], [1, np.nan]], [0, 0]), InputError, r"'vectors': .* \(row 1\)"),
    (lambda: known().upsert([[1, 2, 3]], [0]), ShapeError, r"shape \[\*, 2\], got \[1, 3\]"),
    (lambda: known().remove(["a"]), DTypeError, "ids: expected whole numbers"),
    (lambda: known().top_k(np.ones((2**22, 2)), 1000), ResourceLimitError, "max_bytes"),
    (lambda: known().top_k([[1, 1]], 1, deny=["a"]), DTypeError, "exclude: expected whole numbers"),
    (
        lambda: known().top_k([[1, 1]], 1, deny=[[1], [2]]),
        ShapeError,
        "a list of ids for each of 1 requests",
    ),
    (
        lambda: known().top_k([[1, 1]], 1, exclude=memoryview(np.ones(2, np.float16))),
        DTypeError,
        "exclude: expected whole numbers",
    ),
    (
        lambda: known().top_k([[1, 1]], 1, exclude=memoryview(np.ones((1, 2), np.int64))),
        ShapeError,
        "exclude: expected one axis",
    ),
    (lambda: known().top_k([[1, 1]], 1, allow=[[1], [2]]), ShapeError, "allow: expected one axis"),
    (lambda: pickle.dumps(known()), TypeError, "cannot be pickled"),
]


def known() -> pi.Retriever:
    return pi.Retriever(np.ones((2000, 2)))


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_input_is_refused(number: int) -> None:
    call, kind, text = BAD[number]
    with pytest.raises(kind, match=text):
        call()


def test_a_refused_change_changes_nothing() -> None:
    retriever = pi.Retriever([[1.0, 2.0], [3.0, 4.0]])
    before = retriever.top_k([1, 1], 5)
    for vectors, ids in (([[9, np.nan]], [0]), ([[9, 9], [9, 9]], [0]), ([[9, 9]], ["a"])):
        with pytest.raises(InputError):
            retriever.upsert(vectors, ids)  # type: ignore[arg-type]
    after = retriever.top_k([1, 1], 5)
    assert after.ids.tolist() == before.ids.tolist()
    assert after.scores.tolist() == before.scores.tolist()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_it_tells_about_itself(precision: Any) -> None:
    retriever = pi.Retriever(np.ones((10, 4)), metric="cosine", precision=precision, threads=2)
    told = retriever.explain()
    data = told.as_dict()
    assert data["items"] == 10
    assert data["metric"] == "cosine"
    assert data["precision"] == precision
    assert data["bytes"] >= 10 * data["bytes_per_item"] >= 10 * 16
    assert f"search {precision}" in str(told)
    assert repr(retriever) == "<pyrec_infer.Retriever items=10 width=4 metric='cosine'>"
