"""What rules may not be, on everything that takes them: the error, or the result that is documented."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.rules import product_model

import pyrec_infer as pi
from pyrec_infer.errors import DTypeError, IdRangeError, InputError, ShapeError

pytestmark = pytest.mark.once

MODEL = product_model()
COUNT = 6
NUMBERS = np.arange(COUNT, dtype=np.float32)
VECTORS = np.stack([NUMBERS, NUMBERS], axis=1)
ATTRIBUTES: dict[str, Any] = {"seller": [*"aabbcc"], "price": NUMBERS / 2}
TASTE = np.asarray([0.5, 0.5], np.float32)


def make_shop(count: int = COUNT) -> pi.Catalog:
    attributes = {"seller": np.asarray(ATTRIBUTES["seller"][:count], "U1"), "price": NUMBERS[:count]}
    return MODEL.catalog({"i": NUMBERS[:count]}, attributes=attributes, vectors=VECTORS[:count])


SHOP, EMPTY, OTHER = make_shop(), make_shop(0), make_shop()


def of_catalog(shop: pi.Catalog, k: Any, **rules: Any) -> list[int]:
    found = shop.top_k({"u": 1.0}, k, **rules)
    assert found.count == len(found.ids)
    return [*found.ids.tolist()]


def of_retriever(shop: pi.Catalog, k: Any, **rules: Any) -> list[int]:
    found = shop.retriever.top_k(TASTE, k, **rules)
    return [*found.ids[0, : found.counts[0]].tolist()]


def of_pipeline(shop: pi.Catalog, k: Any, **rules: Any) -> list[int]:
    pipeline = pi.Pipeline(pi.Source(shop.retriever, "taste", k=COUNT), shop)
    found = pipeline.top_k({"u": 1.0, "taste": TASTE}, k, **rules)
    assert found.skipped == 0
    return [*found.ids.tolist()]


def of_model(shop: pi.Catalog, k: Any, **rules: Any) -> list[int]:
    return [*MODEL.top_k({"u": 1.0}, {"i": NUMBERS}, k, attributes=ATTRIBUTES, **rules).ids.tolist()]


CALLS: tuple[Callable[..., list[int]], ...] = (of_catalog, of_retriever, of_pipeline, of_model)


def calls_with(shop: pi.Catalog, rules: dict[str, Any]) -> tuple[Callable[..., list[int]], ...]:
    """A model's candidates are in no store, so it has no filters; and here it has some."""
    return CALLS[:3] if "where" in rules or not len(shop) else CALLS


RESULTS: list[tuple[str, pi.Catalog, Any, dict[str, Any], list[int]]] = [
    ("none asked for", SHOP, 0, {}, []),
    ("none asked for, with rules", SHOP, 0, {"max_per": {"seller": 1}, "diversity": pi.MMR("seller")}, []),
    ("more than there are", SHOP, 10**30, {}, [5, 4, 3, 2, 1, 0]),
    ("unknown and equal ids", SHOP, 9, {"exclude": [99, -1, 0, 0], "allow": [5, 5, 0, 77]}, [5]),
    ("all excluded by ids", SHOP, 9, {"exclude": range(100)}, []),
    ("all excluded by a mask", SHOP, 9, {"exclude": np.ones(COUNT, bool)}, []),
    ("none allowed", SHOP, 9, {"allow": []}, []),
    ("all excluded under rules", SHOP, 9, {"exclude": range(6), "diversity": pi.DPP("seller")}, []),
    ("caps that let nothing through", SHOP, 9, {"max_per": {"seller": 0}}, []),
    ("caps that leave fewer than k", SHOP, 9, {"max_per": {"seller": {"c": 0, "a": 1, "zz": 0}}}, [3, 2, 1]),
    ("minus infinity", SHOP, 2, {"boost": [0, 0, 0, 0, -np.inf, -np.inf]}, [3, 2]),
    ("no items", EMPTY, 9, {}, []),
    ("no items, a mask", EMPTY, 9, {"allow": np.ones(0, bool), "exclude": [1]}, []),
    ("no items, a filter", EMPTY, 9, {"where": ~EMPTY.where("seller", "a")}, []),
    ("no items, rules", EMPTY, 9, {"max_per": {"seller": 1}, "diversity": pi.MMR("seller"), "boost": []}, []),
    ("a copied filter", SHOP, 9, {"where": copy.copy(SHOP.where("seller", "a"))}, [1, 0]),
]


