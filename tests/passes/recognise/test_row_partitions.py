"""Ragged tensors of TensorFlow on every side of a call: their rows are bags, whatever tells them apart."""

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
from support.segment_models import behind, partitions

import pyrec_infer as pi
from pyrec_infer.errors import PyrecError, RowCountError, ShapeError

Array = NDArray[Any]
WAYS = ("splits", "lengths", "starts", "rowids")
NEAR_MISSES = (
    ("later", 1, "zero1"),
    ("earlier", 2, "far"),
    ("between", 1, "later"),
    ("row_count", 1, "zero"),
    ("all_rows", 0, "one"),
    ("limits", 0, "later"),
    ("longest", 0, "later"),
    ("width", 0, "one32"),
    ("steps", 1, "longest"),
    ("mask", 0, "limits_f"),
    ("mask", 1, "steps_f"),
    ("found_places", 0, "mask"),
    ("repeats32", 0, "width1"),
    ("spread", 0, "limit_column"),
    ("rows", 0, "kept_places"),
    ("rows", 1, "flat_rows"),
    ("count", 0, "split_count"),
)
"""A value, and a place where the node of that value reads something else."""


@cache
def model(way: str) -> pi.Model:
    return pi.load(partitions(way))


def dense(rows: int) -> Array:
    return np.random.default_rng(3).normal(size=(rows, 5)).astype(np.float32)


def ragged(way: str, lengths: Array, seed: int = 0) -> dict[str, Array]:
    ids = np.random.default_rng(seed).integers(0, len(TABLE), int(np.sum(lengths)))
    ends = np.cumsum(lengths)
    told = {
        "splits": np.append(0, ends),
        "lengths": lengths,
        "starts": ends - lengths,
        "rowids": np.repeat(np.arange(len(lengths)), lengths),
    }
    return {"ids": ids, way: told[way]}


def wanted(given_: dict[str, Array], lengths: Array, x: Array) -> Array:
    """The score of every row, in float64."""
    rows, bags = np.repeat(np.arange(len(lengths)), lengths), np.zeros((len(lengths), 4))
    np.add.at(bags, rows, TABLE.astype(np.float64)[given_["ids"]])
    return np.asarray(np.concatenate([bags, x], axis=1) @ WEIGHTS.astype(np.float64)[:, 0])


def close(found: Array, expected: Array) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("way", WAYS)
def test_requests(way: str) -> None:
    x, lengths = dense(5), np.asarray([2, 0, 3])
    requests = ragged(way, lengths)
    rows = np.repeat(np.arange(3), [1, 3, 1])
    of_x = wanted({"ids": np.zeros(0, int)}, np.zeros(5, int), x)
    of_bags = wanted(requests, lengths, np.zeros((3, 5)))
    close(model(way).score(requests, {"x": x}, offsets=[0, 1, 4, 5]), of_bags[rows] + of_x)
    request = ragged(way, lengths[:1])
    alone = wanted(request, lengths[:1], np.zeros((1, 5))) + of_x
    close(model(way).score(request, {"x": x}), alone)
    close(model(way).prepare(list(request), ["x"])(*request.values(), x), alone)
    close(model(way).catalog({"x": x}).score(request), alone)
    close(model(way).top_k(request, {"x": x}, k=2).scores, np.sort(alone)[:2:-1])
    steps = [
        step["operator"]
        for phase in model(way).explain(list(request)).as_dict()["phases"]
        for step in phase["steps"]
    ]
    assert "pyrec.EmbeddingBag" in steps
    assert not {"NonZero", "TopK", "ScatterND"} & set(steps)


@pytest.mark.parametrize("way", WAYS[:3])
def test_candidates_and_items(way: str) -> None:
    x, lengths = dense(1), np.asarray([2, 0, 3, 1])
    items = ragged(way, lengths)
    expected = wanted(items, lengths, np.repeat(x, 4, axis=0))
    close(model(way).score({"x": x}, items), expected)
    catalog = model(way).catalog(items)
    close(catalog.score({"x": x}), expected)
    more = ragged(way, np.asarray([1, 2]), seed=5)
    catalog.upsert(more, [3, 8])
    close(catalog.score({"x": x}, [3, 8]), wanted(more, np.asarray([1, 2]), np.repeat(x, 2, axis=0)))


@settings(max_examples=10, deadline=None)
@given(st.sampled_from(WAYS), st.lists(st.integers(0, 3), min_size=1, max_size=4), st.integers(0, 99))
def test_any_lengths(way: str, own: list[int], seed: int) -> None:
    lengths, x = np.asarray(own), dense(len(own))
    given_ = ragged(way, lengths, seed)
    expected = wanted(given_, lengths, x)
    close(model(way).run({**given_, "x": x})["y"], expected)
    close(model(way).score(given_, {"x": x}, offsets=np.arange(len(own) + 1)), expected)
    if len(given_["ids"]):
        close(run_reference(partitions(way), {**given_, "x": x}), expected)


@pytest.mark.parametrize("way", WAYS[:2])
def test_every_id_has_a_row(way: str) -> None:
    given_ = ragged(way, np.asarray([2, 1]))
    for count in (2, 5):
        with pytest.raises(ShapeError, match=rf"^input '{way}': expected a .*bag that"):
            model(way).run({**given_, "ids": np.zeros(count, np.int64), "x": dense(2)})
    with pytest.raises(RowCountError):
        model(way).run({**given_, "x": dense(3)})


def test_starts_that_leave_ids_out_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"^input 'starts'"):
        model("starts").score({"ids": np.arange(4), "starts": np.asarray([1])}, {"x": dense(2)})


@pytest.mark.parametrize("miss", NEAR_MISSES, ids=lambda miss: "-".join(map(str, miss)))
def test_what_only_looks_like_rows_of_a_ragged_tensor_is_refused(miss: tuple[str, int, str]) -> None:
    try:
        almost = pi.load(with_input(partitions("splits"), *miss))
        found = almost.score(ragged("splits", np.asarray([3])), {"x": dense(2)})
    except PyrecError:
        return
    raise AssertionError(f"scored {found.shape}")


@pytest.mark.parametrize("node", [("CumSum", "given", "zero"), ("Gather", "given", "turned")])
def test_lengths_that_read_other_rows_are_not_repeated(node: tuple[str, str, str]) -> None:
    op, *operands = node
    nodes = [
        make_node("Shape", ["given"], ["given_count1"]),
        make_node("Squeeze", ["given_count1", "zero1"], ["given_count"]),
        make_node("Range", ["zero", "given_count", "one"], ["places_up"]),
        make_node("Neg", ["places_up"], ["turned"]),
        make_node(op, operands, ["lengths"]),
    ]
    almost = pi.load(behind(partitions("lengths"), "lengths", "given", nodes))
    given_ = {"ids": np.arange(3), "given": np.asarray([1, 1])}
    with pytest.raises(PyrecError):
        almost.score(given_, {"x": dense(4)}, offsets=[0, 1, 4])


def test_lengths_may_be_made_of_what_stands_at_their_place() -> None:
    nodes = [make_node("Add", ["given", "one"], ["lengths"])]
    almost = pi.load(behind(partitions("lengths"), "lengths", "given", nodes))
    found = almost.score(
        {"ids": np.arange(3), "given": np.asarray([1, 0])}, {"x": dense(2)}, offsets=[0, 1, 2]
    )
    close(found, wanted({"ids": np.arange(3)}, np.asarray([2, 1]), dense(2)))
