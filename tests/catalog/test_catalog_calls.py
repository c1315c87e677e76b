"""Calls that a catalogue prepares: as its scores, while items change, and what they refuse."""

from __future__ import annotations

import gc
import weakref
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from support.models import ranker
from test_catalog import TOLERANCE, USER, shop

import pyrec_infer as pi
from pyrec_infer.arguments import Signature
from pyrec_infer.errors import (
    DTypeError,
    IdRangeError,
    InputError,
    MissingInputError,
    RowCountError,
    ShapeError,
)


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return pi.load(ranker().SerializeToString())


def test_prepared_calls(model: pi.Model) -> None:
    own = shop(30)
    catalog = model.catalog(own)
    call = catalog.prepare(["user"])
    np.testing.assert_array_equal(call(USER["user"]), catalog.score(USER))
    out = np.empty(3, np.float32)
    assert call(USER["user"], ids=np.asarray([4, 5, 9]), out=out) is out
    np.testing.assert_array_equal(out, catalog.score(USER, [4, 5, 9]))
    catalog.remove([4])
    with pytest.raises(IdRangeError):
        call(USER["user"], ids=np.asarray([4]))
    assert call(USER["user"]).shape == (29,)
    with pytest.raises(InputError, match="expected 1 arrays"):
        call()
    with pytest.raises(MissingInputError):
        catalog.prepare([])
    with pytest.raises(ShapeError):
        catalog.prepare(["user"], max_rows=5)(USER["user"])
    late = model.catalog({"item": own["item"]}, candidates=["dense"])
    np.testing.assert_allclose(
        late.prepare(["user"], ["dense"])(USER["user"], own["dense"]), model.score(USER, own), **TOLERANCE
    )


def test_prepared_calls_of_items_in_any_form(model: pi.Model) -> None:
    catalog = model.catalog(shop(30))
    call, expected = catalog.prepare(["user"]), catalog.score(USER)
    chosen = np.asarray([4, 29, 0, 4])
    strided = np.repeat(chosen, 2)[::2]
    assert not strided.flags.c_contiguous
    for ids in (chosen, strided, chosen.astype(np.int32), chosen.tolist(), chosen[:1], chosen[:0]):
        np.testing.assert_array_equal(call(USER["user"], ids=ids), expected[np.asarray(ids, np.int64)])
        out = np.empty(len(ids), np.float32)
        assert call(USER["user"], out=out, ids=ids) is out
        np.testing.assert_array_equal(out, expected[np.asarray(ids, np.int64)])
    np.testing.assert_array_equal(call(USER["user"], ids=None, out=None), expected)
    many = np.arange(5000) % 30
    np.testing.assert_array_equal(call(USER["user"], ids=many), expected[many])


def test_prepared_calls_of_items_refuse_as_scores_do(model: pi.Model) -> None:
    catalog = model.catalog(shop(30))
    call = catalog.prepare(["user"], max_rows=3)
    ids = np.asarray([1, 2])
    for absent in (30, -1, 1 << 40):
        with pytest.raises(IdRangeError, match="row 1"):
            call(USER["user"], ids=np.asarray([1, absent]))
    with pytest.raises(ShapeError, match="one axis"):
        call(USER["user"], ids=ids.reshape(1, 2))
    with pytest.raises(ShapeError, match="at most 3"):
        call(USER["user"], ids=np.arange(4))
    with pytest.raises(ShapeError, match="'out'"):
        call(USER["user"], ids=ids, out=np.empty(3, np.float32))
    with pytest.raises(DTypeError, match="'out'"):
        call(USER["user"], ids=ids, out=np.empty(2))
    with pytest.raises(TypeError):
        call(USER["user"], ids=ids, items=ids)
    with pytest.raises(IdRangeError, match="user"):
        call(np.asarray([1 << 40]), ids=ids)
    late = model.catalog({"item": shop(30)["item"]}, candidates=["dense"]).prepare(["user"], ["dense"])
    with pytest.raises(RowCountError):
        late(USER["user"], shop(30)["dense"], ids=ids)


def test_scores_of_requests_with_and_without_an_axis_of_rows(model: pi.Model) -> None:
    catalog = model.catalog(shop(30))
    user, ids = int(USER["user"][0]), np.asarray([4, 29, 0, 4])
    expected = catalog.score(USER)[ids]
    for value in (user, np.int64(user), np.asarray(user), [user], np.asarray([user], np.int32), float(user)):
        np.testing.assert_array_equal(catalog.score({"user": value}, ids), expected)
    np.testing.assert_array_equal(catalog.score(MappingProxyType(USER), ids), expected)
    with pytest.raises(RowCountError):
        catalog.score({"user": np.asarray([user, user])}, ids)
    with pytest.raises(MissingInputError):
        catalog.score({}, ids)
    with pytest.raises(InputError, match="part of the items"):
        catalog.score({**USER, "item": user}, ids)
    with pytest.raises(IdRangeError, match="row 1"):
        catalog.score(USER, [4, 30])
    missing = catalog.score({"user": user}, [4, 30], missing="nan")
    np.testing.assert_array_equal(missing, [expected[0], np.nan])


def test_items_are_looked_up_without_a_closer_look(
    model: pi.Model, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "numba":
        pytest.skip("native backends look items up")
    catalog, ids = model.catalog(shop(30)), np.asarray([4, 29])
    expected = catalog.score(USER)[ids]

    def fail(*given: Any) -> None:
        raise AssertionError(given)

    monkeypatch.setattr(Signature, "array", fail)
    for value in (USER["user"], int(USER["user"][0]), [int(USER["user"][0])]):
        np.testing.assert_array_equal(catalog.score({"user": value}, ids), expected)


@pytest.mark.parametrize("dtype", [np.int64, np.uint64, np.str_])
def test_prepared_calls_see_every_change(model: pi.Model, dtype: Any) -> None:
    own = shop(300)
    names = np.asarray([1 << 50, 7, 9]).astype(dtype)
    catalog = model.catalog({name: value[:3] for name, value in own.items()}, names)
    call, expected = catalog.prepare(["user"]), model.score(USER, own)
    np.testing.assert_allclose(call(USER["user"], ids=names), expected[:3], **TOLERANCE)
    catalog.upsert({name: value[5:6] for name, value in own.items()}, names[1:2])
    np.testing.assert_allclose(call(USER["user"], ids=names), expected[[0, 5, 2]], **TOLERANCE)
    more = np.arange(100, 400).astype(dtype)
    catalog.upsert(own, more)  # more records than there was room for
    np.testing.assert_allclose(call(USER["user"], ids=more), expected, **TOLERANCE)
    catalog.remove(names[:1])
    with pytest.raises(IdRangeError):
        call(USER["user"], ids=names)
    np.testing.assert_allclose(call(USER["user"], ids=names[1:]), expected[[5, 2]], **TOLERANCE)


def test_a_prepared_call_lets_go_of_its_catalogue(model: pi.Model) -> None:
    catalog = model.catalog(shop(3))
    call, kept = catalog.prepare(["user"]), weakref.ref(catalog)
    del catalog
    assert call(USER["user"], ids=np.asarray([2])).shape == (1,)
    del call
    gc.collect()
    assert kept() is None