@pytest.mark.parametrize("case", range(len(RESULTS)), ids=[name for name, *_ in RESULTS])
def test_a_result_that_is_documented(case: int) -> None:
    _, shop, k, rules, expected = RESULTS[case]
    for call in calls_with(shop, rules):
        assert call(shop, k, **rules) == expected


ERRORS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (-1, {}, InputError, "k: expected at least 0, got -1"),
    (True, {}, DTypeError, "k: expected a whole number, got bool"),
    (2.0, {}, DTypeError, "k: expected a whole number, got float"),
    (3, {"exclude": [1.0]}, DTypeError, "exclude: expected whole numbers, got float64"),
    (3, {"exclude": ["a"]}, DTypeError, "^exclude: expected whole numbers, got strings"),
    (3, {"exclude": 3}, ShapeError, r"exclude: expected one axis, got shape \[\]"),
    (3, {"exclude": np.zeros((2, 3), int)}, ShapeError, r"exclude: expected one axis, got shape \[2, 3\]"),
    (3, {"exclude": [None]}, InputError, "exclude"),
    (3, {"allow": np.ones(COUNT - 1, bool)}, ShapeError, "allow: expected 6 booleans, .* got 5"),
    (3, {"allow": np.ones(COUNT)}, DTypeError, "allow: expected whole numbers, got float64"),
    (3, {"allow": np.ones((1, COUNT), bool)}, ShapeError, "allow: expected one axis of booleans"),
    (3, {"allow": [True, 1, 0, False, 1, 1]}, DTypeError, "allow: expected booleans or ids, got some of"),
    (3, {"where": OTHER.where("seller", "a")}, InputError, "where: expected a filter of the same"),
    (3, {"where": OTHER.retriever.filter([1])}, InputError, "where: expected a filter of the same"),
    (3, {"where": np.ones(COUNT, bool)}, DTypeError, "where: expected a Filter, got ndarray"),
    (3, {"max_per": {"seller": -1}}, InputError, "max_per, attribute 'seller': expected at least 0"),
    (3, {"max_per": {"seller": True}}, DTypeError, "max_per, attribute 'seller': .* got bool"),
    (3, {"max_per": {"price": 1}}, DTypeError, "max_per: expected strings, whole numbers"),
    (3, {"max_per": {"size": 1}}, InputError, r"the name of one of them \(.*seller.*\), got 'size'"),
    (
        3,
        {"min_per": {"seller": {"b": 0, "a": 3}}},
        InputError,
        r"\(quota 1\): expected 3 items .* there are 2",
    ),
    (
        3,
        {"min_per": {"seller": {"q": 1}}},
        InputError,
        r"\(quota 0\): expected 1 items of its value, there are 0",
    ),
    (3, {"min_per": {"seller": {"a": 2, "b": 2}}}, InputError, "expected no more than k items, 3, got 4"),
    (
        3,
        {"min_per": {"seller": {"a": 2}}, "max_per": {"seller": 1}},
        InputError,
        r"min_per, .* \(quota 0\): expected no more items than max_per has, 1, got 2",
    ),
    (3, {"boost": [0, np.nan, 0, 0, 0, 0]}, InputError, r"boost: expected numbers, not NaN \(row 1\)"),
    (
        3,
        {"boost": [0, 0, 1e300, 0, 0, 0]},
        InputError,
        r"boost: expected numbers that float32 holds \(row 2\)",
    ),
    (3, {"scale": [1, np.inf, 1, 1, 1, 1]}, InputError, r"scale: expected finite numbers \(row 1\)"),
    (3, {"boost": [0.0] * 5}, ShapeError, r"boost: expected shape \[6\], got \[5\]"),
    (3, {"boost": [True] * COUNT}, DTypeError, "boost"),
    (3, {"diversity": 0.5}, DTypeError, "diversity: expected MMR or DPP, got float"),
    (3, {"diversity": pi.MMR(np.ones((5, 2)))}, ShapeError, r"diversity: expected vectors of shape \[6, "),
    (3, {"diversity": pi.MMR(np.full((6, 2), np.nan))}, InputError, "diversity: expected vectors of finite"),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_an_error_says_what_is_wrong(case: int) -> None:
    k, rules, kind, text = ERRORS[case]
    for call in calls_with(SHOP, rules):
        with pytest.raises(kind, match=text):
            call(SHOP, k, **rules)


