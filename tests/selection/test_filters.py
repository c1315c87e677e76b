"""Filters over items and their attributes, against their definition, while items change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.rules import COUNTRIES, TYPED, Known, product_model, some_attributes

import pyrec_infer as pi
from pyrec_infer.errors import DTypeError, InputError, ShapeError

Keep = Callable[[Any, dict[str, Any]], bool]


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return product_model()


class Shop:
    """A catalogue and a retriever of the same items, whose scores are their only number."""

    def __init__(self, model: pi.Model, text: bool) -> None:
        self.text = text
        first = self.ids([99])
        attributes: Any = TYPED
        self.catalog = model.catalog({"i": np.asarray([-9.0])}, first, attributes=attributes)
        self.retriever = pi.Retriever([[-9.0]], first, attributes=attributes, precision="int8")
        self.known = Known()
        self.known.upsert(first, [-9.0], {name: value.tolist() for name, value in TYPED.items()})

    def ids(self, numbers: Any) -> list[Any]:
        return [f"item {number}" if self.text else int(number) for number in numbers]

    def upsert(self, rng: np.random.Generator, count: int) -> None:
        ids = self.ids(rng.choice(60, count, replace=False))
        scores = rng.integers(-5, 6, count).astype(np.float32)
        attributes: Any = some_attributes(rng, count)
        self.catalog.upsert({"i": scores}, ids, attributes)
        self.retriever.upsert(scores[:, np.newaxis], ids, attributes)
        self.known.upsert(ids, scores.tolist(), attributes)

    def remove(self, numbers: list[int]) -> None:
        for items in (self.catalog, self.retriever):
            items.remove(self.ids(numbers))
        self.known.remove(self.ids(numbers))


def some_filter(shop: Shop, data: st.DataObject, depth: int = 2) -> tuple[pi.Filter, pi.Filter, Keep]:
    """The same filter of the catalogue and of the retriever, and what it means."""
    kinds = ["country", "several", "year", "price", "new", "there", "ids", "mask"]
    kind = data.draw(st.sampled_from([*kinds, "and", "or", "not"] if depth else kinds))
    both = shop.catalog, shop.retriever
    low, high = sorted(data.draw(st.tuples(st.integers(1999, 2005), st.integers(1999, 2005))))

    def made(make: Callable[[Any], pi.Filter], keep: Keep) -> tuple[pi.Filter, pi.Filter, Keep]:
        return make(both[0]), make(both[1]), keep

    if kind in ("and", "or"):
        left, right = some_filter(shop, data, depth - 1), some_filter(shop, data, depth - 1)
        if kind == "and":
            return left[0] & right[0], left[1] & right[1], lambda i, a: left[2](i, a) and right[2](i, a)
        return left[0] | right[0], left[1] | right[1], lambda i, a: left[2](i, a) or right[2](i, a)
    if kind == "not":
        part = some_filter(shop, data, depth - 1)
        return ~part[0], ~part[1], lambda i, a: not part[2](i, a)
    if kind == "country":
        return made(lambda items: items.where("country", "DÉ"), lambda i, a: a["country"] == "DÉ")
    if kind == "several":
        some = data.draw(st.sets(st.sampled_from([*COUNTRIES, "XX", "YY"])))
        return made(lambda items: items.where("country", in_=some), lambda i, a: a["country"] in some)
    if kind == "year":
        return made(
            lambda items: items.where("year", min=low - 0.5, max=high),
            lambda i, a: a["year"] is not None and low <= a["year"] <= high,
        )
    if kind == "price":
        return made(
            lambda items: items.where("price", in_=[0.25, 1, 9], min=0.5),
            lambda i, a: a["price"] == 1,
        )
    if kind == "new":
        return made(lambda items: items.where("new", False), lambda i, a: a["new"] is False)
    if kind == "there":
        gone = data.draw(st.booleans())
        return made(lambda items: items.where("year", missing=gone), lambda i, a: (a["year"] is None) == gone)
    if kind == "ids":
        chosen = shop.ids(data.draw(st.sets(st.integers(0, 70))))
        return made(lambda items: items.filter(chosen), lambda i, a: i in chosen)
    flags = np.random.default_rng(low).random(len(shop.known.items)) < 0.5
    kept = {item for item, flag in zip(shop.known.items, flags, strict=True) if flag}
    return made(lambda items: items.filter(flags), lambda i, a: i in kept)


@pytest.mark.parametrize("text", [False, True], ids=["numbers", "strings"])
@settings(max_examples=5, deadline=None)
@given(st.data())
def test_filters_mean_the_same_while_items_change(model: pi.Model, text: bool, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    shop = Shop(model, text)
    shop.upsert(rng, 30)
    filters = [some_filter(shop, data) for _ in range(2)]
    for _ in range(3):
        for of_catalog, of_retriever, keep in filters:
            expected = shop.known.ranked(keep)
            found = shop.catalog.top_k({"u": 1.0}, 100, where=of_catalog)
            assert found.ids.tolist() == expected
            assert shop.retriever.top_k([1.0], 100, where=of_retriever).ids.tolist() == [expected]
            some = list(shop.known.items)[::-3]
            among = shop.catalog.top_k({"u": 1.0}, 100, some, where=of_catalog)
            order = sorted(some, key=lambda item: -shop.known.items[item][0])
            assert among.ids.tolist() == [item for item in order if item in expected]
        shop.upsert(rng, int(rng.integers(1, 20)))
        shop.remove(rng.choice(60, 5).tolist())


def test_masks_and_ids_of_a_call_say_the_same() -> None:
    scores = np.asarray([3, 1, 4, 1, 5], np.float32)
    catalog = product_model().catalog({"i": scores}, [10, 11, 12, 13, 14])
    retriever = pi.Retriever(scores[:, np.newaxis], [10, 11, 12, 13, 14])
    mask = [True, True, False, False, True]
    for allow, exclude, expected in [
        (mask, None, [14, 10, 11]),
        ([10, 11, 14, 99], None, [14, 10, 11]),
        (None, mask, [12, 13]),
        (None, [10, 11, 14, 99], [12, 13]),
        (mask, [14, 13], [10, 11]),
        (np.asarray(mask), pd.Series([False, False, False, False, True]), [10, 11]),
        (pa.array(mask), [], [14, 10, 11]),
        ([10, 12], mask, [12]),
        (None, np.ones(5, bool), []),
    ]:
        found = catalog.top_k({"u": 1.0}, 9, allow=allow, exclude=exclude)
        assert found.ids.tolist() == expected
        searched = retriever.top_k([1.0], 9, allow=allow, exclude=exclude)
        assert searched.ids[0, : searched.counts[0]].tolist() == expected
    turned = catalog.top_k({"u": 1.0}, 9, [14, 13, 12], allow=[True, True, False])
    assert turned.ids.tolist() == [14, 13]
    each = retriever.top_k([[1.0], [-1.0]], 2, exclude=[[14], [11, 13]], where=retriever.filter([10, 11, 14]))
    assert each.ids.tolist() == [[10, 11], [10, 14]]
    assert retriever.top_k([1.0], 1, deny=[14]).ids.tolist() == [[12]]


def attributes_of(values: Any) -> pi.Retriever:
    count = len(values)
    return pi.Retriever(-np.arange(count)[:, np.newaxis], attributes={"a": values})


@pytest.mark.parametrize(
    "values",
    [
        [1, None, 3],
        [1.0, float("nan"), 3.0],
        np.ma.MaskedArray([1, 2, 3], [False, True, False]),
        pd.Series([1, None, 3], dtype="Int64"),
        pd.Series([1, None, 3]),
        pa.array([1, None, 3]),
        pa.chunked_array([[1, None], [3]]),
        np.asarray([1, np.nan, 3], np.float32),
        pd.Series(["x", None, "y"]).map({"x": 1, "y": 3}),
    ],
)
def test_missing_numbers_of_every_form(values: Any) -> None:
    shop = attributes_of(values)
    assert shop.top_k([1], 9, where=shop.where("a", missing=True)).ids.tolist() == [[1]]
    assert shop.top_k([1], 9, where=shop.where("a", min=0)).ids.tolist() == [[0, 2]]
    assert shop.top_k([1], 9, where=~shop.where("a", 3)).ids.tolist() == [[0, 1]]


@pytest.mark.parametrize(
    "values",
    [
        ["x", None, "y"],
        np.asarray(["x", None, "y"], object),
        pd.Series(["x", None, "y"]),
        pd.Series(["x", None, "y"], dtype="category"),
        pa.array(["x", None, "y"]),
        pa.array(["x", None, "y"]).dictionary_encode(),
        [b"x", None, b"y"],
    ],
)
def test_missing_strings_of_every_form(values: Any) -> None:
    shop = attributes_of(values)
    assert shop.top_k([1], 9, where=shop.where("a", missing=True)).ids.tolist() == [[1]]
    assert shop.top_k([1], 9, where=shop.where("a", "x") | shop.where("a", "y")).ids.tolist() == [[0, 2]]


def test_a_float_equals_what_was_given_in_its_type() -> None:
    shop = attributes_of(np.asarray([9.99, 10.01], np.float32))
    assert shop.top_k([1], 9, where=shop.where("a", 9.99)).ids.tolist() == [[0]]
    assert shop.top_k([1], 9, where=shop.where("a", max=9.99)).ids.tolist() == [[0]]


def test_whole_numbers_beyond_double_precision_are_told_apart() -> None:
    shop = attributes_of([2**62, 2**62 + 1, -(2**62)])
    assert shop.top_k([1], 9, where=shop.where("a", min=2**62 + 1)).ids.tolist() == [[1]]
    assert shop.top_k([1], 9, where=shop.where("a", max=float("inf"), min=2**63 + 1)).ids.shape == (1, 0)
    assert shop.top_k([1], 9, where=shop.where("a", max=-1e300)).ids.shape == (1, 0)
    assert shop.top_k([1], 9, where=shop.where("a", in_=[0.5, 2**70, -(2**62)])).ids.tolist() == [[2]]


def test_numbers_that_an_attribute_cannot_hold_are_between_its_largest_and_infinity() -> None:
    shop = attributes_of(np.asarray([1, np.inf, -np.inf, 3], np.float32))
    for least, most, expected in [
        (None, 1e300, [0, 2, 3]),
        (None, 10**400, [0, 2, 3]),
        (-1e300, None, [0, 1, 3]),
        (1e300, None, [1]),
        (-(10**400), 10**400, [0, 3]),
        (None, np.inf, [0, 1, 2, 3]),
        (np.inf, None, [1]),
        (None, -1e300, [2]),
    ]:
        found = shop.top_k([1], 9, where=shop.where("a", min=least, max=most))
        assert sorted(found.ids[0].tolist()) == expected
    assert shop.top_k([1], 9, where=shop.where("a", in_=[1e300, 10**400, 3])).ids.tolist() == [[3]]
    assert shop.top_k([1], 9, where=shop.where("a", 3.4028235e38)).counts.tolist() == [0]
    whole = attributes_of([2**63 - 1, 1 - 2**63, 0])
    for least, most, expected in [
        (2**63 - 1, None, [0]),
        (2**63, None, []),
        (9.3e18, None, []),
        (10**400, None, []),
        (None, 10**400, [0, 1, 2]),
        (None, -(2**63), []),
        (-(10**400), 2**63, [0, 1, 2]),
    ]:
        found = whole.top_k([1], 9, where=whole.where("a", min=least, max=most))
        assert sorted(found.ids[0].tolist()) == expected
    assert whole.top_k([1], 9, where=whole.where("a", in_=[10**400, np.inf, 0])).ids.tolist() == [[2]]


def test_a_string_that_comes_later_meets_an_older_filter() -> None:
    shop = attributes_of(["x"])
    later = shop.where("a", "later")
    assert shop.top_k([1], 9, where=later).ids.shape == (1, 0)
    shop.upsert([[1.0]], [7], {"a": ["later"]})
    assert shop.top_k([1], 9, where=later).ids.tolist() == [[7]]


def test_a_mask_means_the_items_that_it_was_given_for() -> None:
    shop = attributes_of([1, 2, 3])
    kept = shop.filter([True, False, True])
    shop.upsert([[1.0], [2.0]], [1, 7], {"a": [5, 5]})
    shop.remove([0])
    assert shop.top_k([1], 9, where=kept).ids.tolist() == [[2]]
    shop.upsert([[3.0]], [0], {"a": [9]})
    assert shop.top_k([1], 9, where=kept).ids.tolist() == [[0, 2]]


def test_an_empty_retriever_has_filters() -> None:
    shop = pi.Retriever(np.empty((0, 1)), attributes={"a": np.empty(0, "U1"), "b": np.empty(0, bool)})
    for where in (shop.where("a", "x"), ~shop.where("b", True), shop.filter([]), shop.filter([4])):
        assert shop.top_k([1.0], 3, where=where).counts.tolist() == [0]
    shop.upsert([[1.0]], [4], {"a": ["x"], "b": [None]})
    assert shop.top_k([1.0], 3, where=shop.where("a", "x") & ~shop.where("b", True)).ids.tolist() == [[4]]


def shop() -> pi.Retriever:
    return pi.Retriever(
        [[1.0], [2.0]], attributes={"s": ["x", "y"], "n": [1, 2], "f": [0.5, 1.5], "b": [True, None]}
    )


def changed(**values: Any) -> None:
    """Put an item in whose attributes are wrong."""
    shop().upsert([[1.0]], [5], {"s": ["x"], "n": [1], "f": [1], "b": [True], **values})


BAD: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: shop().where("t"), InputError, r"attributes: expected the name of one of them \(b, f, n, s\)"),
    (lambda: shop().where(3), InputError, "attributes: expected the name"),  # type: ignore[arg-type]
    (lambda: shop().where("s", 3), DTypeError, "attribute 's': expected strings, got int"),
    (lambda: shop().where("s", None), InputError, "attribute 's': expected a value, got None; missing=True"),
    (lambda: shop().where("s", in_="xy"), DTypeError, "attribute 's': expected several values"),
    (lambda: shop().where("n", in_=3), DTypeError, "attribute 'n': expected several values in in_, got int"),  # type: ignore[arg-type]
    (lambda: shop().where("s", min="a"), DTypeError, "attribute 's': expected no bounds"),
    (lambda: shop().where("b", max=1), DTypeError, "attribute 'b': expected no bounds"),
    (lambda: shop().where("b", 1), DTypeError, "attribute 'b': expected booleans, got int"),
    (lambda: shop().where("n", True), DTypeError, "attribute 'n': expected numbers, got bool"),
    (lambda: shop().where("n", min="1"), DTypeError, "attribute 'n': expected numbers, got str"),
    (lambda: shop().where("f", min=np.nan), InputError, "attribute 'f': expected a number, got NaN"),
    (lambda: shop().where("f", 1, missing=True), InputError, "attribute 'f': a value that is missing"),
    (lambda: shop().where("f", missing=1), DTypeError, "attribute 'f': expected missing="),  # type: ignore[arg-type]
    (lambda: shop().filter([True]), ShapeError, "items: expected 2 booleans, one for each item, got 1"),
    (lambda: shop().filter(["a"]), DTypeError, "items: expected whole numbers, got strings"),
    (
        lambda: shop().top_k([1.0], 1, where=shop().where("s")),
        InputError,
        "where: expected a filter of the same",
    ),
    (lambda: shop().where("s") & shop().where("s"), InputError, "where: expected a filter of the same"),
    (lambda: shop().top_k([1.0], 1, where=[True]), DTypeError, "where: expected a Filter, got list"),  # type: ignore[arg-type]
    (lambda: shop().top_k([1.0], 1, allow=[True]), ShapeError, "allow: expected 2 booleans"),
    (
        lambda: shop().top_k([1.0], 1, exclude=[[True, False], [True, False]]),
        ShapeError,
        "exclude: expected a list",
    ),
    (lambda: shop().top_k([1.0], 1, exclude=[1], deny=[1]), InputError, "deny: expected `exclude` or `deny`"),
    (lambda: bool(shop().where("s")), TypeError, "neither true nor false"),
    (
        lambda: shop().upsert([[1.0]], [5]),
        InputError,
        "attribute 's': expected a value for each item",
    ),
    (lambda: changed(t=[1]), InputError, "expected the name"),
    (lambda: changed(s=["x", "y"]), ShapeError, "'s': expected 1 values"),
    (lambda: changed(s=[4]), DTypeError, "'s': expected strings"),
    (lambda: changed(n=["1"]), DTypeError, "'n': expected whole numbers"),
    (lambda: changed(n=[1.5]), DTypeError, r"'n': expected whole .* \(row 0\)"),
    (lambda: changed(n=[-(2**63)]), DTypeError, r"'n': expected whole"),
    (lambda: changed(n=[2**63]), DTypeError, r"'n': expected whole"),
    (lambda: changed(f=[2**53 + 1]), DTypeError, r"'f': expected numbers"),
    (lambda: changed(f=[True]), DTypeError, "'f': expected numbers, got bool"),
    (lambda: changed(b=[1]), DTypeError, "'b': expected booleans, got int64"),
    (lambda: attributes_of([None]), DTypeError, "attribute 'a': expected values that tell its type"),
    (lambda: attributes_of([1 + 2j]), DTypeError, "attribute 'a': expected"),
    (lambda: attributes_of([[1], [2]]), ShapeError, "attribute 'a': expected one axis"),
    (lambda: attributes_of(np.asarray(["2026-01-01"], "M8[D]")), DTypeError, "attribute 'a': expected"),
    (
        lambda: pi.Retriever([[1.0]], attributes={3: [1]}),
        InputError,
        "attributes: expected names that are strings",
    ),
    (lambda: pi.Retriever([[1.0]], attributes=[1]), DTypeError, "expected arrays"),
    (lambda: pi.Retriever([[1.0]], attributes={"a": [1, 2]}), ShapeError, "attribute 'a': expected 1 values"),
]


@pytest.mark.parametrize("number", range(len(BAD)))
def test_bad_input_is_refused(number: int) -> None:
    call, kind, text = BAD[number]
    with pytest.raises(kind, match=text):
        call()


def test_a_refused_change_changes_nothing() -> None:
    own = shop()
    with pytest.raises(DTypeError):
        own.upsert([[9.0]], [0], {"s": ["z"], "n": [1.5], "f": [1], "b": [True]})
    assert own.top_k([1.0], 2, where=own.where("s", in_=["x", "z"])).scores.tolist() == [[1.0]]
