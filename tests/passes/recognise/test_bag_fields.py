"""Bags of several fields whose lengths are a matrix, [B, F] or [F, B]."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx.helper import make_node
from support.bag_models import FIELDS, TABLE, WEIGHTS, fields, with_input
from support.references import run_reference

import pyrec_infer as pi
from pyrec_infer.errors import ShapeError

Array = NDArray[Any]


@cache
def model(axis: int) -> pi.Model:
    return pi.load(fields(axis))


def ragged(axis: int, lengths: Array, seed: int = 0) -> dict[str, Array]:
    """The inputs for bags of these lengths [B, F]."""
    ids = np.random.default_rng(seed).integers(0, len(TABLE), lengths.sum())
    return {"ids": ids, "lengths": np.ascontiguousarray(lengths.T) if axis else lengths}


def bags(axis: int, given_: dict[str, Array]) -> Array:
    """What the bags of each row add to its score, in float64."""
    lengths = given_["lengths"]
    ends = np.cumsum(lengths.reshape(-1)).reshape(lengths.shape)
    starts = ends - lengths
    starts, ends = (starts.T, ends.T) if axis else (starts, ends)
    table = TABLE.astype(np.float64) @ WEIGHTS[:4, 0].astype(np.float64)
    scores = table[given_["ids"]]
    return np.asarray(
        [
            sum((f + 1) * scores[a:b].sum() for f, (a, b) in enumerate(zip(*row, strict=True)))
            for row in zip(starts, ends, strict=True)
        ]
    )


def dense(rows: int) -> tuple[Array, Array]:
    """The other input, and what it adds to the scores."""
    x = np.random.default_rng(3).normal(size=(rows, 5)).astype(np.float32)
    return x, x.astype(np.float64) @ WEIGHTS[4:, 0].astype(np.float64)


def lengths_of(rows: int, seed: int = 1) -> Array:
    return np.random.default_rng(seed).integers(0, 4, (rows, FIELDS))


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("axis", [0, 1])
def test_fields_on_every_side(axis: int) -> None:
    given_ = ragged(axis, lengths_of(40))
    x, added = dense(40)
    wanted = bags(axis, given_)
    close(model(axis).run({**given_, "x": x})["y"], wanted + added)
    close(model(axis).score({"x": x[:1]}, given_), wanted + added[0])
    request = ragged(axis, lengths_of(1, seed=5))
    close(model(axis).score(request, {"x": x}), bags(axis, request) + added)
    steps = [
        s["operator"] for p in model(axis).explain(list(request)).as_dict()["phases"] for s in p["steps"]
    ]
    assert steps.count("pyrec.EmbeddingBag") == FIELDS


@pytest.mark.parametrize("axis", [0, 1])
def test_fields_of_several_requests_and_of_items(axis: int) -> None:
    x, added = dense(9)
    requests = ragged(axis, lengths_of(3))
    rows = np.repeat(np.arange(3), [3, 2, 4])
    found = model(axis).score(requests, {"x": x}, offsets=[0, 3, 5, 9])
    close(found, bags(axis, requests)[rows] + added)
    catalog = model(axis).catalog({"x": x})
    close(catalog.score(ragged(axis, lengths_of(1))), bags(axis, ragged(axis, lengths_of(1))) + added)


@pytest.mark.parametrize("axis", [0, 1])
def test_fields_of_items_are_computed_when_they_enter(axis: int) -> None:
    x, added = dense(1)
    items, changed = ragged(axis, lengths_of(12)), ragged(axis, lengths_of(2, seed=8), seed=4)
    catalog = model(axis).catalog(items)
    wanted = bags(axis, items) + added
    close(catalog.score({"x": x}), wanted)
    catalog.upsert(changed, [3, 20])
    wanted[3] = bags(axis, changed)[0] + added[0]
    close(catalog.score({"x": x})[:12], wanted)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_wrong_length_is_named_by_its_row(axis: int) -> None:
    lengths = np.ones((4, FIELDS), np.int64)
    x, _ = dense(4)
    for row, wrong in ((3, 2), (1, -1), (2, 2**62)):
        changed = lengths.copy()
        changed[row, FIELDS - 1] = wrong
        given_ = {"ids": np.zeros(12, np.int64), "lengths": changed.T.copy() if axis else changed, "x": x}
        with pytest.raises(ShapeError, match=r"^input 'lengths': expected a bag .*\(row \d\)"):
            model(axis).run(given_)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1), st.integers(1, 4), st.integers(0, 99))
def test_any_lengths(axis: int, rows: int, seed: int) -> None:
    requests, (x, added) = ragged(axis, lengths_of(rows, seed), seed), dense(rows)
    found = model(axis).score(requests, {"x": x}, offsets=np.arange(rows + 1))
    close(found, bags(axis, requests) + added)
    reference = run_reference(fields(axis), {**requests, "x": x})
    close(found, reference)


def other_use(axis: int, op: str) -> bytes:
    """The bags of all fields and rows, used before they are told apart, or never told apart."""
    proto = onnx.ModelProto.FromString(fields(axis))
    (each,) = (node for node in proto.graph.node if "each" in node.output)
    each.input[0] = "used"
    nodes = [make_node(op, ["bags"], ["used"])]
    if op == "ReduceMax":
        nodes = [make_node(op, ["bags", "zero1"], ["most"]), make_node("Sub", ["bags", "most"], ["used"])]
    place = list(proto.graph.node).index(each)
    kept = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*kept[:place], *nodes, *kept[place:]])
    return proto.SerializeToString()


def almost(axis: int, use: str) -> bytes:
    if use:
        return other_use(axis, use)
    found = with_input(fields(axis), "each", 1, "by_row" if axis else "by_field")
    found = with_input(found, "weighed", 1, "row_weights" if axis else "field_weights")
    return with_input(found, "added", 1, "one1" if axis else "zero1")


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("use", ["Relu", "ReduceMax", ""])
def test_other_uses_run_as_they_say_and_are_scored_so_or_refused(axis: int, use: str) -> None:
    proto = almost(axis, use)
    loaded, x = pi.load(proto), dense(4)[0]
    given_ = {**ragged(axis, lengths_of(4)), "x": x}
    close(loaded.run(given_)["y"], run_reference(proto, given_))
    one = lengths_of(1, seed=5)
    request, repeated = ragged(axis, one), ragged(axis, np.repeat(one, 4, axis=0))
    parts = np.split(request["ids"], np.cumsum(one[0])[:-1])
    tiled = [np.tile(part, 4) for part in parts] if axis else [np.tile(request["ids"], 4)]
    repeated["ids"] = np.concatenate(tiled)
    close(loaded.score(request, {"x": x}), loaded.run({**repeated, "x": x})["y"])


@pytest.mark.parametrize("axis", [0, 1])
def test_largest_of_each_field(axis: int) -> None:
    """TorchScript's loop guards no empty bag, so that its numbers are those of the bags that have some."""
    proto = fields(axis, "max")
    loaded, (x, added) = pi.load(proto), dense(3)
    lengths = lengths_of(3) + 1
    requests = ragged(axis, lengths)
    wanted = run_reference(proto, {**requests, "x": np.zeros_like(x)}) + added
    close(loaded.run({**requests, "x": x})["y"], wanted)
    close(loaded.score(requests, {"x": x}, offsets=[0, 1, 2, 3]), wanted)
    close(loaded.catalog(requests).score({"x": np.zeros((1, 5), np.float32)}), wanted - added)
