"""Calls for the best items that take the short way, beside the same calls by the long one."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rules import product_model

import pyrec_infer as pi
from pyrec_infer.backends.select import select_backend
from pyrec_infer.bundled import MODEL, items, users
from pyrec_infer.catalog.catalog import Catalog
from pyrec_infer.errors import PyrecError

COUNT = 60

short_way = pytest.mark.skipif(select_backend() == "numba", reason="needs the extension")


def _named(kind: str, numbers: Any) -> Any:
    if kind == "U":
        return [f"item å {number}" for number in np.asarray(numbers).tolist()]
    return np.asarray(numbers, np.uint64 if kind == "u" else np.int64)


def _outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """What a call gives, or the error that it ends in."""
    try:
        found = call()
    except (PyrecError, TypeError) as error:
        return type(error), str(error)
    how = found.refined, found.certified
    return type(found), how, *((np.shape(each), np.asarray(each).dtype, np.asarray(each)) for each in found)


def _require_same(call: Callable[[], Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Catalog, "_best_at_once", lambda *_: None)
        expected = _outcome(call)
    for _ in range(2):  # the second knows what the first has kept
        np.testing.assert_equal(_outcome(call), expected)


@cache
def _shop(kind: str, places: int) -> pi.Catalog:
    rng = np.random.default_rng(places)
    shop = product_model().catalog(
        {"i": rng.integers(-4, 5, COUNT).astype(np.float32)},
        _named(kind, rng.permutation(2 * COUNT)[:COUNT]),
        attributes={"seller": rng.integers(0, 4, COUNT)},
    )
    shop.remove(shop.ids[::9])
    return shop


def _some_ids(data: st.DataObject, shop: pi.Catalog, kind: str) -> Any:
    """Ids in one of the forms in which callers have them, of which some may not be there, or what is none."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    there = rng.choice(shop.ids, data.draw(st.sampled_from([0, 1, 5, 30])))
    forms: list[Any] = [
        there,
        there.tolist(),
        tuple(there.tolist()),
        np.concatenate([there, there]),
        there[::-1],
        _named(kind, rng.integers(0, 2 * COUNT, 9)),
        rng.random(len(shop)) < 0.5,
        (rng.random(len(there)) < 0.5).tolist(),
        [there[:3], there[1:], there[:0]],
        [there.tolist(), _named(kind, [1, 2])],
        [there],
        [*there.tolist(), True],
        [*there.tolist(), 2**63],
        [*there.tolist(), -1],
        there.astype(object),
        [1.5],
        ["a", "b"],
        [None],
        7,
    ]
    if kind == "i":
        forms += [there.astype(np.int32), there.astype(np.float32), there.astype(np.uint64)]
    return data.draw(st.sampled_from(forms[:2] if data.draw(st.integers(0, 3)) else forms), label="ids")


