"""Fields with a table each, on every side of a call: their bags lie in one list, or in one for each."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.bag_models import with_input
from support.field_models import DENSE, FIELDS, TABLES, WAYS, tables
from support.references import run_reference

import pyrec_infer as pi
from pyrec_infer.errors import PyrecError, ShapeError

Array = NDArray[Any]
FORMS = (*((way, "sum") for way in WAYS), ("offsets", "mean"), ("sums", "max"), ("each", "mean"))
NEAR_MISSES = (
    ("offsets", "begin1", 1, "number2"),
    ("offsets", "before_end1", 1, "number3"),
    ("offsets", "end1", 1, "number2"),
    ("offsets", "first1", 1, "number1"),
    ("offsets", "behind1", 1, "number0"),
    ("offsets", "ids1", 1, "zero1"),
    ("offsets", "own1", 1, "first0"),
    ("sums", "first1", 1, "number0"),
    ("sums", "behind1", 1, "number3"),
    ("sums", "lengths1", 1, "number0"),
    ("sums-turned", "per_field", 1, "one1"),
    ("sums-weighted", "weights1", 1, "first1_0"),
)
"""A way, a value in it, and a place where the node of that value reads something else."""


@cache
def model(way: str, mode: str) -> pi.Model:
    return pi.load(tables(way, mode))


def dense(rows: int) -> Array:
    return np.random.default_rng(3).normal(size=(rows, 5)).astype(np.float32)


def ragged(way: str, lengths: Array, seed: int = 0) -> dict[str, Array]:
    """The inputs for bags of these lengths [F, B]; lists of the fields are as long as the longest."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, 20, int(lengths.sum()))
    ends = np.cumsum(lengths, axis=1)
    if not way.startswith("each"):
        found = {"ids": ids, "lengths": np.ascontiguousarray(lengths.T) if way == "sums-turned" else lengths}
        return (
            {**found, "weights": generator.random(len(ids)).astype(np.float32)} if "weigh" in way else found
        )
    starts = ends - lengths
    offsets = np.concatenate([starts, ends[:, -1:]], axis=1) if "last" in way else starts
    return {"ids": generator.integers(0, 20, (FIELDS, int(ends[0, -1]))), "offsets": offsets}


def bags(way: str, mode: str, given_: dict[str, Array], lengths: Array) -> Array:
    """What the bags of each row add to its score, in float64."""
    added, place = np.zeros(lengths.shape[1]), 0
    for field in range(FIELDS):
        part = DENSE[4 * field : 4 * field + 4, 0].astype(np.float64)
        place = 0 if way.startswith("each") else place
        for row, length in enumerate(lengths[field]):
            ids = given_["ids"][field] if way.startswith("each") else given_["ids"]
            own = slice(place, place + length)
            numbers = TABLES[field].astype(np.float64)[ids[own]]
            numbers = numbers * given_["weights"][own, None] if "weights" in given_ else numbers
            added[row] += getattr(np, mode)(numbers, axis=0) @ part if length else 0
            place += length
    return added


def lengths_of(way: str, mode: str, rows: int, seed: int = 1) -> Array:
    """Lengths [F, B]; lists of all fields are as long as each other, and a maximum is of something."""
    found = np.random.default_rng(seed).integers(int(mode == "max"), 4, (FIELDS, rows))
    return np.repeat(found[:1], FIELDS, axis=0) if way.startswith("each") else found


def of_x(x: Array) -> Array:
    return np.asarray(x.astype(np.float64) @ DENSE[4 * FIELDS :, 0].astype(np.float64))


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("way", "mode"), FORMS)
def test_requests(way: str, mode: str) -> None:
    loaded, x, lengths = model(way, mode), dense(6), lengths_of(way, mode, 3)
    requests = ragged(way, lengths)
    rows = np.repeat(np.arange(3), [1, 3, 2])
    found = loaded.score(requests, {"x": x}, offsets=[0, 1, 4, 6])
    close(found, bags(way, mode, requests, lengths)[rows] + of_x(x))
    one = lengths_of(way, mode, 1, seed=4)
    request = ragged(way, one)
    wanted = bags(way, mode, request, one) + of_x(x)
    close(loaded.score(request, {"x": x}), wanted)
    close(loaded.prepare(list(request), ["x"])(*request.values(), x), wanted)
    close(loaded.top_k(request, {"x": x}, k=2).scores, np.sort(wanted)[:3:-1])
    close(loaded.catalog({"x": x}).score(request), wanted)
    phases = loaded.explain(list(request)).as_dict()["phases"]
    assert [s["operator"] for p in phases for s in p["steps"]].count("pyrec.EmbeddingBag") == FIELDS


@pytest.mark.parametrize(("way", "mode"), FORMS)
def test_candidates_and_items(way: str, mode: str) -> None:
    loaded, x, lengths = model(way, mode), dense(1), lengths_of(way, mode, 5)
    items = ragged(way, lengths)
    wanted = bags(way, mode, items, lengths) + of_x(x)
    close(loaded.score({"x": x}, items), wanted)
    catalog = loaded.catalog(items)
    close(catalog.score({"x": x}), wanted)
    changed, more = ragged(way, lengths[:, :2], seed=7), lengths[:, :2]
    catalog.upsert(changed, [3, 9])
    close(catalog.score({"x": x}, [3, 9]), bags(way, mode, changed, more) + of_x(x))


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(FORMS), st.integers(1, 4), st.integers(0, 99))
def test_any_lengths(form: tuple[str, str], rows: int, seed: int) -> None:
    lengths, x = lengths_of(*form, rows, seed), dense(rows)
    given_ = ragged(form[0], lengths, seed)
    wanted = bags(*form, given_, lengths) + of_x(x)
    close(model(*form).run({**given_, "x": x})["y"], wanted)
    close(model(*form).score(given_, {"x": x}, offsets=np.arange(rows + 1)), wanted)


@pytest.mark.parametrize("way", ["offsets", "sums"])
def test_a_wrong_length_is_named_by_its_row(way: str) -> None:
    lengths = np.ones((FIELDS, 4), np.int64)
    for row, wrong in ((3, 3), (1, -1), (2, 2**62)):
        changed = lengths.copy()
        changed[FIELDS - 1, row] = wrong
        with pytest.raises(ShapeError, match=r"^input 'lengths': expected a bag .*\(row \d\)"):
            model(way, "sum").run({"ids": np.zeros(12, np.int64), "lengths": changed, "x": dense(4)})


@pytest.mark.parametrize("miss", NEAR_MISSES, ids=lambda miss: "-".join(map(str, miss)))
def test_what_only_looks_like_a_field_runs_as_it_says_or_not_at_all(miss: tuple[str, str, int, str]) -> None:
    way, *change = miss
    changed = with_input(tables(way), *change)
    lengths = lengths_of(way, "sum", 3)
    given_ = {**ragged(way, lengths), "x": dense(3)}
    loaded = pi.load(changed)
    try:
        found = loaded.run(given_)["y"]
    except PyrecError:
        found = None
    if found is not None:
        close(found, run_reference(changed, given_))
    request = {name: value for name, value in given_.items() if name != "x"}
    with pytest.raises(PyrecError):
        loaded.score(request, {"x": given_["x"]}, offsets=[0, 1, 2, 3])
