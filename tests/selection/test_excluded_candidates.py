"""Candidates without some of them by the short way, beside the same calls by the long one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rules import product_model

from pyrec_infer.backends.select import select_backend
from pyrec_infer.errors import PyrecError
from pyrec_infer.ranking.shortcuts import Shortcuts
from pyrec_infer.selection.candidates import Asked

MODEL = product_model()


def _outcome(call: Callable[[], Any]) -> tuple[Any, ...]:
    """What a call gives, or the error that it ends in."""
    try:
        found = call()
    except PyrecError as error:
        return type(error), str(error)
    how = found.refined, found.certified
    return type(found), how, *((np.shape(each), np.asarray(each).dtype, np.asarray(each)) for each in found)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_both_ways_give_the_same(data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    count = data.draw(st.sampled_from([1, 2, 30, 5000]))
    scores = rng.integers(-3, 4, count).astype(np.float32)
    scores[rng.random(count) < 0.1] = np.nan
    names = rng.integers(0, 2 * count, data.draw(st.sampled_from([count, count, count + 1])))
    forms = [None, names, names.tolist(), names.astype(np.int32), names[::-1], [f"{name}" for name in names]]
    ids = data.draw(st.sampled_from(forms), label="ids")
    out = rng.integers(-1, 2 * count, data.draw(st.sampled_from([0, 1, 3, count])))
    if data.draw(st.booleans()):
        best = np.argsort(-scores, kind="stable")[: data.draw(st.integers(1, 9))]
        out = np.concatenate([out, best if ids is None else names[best]])
    some = [
        out,
        out.tolist(),
        tuple(out.tolist()),
        out.astype(np.uint64),
        out.astype(np.float32),
        rng.random(count) < 0.5,
        [*out.tolist(), 2**63],
        [*out.tolist(), True],
        out[np.newaxis],
        [out.tolist()],
        ["a"],
        3,
        None,
    ]
    exclude = data.draw(st.sampled_from([out, out.tolist()] if data.draw(st.booleans()) else some))
    k = data.draw(st.sampled_from([1, 2, 5] if data.draw(st.booleans()) else [0, 10**6, 2**63 - 1, 2**70]))
    offsets = data.draw(
        st.sampled_from([None, [0, count], [0, count // 2, count], [0, 0, count, count], [0]])
    )
    users = 1.0 if offsets is None else np.ones(len(offsets) - 1, np.float32)
    requests = [{"u": users}] * 5 + [{"u": np.ones(7)}, {"u": "a"}, {}]
    request = data.draw(st.sampled_from(requests))

    def call() -> Any:
        return MODEL.top_k(request, {"i": scores}, k, ids=ids, exclude=exclude, offsets=offsets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Shortcuts, "best", lambda *_: None)
        expected = _outcome(call)
    for _ in range(2):  # the second knows what the first has kept
        np.testing.assert_equal(_outcome(call), expected)


@pytest.mark.skipif(select_backend() == "numba", reason="needs the extension")
def test_usual_calls_take_no_closer_look(monkeypatch: pytest.MonkeyPatch) -> None:
    request, candidates = {"u": 1.0}, {"i": np.float32([3, 2, 1])}
    MODEL.top_k(request, candidates)

    def refuse(*_: Any) -> None:
        raise AssertionError("took the long way")

    monkeypatch.setattr(Asked, "_taken", refuse)
    assert MODEL.top_k(request, candidates, 2, exclude=[0, 7]).ids.tolist() == [1, 2]
    assert MODEL.top_k(request, candidates, 1, ids=[5, 5, 6], exclude=np.asarray([5])).ids.tolist() == [6]
