"""Few ids that alone may be found: what a mask of the same items gives, without a look at all items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.rules import product_model

import pyrec_infer as pi
from pyrec_infer.backends import select_backend
from pyrec_infer.retrieval import index
from pyrec_infer.retrieval.retriever import PRECISIONS
from pyrec_infer.retrieval.vectors import METRICS
from pyrec_infer.selection import items

COUNT, WIDTH = 6000, 16


@pytest.fixture(autouse=True)
def _without_flags(monkeypatch: pytest.MonkeyPatch) -> None:
    """What marks rows among all fails."""

    def refuse(*_: Any) -> None:
        raise AssertionError("a boolean for each row")

    monkeypatch.setattr(items, "marked", refuse)
    if select_backend() != "numba":
        monkeypatch.setattr(index, "marked", refuse)


def allowed(rng: np.random.Generator, known: np.ndarray[Any, Any]) -> list[int]:
    """Some ids, some of them twice, and some that are nowhere."""
    some = rng.choice(known, 15).tolist()
    return [*some, *some[:3], COUNT + 5, -1]


def change(rng: np.random.Generator, shop: pi.Retriever) -> None:
    """So that items have neither the rows nor the places that they entered with."""
    vectors = rng.integers(-2, 3, (9, WIDTH))
    ids = rng.choice(COUNT, 9, replace=False)
    shop.remove(rng.integers(0, COUNT, 5))
    shop.upsert(vectors, ids, {"seller": ids % 3})


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("metric", METRICS)
def test_ids_are_searched_as_a_mask_is(metric: Any, precision: Any) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.integers(-2, 3, (COUNT, WIDTH))
    shop = pi.Retriever(vectors, None, metric, precision, attributes={"seller": np.arange(COUNT) % 3})
    for _ in range(4):
        known = shop.ids
        some = allowed(rng, known)
        mask, queries = np.isin(known, some), rng.integers(-2, 3, (3, WIDTH))
        boost = rng.choice([0, 1, -np.inf], len(known))
        rules: list[dict[str, Any]] = [
            {},
            {"exclude": some[:4]},
            {"exclude": [some[:4], [], some]},
            {"exclude": rng.random(len(known)) < 0.5},
            {"where": shop.where("seller", in_=[0, 1])},
            {"boost": boost, "where": ~shop.where("seller", 1)},
            {"max_per": {"seller": 2}},
            {"diversity": pi.MMR(by="seller")},
        ]
        for each in rules:
            found, expected = (shop.top_k(queries, 10, allow=own, **each) for own in (some, mask))
            for own, other in zip(found[:3], expected[:3], strict=True):
                np.testing.assert_array_equal(own, other)
        assert shop.top_k(queries, 10, allow=[]).ids.shape == (3, 0)
        assert shop.top_k(queries, 10, allow=[COUNT + 5]).counts.tolist() == [0, 0, 0]
        change(rng, shop)


def test_a_catalogue_ranks_them_in_its_own_order() -> None:
    rng = np.random.default_rng(2)
    ones, sellers = np.ones(COUNT, np.float32), {"seller": np.arange(COUNT) % 3}
    shop = product_model().catalog({"i": ones}, attributes=sellers)
    for _ in range(3):
        known = shop.ids
        some = allowed(rng, known)
        expected = known[np.isin(known, some)].tolist()
        assert shop.top_k({"u": 1.0}, 99, allow=some).ids.tolist() == expected
        even = shop.where("seller", 0)
        kept = [own for own in expected if own % 3 == 0]
        assert shop.top_k({"u": 1.0}, 99, allow=some, where=even).ids.tolist() == kept
        shop.remove(rng.integers(0, COUNT, 7))
        shop.upsert({"i": ones[:1]}, [int(known[40])], {"seller": known[40:41] % 3})
