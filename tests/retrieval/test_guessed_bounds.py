"""Searches among so many items that a sample tells what the best may have to reach, right or wrong."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.products import brute_force

import pyrec_infer as pi
from pyrec_infer.retrieval import index
from pyrec_infer.retrieval.retriever import PRECISIONS

Array = NDArray[Any]

COUNT, WIDTH, K = 90_000, 3, 12

BLOCK, SAMPLE = 64, 64
"""Items that are looked at together, and blocks of which one is in the sample."""

FAST = pi.available_backends()[0] != "numba" and os.environ.get("PYREC_INFER_BACKEND") != "numba"
"""Whether searches are native."""


@pytest.fixture(autouse=True)
def none_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "FEW", 0)


def in_sample() -> Array:
    return np.arange(COUNT) // BLOCK % SAMPLE == 0


def gaussian(rng: np.random.Generator) -> Array:
    return rng.standard_normal((COUNT, WIDTH))


def best_in_sample(rng: np.random.Generator) -> Array:
    """So many good ones in the sample that what they tell is wrong."""
    return np.where(
        in_sample()[:, np.newaxis], 2 + 1e-3 * rng.random((COUNT, WIDTH)), rng.random((COUNT, WIDTH))
    )


def few_in_sample(rng: np.random.Generator) -> Array:
    """Of the sample fewer are above its bound than are asked for, and no other item is."""
    vectors = rng.random((COUNT, WIDTH))
    vectors[BLOCK * SAMPLE * np.arange(K - 2)] += 3
    return vectors


def none_in_sample(rng: np.random.Generator) -> Array:
    return np.where(in_sample()[:, np.newaxis], -1, rng.random((COUNT, WIDTH)))


def alike(rng: np.random.Generator) -> Array:
    return np.ones((COUNT, WIDTH))


def steps(rng: np.random.Generator) -> Array:
    """So many ties that the bound is one of them."""
    return np.tile(rng.integers(0, 4, (COUNT, 1)), (1, WIDTH))


def zeros_of_both_signs(rng: np.random.Generator) -> Array:
    return np.where(rng.random((COUNT, 1)) < 0.5, -0.0, 0.0) * np.ones((1, WIDTH))


MAKERS = [gaussian, best_in_sample, few_in_sample, none_in_sample, alike, steps, zeros_of_both_signs]


@pytest.mark.skipif(not FAST, reason="there are no samples")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("make", MAKERS)
def test_results_do_not_depend_on_what_a_sample_tells(make: Any, precision: Any) -> None:
    rng = np.random.default_rng(MAKERS.index(make))
    items = make(rng).astype(np.float32)
    queries = np.abs(rng.standard_normal((6, WIDTH))).astype(np.float32)
    rows, scores = brute_force("ip", queries, items, COUNT)
    for threads in (1, 2):
        retriever = pi.Retriever(items, precision=precision, threads=threads)
        for count in (1, 6, 6):
            found = retriever.top_k(queries[:count], K)
            np.testing.assert_array_equal(found.ids, rows[:count, :K])
            np.testing.assert_array_equal(found.scores, scores[:count, :K])
            assert found.counts.tolist() == [K] * count
            assert found.refined <= count * COUNT
    left_out = rows[0, :500]
    found = retriever.top_k(queries[:1], K, exclude=left_out)
    np.testing.assert_array_equal(found.ids, rows[:1, 500 : 500 + K])
    kept = ~in_sample() | (np.arange(COUNT) % 2 == 0)
    found = retriever.top_k(queries[:2], K, allow=kept)
    for query in range(2):
        own = rows[query][kept[rows[query]]][:K]
        np.testing.assert_array_equal(found.ids[query], own)


@pytest.mark.skipif(not FAST, reason="there are no samples")
def test_a_right_bound_saves_products() -> None:
    rng = np.random.default_rng(0)
    items = rng.standard_normal((COUNT, WIDTH)).astype(np.float32)
    retriever = pi.Retriever(items, precision="int8")
    orders = {"by chance": items, "rising": items[np.argsort(items[:, 0])]}
    refined = {}
    for name, ordered in orders.items():
        retriever = pi.Retriever(ordered, precision="int8")
        refined[name] = retriever.top_k([[1, 0, 0]], K).refined
    # What a search refines is at least what it finds, and a small part of all.
    assert all(K <= count < COUNT // 50 for count in refined.values())
