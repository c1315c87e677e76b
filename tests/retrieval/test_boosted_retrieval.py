"""Retrievers with boosts against all boosted scores."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pyrec_infer as pi
from pyrec_infer.errors import InputError, ShapeError
from pyrec_infer.retrieval.retriever import PRECISIONS
from pyrec_infer.retrieval.vectors import METRICS

Array = NDArray[Any]

KINDS = {
    "none": lambda rng, shape: None,
    "few": lambda rng, shape: np.where(rng.random(shape) < 0.02, rng.normal(0, 30, shape), 0),
    "all": lambda rng, shape: rng.normal(0, 10, shape),
    "slight": lambda rng, shape: 1 + rng.normal(0, 1e-6, shape),
    "whole": lambda rng, shape: rng.integers(-2, 3, shape),
    "huge": lambda rng, shape: rng.choice(np.asarray([3e38, -3e38, 1, 1e-40]), shape),
}

BOOSTS = {**KINDS, "infinite": lambda rng, shape: rng.choice(np.asarray([np.inf, -np.inf, 0, 1]), shape)}

SCALES = {**KINDS, "positive": lambda rng, shape: rng.gamma(2.0, 1.0, shape)}

VECTORS = {
    "normal": lambda rng, n, d: rng.standard_normal((n, d)),
    "equal": lambda rng, n, d: rng.integers(-1, 2, (n, d)),
    "uneven": lambda rng, n, d: rng.standard_normal((n, d)) * rng.pareto(1.0, (n, 1)),
    "outliers": lambda rng, n, d: np.where(rng.random((n, d)) < 0.1, 1e4, rng.standard_normal((n, d)) * 1e-3),
}


def boosted(scores: Array, scale: Any, boost: Any) -> Array:
    with np.errstate(all="ignore"):
        for operate, numbers in ((np.multiply, scale), (np.add, boost)):
            if numbers is not None:
                scores = operate(scores, numbers)
    return scores


@pytest.mark.parametrize("precision", PRECISIONS)
@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_results_equal_those_of_all_boosted_scores(precision: Any, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n, count = data.draw(st.sampled_from([(900, 3), (900, 1), (130, 7)]))
    metric: Any = data.draw(st.sampled_from(METRICS))
    make = VECTORS[data.draw(st.sampled_from(sorted(VECTORS)))]
    items, queries = (make(rng, rows, 6).astype(np.float32) for rows in (n, count))
    retriever = pi.Retriever(
        items, metric=metric, precision=precision, threads=data.draw(st.sampled_from([1, 2]))
    )
    everything = retriever.top_k(queries, n)
    scores = np.empty((count, n), np.float32)
    np.put_along_axis(scores, everything.ids, everything.scores, axis=1)
    given_numbers = []
    for kinds in (SCALES, BOOSTS):
        shape = data.draw(st.sampled_from([(n,), (count, n)]))
        numbers = kinds[data.draw(st.sampled_from(sorted(kinds)))](rng, shape)
        given_numbers.append(None if numbers is None else np.asarray(numbers, np.float32))
    scale, boost = given_numbers
    exact = boosted(scores, scale, boost)
    left = rng.random(n) < data.draw(st.sampled_from([0.05, 0.8, 1.0]))
    where = data.draw(st.sampled_from([None, retriever.filter(left)]))
    each = [rng.choice(n, rng.integers(0, n // 2), replace=False) for _ in queries]
    exclude = data.draw(st.sampled_from([None, each[0], each]))
    k = data.draw(st.sampled_from([1, 20, n]))
    found = retriever.top_k(queries, k, scale=scale, boost=boost, where=where, exclude=exclude)
    for query in range(count):
        own = np.ones(n, bool) if where is None else left.copy()
        own[[] if exclude is None else each[query if exclude is each else 0]] = False
        order = np.lexsort((-exact[query] + np.float32(0), np.isnan(exact[query])))
        if scale is None and boost is None:
            # Products are compared, of which several may be the same distance.
            order = everything.ids[query]
        expected = order[own[order]][:k]
        assert found.counts[query] == len(expected)
        assert found.ids[query, : len(expected)].tolist() == expected.tolist()
        np.testing.assert_array_equal(found.scores[query, : len(expected)], exact[query, expected])


@pytest.mark.parametrize("precision", PRECISIONS)
def test_boosts_count_for_caps_quotas_and_diversity(precision: Any) -> None:
    rng = np.random.default_rng(0)
    seller = rng.integers(0, 9, 500)
    vectors, query = rng.standard_normal((500, 8)), rng.standard_normal(8)
    shop = pi.Retriever(vectors, precision=precision, attributes={"seller": seller})
    boost = np.where(seller == 3, 50, rng.random(500)).astype(np.float32)
    order = shop.top_k(query, 500, boost=boost)
    capped: list[int] = []
    for item in order.ids[0].tolist():
        if np.count_nonzero(seller[capped] == seller[item]) < 2:
            capped.append(item)
    assert shop.top_k(query, 7, boost=boost, max_per={"seller": 2}).ids[0].tolist() == capped[:7]
    few = shop.top_k(query, 4, scale=1 - 2 * (seller == 3), boost=-boost, min_per={"seller": {3: 2}})
    assert np.count_nonzero(seller[few.ids[0]] == 3) == 2
    assert shop.top_k(query, 3, boost=boost, diversity=pi.MMR(diversity=0.0)).ids.tolist() == [
        order.ids[0, :3].tolist()
    ]


def test_few_boosts_leave_the_screen_as_it_is() -> None:
    if pi.available_backends()[0] == "numba":
        pytest.skip("the backend multiplies all pairs")
    rng = np.random.default_rng(1)
    retriever = pi.Retriever(rng.standard_normal((20000, 16)), precision="int8")
    queries, boost = rng.standard_normal((4, 16)), np.zeros(20000)
    boost[rng.choice(20000, 30, replace=False)] = 3
    plain, some = retriever.top_k(queries, 10), retriever.top_k(queries, 10, boost=boost)
    assert some.refined < 2 * plain.refined + 4 * 30 * 64


@pytest.mark.parametrize(
    ("rules", "kind", "text"),
    [
        ({"boost": [1, np.nan, 2]}, InputError, r"boost: expected numbers, not NaN \(row 1\)"),
        ({"scale": [np.inf, 1, 1]}, InputError, r"scale: expected finite numbers \(row 0\)"),
        ({"scale": [1, 2]}, ShapeError, r"scale: expected shape \[3\], got \[2\]"),
        ({"boost": np.ones((2, 3))}, ShapeError, r"boost: expected shape \[3\], got \[2, 3\]"),
    ],
)
def test_bad_boosts_are_refused(rules: Any, kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        pi.Retriever(np.ones((3, 2))).top_k([1.0, 1.0], 2, **rules)
