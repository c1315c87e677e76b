"""Searches in an index of an older state of the items, beside those of retrievers that are made anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.rules import product_model

import pyrec_infer as pi
from pyrec_infer.backends import select_backend
from pyrec_infer.extension import native
from pyrec_infer.retrieval import changed
from pyrec_infer.retrieval.changed import ChangedIndex

Floats = NDArray[np.float32]

Condition = Callable[[pi.Retriever], pi.Filter]

WIDTH = 8

pytestmark = pytest.mark.skipif(select_backend() == "numba", reason="its index is made anew")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changed, "_LEAST", 100)
    monkeypatch.setattr(changed, "_SHARE", 8)


class Side:
    """A retriever, and a dictionary of the same items in their order."""

    def __init__(self, seed: int, count: int = 700, **how: Any) -> None:
        self.rng, self.how = np.random.default_rng(seed), how
        self.items = dict(enumerate(self.rows(count)))
        self.retriever = self.anew()

    def rows(self, count: int) -> list[tuple[Floats, int]]:
        """Vectors of few whole numbers, so that many products are equal, and a seller."""
        return [*zip(self.vectors(count), self.rng.integers(0, 9, count).tolist(), strict=True)]

    def vectors(self, count: int) -> Floats:
        return self.rng.integers(-2, 3, (count, WIDTH)).astype(np.float32)

    def anew(self) -> pi.Retriever:
        vectors, sellers = zip(*self.items.values(), strict=True)
        return pi.Retriever(np.stack(vectors), [*self.items], attributes={"seller": sellers}, **self.how)

    def put(self, ids: list[int]) -> None:
        rows = self.rows(len(ids))
        vectors, sellers = zip(*rows, strict=True)
        self.retriever.upsert(np.stack(vectors), ids, {"seller": sellers})
        self.items.update(zip(ids, rows, strict=True))

    def remove(self, ids: list[int]) -> None:
        self.retriever.remove(ids)
        for own in ids:
            self.items.pop(own, None)

    def searched(self) -> object:
        return self.retriever._index_of(None)[1]

    def check(self, k: int, where: Condition | None = None, **rules: Any) -> None:
        """The same search of a retriever that is made anew, bit for bit."""
        queries, anew = self.vectors(3), self.anew()
        of_each = ({} if where is None else {"where": where(own)} for own in (self.retriever, anew))
        found, expected = (
            own.top_k(queries, k, **rules, **filters)
            for own, filters in zip((self.retriever, anew), of_each, strict=True)
        )
        np.testing.assert_array_equal(found.counts, expected.counts)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.scores.view(np.int32), expected.scores.view(np.int32))
        assert found.certified

    def check_rules(self, k: int) -> None:
        """Every way to say what may be found, and what becomes of scores."""
        some = self.rng.integers(0, max(self.items) + 9, 60).tolist()
        count = len(self.items)
        self.check(k, exclude=some)
        self.check(k, exclude=[some[:20], [], some[20:]])
        self.check(k, lambda shop: shop.where("seller", max=5))
        self.check(k, lambda shop: shop.where("seller", 3) | shop.filter(some))
        self.check(k, lambda shop: ~shop.filter(some), allow=some[30:], exclude=some[50:])
        self.check(k, allow=self.rng.random(count) < 0.4, max_per={"seller": 2})
        boost = self.rng.choice([0, 0, 1, -3, np.inf, -np.inf], count).astype(np.float32)
        scale = self.rng.choice([1, 1, 0, -1, 3], (3, count)).astype(np.float32)
        self.check(k, boost=boost, exclude=some)
        self.check(k, lambda shop: shop.where("seller", min=2), boost=boost, scale=scale)
        self.check(min(k, 40), diversity=pi.MMR(diversity=0.5, pool=60))
        self.check(min(k, 40), min_per={"seller": {1: 2}})


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_results_are_those_of_an_index_of_all(metric: str, precision: str) -> None:
    side = Side(0, metric=metric, precision=precision)
    seen = 0
    for step in range(24):
        count, most = int(side.rng.integers(1, 9)), max(side.items) + 3
        if step % 3 == 1:
            side.remove(side.rng.integers(0, most, count).tolist())
        if step % 3 != 1 or step % 2:
            side.put(side.rng.choice(most, count, replace=False).tolist())
        if step % 4 == 3:
            side.check_rules([5, 100, 2000][step % 3])
        seen += isinstance(side.searched(), ChangedIndex)
        side.check([1, 10, 300, 2000][step % 4])
    assert 12 < seen < 24


def test_what_has_changed_is_found_and_what_it_was_is_not() -> None:
    side = Side(1)
    side.check(5)
    best = np.full(WIDTH, 9, np.float32)
    for sign in (1, -1):
        side.retriever.upsert([sign * best], [333], {"seller": [1]})
        side.items[333] = sign * best, 1
        assert isinstance(side.searched(), ChangedIndex)
        found = side.retriever.top_k(best, len(side.items)).ids[0].tolist()
        assert found[0 if sign == 1 else -1] == 333
        assert sorted(found) == sorted(side.items)
    side.check(700)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_items_that_move_up_and_enter_again_keep_their_order(precision: str) -> None:
    side = Side(2, precision=precision)
    side.check(20)
    for gone in ([0], [1, 2, 3, 650], [699], [400, 5]):
        side.remove(gone)
        assert isinstance(side.searched(), ChangedIndex)
        side.check(50)
        side.check_rules(700)
        # Ids that were taken out enter behind all others.
        side.put([gone[0], 700 + gone[0]])
        assert isinstance(side.searched(), ChangedIndex)
        side.check(600)


def test_where_much_has_changed_an_index_of_all_is_made() -> None:
    side = Side(3)
    for change in (side.put, side.remove, side.put):
        side.check(20)
        change(side.rng.permutation(700)[:200].tolist())
        assert not isinstance(side.searched(), ChangedIndex)
        side.check(90)
    side.remove([*side.items][:-1])
    side.check(3)
    side.remove([*side.items])
    assert side.retriever.top_k(side.vectors(1), 3).counts.tolist() == [0]


def test_numbers_that_boosts_leave_are_compared_as_in_one_index() -> None:
    side = Side(4)
    side.check(5)
    side.put([3, 4, 900])
    side.remove([0])
    assert isinstance(side.searched(), ChangedIndex)
    for extreme in (np.inf, -np.inf):
        boost = np.full(len(side.items), extreme, np.float32)
        boost[::7] = -boost[::7]
        side.check(10, boost=boost)
        side.check(900, boost=boost, scale=np.zeros(len(side.items), np.float32))


def test_places_that_differ_are_found_in_any_order() -> None:
    rng = np.random.default_rng(5)
    for _ in range(300):
        older = rng.permutation(60)[: rng.integers(0, 50)]
        later = older[rng.random(len(older)) < rng.choice([0.5, 0.9, 1])]
        for row in range(100, 100 + rng.integers(0, 5)):
            later = np.insert(later, rng.integers(0, len(later) + 1), row)
        gone = np.flatnonzero(~np.isin(older, later))
        own = np.flatnonzero(~np.isin(later, older))
        most = max(len(gone), len(own))
        found = changed.Change(*native.changed_places(older, later, most))
        assert (found.gone.tolist(), found.own.tolist()) == (gone.tolist(), own.tolist())
        if most:
            assert native.changed_places(older, later, most - 1) is None
        stays = np.flatnonzero(np.isin(older, later))
        np.testing.assert_array_equal(later[found.later(stays)], older[stays])
        values = rng.random((2, len(later))).astype(np.float32)
        moved = found.older(values, len(older))
        np.testing.assert_array_equal(moved[:, stays], values[:, found.later(stays)])
    assert native.changed_places(np.arange(4), np.asarray([0, 2, 1, 3]), 1) is None


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_vectors_of_a_catalogue_are_searched_so_too(precision: str) -> None:
    rng = np.random.default_rng(6)

    vectors = rng.integers(-2, 3, (400, WIDTH)).astype(np.float32)
    held = dict(enumerate(vectors))
    numbers = np.zeros(400, np.float32)
    shop = product_model().catalog({"i": numbers}, vectors=pi.Vectors(vectors, precision=precision))
    seen = 0
    for step in range(12):
        ids = rng.choice(max(held) + 3, 4, replace=False).tolist()
        if step % 3 == 2:
            shop.remove(ids)
            held = {name: own for name, own in held.items() if name not in ids}
        else:
            own = rng.integers(-2, 3, (4, WIDTH)).astype(np.float32)
            # The one is put in at once, the other item by item.
            shop.upsert({"i": numbers[:4]}, ids if step % 3 else tuple(ids), vectors=own)
            held.update(zip(ids, own, strict=True))
        seen += isinstance(shop.retriever._index_of(None)[1], ChangedIndex)
        query = rng.integers(-2, 3, (2, WIDTH)).astype(np.float32)
        anew = pi.Retriever(np.stack([*held.values()]), [*held])
        for rules in ({}, {"exclude": ids}, {"boost": np.arange(len(held)) % 3}):
            found, expected = shop.retriever.top_k(query, 50, **rules), anew.top_k(query, 50, **rules)
            np.testing.assert_array_equal(found.ids, expected.ids)
            np.testing.assert_array_equal(found.scores, expected.scores)
    assert seen > 6


def test_replaced_records_are_not_kept_for_an_old_index() -> None:
    side = Side(4, count=4096)
    side.check(5)
    for _ in range(40):
        side.put(side.rng.permutation(4096)[:64].tolist())
    # Never searched meanwhile: of a state that nobody can see nothing is left.
    assert side.retriever._store.taken() == 4096
    for _ in range(40):
        side.put(side.rng.permutation(4096)[:64].tolist())
        side.searched()
        assert side.retriever._store.taken() <= 4096 + 4096 // changed._SHARE + 64
