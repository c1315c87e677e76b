"""Searches in an index of an older state of the items, beside those of retrievers that are made anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import pyrec_infer as pi
from pyrec_infer.backends import select_backend
from pyrec_infer.retrieval import changed
from pyrec_infer.retrieval.changed import ChangedIndex

Floats = NDArray[np.float32]

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
        self.items = dict(enumerate(self.vectors(count)))
        self.retriever = pi.Retriever(np.stack([*self.items.values()]), **how)

    def vectors(self, count: int) -> Floats:
        """Of few whole numbers, so that many products are equal."""
        return self.rng.integers(-2, 3, (count, WIDTH)).astype(np.float32)

    def put(self, ids: list[int]) -> None:
        vectors = self.vectors(len(ids))
        self.retriever.upsert(vectors, ids)
        self.items.update(zip(ids, vectors, strict=True))

    def remove(self, ids: list[int]) -> None:
        self.retriever.remove(ids)
        for own in ids:
            self.items.pop(own, None)

    def searched(self) -> object:
        return self.retriever._ready(None)[1]

    def check(self, k: int, **rules: Any) -> None:
        queries = self.vectors(3)
        anew = pi.Retriever(np.stack([*self.items.values()]), [*self.items], **self.how)
        found, expected = self.retriever.top_k(queries, k, **rules), anew.top_k(queries, k, **rules)
        np.testing.assert_array_equal(found.counts, expected.counts)
        np.testing.assert_array_equal(found.ids, expected.ids)
        np.testing.assert_array_equal(found.scores.view(np.int32), expected.scores.view(np.int32))
        assert found.certified


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("metric", ["ip", "cosine", "l2"])
def test_results_are_those_of_an_index_of_all(metric: str, precision: str) -> None:
    side = Side(0, metric=metric, precision=precision)
    seen = 0
    for step in range(40):
        count, most = int(side.rng.integers(1, 9)), len(side.items) + 3
        side.put(side.rng.choice(most, count, replace=False).tolist())
        seen += isinstance(side.searched(), ChangedIndex)
        side.check([1, 10, 300, 2000][step % 4])
        gone = side.rng.integers(0, most, 60).tolist()
        side.check(30, exclude=gone)
        side.check(700, exclude=[gone[:20], [], gone[20:]])
    assert 20 < seen < 40


def test_what_has_changed_is_found_and_what_it_was_is_not() -> None:
    side = Side(1)
    side.check(5)
    best = np.full(WIDTH, 9, np.float32)
    side.retriever.upsert([best], [333])
    side.items[333] = best
    assert isinstance(side.searched(), ChangedIndex)
    assert side.retriever.top_k(best, 1).ids.tolist() == [[333]]
    side.retriever.upsert([-best], [333])
    side.items[333] = -best
    assert isinstance(side.searched(), ChangedIndex)
    assert side.retriever.top_k(best, len(side.items)).ids[0, -1] == 333
    side.check(700)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_items_that_are_taken_out_or_move_are_searched_anew(precision: str) -> None:
    side = Side(2, precision=precision)
    for step in range(12):
        side.check(20)
        side.remove(side.rng.integers(0, 700, 2).tolist())
        assert not isinstance(side.searched(), ChangedIndex)
        side.check(50)
        # Ids that were taken out enter behind all others.
        side.put([step, 700 + step])
        side.check(600)
    for _ in range(3):
        side.put(side.rng.permutation(700)[:400].tolist())
        assert not isinstance(side.searched(), ChangedIndex)
        side.check(90)


def test_rules_and_filters_see_the_same_state() -> None:
    side = Side(3)
    for _ in range(6):
        side.check(20)
        side.put([5, 17, 900])
        allowed = side.retriever.filter([5, 17, 4, 3, 900])
        found = side.retriever.top_k(side.vectors(1), 10, where=allowed)
        assert sorted(found.ids[0].tolist()) == [3, 4, 5, 17, 900]
        side.check(40, boost=np.linspace(-1, 1, len(side.items)))


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
