"""Segments of TensorFlow on every side of a call: tables of places are bags."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.helper import make_node
from support.bag_models import TABLE, WEIGHTS, with_input
from support.references import run_reference
from support.segment_models import behind, segments

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError, PyrecError, RowCountError

Array = NDArray[Any]
FORMS = (
    *((mode, counted, False) for mode in ("sum", "mean", "max", "min") for counted in (False, True)),
    *((mode, False, True) for mode in ("sum", "mean", "sqrtn")),
)
"""The reduction, whether the number of rows is that of the batch, and whether there are weights."""

NEAR_MISSES = (
    ("places", 2, "numbers"),
    ("corners", 1, "row_column"),
    ("own_count", 1, "numbers"),
    ("within", 1, "one"),
    ("numbers", 0, "one"),
    ("most", 0, "named"),
    ("after", 1, "two"),
    ("last_row", 0, "ids"),
    ("ordered", 0, "ids"),
    ("size", 1, "count"),
    ("bags", 1, "two1"),
    ("bags_taken", 0, "found"),
    ("bags_values", 1, "found"),
)
"""A value, and a place where the node of that value reads something else."""


@cache
def model(form: tuple[str, bool, bool]) -> pi.Model:
    return pi.load(segments(*form))


def dense(rows: int) -> Array:
    return np.random.default_rng(3).normal(size=(rows, 5)).astype(np.float32)


def pairs(form: tuple[str, bool, bool], lengths: Array, seed: int = 0) -> dict[str, Array]:
    """Pairs of ids and rows in any order, for bags of these lengths."""
    generator = np.random.default_rng(seed)
    total = int(np.sum(lengths))
    found: dict[str, Array] = {"ids": generator.integers(0, len(TABLE), total)}
    found["rows"] = generator.permutation(np.repeat(np.arange(len(lengths)), lengths))
    if form[2]:
        found["weights"] = generator.random(total).astype(np.float32) + np.float32(0.1)
    return found


def bags(form: tuple[str, bool, bool], given_: dict[str, Array], rows: int) -> Array:
    """What the bag of each row adds to its score, in float64."""
    weights = given_.get("weights", np.ones(len(given_["ids"]))).astype(np.float64)
    numbers = TABLE.astype(np.float64)[given_["ids"]] * weights[:, None]
    made = np.zeros((rows, 4))
    for row in range(rows):
        own, factors = numbers[given_["rows"] == row], weights[given_["rows"] == row]
        if form[0] in ("max", "min"):
            made[row] = getattr(np, form[0])(own, axis=0)
        elif len(own):
            divisor = {"sum": 1.0, "mean": factors.sum(), "sqrtn": np.sqrt((factors**2).sum())}[form[0]]
            made[row] = own.sum(axis=0) / divisor
    return made @ WEIGHTS[:4, 0].astype(np.float64)


def lengths_of(form: tuple[str, bool, bool], lengths: list[int]) -> Array:
    """Lengths that the form has numbers for: rows end with one that is named, and others divide by none."""
    mode, counted, weighted = form
    found = np.asarray(lengths)
    if mode in ("max", "min") or (mode == "mean" and not counted and not weighted):
        return np.maximum(found, 1)
    return found if counted else np.append(found[:-1], max(1, found[-1]))


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def of_x(x: Array) -> Array:
    return np.asarray(x.astype(np.float64) @ WEIGHTS[4:, 0].astype(np.float64))


@pytest.mark.parametrize("form", FORMS)
def test_a_table_of_places_is_a_bag(form: tuple[str, bool, bool]) -> None:
    explained = model(form).explain(list(pairs(form, np.asarray([2])))).as_dict()
    steps = {step["operator"] for phase in explained["phases"] for step in phase["steps"]}
    assert "pyrec.EmbeddingBag" in steps
    assert not {"ScatterND", "ScatterElements", "TopK", "Unique"} & steps


@pytest.mark.parametrize("form", FORMS)
def test_requests(form: tuple[str, bool, bool]) -> None:
    x, lengths = dense(6), lengths_of(form, [2, 0, 3])
    requests = pairs(form, lengths)
    found = model(form).score(requests, {"x": x}, offsets=[0, 1, 4, 6])
    close(found, bags(form, requests, 3)[[0, 1, 1, 1, 2, 2]] + of_x(x))
    request = pairs(form, lengths_of(form, [4]))
    wanted = bags(form, request, 1) + of_x(x)
    close(model(form).score(request, {"x": x}), wanted)
    close(model(form).prepare(list(request), ["x"])(*request.values(), x), wanted)
    close(model(form).top_k(request, {"x": x}, k=2).scores, np.sort(wanted)[:3:-1])
    close(model(form).catalog({"x": x}).score(request), wanted)
    repeated = {key: np.tile(value, 6) for key, value in request.items()}
    repeated["rows"] = np.repeat(np.arange(6), 4)
    close(model(form).run({**repeated, "x": x})["y"], wanted)


@pytest.mark.parametrize("form", [form for form in FORMS if not form[1]])
def test_candidates_and_items(form: tuple[str, bool, bool]) -> None:
    x, lengths = dense(1), lengths_of(form, [2, 0, 3, 1])
    items = pairs(form, lengths)
    wanted = bags(form, items, 4) + of_x(x)
    close(model(form).score({"x": x}, items), wanted)
    catalog = model(form).catalog(items)
    close(catalog.score({"x": x}), wanted)
    changed = pairs(form, lengths_of(form, [1, 2]), seed=7)
    catalog.upsert(changed, [3, 9])
    close(catalog.score({"x": x}, [3, 9]), bags(form, changed, 2) + of_x(x))


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(FORMS), st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 99))
def test_any_lengths(form: tuple[str, bool, bool], lengths: list[int], seed: int) -> None:
    own, x = lengths_of(form, lengths), dense(len(lengths))
    given_ = pairs(form, own, seed)
    wanted = bags(form, given_, len(own)) + of_x(x)
    close(model(form).score(given_, {"x": x}, offsets=np.arange(len(own) + 1)), wanted)
    close(model(form).run({**given_, "x": x})["y"], wanted)
    if len(given_["ids"]):
        close(run_reference(segments(*form), {**given_, "x": x}), wanted)


@pytest.mark.parametrize("counted", [False, True])
def test_a_row_that_there_is_not_is_refused(counted: bool) -> None:
    loaded, ids = model(("sum", counted, False)), np.asarray([1, 2, 3])
    with pytest.raises(IdRangeError, match=r"^input 'rows': .*expected 0 <= .*\(row 1\)"):
        loaded.run({"ids": ids, "rows": np.asarray([0, -1, 1]), "x": dense(2)})
    with pytest.raises(IdRangeError if counted else RowCountError):
        loaded.run({"ids": ids, "rows": np.asarray([0, 1, 2]), "x": dense(2)})
    with pytest.raises(IdRangeError if counted else RowCountError):
        loaded.score({"ids": ids, "rows": np.asarray([0, 1, 2])}, {"x": dense(2)})


def test_rows_that_end_before_the_batch_are_refused() -> None:
    ids, rows = np.asarray([1, 2]), np.asarray([0, 0])
    for form in (("sum", False, False), ("mean", False, True)):
        given_ = {"ids": ids, "rows": rows, **({"weights": np.ones(2, np.float32)} if form[2] else {})}
        with pytest.raises(RowCountError):
            model(form).run({**given_, "x": dense(2)})


@pytest.mark.parametrize("miss", NEAR_MISSES, ids=lambda miss: "-".join(map(str, miss)))
def test_what_only_looks_like_a_table_of_places_is_refused(miss: tuple[str, int, str]) -> None:
    almost = pi.load(with_input(segments("sum"), *miss))
    with pytest.raises(PyrecError):
        almost.score(pairs(("sum", False, False), np.asarray([3])), {"x": dense(2)})


@pytest.mark.parametrize("mode", ["sum", "max", "min"])
def test_a_value_that_changes_a_reduction_ends_no_bag(mode: str) -> None:
    almost = pi.load(segments(mode, neutral=0.5))
    with pytest.raises(PyrecError):
        almost.score(pairs((mode, False, False), np.asarray([3])), {"x": dense(2)})


@pytest.mark.parametrize("counted", [False, True])
def test_rows_may_be_a_column_of_sparse_indices(counted: bool) -> None:
    form, x = ("sum", counted, False), dense(3)
    nodes = [
        make_node("Slice", ["indices", "zeros2", "corner", "axes2"], ["column"]),
        make_node("Squeeze", ["column", "one1"], ["rows"]),
    ]
    loaded = pi.load(behind(segments(*form), "rows", "indices", nodes, columns=2))
    requests = pairs(form, np.asarray([2, 1, 3]))
    wanted = bags(form, requests, 3) + of_x(x)
    indices = np.stack([requests["rows"], np.arange(6)], axis=1)
    close(loaded.score({"ids": requests["ids"], "indices": indices}, {"x": x}, offsets=[0, 1, 2, 3]), wanted)
    close(loaded.run({"ids": requests["ids"], "indices": indices, "x": x})["y"], wanted)


@pytest.mark.parametrize("counted", [False, True])
def test_a_part_of_the_rows_is_not_repeated(counted: bool) -> None:
    nodes = [make_node("Slice", ["given", "zero1", "last1", "zero1"], ["rows"])]
    loaded = pi.load(behind(segments("sum", counted), "rows", "given", nodes))
    with pytest.raises(PyrecError):
        loaded.score({"ids": np.arange(2), "given": np.zeros(3, np.int64)}, {"x": dense(2)})