@pytest.mark.parametrize("made", [pi.MMR, pi.DPP])
def test_how_diverse_is_not_what_likeness_is_of(made: Any) -> None:
    for number in (0.3, 1, np.float32(0.3)):
        with pytest.raises(DTypeError, match="by: expected attributes, vectors or None, got"):
            made(number)


def test_filters_are_of_a_catalogue_and_change_with_it() -> None:
    shop = make_shop()
    where = shop.where("seller", "a") | shop.filter([3, 9])
    for broken in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            broken(where)
    assert of_pipeline(shop, 9, where=where) == of_retriever(shop, 9, where=where) == [3, 1, 0]
    shop.upsert(
        {"i": np.asarray([9, 8], np.float32)},
        [9, 1],
        {"seller": ["c", "c"], "price": [0, 0]},
        np.full((2, 2), 9),
    )
    shop.remove([3])
    assert of_pipeline(shop, 9, where=where) == of_retriever(shop, 9, where=where) == [9, 0]


def test_ids_and_vectors_that_do_not_fit() -> None:
    for ids, kind in (([99], IdRangeError), ([-1], IdRangeError), ([0.0], DTypeError)):
        with pytest.raises(kind):
            SHOP.top_k({"u": 1.0}, 3, ids)
    assert SHOP.top_k({"u": 1.0}, 3, [0, 0, 1]).ids.tolist() == [1, 0, 0]
    for query in ([np.nan, 1], [1, np.inf], [1e300, 1]):
        with pytest.raises(InputError, match=r"'queries': expected vectors of finite numbers \(row 0\)"):
            SHOP.retriever.top_k(query)
    for shape in ((1,), (2, 3), (1, 1, 2)):
        with pytest.raises(ShapeError, match="'queries'"):
            SHOP.retriever.top_k(np.ones(shape))


def test_what_is_no_source_no_filter_or_of_another_length() -> None:
    retriever: Any = SHOP.retriever
    for given in (retriever, [retriever], 5):
        with pytest.raises(DTypeError, match=r"sources: expected Source or several, .* got (Shared|int)"):
            pi.Pipeline(given, SHOP)
    with pytest.raises(InputError, match=r"missing: expected one of skip, error, got 'keep'"):
        pi.Pipeline(pi.Source(retriever, "taste"), SHOP, missing="keep")  # type: ignore[arg-type]
    mask: Any = np.ones(COUNT, bool)
    for combined in (lambda: SHOP.where("seller", "a") & mask, lambda: mask | SHOP.where("seller", "a")):
        with pytest.raises(DTypeError, match=r"expected a Filter, got ndarray; `filter` makes one"):
            combined()
    short = {"seller": ["a"]}
    with pytest.raises(ShapeError, match="attribute 'seller': expected 6 values, one for each item, got 1"):
        MODEL.top_k({"u": 1.0}, {"i": NUMBERS}, 3, attributes=short)
    with pytest.raises(
        DTypeError, match=r"attributes: expected arrays by their names: a mapping, or .* got list"
    ):
        MODEL.top_k({"u": 1.0}, {"i": NUMBERS}, 3, attributes=[1])
    with pytest.raises(DTypeError, match="exclude: expected strings, got int64"):
        MODEL.top_k({"u": 1.0}, {"i": NUMBERS}, 3, [*"abcdef"], exclude=[1])


def test_strings_of_a_models_candidates_are_known_to_rules() -> None:
    rules: dict[str, Any] = {"min_per": {"seller": {"a": 2}}, "max_per": {"seller": {"c": 0, "a": 2}}}
    assert of_model(SHOP, 4, **rules) == of_catalog(SHOP, 4, **rules) == [3, 2, 1, 0]
    assert of_model(SHOP, 9, max_per={"seller": {"b": 1}}) == [5, 4, 3, 1, 0]
