"""The best candidates against a brute-force oracle."""

from __future__ import annotations

import math
from functools import cmp_to_key
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from support.models import FLOAT, make_model

import pyrec_infer as pi
from pyrec_infer.errors import InputError, ShapeError
from pyrec_infer.top_k import best_rows

pytestmark = pytest.mark.once

# Few different values make ties; float32 subnormals, zeros of both signs, infinities and NaN.
SPECIAL = (0.0, -0.0, 1.0, -1.0, 1e-45, -1e-45, 3e38, math.inf, -math.inf, math.nan)
SCORES = st.lists(
    st.one_of(st.sampled_from(SPECIAL), st.floats(width=32), st.integers(-3, 3).map(float)), max_size=80
)


def model() -> pi.Model:
    """A model whose score is the candidate's feature itself."""
    proto = make_model(
        [helper.make_node("Identity", ["x"], ["score"])], {"x": (FLOAT, ["N"])}, {"score": (FLOAT, ["N"])}
    )
    return pi.load(proto.SerializeToString())


MODEL = model()


def precedes(a: tuple[int, float], b: tuple[int, float]) -> int:
    """Negative if row and score ``a`` come before ``b``."""
    if math.isnan(a[1]) != math.isnan(b[1]):
        return 1 if math.isnan(a[1]) else -1
    if not math.isnan(a[1]) and a[1] != b[1]:
        return -1 if a[1] > b[1] else 1
    return a[0] - b[0]


def oracle(scores: NDArray[np.float32], k: int, excluded: set[int] | None = None) -> list[int]:
    rows = [(row, float(score)) for row, score in enumerate(scores) if row not in (excluded or set())]
    return [row for row, _ in sorted(rows, key=cmp_to_key(precedes))[:k]]


@given(SCORES, st.integers(0, 90))
def test_rows_equal_the_oracle(values: list[float], k: int) -> None:
    scores = np.asarray(values, np.float32)
    assert best_rows(scores, k).tolist() == oracle(scores, k)


@given(SCORES, st.integers(0, 20), st.data())
@settings(max_examples=60)
def test_exclusion_by_row_equals_the_oracle(values: list[float], k: int, data: st.DataObject) -> None:
    scores = np.asarray(values, np.float32)
    excluded = data.draw(st.lists(st.integers(-2, len(values) + 2), max_size=20))
    found = MODEL.top_k({}, {"x": scores}, k=k, exclude=excluded)
    assert found.ids.tolist() == oracle(scores, k, set(excluded))
    assert found.count == len(found.ids) == len(found.scores)


@given(SCORES, st.integers(0, 20), st.booleans(), st.data())
@settings(max_examples=60)
def test_ids_and_exclusion_by_id(values: list[float], k: int, text: bool, data: st.DataObject) -> None:
    scores = np.asarray(values, np.float32)
    name = st.text("abé", min_size=1, max_size=3) if text else st.integers(-(2**62), 2**62)
    names = data.draw(st.lists(name, min_size=len(values), max_size=len(values)))
    ids = np.asarray(names, str if text else np.int64)
    some = data.draw(st.lists(st.sampled_from(names) if names else st.nothing(), max_size=5)) if names else []
    excluded = [*some, "zzzz" if text else -7]
    found = MODEL.top_k({}, {"x": scores}, k=k, ids=ids, exclude=excluded)
    expected = oracle(scores, k, {row for row, one in enumerate(names) if one in excluded})
    assert found.ids.tolist() == [names[row] for row in expected]
    assert found.ids.dtype == ids.dtype


@given(st.lists(st.tuples(st.integers(-4, 4), st.integers(-4, 4)), max_size=40), st.integers(0, 50))
@settings(max_examples=60)
def test_boost_is_added_first(pairs: list[tuple[int, int]], k: int) -> None:
    scores = np.asarray([score for score, _ in pairs], np.float32)
    boost = np.asarray([more for _, more in pairs], np.float64)
    found = MODEL.top_k({}, {"x": scores}, k=k, boost=boost)
    total = (scores + boost).astype(np.float32)
    assert found.ids.tolist() == oracle(total, k)
    np.testing.assert_array_equal(found.scores, total[found.ids])


def test_large_numbers_of_candidates() -> None:
    generator = np.random.default_rng(0)
    scores = generator.integers(0, 1000, 50_000).astype(np.float32)
    order = np.lexsort((np.arange(len(scores)), -scores))
    for k in (1, 100, 20_000, 50_000, 60_000):
        np.testing.assert_array_equal(best_rows(scores, k), order[:k])


ORDERS = {
    "random": lambda random, n: random.normal(size=n),
    "few values": lambda random, n: random.integers(-2, 3, n),
    "rising": lambda random, n: np.sort(random.normal(size=n)),
    "falling": lambda random, n: -np.sort(random.normal(size=n)),
    "equal": lambda random, n: np.ones(n),
    "specials": lambda random, n: random.choice(SPECIAL, n),
    "mostly NaN": lambda random, n: np.where(random.random(n) < 0.99, np.nan, random.normal(size=n)),
    # A look at some scores at equal distances finds small ones only.
    "deceiving": lambda random, n: np.where(np.arange(n) % (n // min(4096, n // 16)), np.arange(n), -1),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("count", [300, 1023, 1024, 2048, 2049, 10_000, 40_003])
def test_any_order_of_many_scores(order: str, count: int) -> None:
    scores = np.asarray(ORDERS[order](np.random.default_rng(count), count), np.float32)
    expected = np.lexsort((np.arange(count), -scores, np.isnan(scores)))
    for k in (1, 7, 100, count // 8, count // 3):
        np.testing.assert_array_equal(best_rows(scores, k), expected[:k])


def test_nan_is_last_and_only_fills_up() -> None:
    scores = np.asarray([math.nan, -math.inf, 1.0, math.nan, math.inf], np.float32)
    found = MODEL.top_k({}, {"x": scores}, k=4)
    assert found.ids.tolist() == [4, 2, 1, 0]


def test_fewer_candidates_are_not_padded() -> None:
    found = MODEL.top_k({}, {"x": np.float32([2, 3])}, k=100)
    assert (found.ids.tolist(), found.scores.tolist(), found.count) == ([1, 0], [3, 2], 2)
    assert found.scores.dtype == np.float32
    assert MODEL.top_k({}, {"x": np.float32([2, 3])}, k=0).count == 0
    assert MODEL.top_k({}, {"x": np.empty(0, np.float32)}, k=5).count == 0
    assert MODEL.top_k({}, {"x": np.float32([2, 3])}, k=5, exclude=[0, 1]).count == 0


def test_excluded_winner_makes_room_for_the_next() -> None:
    scores = np.float32([5, 4, 3, 2])
    assert MODEL.top_k({}, {"x": scores}, k=2, exclude=[0]).ids.tolist() == [1, 2]
    assert MODEL.top_k({}, {"x": scores}, k=2, ids=list("abcd"), exclude=["a", "b"]).ids.tolist() == [
        "c",
        "d",
    ]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"k": -1}, InputError),
        ({"ids": [1, 2]}, ShapeError),
        ({"ids": [[1, 2, 3]]}, ShapeError),
        ({"boost": [1.0]}, ShapeError),
        ({"boost": 1.0}, ShapeError),
    ],
)
def test_wrong_arguments_are_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        MODEL.top_k({}, {"x": np.zeros(3, np.float32)}, **options)
