"""Searches that threads share: what one thread finds, whatever each of them has seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import pyrec_infer as pi

ITEMS = 12_000


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("order", ["any", "rising", "falling", "equal", "few"])
def test_threads_find_what_one_finds(precision: Any, order: str) -> None:
    generator = np.random.default_rng(5)
    vectors = generator.standard_normal((ITEMS, 16), np.float32)
    if order in ("rising", "falling"):
        sizes = np.linspace(0.1, 3, ITEMS, dtype=np.float32)
        vectors *= (sizes if order == "rising" else sizes[::-1])[:, np.newaxis]
    elif order in ("equal", "few"):
        vectors = vectors[generator.integers(0, 1 if order == "equal" else 20, ITEMS)]
    one, *others = (pi.Retriever(vectors, precision=precision, threads=threads) for threads in (1, 2, 3))
    excluded = generator.permutation(ITEMS)[:300]
    for count, k in ((1, 1), (1, 3), (1, 1000), (5, 2), (5, 7), (70, 3), (70, 101), (3, ITEMS)):
        queries = generator.standard_normal((count, 16), np.float32)
        for rules in ({}, {"exclude": excluded}, {"boost": generator.random(ITEMS, np.float32)}):
            expected = one.top_k(queries, k, **rules)
            for other in others:
                found = other.top_k(queries, k, **rules)
                np.testing.assert_array_equal(found.ids, expected.ids)
                np.testing.assert_array_equal(found.scores, expected.scores)
