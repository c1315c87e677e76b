"""Calls that take the short way from queries and ids to results, beside the same calls by the long one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.products import brute_force

import pyrec_infer as pi
from pyrec_infer.backends.select import select_backend
from pyrec_infer.errors import DTypeError, InputError, ResourceLimitError, ShapeError
from pyrec_infer.limits import limited
from pyrec_infer.retrieval.ready import Ready
from pyrec_infer.retrieval.retriever import PRECISIONS
from pyrec_infer.retrieval.vectors import METRICS

short_way = pytest.mark.skipif(select_backend() == "numba", reason="needs the extension")


def _named(kind: str, numbers: Any) -> Any:
    if kind == "U":
        return [f"item å {number}" for number in np.asarray(numbers).tolist()]
    return np.asarray(numbers, np.uint64 if kind == "u" else np.int64)


def _quick(retriever: pi.Retriever, queries: Any, k: int, where: Any, exclude: Any) -> Any:
    ready = retriever._ready_for(where)
    return None if ready is None else ready.found(retriever._id_type, queries, k, exclude)


@short_way
@pytest.mark.parametrize("kind", ["i", "u", "U"])
@pytest.mark.parametrize("metric", METRICS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_both_ways_find_the_same(metric: Any, kind: str, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count, width = data.draw(st.integers(1, 700)), data.draw(st.sampled_from([1, 8, 19]))
    names = rng.permutation(3 * count)[:count]
    shop = pi.Retriever(
        rng.integers(-3, 4, (count, width)).astype(np.float32),
        _named(kind, names),
        metric=metric,
        precision=data.draw(st.sampled_from(PRECISIONS)),
        attributes={"rank": rng.permutation(count)},
    )
    where = data.draw(
        st.sampled_from([None, shop.where("rank", max=count // 5), shop.where("rank", max=count)])
    )
    for _ in range(3):
        queries = rng.integers(-3, 4, (data.draw(st.integers(0, 6)), width)).astype(np.float32)
        k = data.draw(st.sampled_from([0, 1, 7, 1000]))
        lists = [_named(kind, rng.integers(0, 3 * count, 50)) for _ in queries]
        choices = [None, lists, _named(kind, names[::2]), _named(kind, names), [*_named(kind, names[:3])], []]
        exclude = data.draw(st.sampled_from(choices))
        # Now what a call takes is ready.
        shop.top_k(queries, k, where=where)
        found = _quick(shop, queries, k, where, exclude)
        assert found is not None or kind == "u" or exclude is not None
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Ready, "found", lambda *_: None)
            expected = shop.top_k(queries, k, where=where, exclude=exclude)
        for one in [shop.top_k(queries, k, where=where, exclude=exclude), *([found] if found else [])]:
            for own, other in zip(one[:3], expected[:3], strict=True):
                np.testing.assert_array_equal(own, other)
                assert own.dtype == other.dtype
            assert one.certified
        changed = rng.integers(-3, 4, (1, width)).astype(np.float32)
        shop.upsert(changed, _named(kind, [data.draw(st.integers(0, 3 * count))]), {"rank": [count // 5]})
        assert _quick(shop, queries, k, where, exclude) is None


@pytest.mark.parametrize("step", [1, 64, 1024, 4096])
def test_places_that_have_their_lowest_bits_in_common_are_excluded(step: int) -> None:
    rng = np.random.default_rng(step)
    items = rng.standard_normal((8200, 3)).astype(np.float32)
    shop = pi.Retriever(items, precision="int8")
    out = np.arange(0, 8200, step)[:600]
    kept = np.setdiff1d(np.arange(8200), out)
    queries = rng.standard_normal((2, 3)).astype(np.float32)
    for k in (5, 8200):
        rows, scores = brute_force("ip", queries, items[kept], k)
        found = shop.top_k(queries, k, exclude=rng.permutation(np.concatenate([out, out])))
        assert found.counts.tolist() == [min(k, len(kept))] * 2
        np.testing.assert_array_equal(found.ids[:, : len(kept)], kept[rows])
        np.testing.assert_array_equal(found.scores[:, : len(kept)], scores)
        assert (found.ids[:, len(kept) :] == 0).all()
        assert np.isneginf(found.scores[:, len(kept) :]).all()


def test_what_needs_a_closer_look_is_read_and_refused_as_ever() -> None:
    shop = pi.Retriever(np.eye(3, dtype=np.float32), [1, 2, 3])
    unsigned = pi.Retriever(np.eye(3, dtype=np.float32), np.asarray([1, 2, 2**64 - 1], np.uint64))
    query = np.float32([[3, 2, 1]])
    for each in (shop, unsigned):
        each.top_k(query)
    assert shop.top_k([3, 2, 1], 1).ids.tolist() == [[1]]
    assert shop.top_k(query.astype(np.float64), 1, exclude=(1,)).ids.tolist() == [[2]]
    assert shop.top_k(query, 1, exclude=[True, False, False]).ids.tolist() == [[2]]
    assert shop.top_k(query, 1, exclude=[[1, 2]]).ids.tolist() == [[3]]
    assert shop.top_k(query[0], 1, exclude=np.int32([1])).ids.tolist() == [[2]]
    assert unsigned.top_k(query, 3, exclude=[-1]).counts.tolist() == [3]
    with pytest.raises(InputError, match=r"finite numbers \(row 0\)"):
        shop.top_k(np.float32([[np.nan, 0, 0]]))
    with pytest.raises(InputError, match="shorter"):
        shop.top_k(np.float32([[2.0**62, 0, 0]]))
    with pytest.raises(ShapeError):
        shop.top_k(np.float32([[1, 2]]))
    with pytest.raises(ShapeError):
        shop.top_k(query, exclude=[[1], [2]])
    with pytest.raises(DTypeError):
        shop.top_k(query, exclude=["a"])
    with pytest.raises(ResourceLimitError), limited(100):
        shop.top_k(query, 3)
