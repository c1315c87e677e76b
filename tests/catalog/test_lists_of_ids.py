"""Requests whose items are lists of their own, in one call against one call for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from support.models import FLOAT, make_model
from support.rules import product_model

import pyrec_infer as pi
from pyrec_infer.bundled import MODEL, items, users
from pyrec_infer.errors import DTypeError, IdRangeError, RowCountError, ShapeError

COUNT = 60


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_one_call_is_a_call_for_each(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    text = data.draw(st.booleans())
    names: Any = np.asarray([f"{i}é" if text else i for i in range(COUNT)])
    catalog = product_model().catalog(
        {"i": rng.integers(-4, 5, COUNT).astype(np.float32)},
        names,
        attributes={"seller": rng.integers(0, 4, COUNT)},
    )
    count = data.draw(st.integers(1, 4))
    requests = rng.integers(-2, 3, count).astype(np.float32)
    lists = [rng.choice(names, rng.integers(0, COUNT)) for _ in range(count)]
    sizes = np.cumsum([0, *map(len, lists)])
    boost = rng.integers(0, 3, sizes[-1]) if data.draw(st.booleans()) else None
    each = [rng.choice(names, 9) for _ in range(count)]
    exclude = data.draw(st.sampled_from([None, each[0], each]))
    catalog.remove(names[:3])
    k = data.draw(st.sampled_from([0, 1, 5, 200]))
    rules: dict[str, Any] = {"missing": "skip", "max_per": data.draw(st.sampled_from([None, {"seller": 2}]))}
    if data.draw(st.booleans()):
        rules["where"] = catalog.where("seller", max=2)
    found = catalog.top_k({"u": requests}, k, lists, exclude, boost, **rules)
    assert found.counts.shape == (count,)
    assert found.certified
    for number, own in enumerate(lists):
        part = None if boost is None else boost[sizes[number] : sizes[number + 1]]
        gone = each[number] if exclude is each else exclude
        one = catalog.top_k({"u": requests[number]}, k, own, gone, part, **rules)
        size = int(found.counts[number])
        assert found.ids[number, :size].tolist() == one.ids.tolist()
        np.testing.assert_array_equal(found.scores[number, :size], one.scores)


def test_lists_of_a_real_model_and_inputs_of_candidates() -> None:
    people = users(3, COUNT)
    catalog = pi.load(MODEL).catalog(items(COUNT), candidates=["affinity"])
    requests = {
        name: np.concatenate([np.atleast_1d(user.request[name]) for user in people])
        for name in people[0].request
    }
    lists = [[5, 6, 7, 40], [], [1, 5]]
    affinity = np.concatenate([user.affinity[own] for user, own in zip(people, lists, strict=True)])
    found = catalog.top_k(requests, 3, lists, candidates={"affinity": affinity})
    assert found.counts.tolist() == [3, 0, 2]
    for number, own in enumerate(lists):
        late = {"affinity": people[number].affinity[own]}
        one = catalog.top_k(people[number].request, 3, own, candidates=late)
        assert found.ids[number, : one.count].tolist() == one.ids.tolist()
        np.testing.assert_allclose(found.scores[number, : one.count], one.scores, rtol=1e-5)
    with pytest.raises(RowCountError, match="affinity"):
        catalog.top_k(requests, 3, lists, candidates={"affinity": affinity[1:]})


def test_a_model_that_takes_one_request_at_a_time() -> None:
    made = make_model(
        [
            helper.make_node("ReduceSum", ["u"], ["total"], keepdims=0),
            helper.make_node("Mul", ["total", "i"], ["score"]),
        ],
        {"u": (FLOAT, [3]), "i": (FLOAT, ["N"])},
        {"score": (FLOAT, ["N"])},
    )
    catalog = pi.load(made.SerializeToString()).catalog({"i": np.arange(9, dtype=np.float32)})
    found = catalog.top_k({"u": np.ones(3)}, 2, [[4, 7, 5]])
    assert found.ids.tolist() == [[7, 5]]
    assert found.scores.tolist() == [[21, 15]]


def test_lists_that_do_not_fit() -> None:
    catalog = product_model().catalog({"i": np.arange(4, dtype=np.float32)})
    two = {"u": np.ones(2, np.float32)}
    with pytest.raises(ShapeError, match="ids: expected a list of ids for each of 2 requests, got 3"):
        catalog.top_k(two, 1, [[1], [2], [3]])
    with pytest.raises(DTypeError, match=r"ids \(request 1\): expected whole numbers"):
        catalog.top_k(two, 1, [[1], ["a"]])
    with pytest.raises(IdRangeError, match="row 2"):
        catalog.top_k(two, 1, [[1, 2], [9]])
    with pytest.raises(ShapeError, match=r"boost: expected shape \[3\], got \[2, 3\]"):
        catalog.top_k(two, 1, [[1, 2], [3]], boost=np.ones((2, 3)))
