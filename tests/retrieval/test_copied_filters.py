"""Filters that let so little through that a retriever copies it, while items change, by definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.products import brute_force

import pyrec_infer as pi
from pyrec_infer.retrieval.index import NativeIndex
from pyrec_infer.retrieval.retriever import PRECISIONS
from pyrec_infer.retrieval.vectors import METRICS


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_a_filter_finds_what_it_lets_through(metric: Any, precision: Any, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    width = data.draw(st.sampled_from([1, 5, 8, 17]))
    count = data.draw(st.integers(1000, 5000))
    items = rng.integers(-3, 4, (count, width)).astype(np.float32)
    rank = rng.permutation(count)
    shop = pi.Retriever(items, metric=metric, precision=precision, attributes={"rank": rank})
    size = data.draw(st.integers(1, count // 32))
    where = shop.where("rank", max=size - 1)
    for _ in range(2):
        kept = np.flatnonzero(rank < size)
        for queries in (1, 5):
            given_queries = rng.integers(-3, 4, (queries, width)).astype(np.float32)
            rows, scores = brute_force(metric, given_queries, items[kept], 7)
            found = shop.top_k(given_queries, 7, where=where)
            np.testing.assert_array_equal(found.ids, kept[rows])
            np.testing.assert_array_equal(found.scores, scores)
            out = kept[rows[0, :2]]
            left = np.setdiff1d(kept, out)
            rows, scores = brute_force(metric, given_queries, items[left], 7)
            found = shop.top_k(given_queries, 7, where=where, exclude=out)
            assert found.counts.tolist() == [min(7, len(left))] * queries
            np.testing.assert_array_equal(found.ids[:, : len(left)], left[rows])
            boost = rng.standard_normal(count).astype(np.float32)
            boosted = shop.top_k(given_queries, 7, where=where, boost=boost)
            same = shop.top_k(given_queries, 7, allow=kept, boost=boost)
            np.testing.assert_array_equal(boosted.ids, same.ids)
            np.testing.assert_array_equal(boosted.scores, same.scores)
        changed = rng.choice(count, 20, replace=False)
        items[changed] = rng.integers(-3, 4, (20, width))
        rank[changed] = rng.permutation(rank[changed])
        shop.upsert(items[changed], changed, {"rank": rank[changed]})


def test_copies_of_filters_are_no_larger_than_what_is_searched() -> None:
    rng = np.random.default_rng(5)
    items = rng.integers(-3, 4, (640, 5)).astype(np.float32)
    shop = pi.Retriever(items, attributes={"rank": rng.permutation(640)})
    filters = [shop.where("rank", min=64 * part, max=64 * part + 149) for part in range(8)]

    def found() -> Any:
        return [shop.top_k(items[:3], 9, where=where).ids.tolist() for where in filters]

    def left() -> int:
        assert shop._seen is not None
        index: Any = shop._seen.kept("index", lambda: None)
        return index._left() if isinstance(index, NativeIndex) else 40

    # Four copies of 150 items are less than all 640, five would be more.
    first = found()
    assert left() == 40
    assert found() == first
    shop.upsert(items[:1], [0], {"rank": [700]})
    found()
    assert left() == 40
