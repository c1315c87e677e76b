"""Ids in any form in which people keep them name the same things in every call that takes some."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from support.models import FLOAT, one_node

import pyrec_infer as pi

pytestmark = pytest.mark.once

WORDS = ["a", "bc", "é", "d\0e"]
LARGE = [2**60 + 1, 2**60, 2**53, 2**53 + 1]
ITEM = "popular"
MODEL = pi.load(one_node("Add", {"x": (FLOAT, ["N"]), ITEM: (FLOAT, ["N"])}).SerializeToString())
VALUES = np.asarray([4, 3, 2, 1], np.float32)

TEXTS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "NumPy": np.asarray,
    "objects": lambda words: np.asarray(words, object),
    "NumPy's strings": lambda words: np.asarray(words, np.dtypes.StringDType()),
    "pandas": pd.Series,
    "pandas objects": lambda words: pd.Series(words, dtype=object),
    "categories": lambda words: pd.Series(words, dtype="category"),
    "polars": pl.Series,
    "Arrow": pa.array,
    "bytes": lambda words: [word.encode() for word in words],
}
NUMBERS: dict[str, Callable[[list[int]], Any]] = {
    "list": list,
    "int64": lambda numbers: np.asarray(numbers, np.int64),
    "uint64": lambda numbers: np.asarray(numbers, np.uint64),
    "objects": lambda numbers: np.asarray(numbers, object),
    "pandas": lambda numbers: pd.Series(numbers, dtype="Int64"),
    "polars": pl.Series,
    "Arrow": pa.array,
}


def left(given: Any, out: Any) -> list[list[Any]]:
    """What calls find without some ids, best first."""
    found = MODEL.top_k({"x": [0.0]}, {ITEM: VALUES}, 4, ids=given, exclude=out).ids
    also = pi.PopularItems(VALUES, given).recommend(0, None, N=4, filter_items=out).ids
    catalog = MODEL.catalog({ITEM: VALUES}, ids=given)
    stored = catalog.top_k({"x": [0.0]}, 4, exclude=out).ids
    source = pi.Source(lambda request, k: (given, VALUES), name="given")
    both = pi.Pipeline([source, pi.Source(lambda request, k: (given, VALUES), name="again")], catalog)
    staged = both.top_k({"x": [0.0]}, 4, exclude=out)
    assert staged.sources.all()
    return [[as_text(one) for one in each.tolist()] for each in (found, also, stored, staged.ids)]


def as_text(one: Any) -> Any:
    return one.decode() if isinstance(one, bytes) else one


@pytest.mark.parametrize("out", TEXTS)
@pytest.mark.parametrize("form", TEXTS)
def test_strings(form: str, out: str) -> None:
    assert left(TEXTS[form](WORDS), TEXTS[out](["bc", "none", "d\0e"])) == [["a", "é"]] * 4


@pytest.mark.parametrize("out", NUMBERS)
@pytest.mark.parametrize("form", NUMBERS)
def test_whole_numbers_that_floats_would_round(form: str, out: str) -> None:
    expected = [[LARGE[0], LARGE[3]]] * 4
    assert left(NUMBERS[form](LARGE), NUMBERS[out]([2**60, 2**53])) == expected


def test_ids_of_sources_and_rankers_of_another_sign() -> None:
    """Numbers of both types compare as what they are."""
    signed, unsigned = np.asarray(LARGE, np.int64), np.asarray(LARGE, np.uint64)
    for own, given in ((signed, unsigned), (unsigned, signed)):
        catalog = MODEL.catalog({ITEM: VALUES}, ids=own)
        sources = [
            pi.Source(lambda request, k, part=part: (part, np.ones(len(part))), name=name)
            for name, part in (("first", given[:2]), ("second", given[1:]))
        ]
        best = pi.Pipeline(sources, catalog).top_k({"x": [0.0]}, 4)
        assert best.ids.tolist() == LARGE
        assert best.sources.tolist() == [[True, False], [True, True], [False, True], [False, True]]


BEYOND = [2**64 - 1, 2**63, 2**60 + 1, 2**60]


@pytest.mark.parametrize("out", NUMBERS)
@pytest.mark.parametrize("form", NUMBERS)
def test_whole_numbers_beyond_int64(form: str, out: str) -> None:
    forms = {
        **NUMBERS,
        "int64": NUMBERS["uint64"],
        "pandas": lambda numbers: pd.Series(numbers, dtype="UInt64"),
        "polars": lambda numbers: pl.Series(numbers, dtype=pl.UInt64),
        "Arrow": lambda numbers: pa.array(numbers, pa.uint64()),
    }
    assert left(forms[form](BEYOND), forms[out]([2**63, 2**60])) == [[BEYOND[0], BEYOND[2]]] * 4
    for scheme in ("farmhash64", "keras"):
        expected = pi.hash_to_bucket(np.asarray(BEYOND, np.uint64), buckets=997, scheme=scheme)
        found = pi.hash_to_bucket(forms[form](BEYOND), buckets=997, scheme=scheme)
        np.testing.assert_array_equal(found, expected)


def test_what_one_array_would_change_is_refused() -> None:
    for ids in (
        ["a", 1, 2, 3],
        [1, "a", "b", "c"],
        [2**63 + 5, 2**60, 2, -1],
        [2**63 + 5, np.int64(-1), 2, 3],
        [2**70, 1, 2, 3],
    ):
        with pytest.raises(pi.DTypeError, match=r"^ids: expected .*\(row \d\)$"):
            MODEL.catalog({ITEM: VALUES}, ids=ids)
        with pytest.raises(pi.DTypeError, match=r"^ids: expected .*\(row \d\)$"):
            MODEL.top_k({"x": [0.0]}, {ITEM: VALUES}, 4, ids=ids)


def test_names_that_are_neither_numbers_nor_strings() -> None:
    names = [uuid.UUID(int=number) for number in range(4)]
    found = MODEL.top_k({"x": [0.0]}, {ITEM: VALUES}, 4, ids=names, exclude=names[1:2])
    assert found.ids.tolist() == [names[0], *names[2:]]
    mixed = np.asarray(["a", 1, 2, "b"], object)
    assert MODEL.top_k({"x": [0.0]}, {ITEM: VALUES}, 4, ids=mixed, exclude=[1]).ids.tolist() == [
        "a",
        2,
        "b",
    ]
