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


def test_what_threads_reach_together_leaves_nothing_out() -> None:
    """Long enough that both are at work, and bounds rise while they are."""
    generator = np.random.default_rng(6)
    vectors = generator.standard_normal((40_000, 16), np.float32)
    one, *others = (pi.Retriever(vectors, threads=threads) for threads in (1, 2, 3))
    for count, k in ((1, 2000), (16, 1000), (40, 101)) * 4:
        queries = generator.standard_normal((count, 16), np.float32)
        expected = one.top_k(queries, k)
        for other in others:
            found = other.top_k(queries, k)
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_array_equal(found.scores, expected.scores)
