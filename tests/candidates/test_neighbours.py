"""Likeness of items from sparse rows, against dense products in double precision and against implicit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.candidate_models import NEIGHBOURS, STORED, Csr, interactions, uneven

import pyrec_infer as pi
from pyrec_infer.candidates.products import SparseProducts
from pyrec_infer.candidates.rows import read_rows
from pyrec_infer.candidates.weights import WEIGHTINGS, weigh
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, ModelError, ShapeError
from pyrec_infer.extension import native

Array = np.ndarray[Any, Any]


def dense_top(left: Array, right: Array, k: int, taken: Array) -> list[list[tuple[int, float]]]:
    """The largest of each row of a product, among columns that have something in common with it."""
    found = []
    for row, own in zip(left.astype(np.float64), taken, strict=True):
        sums, common = np.zeros(right.shape[1]), np.zeros(right.shape[1], bool)
        for at in np.flatnonzero(row):
            sums += row[at] * right[at].astype(np.float64)
            common |= right[at] != 0
        scores = sums.astype(np.float32) + np.float32(0)
        order = [place for place in np.argsort(-scores, kind="stable") if common[place] and own[place]]
        found.append([(int(place), float(scores[place])) for place in order[:k]])
    return found


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 30), st.integers(0, 12), st.booleans(), st.booleans())
def test_products_are_those_of_dense_matrices(seed: int, width: int, k: int, own: bool, some: bool) -> None:
    rng = np.random.default_rng(seed)
    matrix = interactions(width, width, 0.3, seed) * rng.choice([1, -1, 0.1], (width, width))
    rows = interactions(20, width, 0.3, seed + 1)
    allowed = rng.random(width) < 0.7 if some else None
    taken = np.ones(rows.shape, bool) if allowed is None else np.tile(allowed, (20, 1))
    if own:
        taken &= rows == 0
    products = SparseProducts(read_rows("matrix", Csr(matrix)), threads=2)
    columns, scores, counts = products.top(read_rows("rows", Csr(rows)), k, own, allowed)
    expected = dense_top(rows, matrix.astype(np.float32), k, taken)
    assert counts.tolist() == [len(best) for best in expected]
    for row, best in enumerate(expected):
        pairs = zip(columns[row, : counts[row]].tolist(), scores[row, : counts[row]].tolist(), strict=True)
        assert list(pairs) == best


def likeness(dense: Array, weighting: str) -> Array:
    """By the formulas, for all pairs."""
    values = dense.astype(np.float64)
    items = values.shape[1]
    rarity = (np.log(items) - np.log1p((values > 0).sum(axis=1)))[:, np.newaxis]
    if weighting == "jaccard":
        both = (values > 0).T.astype(float) @ (values > 0)
        sizes = (values > 0).sum(axis=0)
        return both / (sizes[:, np.newaxis] + sizes - both)
    if weighting == "tfidf":
        values = np.sqrt(values) * rarity
    if weighting == "bm25":
        sums = values.sum(axis=0)
        scale = 1.2 * (0.25 + 0.75 * sums / sums.mean())
        values = values * 2.2 / (scale + values) * rarity
    if weighting in ("cosine", "tfidf"):
        values = values / np.linalg.norm(values, axis=0)
    return values.T @ values


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_likeness_by_the_formulas(weighting: Any) -> None:
    dense = interactions(40, 25)
    model = pi.ItemItemRecommender.fit(Csr(dense), 25, weighting)
    expected = likeness(dense, weighting)
    common = (dense > 0).T.astype(int) @ (dense > 0) > 0
    found = model.similar_items(np.arange(25), 25)
    for item in range(25):
        count = int(common[item].sum())
        assert (found.ids[item, count:] == -1).all()
        ids = found.ids[item, :count]
        assert sorted(ids.tolist()) == np.flatnonzero(common[item]).tolist()
        np.testing.assert_allclose(found.scores[item, :count], expected[item, ids], rtol=1e-5, atol=1e-7)
        assert (np.diff(found.scores[item, :count]) <= 0).all()
    few = pi.ItemItemRecommender.fit(Csr(dense), 3, weighting).similar_items(np.arange(25), 25)
    assert few.ids.tolist() == found.ids[:, :3].tolist()


@pytest.mark.parametrize("weighting", NEIGHBOURS)
def test_stored_answers_of_implicit(weighting: Any) -> None:
    recommended, similar = json.loads(STORED.read_text())["neighbours"][weighting]
    rows = Csr(uneven(12, 14))
    ours = pi.ItemItemRecommender.fit(rows, 5, weighting)
    found, (ids, scores) = ours.recommend(np.arange(12), rows, 4), map(np.asarray, recommended)
    # What a user has met stands there with the score 0 where there is nothing else.
    results = (scores > 0) & (ids >= 0)
    assert results.any(axis=1).all()
    np.testing.assert_array_equal(found.ids[:, : ids.shape[1]][results], ids[results])
    np.testing.assert_allclose(found.scores[:, : ids.shape[1]][results], scores[results], rtol=1e-5)
    near = ours.similar_items(2, 4)
    assert near.ids.tolist() == similar[0]
    np.testing.assert_allclose(near.scores, similar[1], rtol=1e-5)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("kind", "weighting"),
    [("CosineRecommender", "cosine"), ("TFIDFRecommender", "tfidf"), ("BM25Recommender", "bm25")],
)
def test_answers_of_implicit(kind: str, weighting: Any, tmp_path: Path) -> None:
    neighbours = pytest.importorskip(
        "implicit.nearest_neighbours", reason="answers are compared with implicit's where it is installed"
    )
    sparse = pytest.importorskip("scipy.sparse")
    dense = interactions(300, 40) * np.random.default_rng(1).uniform(0.5, 1.5, (300, 40))
    rows = sparse.csr_matrix(dense.astype(np.float32))
    theirs = getattr(neighbours, kind)(K=10, num_threads=1)
    theirs.fit(rows, show_progress=False)
    theirs.save(str(tmp_path / "model.npz"))
    users = np.arange(50)
    ids, scores = theirs.recommend(users, rows[:50], N=6)
    for ours in (
        pi.from_implicit(theirs),
        pi.from_implicit(tmp_path / "model.npz"),
        pi.ItemItemRecommender.fit(rows, 10, weighting),
    ):
        found = ours.recommend(users, rows[:50], 6)
        # What a user has met stands there with the score 0 where there is nothing else.
        results = (scores > 0) & (ids >= 0)
        np.testing.assert_array_equal(found.ids[results], ids[results])
        np.testing.assert_allclose(found.scores[results], scores[results], rtol=1e-5)
        similar, expected = ours.similar_items(4, 5), theirs.similar_items(4, 5)
        np.testing.assert_array_equal(similar.ids, expected[0])
        np.testing.assert_allclose(similar.scores, expected[1], rtol=1e-5)


def test_what_is_left_out() -> None:
    dense = interactions(30, 12, 0.5)
    names = [f"item{number}" for number in range(12)]
    model = pi.ItemItemRecommender.fit(Csr(dense), 12, ids=names)
    every = model.recommend(0, Csr(dense[:1]), 12, filter_already_liked_items=False)
    liked = {names[at] for at in np.flatnonzero(dense[0])}
    assert model.recommend(0, Csr(dense[:1]), 12).ids.tolist() == [
        name for name in every.ids.tolist() if name not in liked
    ]
    rest = model.recommend(
        0, Csr(dense[:1]), 12, filter_already_liked_items=False, filter_items=["item3", "none"]
    )
    assert rest.ids.tolist() == [name for name in every.ids.tolist() if name != "item3"]
    alone = model.recommend(0, Csr(dense[:1]), 12, filter_already_liked_items=False, items=["item3"])
    assert alone.ids.tolist() == ["item3"]
    assert model.recommend([0], Csr(np.zeros((1, 12)))).ids.shape == (1, 0)
    assert model.recommend([0], Csr(dense[:1]), 0).ids.shape == (1, 0)
    assert model.recommend([], Csr(np.zeros((0, 12)))).ids.shape == (0, 0)
    assert model.similar_items("item1", 1).ids.tolist() == ["item1"]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_values_given_twice_are_summed(weighting: Any) -> None:
    twice = SimpleNamespace(indptr=[0, 3, 5], indices=[2, 0, 2, 1, 2], data=[1, 2, 1, 4, 1], shape=(2, 3))
    once = Csr(np.asarray([[2, 0, 2], [0, 4, 1.0]]))
    found = [
        pi.ItemItemRecommender.fit(rows, 3, weighting).similar_items([0, 1, 2], 3) for rows in (twice, once)
    ]
    np.testing.assert_array_equal(found[0].ids, found[1].ids)
    np.testing.assert_array_equal(found[0].scores, found[1].scores)


def test_calls_that_do_not_fit() -> None:
    dense = interactions(5, 4, 0.5)
    model = pi.ItemItemRecommender.fit(Csr(dense))
    with pytest.raises(ShapeError, match="row for each column"):
        pi.ItemItemRecommender(Csr(dense))
    with pytest.raises(InputError, match="weighting"):
        pi.ItemItemRecommender.fit(Csr(dense), weighting="pearson")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="finite weights"):
        pi.ItemItemRecommender.fit(Csr(-dense), weighting="tfidf")
    with pytest.raises(InputError, match="user_items"):
        model.recommend(0, None)
    with pytest.raises(ShapeError, match="4 columns"):
        model.recommend(0, Csr(np.ones((1, 5))))
    for ids in ([4], [-1], [2**62]):
        with pytest.raises(IdRangeError, match="itemid"):
            model.similar_items(ids)
    with pytest.raises(DTypeError, match="itemid"):
        model.similar_items("a")
    with pytest.raises(InputError, match="twice"):
        pi.ItemItemRecommender(Csr(np.eye(2)), ids=["a", "a"])
    with pytest.raises(ShapeError, match="ids"):
        pi.ItemItemRecommender(Csr(np.eye(2)), ids=["a"])
    with pytest.raises((ModelError, DTypeError)):
        pi.from_implicit(SimpleNamespace(similarity=np.eye(3)))


@pytest.mark.once
@pytest.mark.parametrize(
    ("bounds", "columns", "width"),
    [
        ([0, 3, 2], [0, 1], 2),
        ([0, 1, 3], [0, 1], 2),
        ([1, 2], [0, 1], 2),
        ([], [], 2),
        ([0, 2], [0, 2], 2),
        ([0, 2], [0, -1], 2),
        ([0, -1, 2], [0, 1], 2),
        ([0, 2], [0, 1], 2**40),
    ],
)
def test_the_extension_refuses_rows_that_lie(bounds: list[int], columns: list[int], width: int) -> None:
    if native is None:
        pytest.skip("no extension")
    with pytest.raises(Exception, match="expected"):
        native.SparseMatrix(
            np.asarray(bounds, np.int64), np.asarray(columns, np.int32), np.ones(2, np.float32), width
        )


def test_weights_are_finite_numbers_of_each_value() -> None:
    rows = read_rows("rows", Csr(interactions(6, 5, 0.5)))
    for weighting in WEIGHTINGS:
        assert np.isfinite(weigh(rows, weighting, 1.2, 0.75).rows.values).all()
