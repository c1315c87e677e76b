"""Both stages in one store: what is found, what changes, and what interrupts changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rules import product_model
from support.signals import interrupt_at

import pyrec_infer as pi
from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.retrieval.retriever import PRECISIONS
from pyrec_infer.retrieval.vectors import METRICS

MODEL = product_model()
RNG = np.random.default_rng(4)
STRIDE = 97
TASTES = RNG.integers(-2, 3, (3, 5)).astype(np.float32)


def some(rng: np.random.Generator, count: int) -> dict[str, Any]:
    """Numbers, vectors and sellers of items."""
    return {
        "items": {"i": rng.integers(-9, 10, count).astype(np.float32)},
        "vectors": rng.integers(-2, 3, (count, 5)).astype(np.float32),
        "attributes": {"seller": [f"s{number}" for number in rng.integers(0, 4, count)]},
    }


def names(numbers: Any, text: bool) -> Any:
    return [f"é{number}" for number in numbers] if text else np.asarray(numbers)


@settings(max_examples=4, deadline=None)
@given(st.data())
def test_it_is_what_two_stores_are(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    metric, precision = data.draw(st.sampled_from(METRICS)), data.draw(st.sampled_from(PRECISIONS))
    text = data.draw(st.booleans())
    first = some(rng, data.draw(st.sampled_from([1, 150])))
    count = len(first["vectors"])
    values, vectors, sellers = first["items"], first["vectors"], first["attributes"]
    own = names(range(count), text)
    shop = MODEL.catalog(values, own, attributes=sellers, vectors=pi.Vectors(vectors, metric, precision))
    near = pi.Retriever(vectors, own, metric, precision, attributes=sellers)
    plain = MODEL.catalog(values, own, attributes=sellers)
    for _ in range(data.draw(st.integers(0, 3))):
        if data.draw(st.booleans()):
            gone = names(rng.integers(0, 200, 20), text)
            shop.remove(gone)
            near.remove(gone)
            plain.remove(gone)
            continue
        # Of equal ids the last row counts.
        given_rows = some(rng, 12)
        some_names = names(rng.integers(0, 200, 12), text)
        shop.upsert(given_rows["items"], some_names, given_rows["attributes"], given_rows["vectors"])
        near.upsert(given_rows["vectors"], some_names, given_rows["attributes"])
        plain.upsert(given_rows["items"], some_names, given_rows["attributes"])
    assert shop.ids.tolist() == near.ids.tolist() == plain.ids.tolist() == shop.retriever.ids.tolist()
    np.testing.assert_array_equal(shop.retriever.vectors(), near.vectors())
    where, apart = shop.where("seller", in_=["s1", "s2"]), near.where("seller", in_=["s1", "s2"])
    found, expected = shop.retriever.top_k(TASTES, 9, where=where), near.top_k(TASTES, 9, where=apart)
    assert found.ids.tolist() == expected.ids.tolist()
    assert found.scores.tolist() == expected.scores.tolist()
    request = {"u": np.asarray([1, -1, 2], np.float32), "taste": TASTES}
    rules: dict[str, Any] = {"max_per": data.draw(st.sampled_from([None, {"seller": 2}]))}
    both = pi.Pipeline(pi.Source(shop.retriever, "taste", k=20), shop).top_k(request, 4, **rules)
    two = pi.Pipeline(pi.Source(near, "taste", k=20), plain).top_k(request, 4, **rules)
    assert both.ids.tolist() == two.ids.tolist()
    assert both.scores.tolist() == two.scores.tolist()
    assert set(both.ids[both.scores > -np.inf].tolist()) <= set(shop.ids.tolist())


def test_rules_decide_what_is_retrieved() -> None:
    count = 300
    given_rows = some(RNG, count)
    shop = MODEL.catalog(
        given_rows["items"], attributes=given_rows["attributes"], vectors=given_rows["vectors"]
    )
    pipeline = pi.Pipeline(pi.Source(shop.retriever, "taste", k=10), shop)
    request = {"u": np.ones(3, np.float32), "taste": TASTES}
    seen = [shop.retriever.top_k(taste, 10).ids[0].tolist() for taste in TASTES]
    found = pipeline.top_k(request, 10, exclude=seen, where=shop.where("seller", "s1"))
    assert found.count.tolist() == [10] * 3
    for row, taste in enumerate(TASTES):
        near = shop.retriever.top_k(taste, 10, where=shop.where("seller", "s1"), exclude=seen[row])
        assert sorted(found.ids[row]) == sorted(near.ids[0])
    mask = np.arange(count) % 7 == 0
    assert all(number % 7 == 0 for number in pipeline.top_k(request, 10, allow=mask).ids.ravel().tolist())
    other = pi.Retriever(given_rows["vectors"], attributes=given_rows["attributes"])
    with pytest.raises(InputError, match="another's"):
        pipeline.top_k(request, 3, where=other.where("seller", "s1"))
    with pytest.raises(InputError, match="another's"):
        other.top_k(TASTES, where=shop.where("seller", "s1"))


def test_what_is_removed_between_the_stages_is_no_result() -> None:
    given_rows = some(RNG, 80)
    shop = MODEL.catalog(
        given_rows["items"], attributes=given_rows["attributes"], vectors=given_rows["vectors"]
    )

    def near(request: Any, k: int) -> Any:
        found = shop.retriever.top_k(request["taste"], k)
        shop.remove(found.ids[0, ::2])
        return found.ids[0], found.scores[0]

    found = pi.Pipeline(pi.Source(near, k=20), shop).top_k({"u": 1.0, "taste": TASTES[0]}, 20)
    assert (found.count, found.skipped) == (10, 10)
    assert shop.contains(found.ids).all()


CHANGES: dict[str, Callable[[pi.Catalog], object]] = {
    "put": lambda shop: shop.upsert(
        {"i": np.float32([5, 6])}, [5, 90], {"seller": ["x", "new"]}, np.full((2, 2), [[5], [6]])
    ),
    "put equal ids": lambda shop: shop.upsert(
        {"i": np.float32([5, 6])}, [5, 5], {"seller": ["x", "new"]}, np.full((2, 2), [[5], [6]])
    ),
    "remove": lambda shop: shop.retriever.remove([5, 3]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_interrupted_at_any_step_is_of_both_stages_or_of_none(change: str) -> None:
    numbers = np.arange(6, dtype=np.float32)
    first: tuple[Any, ...] = (
        {"i": numbers * 10},
        np.arange(6),
        {"seller": [f"s{number}" for number in range(6)]},
        np.stack([numbers * 10] * 2, 1),
    )
    shop = MODEL.catalog(*first[:2], attributes=first[2], vectors=first[3])

    def state() -> list[tuple[int, float]]:
        scores, vectors, ids = shop.score({"u": 1.0}), shop.retriever.vectors(), shop.ids.tolist()
        assert scores.tolist() == vectors[:, 0].tolist() == vectors[:, 1].tolist()
        best = shop.retriever.top_k([1.0, 0.0], 99, where=shop.where("seller"))
        assert sorted(best.ids[0].tolist()) == sorted(ids)
        five = dict(zip(ids, scores.tolist(), strict=True)).get(5)
        seller = {None: "none", 50: "s5", 5: "x", 6: "new"}[five]
        assert (5 in shop.retriever.top_k([1.0, 0.0], 99, where=shop.where("seller", seller)).ids[0]) == (
            5 in ids
        )
        return list(zip(ids, scores.tolist(), strict=True))

    before = state()
    CHANGES[change](shop)
    after = state()
    assert before != after
    number, interrupted = 0, True
    while interrupted:
        shop.remove(shop.ids)
        shop.upsert(*first)
        interrupted = interrupt_at(number, lambda: CHANGES[change](shop))
        assert state() in (before, after)
        # Every step is seen with 1 in the place of this, which takes longer than a suite has.
        number += STRIDE
    assert state() == after


def put(*parts: Any, made: bool = True) -> Callable[[], object]:
    vectors = np.ones((2, 3)) if made else None
    shop = MODEL.catalog({"i": np.float32([1, 2])}, vectors=vectors)
    return lambda: shop.upsert({"i": np.float32([3])}, [7], None, *parts)


BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (put(), InputError, "vectors: expected a vector for each item, got none"),
    (put(np.ones((2, 3))), ShapeError, "vectors: expected 1, one for each item, got 2"),
    (put(np.ones((1, 2))), ShapeError, r"'vectors': expected vectors of shape \[\*, 3\]"),
    (put([[1, 2, np.inf]]), InputError, "vectors of finite numbers"),
    (put(pi.Vectors(np.ones((1, 3)))), DTypeError, "vectors alone"),
    (put(np.ones((1, 3)), made=False), InputError, "that was made with vectors"),
    (lambda: MODEL.catalog({"i": np.float32([1])}).retriever, InputError, "made with vectors"),
    (lambda: MODEL.catalog({"i": np.float32([1])}, vectors=np.ones((2, 2))), ShapeError, "one for each item"),
    (
        lambda: MODEL.catalog({"i": np.float32([1])}, vectors=pi.Vectors([[1.0]], "dot")),  # type: ignore[arg-type]
        InputError,
        "metric: expected one of",
    ),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_what_does_not_fit_is_refused(number: int) -> None:
    call, kind, text = BAD[number]
    with pytest.raises(kind, match=text):
        call()


def test_a_retriever_of_a_catalogue_takes_no_vectors_alone() -> None:
    shop = MODEL.catalog({"i": np.float32([1, 2])}, vectors=np.eye(2))
    with pytest.raises(InputError, match="`upsert` of their catalogue"):
        shop.retriever.upsert([[1.0, 2.0]], [1])
    assert "a vector of 2 numbers, searched by ip" in str(shop.explain())
    assert shop.explain().as_dict()["catalog"]["vectors"]["width"] == 2
    assert shop.retriever.explain().as_dict()["items"] == 2
