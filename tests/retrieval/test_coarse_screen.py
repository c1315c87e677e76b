"""Queries along what coarse codes leave of an item: they see nothing of it, and it is among the best."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.products import brute_force

import pyrec_infer as pi
from pyrec_infer.retrieval import index

COUNT = 6_000


@pytest.fixture(autouse=True, params=[0, index.FEW])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With coarse codes first, and with near scores of all items, as there are few."""
    monkeypatch.setattr(index, "FEW", request.param)


@pytest.mark.parametrize("width", [3, 8, 17, 32, 64, 100])
@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_items_are_found_by_what_their_coarse_codes_leave(metric: Any, width: int) -> None:
    rng = np.random.default_rng(width)
    for chosen in ([4321], [2000, 1500, 100]):
        left = rng.uniform(-0.2, 0.2, (COUNT, width))
        left[chosen] *= 2
        left[:, 0] = 0  # here is what makes the scale 1, and so all other codes 0
        # Some of the first block are almost as good, so that what the others have to reach is near.
        left[: len(chosen)] = 0.97 * left[chosen]
        items, queries = left.astype(np.float32), left[chosen].astype(np.float32)
        items[:, 0] = 7
        for k in (1, 3):
            found = pi.Retriever(items, metric=metric, precision="int8").top_k(queries, k)
            rows, scores = brute_force(metric, queries, items, k)
            np.testing.assert_array_equal(found.ids, rows)
            np.testing.assert_array_equal(found.scores, scores)


@pytest.mark.parametrize("queries", [1, 6])
def test_a_sample_that_says_too_much_of_near_scores_loses_nothing(queries: int) -> None:
    rng = np.random.default_rng(queries)
    items = rng.standard_normal((COUNT, 16)).astype(np.float32)
    given = rng.standard_normal((queries, 16)).astype(np.float32)
    blocks = -(-COUNT // 64)
    sampled = [(2 * i + 1) * blocks // (2 * (blocks // 16)) for i in range(blocks // 16)]
    items.reshape(-1)[:] = np.sort(items, axis=None)  # neighbours are alike
    for block in sampled:
        items[64 * block : 64 * block + 64] *= 8
    shop = pi.Retriever(items, precision="int8", threads=2)
    for k in (1, 40, 300, COUNT):
        rows, scores = brute_force("ip", given, items, k)
        found = shop.top_k(given, k)
        np.testing.assert_array_equal(found.ids, rows)
        np.testing.assert_array_equal(found.scores, scores)
        left = np.setdiff1d(np.arange(COUNT), rows[0, :250])
        again, _ = brute_force("ip", given, items[left], k)
        each = shop.top_k(given, k, exclude=rows[0, :250])
        np.testing.assert_array_equal(each.ids[:, : len(left)], left[again][:, :k])


@pytest.mark.parametrize("width", [1, 8, 24, 33, 64, 200])
@pytest.mark.parametrize("queries", [1, 4])
def test_every_width_is_screened(queries: int, width: int) -> None:
    rng = np.random.default_rng(width)
    items, given = (rng.standard_normal((n, width)).astype(np.float32) for n in (9_000, queries))
    retriever = pi.Retriever(items, precision="int8", threads=2)
    found = retriever.top_k(given, 20)
    rows, scores = brute_force("ip", given, items, 20)
    np.testing.assert_array_equal(found.ids, rows)
    np.testing.assert_array_equal(found.scores, scores)
    retriever.remove(rows[0])
    retriever.upsert(items[rows[0, :10]], rows[0, :10])
    # The order is now another one, that of equal products too.
    order = np.concatenate([np.setdiff1d(np.arange(len(items)), rows[0]), rows[0, :10]])
    again, scores = brute_force("ip", given, items[order], 20)
    found = retriever.top_k(given, 20)
    np.testing.assert_array_equal(found.ids, order[again])
    np.testing.assert_array_equal(found.scores, scores)
