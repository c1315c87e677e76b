"""Changes of catalogues that the backend makes at once, beside those that are made step by step."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer.bundled import MODEL, SCHEMA, raw_items
from pyrec_infer.codecs import PRECISIONS
from pyrec_infer.errors import IdRangeError, PyrecError
from pyrec_infer.extension import compiled

WIDTH = 5


def shelf() -> onnx.ModelProto:
    """Items of whole numbers, a table's rows and an input whose rows lie along its second axis; the input
    ``unread`` of an output that no catalogue asks for."""
    nodes = [
        helper.make_node("Gather", ["table", "i"], ["row"]),
        helper.make_node("Exp", ["d"], ["e"]),
        helper.make_node("Transpose", ["e"], ["turned"], perm=[1, 0]),
        helper.make_node("Add", ["row", "turned"], ["sum"]),
        helper.make_node("Mul", ["sum", "u"], ["pair"]),
        helper.make_node("ReduceSum", ["pair", "axes"], ["total"], keepdims=0),
        helper.make_node("Equal", ["n", "m"], ["same"]),
        helper.make_node("Cast", ["same"], ["bonus"], to=FLOAT),
        helper.make_node("Add", ["total", "bonus"], ["score"]),
        helper.make_node("Neg", ["unread"], ["other"]),
    ]
    table = np.random.default_rng(0).standard_normal((7, WIDTH)).astype(np.float32)
    inputs: dict[str, Any] = {
        "u": (FLOAT, ["N", 1]),
        "m": (INT64, ["N"]),
        "i": (INT64, ["N"]),
        "d": (FLOAT, [WIDTH, "N"]),
        "n": (INT64, ["N"]),
        "unread": (FLOAT, ["N"]),
    }
    constants = {"table": table, "axes": np.asarray([1])}
    return make_model(nodes, inputs, {"score": (FLOAT, ["N"]), "other": (FLOAT, ["N"])}, constants)


USER = {"u": [[2.0]], "m": [3]}


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return pi.load(shelf().SerializeToString())


def goods(count: int, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "i": generator.integers(0, 7, count),
        "d": generator.standard_normal((WIDTH, count)).astype(np.float32),
        "n": generator.integers(0, 5, count),
        "unread": np.zeros(count, np.float32),
    }


def names_of(text: bool, numbers: Any) -> Any:
    return [f"item {number}" for number in numbers] if text else np.asarray(numbers, np.int64)


def catalogs(model: pi.Model, text: bool, count: int = 6) -> tuple[pi.Catalog, pi.Catalog]:
    """A catalogue, and the same one whose changes are made step by step."""
    first, second = (
        model.catalog(goods(count), names_of(text, range(count)), output="score") for _ in range(2)
    )
    assert (first._writer is None) == (compiled() is None)
    second._writer = None
    return first, second


def records(catalog: pi.Catalog) -> dict[Any, bytes]:
    view = catalog._store.read(None)
    rows = view.records[view.rows(0)]
    return dict(zip(catalog.ids.tolist(), map(bytes, rows), strict=True))


@settings(max_examples=12, deadline=None)
@given(text=st.booleans(), data=st.data())
def test_records_are_the_same_as_step_by_step(model: pi.Model, text: bool, data: st.DataObject) -> None:
    first, second = catalogs(model, text)
    for seed in range(3):
        numbers = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=9))
        items, ids = goods(len(numbers), seed), names_of(text, numbers)
        form = data.draw(st.sampled_from(["plain", "strided", "lists", "other types"]))
        if form == "strided":
            items = {name: np.repeat(array, 2, axis=-1)[..., ::2] for name, array in items.items()}
        elif form == "lists":
            items = {name: array.tolist() for name, array in items.items()}
            ids = list(ids) if text else ids.tolist()
        elif form == "other types":
            items = {name: array.astype(np.float64) for name, array in items.items()}
        for catalog in (first, second):
            catalog.upsert(items, ids)
    assert records(first) == records(second)
    np.testing.assert_array_equal(first.score(USER), second.score(USER))


def test_many_tiles_and_threads() -> None:
    model = pi.load(shelf().SerializeToString(), threads=2)
    first, second = catalogs(model, False, 3000)
    ids = np.random.default_rng(1).permutation(4000)[:2500]
    for catalog in (first, second):
        catalog.upsert(goods(2500, 5), ids)
    assert records(first) == records(second)


@pytest.mark.parametrize("form", ["arrays", "strided", "other bytes", "objects", "lists"])
def test_arrays_of_strings_are_read_by_the_backend(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    count, words = 60, ["", "ä", "\U0001f600", "a\0b", "x" * 40]
    rows = raw_items(count)
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0] if name != "affinity"}
    columns["item_feature_1"] = [words[number % len(words)] for number in range(count)]
    given = {name: np.asarray(values) for name, values in columns.items()}
    if form == "lists":
        given = columns
    for name, array in given.items():
        if form == "objects":
            given[name] = array.astype(object) if array.dtype.kind == "U" else array
        elif form == "strided":
            given[name] = np.repeat(array, 2)[::2]
        elif form == "other bytes":
            given[name] = array.astype(array.dtype.newbyteorder())
    model = pi.load(MODEL, schema=pi.Schema.load(SCHEMA))
    first = model.catalog(given, candidates=["affinity"])
    second = model.catalog({name: values[:1] for name, values in columns.items()}, candidates=["affinity"])
    second._writer = None
    second.upsert(columns, np.arange(count))
    assert records(first) == records(second)
    if compiled() is None:
        return
    monkeypatch.setattr(first._encoder, "encode", None)
    first.upsert(given, np.arange(count, 2 * count))
    both = [*records(first).values()]
    assert both[:count] == both[count:]


SPECIAL = (0.0, -0.0, 1e-40, -1e-45, 1.00390625, 1.01171875, -65504.0, np.nan, np.inf, -np.inf, 3.4e38, 1e-38)


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_numbers_are_stored_as_the_reference_stores_them(precision: Any) -> None:
    width, count = 19, 300
    made = make_model(
        [helper.make_node("Mul", ["i", "u"], ["p"]), helper.make_node("ReduceSum", ["p", "axes"], ["score"])],
        {"u": (FLOAT, ["N", width]), "i": (FLOAT, ["N", width])},
        {"score": (FLOAT, ["N", 1])},
        {"axes": np.asarray([1])},
    )
    generator = np.random.default_rng(3)
    numbers = generator.standard_normal((count, width)).astype(np.float32)
    numbers *= np.exp2(generator.integers(-45, 15, (count, 1))).astype(np.float32)
    most = 65504 if precision == "fp16" else np.inf
    special = [number for number in SPECIAL if not np.isfinite(number) or abs(number) <= most]
    places = generator.random((100, width)) < 0.1
    numbers[:100][places] = generator.choice(special, places.sum())
    model = pi.load(made.SerializeToString())
    first, second = (model.catalog({"i": numbers[:1]}, precision=precision) for _ in range(2))
    second._writer = None
    for catalog in (first, second):
        catalog.upsert({"i": numbers}, np.arange(count))
    assert records(first) == records(second)
    if precision == "fp16":
        raised = []
        numbers[270, 4] = 70_000
        for catalog in (first, second):
            with pytest.raises(PyrecError, match=r"row 270\)") as caught:
                catalog.upsert({"i": numbers}, np.arange(count))
            raised.append(str(caught.value))
        assert raised[0] == raised[1]


WRONG: dict[str, tuple[dict[str, Any], Any]] = {
    "too few ids": ({}, [1]),
    "too many ids": ({}, [1, 2, 3, 4]),
    "ids of the other kind": ({}, [1.5, 2.0, 3.0]),
    "an id that is no number": ({}, [1, None, 3]),
    "too large an id": ({}, [1, 2**70, 3]),
    "a row too few": ({"n": np.zeros(2, np.int64)}, [1, 2, 3]),
    "a row too few of what is not read": ({"unread": np.zeros(2, np.float32)}, [1, 2, 3]),
    "another size": ({"d": np.zeros((WIDTH + 1, 3), np.float32)}, [1, 2, 3]),
    "another rank": ({"d": np.zeros((WIDTH, 3, 1), np.float32)}, [1, 2, 3]),
    "no row of the table": ({"i": np.asarray([0, 9, 1])}, [1, 2, 3]),
    "a negative row": ({"i": np.asarray([0, 1, -1])}, [1, 2, 3]),
    "an unknown input": ({"v": np.zeros(3)}, [1, 2, 3]),
    "an input of requests": ({"u": np.zeros((3, 1))}, [1, 2, 3]),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_are_the_same_as_step_by_step(model: pi.Model, case: str) -> None:
    changed, ids = WRONG[case]
    raised = []
    for catalog in catalogs(model, False):
        before = records(catalog)
        with pytest.raises(PyrecError) as caught:
            catalog.upsert({**goods(3), **changed}, ids)
        raised.append((type(caught.value), str(caught.value)))
        assert records(catalog) == before
    assert raised[0] == raised[1]


def test_rows_in_errors_are_those_of_the_items(model: pi.Model) -> None:
    catalog, _ = catalogs(model, False)
    items = goods(20_000)
    items["i"][17_001] = 9
    with pytest.raises(IdRangeError, match=r"row 17001\)"):
        catalog.upsert(items, np.arange(20_000))
    # Of equal ids the last counts, and rows are still those that were given.
    with pytest.raises(IdRangeError, match=r"row 17001\)"):
        catalog.upsert(items, np.arange(20_000) // 2 * 2 + 1)


@pytest.mark.skipif(compiled() is None, reason="counts what the extension does")
def test_a_small_change_looks_at_as_much_in_every_state(model: pi.Model) -> None:
    """A fresh catalogue, one that was overwritten, and one that has lost most of its items."""
    work = compiled().work_of_changes  # type: ignore[union-attr]
    count = 30_000
    catalog = model.catalog(goods(count), output="score")
    one = {name: array[..., :1] for name, array in goods(1).items()}

    def most(ids: range) -> int:
        seen = []
        for number in ids:
            before = work()
            catalog.upsert(one, [number])
            seen.append(work() - before)
        return max(seen)

    costs = [most(range(0, count, 500))]
    catalog.upsert(goods(count, 1), np.arange(count))
    costs.append(most(range(0, count, 500)))
    catalog.remove(np.arange(100, count))
    costs.append(most(range(0, 100, 2)))
    assert max(costs) < 200
    before = work()
    catalog.upsert(goods(count, 2), np.arange(count))
    assert work() - before > count


@pytest.mark.skipif(compiled() is None, reason="the extension's")
@pytest.mark.parametrize("text", [False, True])
def test_plain_changes_are_made_at_once(model: pi.Model, text: bool) -> None:
    catalog, _ = catalogs(model, text)
    assert catalog._writer is not None
    put = catalog._writer.put

    def named(text: bool, numbers: list[int]) -> list[Any]:
        return names_of(text, numbers) if text else numbers

    items = list(goods(2, 3).values())
    assert put(items, named(text, [4, 40]), None)
    assert not put(items, named(text, [4, 4]), None)
    assert not put(items, named(not text, [4, 40]), None)
    assert not put(items, [], None)
    assert not put(items[:-1], named(text, [4, 40]), None)
    assert not put(items, named(text, [4, 40]), np.zeros((2, 4), np.uint8))
    assert len(catalog) == 7


@pytest.mark.skipif(compiled() is None, reason="the extension's")
def test_attributes_are_written_at_once_too(model: pi.Model, monkeypatch: pytest.MonkeyPatch) -> None:
    def words(count: int, seed: int) -> dict[str, Any]:
        return {
            "word": [f"word {seed} {i}" for i in range(count)],
            "price": [*range(seed, seed + count - 1), None],
        }

    catalog = model.catalog(goods(6), output="score", attributes=words(6, 0))
    assert catalog._writer is not None
    assert not catalog._writer.put(list(goods(1).values()), [7], None)
    assert not catalog._writer.put(list(goods(1).values()), [7], np.zeros((1, 3), np.uint8))
    monkeypatch.setattr(catalog, "_enter", None)
    catalog.upsert(goods(2, 1), [7, 3], words(2, 20))
    found = [
        catalog.top_k(USER, 9, where=where).ids.tolist()
        for where in (
            catalog.where("word", in_=["word 20 0", "word 0 3"]),
            catalog.where("word", "word 20 1"),
            catalog.where("price", min=20),
            catalog.where("price", missing=True),
        )
    ]
    assert [sorted(ids) for ids in found] == [[7], [3], [7], [3, 5]]


def test_who_reads_keeps_what_there_was(model: pi.Model) -> None:
    catalog, _ = catalogs(model, False)
    view = catalog._store.read(None)
    before = view.records[view.rows(0)].copy()
    for seed in range(1, 40):
        catalog.upsert(goods(6, seed), np.arange(6))
    np.testing.assert_array_equal(view.records[view.rows(0)], before)
