"""Searches of few items with codes: what their near scores leave out, by definition."""

from __future__ import annotations

import numpy as np
import pytest
from support.products import brute_force

import pyrec_infer as pi


@pytest.mark.parametrize("spread", ["normal", "equal", "two values", "one far above", "heavy tails"])
@pytest.mark.parametrize("queries", [1, 3, 70])
def test_whatever_the_best_are_that_are_left_out(spread: str, queries: int) -> None:
    rng = np.random.default_rng(queries)
    count, width = 2900, 12
    items = rng.standard_normal((count, width)).astype(np.float32)
    if spread == "equal":
        items[:] = items[0]
    elif spread == "two values":
        items = np.sign(items)
    elif spread == "one far above":
        items[7] *= 1e15
    elif spread == "heavy tails":
        items *= np.exp(8 * rng.standard_normal((count, 1))).astype(np.float32)
    kept = rng.permutation(count) < count // 5
    shop = pi.Retriever(items, precision="int8", threads=2, attributes={"kept": kept})
    given = rng.standard_normal((queries, width)).astype(np.float32)
    among = np.flatnonzero(kept)
    rows, _ = brute_force("ip", given, items[among], 400)
    for where, left in ((shop.where("kept", True), among), (None, np.arange(count))):
        for out in (among[rows[0, :1]], among[rows[0, :130]], among[rows[0]], among):
            own = np.setdiff1d(left, out)
            for k in (1, 40, 1000):
                best, scores = brute_force("ip", given, items[own], k)
                found = shop.top_k(given, k, where=where, exclude=out)
                size = min(k, len(own))
                assert found.counts.tolist() == [size] * queries
                np.testing.assert_array_equal(found.ids[:, :size], own[best])
                np.testing.assert_array_equal(found.scores[:, :size], scores)


def test_hardly_more_than_the_best_are_multiplied() -> None:
    rng = np.random.default_rng(0)
    items = rng.standard_normal((20_000, 64)).astype(np.float32)
    shop = pi.Retriever(items, precision="int8")
    if shop.explain().as_dict()["backend"] == "numba":
        pytest.skip("multiplies all")
    for queries in (1, 8):
        found = shop.top_k(rng.standard_normal((queries, 64)).astype(np.float32), 100)
        assert 100 * queries <= found.refined < 300 * queries
