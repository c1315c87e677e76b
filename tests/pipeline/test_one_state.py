"""Both stages of a pipeline see one state of their items, whatever changes between them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.rules import product_model
from support.signals import Interruption, interrupt_at

import pyrec_infer as pi

MODEL = product_model()
COUNT = 40
STRIDE = 211
TASTE = np.asarray([1, -1], np.float32)


def names(numbers: Any, text: bool) -> Any:
    return [f"é{number}" for number in numbers] if text else np.asarray(numbers) + 100


def make_shop(text: bool) -> pi.Catalog:
    rng = np.random.default_rng(3)
    return MODEL.catalog(
        {"i": rng.permutation(COUNT).astype(np.float32)},
        names(range(COUNT), text),
        attributes={"seller": [f"s{number % 3}" for number in range(COUNT)]},
        vectors=rng.integers(-3, 4, (COUNT, 2)),
    )


def change(shop: pi.Catalog, text: bool) -> None:
    """Items go, come, change, and all records move."""
    shop.remove(names(range(0, COUNT, 3), text))
    numbers = [*range(1, COUNT, 3), *range(COUNT, 9 * COUNT)]
    shop.upsert(
        {"i": np.full(len(numbers), 999, np.float32)},
        names(numbers, text),
        {"seller": ["later"] * len(numbers)},
        np.full((len(numbers), 2), 9),
    )


def rules_of(shop: pi.Catalog, text: bool) -> list[dict[str, Any]]:
    rng = np.random.default_rng(8)
    return [
        {},
        {"where": shop.where("seller", in_=["s0", "s1", "later"])},
        {"where": ~shop.filter(names([1, 2, 4, 400], text)), "exclude": names([5, 6, 41, 90], text)},
        {"allow": names([*range(0, COUNT, 2), 60], text), "max_per": {"seller": 3}},
        {"allow": rng.random(COUNT) < 0.7, "boost": rng.integers(0, 90, COUNT)},
        {"exclude": rng.random(COUNT) < 0.3, "scale": rng.random(COUNT), "min_per": {"seller": {"s2": 2}}},
        {"diversity": pi.MMR("seller", 0.8)},
        {"diversity": pi.DPP(rng.standard_normal((COUNT, 3)), 0.9)},
        {"diversity": pi.MMR()},
    ]


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "strings"])
def test_changes_between_the_stages_are_not_seen(text: bool) -> None:
    for number in range(len(rules_of(make_shop(text), text))):
        results = []
        for changes in (False, True):
            shop = make_shop(text)

            def others(request: Any, k: int, shop: pi.Catalog = shop, changes: bool = changes) -> Any:
                if changes:
                    change(shop, text)
                return names([3, 4, 5, 200], text), [3.0, 2.0, 1.0, 0.5]

            sources = [pi.Source(shop.retriever, "taste", k=12), pi.Source(others)]
            made = pi.Pipeline(sources, shop).top_k(
                {"u": 1.0, "taste": TASTE}, 8, **rules_of(shop, text)[number]
            )
            results.append(made)
        before, after = results
        assert before.count
        assert after.ids.tolist() == before.ids.tolist()
        assert after.scores.tolist() == before.scores.tolist()
        assert after.sources.tolist() == before.sources.tolist()
        assert after.skipped == before.skipped == 1


def test_a_change_before_the_first_stage_is_seen_by_both() -> None:
    shop = make_shop(False)
    pipeline = pi.Pipeline(pi.Source(shop.retriever, "taste", k=COUNT), shop)
    for _ in range(3):
        found = pipeline.top_k({"u": 1.0, "taste": TASTE}, 99)
        assert (found.count, found.skipped) == (min(len(shop), COUNT), 0)
        change(shop, False)
        assert set(pipeline.top_k({"u": 1.0, "taste": TASTE}, 9).scores.tolist()) <= {999.0, *range(COUNT)}


def test_an_interrupted_call_leaves_the_items_as_they_are() -> None:
    shop = make_shop(False)
    pipeline = pi.Pipeline(pi.Source(shop.retriever, "taste", k=9), shop)
    request = {"u": 1.0, "taste": TASTE}

    def call() -> Any:
        return pipeline.top_k(request, 5, boost=np.arange(COUNT), where=shop.where("seller", "s1"))

    expected = call().ids.tolist()
    number = 0
    while interrupt_at(number, call):
        assert call().ids.tolist() == expected
        number += STRIDE
    assert number > 5 * STRIDE
    change(shop, False)
    shop.remove(names(range(COUNT), False))
    assert pipeline.top_k(request, 1).scores.tolist() == [999.0]


def test_what_a_source_raises_comes_through() -> None:
    shop = make_shop(False)

    def broken(request: Any, k: int) -> Any:
        raise Interruption

    pipeline = pi.Pipeline([pi.Source(shop.retriever, "taste"), pi.Source(broken)], shop)
    with pytest.raises(Interruption):
        pipeline.top_k({"u": 1.0, "taste": TASTE})
    shop.remove(names([0], False))
    assert len(shop) == COUNT - 1


def test_masks_are_of_the_items_of_one_state_where_sources_have_their_own() -> None:
    """A mask stays beside its items when places change between its reading and the ranking."""
    shop = make_shop(False)
    mask = np.arange(COUNT) % 2 == 0

    def all_of_them(request: Any, k: int) -> Any:
        shop.remove([100])
        shop.upsert({"i": np.asarray([5], np.float32)}, [100], {"seller": ["s0"]}, [[1, 1]])
        return np.arange(100, 100 + COUNT), np.arange(COUNT, 0, -1)

    found = pi.Pipeline(pi.Source(all_of_them), shop).top_k({"u": 1.0}, 99, allow=mask)
    assert sorted(found.ids.tolist()) == list(range(100, 100 + COUNT, 2))
