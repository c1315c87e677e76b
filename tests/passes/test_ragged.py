"""Ragged inputs on every side of a call: bags are recognised, and computed where they belong."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.bag_models import NEAR_MISSES, PADDING, SPELLINGS, TABLE, expected, mode_of, ragged, with_input
from support.references import run_reference

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError, InputError, PyrecError, RowCountError, ShapeError

Array = NDArray[Any]
MISSES = [miss for misses in NEAR_MISSES.values() for miss in misses]
CASES = ("req_bag_mean_ts", "req_bag_sum_dynamo", "req_jagged_lengths")


@cache
def model(name: str) -> pi.Model:
    return pi.load(SPELLINGS[name]())


def dense(rows: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).normal(size=(rows, 5)).astype(np.float32)


def close(found: Array, wanted: Array) -> None:
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def bag_lengths(name: str, lengths: list[int]) -> Array:
    """The largest of no numbers is minus infinity in a graph without a guard, so those have no empty bag."""
    unguarded = mode_of(name) == "max" and name.startswith("scripted")
    return np.maximum(lengths, 1) if unguarded else np.asarray(lengths)


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_is_one_operator(name: str) -> None:
    steps = [
        step["operator"]
        for phase in model(name).explain(list(ragged(name, np.asarray([2])))).as_dict()["phases"]
        for step in phase["steps"]
    ]
    assert "pyrec.EmbeddingBag" in steps
    assert not {"Loop", "ScatterND", "ScatterElements"} & set(steps)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("side", ["request", "candidates"])
def test_explain_lists_what_is_made_of_all_rows_of_a_side(name: str, side: str) -> None:
    request = list(ragged(name, np.asarray([2]))) if side == "request" else []
    explanation = model(name).explain(request)
    made = explanation.as_dict()
    (part,) = made["derived"]
    assert part["side"] == side
    assert {step["rate"] for step in part["steps"]} <= {"request" if request else "item", "size"}
    assert {item["name"] for item in made["inputs"]} == {item.name for item in model(name).inputs}
    read = {source for phase in made["phases"] for step in phase["steps"] for source in step["inputs"]}
    assert read.issuperset(part["outputs"])
    assert part["steps"][-1]["operator"] in str(explanation)
    steps = [*part["steps"], *(step for phase in made["phases"] for step in phase["steps"])]
    for rate, work in made["work"].items():
        rates = {rate, "model"} if rate == "request" else {rate}
        assert work["flops"] == sum(step["flops"] for step in steps if step["rate"] in rates)


@pytest.mark.parametrize("name", SPELLINGS)
def test_run(name: str) -> None:
    lengths = bag_lengths(name, [2, 0, 3, 1])
    inputs, x = ragged(name, lengths), dense(4)
    close(model(name).run({**inputs, "x": x})["y"], expected(name, inputs, lengths, x))


@pytest.mark.parametrize("name", SPELLINGS)
def test_request_is_scored_as_if_its_bag_were_repeated(name: str) -> None:
    x = dense(300)
    for lengths in (bag_lengths(name, [3]), bag_lengths(name, [0])):
        request = ragged(name, lengths)
        repeated = {
            key: np.tile(value, 300) for key, value in request.items() if key in ("ids", "weights", "lengths")
        }
        size = int(lengths[0])
        starts = np.arange(300) * size
        if "offsets" in request:
            repeated["offsets"] = np.append(starts, 300 * size) if name.endswith("last") else starts
        if "rows" in request:
            repeated["rows"] = np.repeat(np.arange(300), size)
        scores = model(name).score(request, {"x": x})
        np.testing.assert_allclose(scores, model(name).run({**repeated, "x": x})["y"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SPELLINGS)
def test_several_requests_have_bags_of_their_own(name: str) -> None:
    lengths, bounds, x = bag_lengths(name, [2, 0, 4]), [0, 3, 5, 9], dense(9)
    requests = ragged(name, lengths)
    rows = np.repeat(np.arange(3), np.diff(bounds))
    alone = expected(name, requests, lengths, np.zeros((3, 5)))[rows]
    wanted = alone + x.astype(np.float64) @ expected_of_dense()
    close(model(name).score(requests, {"x": x}, offsets=bounds), wanted)


@pytest.mark.parametrize("name", [name for name in SPELLINGS if not name.startswith("pairs")])
def test_candidates_bags(name: str) -> None:
    lengths = bag_lengths(name, [2, 0, 3, 1, 2] * 80)
    candidates, x = ragged(name, lengths), dense(2)
    wanted = expected(name, candidates, lengths, np.repeat(x, [150, 250], axis=0))
    close(model(name).score({"x": x}, candidates, offsets=[0, 150, 400]), wanted)
    close(model(name).score({"x": x[:1]}, candidates)[:150], wanted[:150])


@pytest.mark.parametrize("name", [name for name in SPELLINGS if not name.startswith("pairs")])
def test_items_bags_are_computed_when_they_enter(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrec_infer.catalog.encoder._BLOCK", 16)
    lengths = bag_lengths(name, [2, 0, 3, 1] * 12)
    items, x = ragged(name, lengths), dense(1)
    catalog = model(name).catalog(items)
    assert "pyrec.EmbeddingBag" in catalog.explain().as_dict()["catalog"]["item_steps"]
    wanted = expected(name, items, lengths, np.repeat(x, 48, axis=0))
    close(catalog.score({"x": x}), wanted)
    more = bag_lengths(name, [1, 5, 0])
    changed = ragged(name, more, seed=9)
    catalog.upsert(changed, [47, 3, 100])
    close(catalog.score({"x": x}, [47, 3, 100]), expected(name, changed, more, np.repeat(x, 3, axis=0)))
    close(catalog.score({"x": x}, [2, 46]), wanted[[2, 46]])
    twice = model(name).catalog(items, ids=np.arange(48) // 2)
    close(twice.score({"x": x}), wanted[1::2])


@pytest.mark.parametrize("name", SPELLINGS)
def test_prepared_calls_and_catalogues_take_ragged_requests(name: str) -> None:
    request, x = ragged(name, bag_lengths(name, [4])), dense(20)
    wanted = model(name).score(request, {"x": x})
    close(model(name).prepare(list(request), ["x"])(*request.values(), x), wanted)
    catalog = model(name).catalog({"x": x})
    close(catalog.score(request), wanted)
    close(catalog.prepare(list(request))(*request.values(), ids=np.asarray([7, 3])), wanted[[7, 3]])


@pytest.mark.parametrize("name", CASES)
def test_files_of_exporters(name: str, shared: Path) -> None:
    folder = shared / "cases" / name
    arrays = {part: dict(np.load(folder / f"{part}.npz")) for part in ("inputs", "request", "candidates")}
    loaded = pi.load(folder / "model.onnx")
    close(loaded.run(arrays["inputs"])["p"], np.load(folder / "expected.npz")["p"])
    wanted = np.load(folder / "expected_split.npz")["score"]
    close(loaded.score(arrays["request"], arrays["candidates"]), wanted)


def test_a_list_without_its_bounds_is_refused() -> None:
    both = ragged("scripted-sum-first", np.asarray([2, 1]))
    with pytest.raises(InputError, match="'ids'"):
        model("scripted-sum-first").score({"ids": both["ids"]}, {"offsets": both["offsets"], "x": dense(2)})


def test_as_many_bags_as_rows() -> None:
    for name in ("scripted-sum-first", "scripted-sum-last", "lengths-less"):
        inputs = ragged(name, np.asarray([2, 1, 2]))
        with pytest.raises(RowCountError):
            model(name).run({**inputs, "x": dense(4)})


def test_bounds_that_do_not_fit_name_the_input() -> None:
    with pytest.raises(PyrecError, match="'offsets'"):
        model("scripted-sum-first").score({"ids": np.arange(3), "offsets": np.asarray([5])}, {"x": dense(2)})


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_any_lengths_in_any_groups(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from([name for name in SPELLINGS if not name.startswith("scripted-max")]))
    groups = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    lengths = np.asarray(data.draw(st.lists(st.integers(0, 3), min_size=len(groups), max_size=len(groups))))
    requests, total = ragged(name, lengths, seed=data.draw(st.integers(0, 99))), sum(groups)
    x = dense(total)
    rows = np.repeat(np.arange(len(groups)), groups)
    bags = expected(name, requests, lengths, np.zeros((len(groups), 5)))[rows]
    wanted = bags + x.astype(np.float64) @ expected_of_dense()
    close(model(name).score(requests, {"x": x}, offsets=np.append(0, np.cumsum(groups))), wanted)


def expected_of_dense() -> Array:
    """What each of the dense inputs adds to a score."""
    name = "scripted-sum-first"
    empty = np.zeros(5, int)
    return expected(name, ragged(name, empty), empty, np.eye(5))


@pytest.mark.parametrize("name", SPELLINGS)
def test_negative_ids_are_refused_but_in_run(name: str) -> None:
    lengths, x = bag_lengths(name, [3]), dense(1)
    request = ragged(name, lengths)
    first = int(np.argmax(request["ids"] > 0))
    request["ids"][first] = -1
    model(name).run({**request, "x": x})
    with pytest.raises(
        IdRangeError, match=rf"^input 'ids': id outside a table .*expected 0 <=.*row {first}\)"
    ):
        model(name).score(request, {"x": x})
    with pytest.raises(IdRangeError, match=r"^input 'ids'"):
        model(name).score({}, {**request, "x": x})


@pytest.mark.parametrize("miss", MISSES, ids=lambda miss: "-".join(map(str, miss)))
def test_what_only_looks_like_bags_is_refused(miss: tuple[str, str, int, str]) -> None:
    request = ragged(miss[0], np.asarray([3]))
    with pytest.raises(InputError, match="may pair its parts with the rows by their order"):
        almost(miss).score(request, {"x": dense(2)})


@cache
def almost(miss: tuple[str, str, int, str]) -> pi.Model:
    name, *change = miss
    return pi.load(with_input(SPELLINGS[name](), *change))


@settings(max_examples=10, deadline=None)
@given(st.data())
def test_what_looks_like_bags_runs_as_it_says_or_not_at_all(data: st.DataObject) -> None:
    miss = data.draw(st.sampled_from(MISSES))
    lengths = np.asarray(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)))
    given_ = {**ragged(miss[0], lengths, seed=data.draw(st.integers(0, 99))), "x": dense(len(lengths))}
    changed = with_input(SPELLINGS[miss[0]](), *miss[1:])
    try:
        found = almost(miss).run(given_)["y"]
    except PyrecError:
        return
    close(found, run_reference(changed, given_))


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_a_negative_padding_is_padding_in_run_alone(mode: str) -> None:
    name = f"padded-{mode}-first"
    ids = np.asarray([5, PADDING - len(TABLE), 7, PADDING])
    inputs = {"ids": ids, "offsets": np.asarray([0, 3]), "x": dense(2)}
    wanted = expected(name, {**inputs, "ids": ids % len(TABLE)}, np.asarray([3, 1]), inputs["x"])
    close(model(name).run(inputs)["y"], wanted)
    with pytest.raises(IdRangeError, match=r"^input 'ids': .*row 1\)"):
        model(name).score({}, inputs)


@pytest.mark.parametrize("name", ["ended-mean-last", "ended-max-last"])
def test_a_last_bag_that_is_taken_to_end_with_the_ids_has_to(name: str) -> None:
    short = r"^input 'offsets': expected a last bag that ends after 6 ids, got one .*row {}\)"
    inputs = {"ids": np.arange(6), "offsets": np.asarray([0, 2, 5]), "x": dense(2)}
    with pytest.raises(ShapeError, match=short.format(1)):
        model(name).run(inputs)
    with pytest.raises(ShapeError, match=short.format(0)):
        model(name).score({"ids": inputs["ids"], "offsets": np.asarray([0, 5])}, {"x": dense(3)})


def test_rows_repeated_by_lengths_name_every_id() -> None:
    short = {"ids": np.arange(4), "lengths": np.asarray([1])}
    for request in (short, {**short, "lengths": np.asarray([5])}):
        with pytest.raises(ShapeError, match=r"^input 'lengths': expected a.* bag that ends .*4 ids"):
            model("lengths-repeated").score(request, {"x": dense(2)})
    with pytest.raises(ShapeError, match=r"^input 'lengths'"):
        model("lengths-repeated").run({"ids": np.arange(4), "lengths": np.asarray([5, -1]), "x": dense(2)})
