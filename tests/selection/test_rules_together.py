"""Rules of every kind at once, on a retriever, a catalogue and a pipeline, against a walk in NumPy."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.rules import product_model

import pyrec_infer as pi
from pyrec_infer.errors import InputError
from pyrec_infer.retrieval import index
from pyrec_infer.retrieval.retriever import PRECISIONS

Array = NDArray[Any]

MODEL = product_model()


def rank(scores: Array, allowed: Array, order: Array) -> list[int]:
    """Places that may be found, best first; equal ones as they come in ``order``."""
    kept = [place for place in order.tolist() if allowed[place]]
    return sorted(kept, key=lambda place: -scores[place])


def walked(ranked: list[int], groups: list[Any], cap: int | None, quota: dict[str, int], k: int) -> Any:
    """Places of the best under a cap and quotas; None where these cannot be met."""
    chosen: list[int] = []
    for value, least in quota.items():
        own = [place for place in ranked if groups[place] == value][:least]
        if len(own) < least:
            return None
        chosen += own
    for place in ranked:
        taken = sum(groups[other] == groups[place] for other in chosen)
        full = cap is not None and groups[place] is not None and taken >= cap
        if len(chosen) < k and place not in chosen and not full:
            chosen.append(place)
    return sorted(chosen, key=ranked.index)


def mixed(pool: list[int], scores: Array, groups: list[Any], k: int, diversity: float) -> list[int]:
    """Maximal marginal relevance by groups."""
    chosen: list[int] = []
    while len(chosen) < min(k, len(pool)):
        values = {
            place: (1 - diversity) * float(scores[place])
            - diversity * float(any(groups[place] == groups[other] is not None for other in chosen))
            for place in pool
            if place not in chosen
        }
        chosen.append(max(values, key=lambda place: values[place]))
    return chosen


@pytest.mark.parametrize("precision", PRECISIONS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_all_rules_at_once(precision: Any, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count, requests = data.draw(st.sampled_from([1, 64, 150, 700])), data.draw(st.sampled_from([1, 3, 6]))
    vectors = rng.integers(-3, 4, (count, 5)).astype(np.float32)
    queries = rng.integers(-3, 4, (requests, 5)).astype(np.float32)
    numbers, users = rng.integers(-20, 21, count), rng.integers(-3, 4, requests)
    groups = [None if code == 0 else f"s{code}" for code in rng.integers(0, 6, count)]
    groups[0] = "s1"
    rank_of = rng.permutation(count)
    shop = MODEL.catalog(
        {"i": numbers.astype(np.float32)},
        np.arange(count) + 50,
        attributes={"seller": groups, "rank": rank_of},
        vectors=pi.Vectors(vectors, precision=precision),
    )
    allowed, rules = np.ones((requests, count), np.bool_), dict[str, Any]()
    share = data.draw(st.sampled_from([0.02, 0.2, 0.7]))
    if data.draw(st.booleans()):
        rules["where"] = shop.where("rank", max=int(share * count))
        allowed &= rank_of <= int(share * count)
        if data.draw(st.booleans()):
            members = rng.random(count) < 0.8
            rules["where"] &= ~shop.filter(members)
            allowed &= ~members
    allow = data.draw(st.sampled_from(["none", "mask", "ids"]))
    if allow != "none":
        mask = rng.random(count) < 0.6
        rules["allow"] = mask if allow == "mask" else [*(np.flatnonzero(mask) + 50), 7]
        allowed &= mask
    exclude = data.draw(st.sampled_from(["none", "mask", "ids", "each"]))
    out = rng.random((requests, count)) < data.draw(st.sampled_from([0.1, 0.9, 1.0]))
    if exclude == "each":
        rules["exclude"] = [[*(np.flatnonzero(own) + 50), 7, 7] for own in out]
        allowed &= ~out
    elif exclude != "none":
        rules["exclude"] = out[0] if exclude == "mask" else [*(np.flatnonzero(out[0]) + 50), 7, 7]
        allowed &= ~out[0]
    times, plus = np.ones((requests, count), np.float32), np.zeros((requests, count), np.float32)
    boosts = data.draw(st.sampled_from(["none", "items", "each"]))
    if boosts != "none":
        shape = (count,) if boosts == "items" else (requests, count)
        rules["scale"], rules["boost"] = rng.integers(-2, 3, shape), rng.integers(-9, 10, shape)
        times, plus = times * rules["scale"], plus + rules["boost"]
    k = data.draw(st.sampled_from([0, 1, 5, 40, 2000]))
    cap = data.draw(st.sampled_from([None, 0, 2, 9]))
    quota: dict[str, int] = {}
    diversity = data.draw(st.sampled_from([None, 0.3, 0.9]))
    if cap is not None:
        rules["max_per"] = {"seller": cap}
    if diversity is not None:
        rules["diversity"] = pi.MMR("seller", diversity, pool=12)
    elif k >= 5 and cap != 0 and data.draw(st.booleans()):
        quota = {"s1": 1, "s3": 2}
        rules["min_per"] = {"seller": quota}

    def expected(scores: Array, orders: Array) -> list[list[tuple[int, float]]] | None:
        found = []
        for request in range(requests):
            own = scores[request].astype(np.float32) * times[request] + plus[request]
            ranked = rank(own, allowed[request], orders[request])
            size = k if diversity is None else max(k, 12)
            chosen = walked(ranked, groups, cap, quota, size)
            if chosen is None:
                return None
            if diversity is not None:
                chosen = mixed(chosen, own, groups, k, diversity)
            found.append([(place + 50, float(own[place])) for place in chosen])
        return found

    def check(call: Any, meant: list[list[tuple[int, float]]] | None) -> None:
        if meant is None:
            with pytest.raises(InputError, match="min_per"):
                call()
            return
        made = call()
        counts, ids, scores = np.atleast_1d(made[2]), np.atleast_2d(made[0]), np.atleast_2d(made[1])
        assert counts.tolist() == [len(own) for own in meant]
        for number, own in enumerate(meant):
            found = zip(ids[number, : len(own)].tolist(), scores[number].tolist(), strict=False)
            assert list(found) == own

    plain = np.tile(np.arange(count), (requests, 1))
    products = queries @ vectors.T
    with patch.object(index, "FEW", 0):
        check(lambda: shop.retriever.top_k(queries, k, **rules), expected(products, plain))
    check(lambda: shop.retriever.top_k(queries, k, **rules), expected(products, plain))
    request = {"u": users.astype(np.float32)}
    own_scores = users[:, np.newaxis] * numbers
    check(lambda: shop.top_k(request, k, **rules), expected(own_scores, plain))
    if requests == 1 and exclude != "each" and boosts != "each" and "where" not in rules:
        given_items, attributes = {"i": numbers.astype(np.float32)}, {"seller": groups}
        check(
            lambda: MODEL.top_k(
                request, given_items, k, np.arange(count) + 50, attributes=attributes, **rules
            ),
            expected(own_scores, plain),
        )
    pipeline = pi.Pipeline(pi.Source(shop.retriever, "taste", k=count), shop)
    near = np.argsort(-products, axis=1, kind="stable")
    check(lambda: pipeline.top_k({**request, "taste": queries}, k, **rules), expected(own_scores, near))
