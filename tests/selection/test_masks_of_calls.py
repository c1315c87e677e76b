"""Masks of one call, of any share of the items: read where they lie, or tested while all are searched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.products import brute_force

import pyrec_infer as pi
from pyrec_infer.retrieval import index
from pyrec_infer.retrieval.retriever import PRECISIONS

COUNT, WIDTH = 5_000, 16


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("few", [0, index.FEW])
@pytest.mark.parametrize("uneven", [False, True])
def test_any_share_of_the_items_may_be_found(
    precision: Any, few: int, uneven: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "FEW", few)
    rng = np.random.default_rng(4)
    items = rng.integers(-3, 4, (COUNT, WIDTH)).astype(np.float32)
    if uneven:
        items *= np.exp2(rng.integers(-3, 4, (COUNT, 1))).astype(np.float32)
    shop = pi.Retriever(items, precision=precision)
    shop.upsert(items[:3], [0, 1, 2])
    shop.remove([7, 8])
    kept = np.delete(np.arange(COUNT), [7, 8])
    for share in (0.0, 0.001, 0.05, 0.1, 0.25, 0.5, 0.9, 1.0):
        mask = rng.random(len(kept)) < share
        for queries in (1, 6):
            given = rng.integers(-3, 4, (queries, WIDTH)).astype(np.float32)
            left = kept[mask]
            rows, scores = brute_force("ip", given, items[left], 9)
            found = shop.top_k(given, 9, allow=mask)
            size = min(9, len(left))
            assert found.counts.tolist() == [size] * queries
            np.testing.assert_array_equal(found.ids[:, :size], left[rows])
            np.testing.assert_array_equal(found.scores[:, :size], scores)
            by_exclusion = shop.top_k(given, 9, exclude=~mask)
            np.testing.assert_array_equal(by_exclusion.ids[:, :size], left[rows])
            each = shop.top_k(given, 9, exclude=[kept[~mask]] * queries)
            assert each.counts.tolist() == [size] * queries
            np.testing.assert_array_equal(each.ids[:, :size], left[rows])