@pytest.mark.parametrize("kind", ["i", "u", "U"])
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_both_ways_give_the_same(kind: str, data: st.DataObject) -> None:
    shop = _shop(kind, data.draw(st.integers(0, 1)))
    other = _shop("i", 2)
    most: list[Any] = [0, 10**6, 2**70, -1, "a"]
    rules: dict[str, Any] = {
        "k": data.draw(st.sampled_from([1, 4, 50] if data.draw(st.booleans()) else most))
    }
    for name, often in (("ids", 2), ("exclude", 2)):
        if data.draw(st.integers(0, often)):
            rules[name] = _some_ids(data, shop, kind)
    filters = [shop.where("seller", max=1), shop.where("seller", 9), shop.filter(shop.ids[:5])]
    if not data.draw(st.integers(0, 2)):
        rules["where"] = data.draw(st.sampled_from([*filters, other.where("seller", 1), "seller"]))
    if not data.draw(st.integers(0, 3)):
        rules["missing"] = data.draw(st.sampled_from(["skip", "error", "nan"]))
    requests: list[Any] = [
        {"u": 2.0},
        {"u": np.float32(-1)},
        {"u": [3]},
        {"u": np.float32([1, -2])},
        {"u": [1.0, 2.0, -3.0]},
        {"u": np.empty(0, np.float32)},
        {"u": "a"},
        {"u": None},
        {"u": np.ones((2, 2))},
        {"u": 1.0, "i": 2.0},
        {"u": 1.0, "b": 2.0},
        {},
        [{"u": 1.0}],
        None,
    ]
    request = data.draw(st.sampled_from(requests[:5] if data.draw(st.booleans()) else requests))
    _require_same(lambda: shop.top_k(request, **rules))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_raw_rows_and_inputs_of_candidates(data: st.DataObject) -> None:
    shop = _raw_shop(data.draw(st.booleans()))
    people = users(3, COUNT)
    one, several = people[0].request, [each.request for each in people]
    request = data.draw(st.sampled_from([one, several, [one], several[:2], {**one, "x": 1}, {}]))
    count = data.draw(st.sampled_from([COUNT, 3, 180]))
    rules: dict[str, Any] = {"candidates": {"affinity": np.linspace(0, 1, count)}}
    if data.draw(st.booleans()):
        del rules["candidates"]
    ids = [None, [4, 2, 9], np.arange(COUNT), [[1, 2], [5], [7, 1, 3]], [4, 99]]
    rules["ids"] = data.draw(st.sampled_from(ids))
    rules["exclude"] = data.draw(st.sampled_from([None, [2, 9, 70], [[1], [2], [3]]]))
    if data.draw(st.booleans()):
        rules["where"] = shop.where("seller", max=1)
    _require_same(lambda: shop.top_k(request, 5, **rules))


@cache
def _raw_shop(candidates: bool) -> pi.Catalog:
    given = items(COUNT) if candidates else {**items(COUNT), "affinity": np.linspace(0, 1, COUNT)}
    return pi.load(MODEL).catalog(
        given,
        candidates=["affinity"] if candidates else [],
        attributes={"seller": np.arange(COUNT) % 4},
    )


@short_way
@pytest.mark.parametrize("kind", ["i", "U"])
def test_usual_calls_take_no_closer_look(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = _shop(kind, 0)
    ids, where = shop.ids[3:9].tolist(), shop.where("seller", max=1)
    shop.top_k({"u": 1.0}, where=where)

    def refuse(*_: Any) -> None:
        raise AssertionError("took the long way")

    monkeypatch.setattr(Catalog, "_choose", refuse)
    calls: list[dict[str, Any]] = [{"exclude": ids}, {"where": where}, {"where": where, "exclude": ids}]
    calls += [{"ids": ids}, {"ids": ids, "exclude": ids[:2]}]
    if kind == "i":
        calls.append({"ids": np.asarray(ids)})
    for rules in calls:
        assert shop.top_k({"u": 1.0}, 3, **rules).count > 0
        assert shop.top_k({"u": [1.0, 2.0]}, 3, **rules).counts.min() > 0
    assert shop.top_k({"u": [1.0, 2.0]}, 3, ids=[ids, ids[:1]]).counts.tolist() == [3, 1]


@pytest.mark.parametrize("kind", ["i", "U"])
def test_a_change_is_seen_at_once(kind: str) -> None:
    shop = product_model().catalog(
        {"i": np.float32([1, 2, 3])}, _named(kind, [1, 2, 3]), attributes={"seller": [0, 1, 1]}
    )
    where, ids = shop.where("seller", 1), _named(kind, [1, 2, 3])
    first, new = ids[:1], _named(kind, [9])
    for _ in range(2):
        assert shop.top_k({"u": 1.0}, where=where).count == 2
        assert shop.top_k({"u": 1.0}, exclude=first).count == 2
    shop.upsert({"i": np.float32([10])}, new, {"seller": [1]})
    assert shop.top_k({"u": 1.0}, where=where).ids.tolist() == [*new, *ids[::-1]][:3]
    assert shop.top_k({"u": 1.0}, exclude=first).ids.tolist()[0] == new[0]
    assert shop.top_k({"u": 1.0}, 1, ids=[*ids, *new]).ids.tolist() == [new[0]]
    shop.remove(ids[1:2])
    with pytest.raises(pi.errors.IdRangeError):
        shop.top_k({"u": 1.0}, ids=ids)
    assert shop.top_k({"u": 1.0}, ids=ids, missing="skip").count == 2
