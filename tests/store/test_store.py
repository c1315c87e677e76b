"""Stores of items against a dictionary: both kinds, ids of both types, while readers hold what they saw."""

from __future__ import annotations

import resource
import tracemalloc
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.resident import in_fresh_process, resident_bytes

from pyrec_infer.errors import PyrecError, ShapeError
from pyrec_infer.store import IdType, Store, make_store
from pyrec_infer.store.pinned import PinnedStore
from pyrec_infer.strings import of_objects

# Stores know no backend, and each kind is tested here.
pytestmark = pytest.mark.once

STRIDE = 16

KINDS = ["python", "native"]


def store_of(kind: str, text: bool, stride: int = STRIDE, room: int = 0) -> Store:
    if kind == "native":
        pytest.importorskip("pyrec_infer._native")
    return make_store([stride], text, room, kind == "native")


def records_of(names: list[Any], version: int) -> NDArray[np.uint8]:
    """Records that tell apart each id and version."""
    numbers = np.asarray([[hash(name), version] for name in names], np.int64).reshape(len(names), 2)
    return numbers.view(np.uint8).reshape(len(names), STRIDE)


def keys_of(names: list[Any], text: bool) -> Any:
    return of_objects(names, 1, True) if text else np.asarray(names, np.int64)


def put(store: Store, names: list[Any], text: bool, version: int) -> None:
    batch = store.take(len(names))
    batch.write(0, records_of(names, version))
    store.put(keys_of(names, text), batch)


def same_as(store: Store, expected: dict[Any, int]) -> bool:
    """Whether a store holds these versions of these ids, in this order."""
    view = store.read(None)
    rows, ids = view.rows(0), list(view.ids(0, view.order(0)))
    wanted = records_of(list(expected), 0)
    wanted[:, 8:] = np.asarray(list(expected.values()), np.int64).view(np.uint8).reshape(-1, 8)
    return (
        store.size() == len(expected)
        and ids == list(expected)
        and np.array_equal(view.records[rows], wanted)
        and len(np.unique(rows)) == len(rows)
    )


NUMBERS = st.one_of(st.integers(-3, 60), st.integers(-(2**63), 2**63 - 1))
TEXTS = st.one_of(st.text(max_size=12), st.sampled_from(["a", "a\0", "", "sku-1", "\ud800", "\U0001f600"]))


def steps(names: st.SearchStrategy[Any]) -> Any:
    operation = st.sampled_from(["put", "put", "erase", "drop", "hold"])
    return st.lists(st.tuples(operation, st.lists(names, max_size=40, unique=True)), max_size=25)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [False, True])
@settings(max_examples=35, deadline=None)
@given(data=st.data())
def test_a_store_equals_a_dictionary(kind: str, text: bool, data: st.DataObject) -> None:
    store, expected = store_of(kind, text), dict[Any, int]()
    held: list[tuple[Any, list[Any]]] = []
    for version, (operation, names) in enumerate(data.draw(steps(TEXTS if text else NUMBERS))):
        if operation == "put":
            put(store, names, text, version)
            expected.update(dict.fromkeys(names, version))
        elif operation == "erase":
            assert store.erase(keys_of(names, text)) == sum(name in expected for name in names)
            expected = {name: of for name, of in expected.items() if name not in names}
        elif operation == "drop":
            store.take(len(names)).write(0, records_of(names, version))
        else:
            view = store.read(keys_of(names, text))
            rows = view.rows(0)
            assert [row >= 0 for row in rows.tolist()] == [name in expected for name in names]
            absent = [i for i, name in enumerate(names) if name not in expected]
            assert view.missing(0) == (absent[0] if absent else -1)
            places = {name: place for place, name in enumerate(expected)}
            found = [i for i in range(len(names)) if i not in absent]
            assert view.order(0).tolist() == sorted(found, key=lambda i: places[names[i]])
            assert list(view.ids(0, np.asarray(found, np.int64))) == [names[i] for i in found]
            held.append((view, [rows, view.records[rows[rows >= 0]].copy()]))
        assert same_as(store, expected)
        for view, (rows, before) in held:
            np.testing.assert_array_equal(view.records[rows[rows >= 0]], before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [False, True])
def test_large_changes_and_many_keys(kind: str, text: bool) -> None:
    numbers = np.random.default_rng(0).permutation(60_000) * 7919 - 10**8
    names: list[Any] = [f"sku-{number}" for number in numbers] if text else numbers.tolist()
    store, expected = store_of(kind, text), dict[Any, int]()
    for version, part in enumerate((names[:30_000], names[10_000:], names[::3], names[5:6])):
        put(store, part, text, version)
        expected.update(dict.fromkeys(part, version))
    gone = set(names[:50_000])
    assert store.erase(keys_of(names[:50_000], text)) == 50_000
    assert same_as(store, {name: of for name, of in expected.items() if name not in gone})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", [False, True])
def test_the_last_of_equal_keys(kind: str, text: bool) -> None:
    store = store_of(kind, text)
    for numbers, last in (([7, 8, 7, 9], [1, 2, 3]), ([3, 3, 3], [2]), ([1, 2, 3], None), ([5, 4], None)):
        names = [str(number) for number in numbers] if text else numbers
        found = store.last_of_each(keys_of(names, text))
        assert (None if found is None else found.tolist()) == last
    rng = np.random.default_rng(0)
    for count, most in ((33, 40), (1000, 3), (5000, 5000), (5000, 2**62)):
        numbers = rng.integers(-most, most, count).tolist()
        names = [f"{number}" * (1 + number % 3) for number in numbers] if text else numbers
        expected = sorted({name: place for place, name in enumerate(names)}.values())
        found = store.last_of_each(keys_of(names, text))
        assert (expected if found is None else found.tolist()) == expected
        assert (found is None) == (len(expected) == count)


def test_records_that_do_not_fit_are_refused() -> None:
    store = store_of("native", False)
    batch = store.take(2)
    for first, count, stride in ((1, 2, STRIDE), (3, 0, STRIDE), (0, 2, STRIDE + 1)):
        with pytest.raises(ShapeError):
            batch.write(first, np.zeros((count, stride), np.uint8))
    with pytest.raises(ShapeError):
        store.put(np.arange(3), batch)
    with pytest.raises(ShapeError):
        store_of("native", False).put(np.arange(2), batch)
    for keys in ([1], np.arange(3.0), np.arange(6)[::2]):
        with pytest.raises(PyrecError):
            store.read(keys)
    assert store.size() == 0


def test_strings_of_any_form_are_the_same_keys() -> None:
    store = store_of("native", True)
    names = ["a", "größe", "\U0001f600x", "日本"]
    put(store, names, True, 1)
    kind = IdType(np.asarray(names, object))
    arrow = pa.array(names)
    forms = [
        np.asarray(names),
        np.repeat(np.asarray(names), 2)[::2],
        np.asarray(names, object),
        np.asarray(names, np.dtypes.StringDType()),
        [name.encode() for name in names],
        np.asarray([name.encode() for name in names]),
        tuple(names),
        arrow,
        arrow.cast(pa.string_view()),
        arrow.dictionary_encode(),
        pa.chunked_array([arrow[:1], arrow[1:]]),
    ]
    for form in forms:
        keys, unknown = kind.keys("ids", form)
        assert unknown is None
        view = store.read(keys)
        assert view.ids(0, view.order(0)) == names
    assert store.read(keys_of(["a\0"], True)).missing(0) == 0
    assert kind.shown(["a", "a\0"]).tolist() == ["a", "a\0"]


def test_memory_of_ids_follows_their_bytes() -> None:
    names = ["x" * 1_000_000, *map(str, range(1000))]
    kind = IdType(names)
    store = store_of("native", True)
    put(store, names, True, 1)
    tracemalloc.start()
    try:
        keys, _ = kind.keys("ids", np.asarray(names, object))
        view = store.read(keys)
        shown = kind.shown(view.ids(0, view.order(0)))
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()
    assert shown.tolist() == names


@pytest.mark.parametrize("kind", KINDS)
def test_readers_know_whether_the_store_has_changed(kind: str) -> None:
    store = store_of(kind, False)
    put(store, [1, 2], False, 1)
    view = store.read(None)
    store.take(1)
    assert view.is_current()
    put(store, [2], False, 2)
    assert not view.is_current()
    view = store.read(None)
    assert view.is_current()
    assert store.erase(keys_of([1], False)) == 1
    assert not view.is_current()


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_finds_further_keys_in_its_own_state_alone(kind: str, text: bool) -> None:
    store, names = store_of(kind, text), [f"i{number}" if text else 7 * number for number in range(3000)]
    put(store, names, text, 1)
    view = store.read(None)
    wanted = keys_of([*names[::-1][:700], *names[:700], "x" if text else -5], text)
    pinned = PinnedStore(store, view, view.rows(0)).everything()
    expected = store.read(wanted).rows(0).tolist()
    for reader in (view, pinned):
        rows = reader.rows_of(wanted)
        assert rows is not None
        assert rows.tolist() == expected
        assert expected[-1] == -1
    put(store, names[5:6], text, 2)
    store.erase(keys_of(names[:1], text))
    assert view.rows_of(wanted) is None
    rows = pinned.rows_of(wanted)
    assert rows is not None
    assert rows.tolist() == expected


@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_only_items_that_were_found_have_ids(kind: str, text: bool) -> None:
    if kind == "native":
        pytest.importorskip("pyrec_infer._native")
    store, names = store_of(kind, text), ["a", "b", "c"] if text else [5, 6, 7]
    put(store, names, text, 1)
    store.erase(keys_of(names[:1], text))
    for view in (store.read(None), store.read(keys_of([names[1], names[2], "d" if text else 9], text))):
        assert list(view.ids(0, np.asarray([1, 0, 1]))) == [names[2], names[1], names[2]]
        with pytest.raises(IndexError):
            view.ids(0, np.asarray([3]))
    if kind == "native":
        with pytest.raises(IndexError):
            view.ids(0, np.asarray([2]))


@pytest.mark.parametrize("kind", KINDS)
def test_parts_of_records_lie_apart(kind: str) -> None:
    if kind == "native":
        pytest.importorskip("pyrec_infer._native")
    strides, rng = [8, 4, 20], np.random.default_rng(0)
    store = make_store(strides, False, 0, kind == "native")
    expected = dict[int, NDArray[np.uint8]]()
    for step in range(6):
        keys = rng.choice(9000, 2000 if step else 5000, replace=False)
        records = rng.integers(0, 256, (len(keys), sum(strides)), np.uint8)
        batch = store.take(len(keys))
        batch.arrange(rng.permutation(len(keys)))
        for begin in range(0, len(keys), 700):
            batch.write(begin, records[begin : begin + 700])
        store.put(keys, batch)
        expected.update(zip(keys.tolist(), records, strict=True))
        gone = rng.choice(9000, 1500, replace=False)
        store.erase(gone)
        left = set(expected) - set(gone.tolist())
        expected = {key: record for key, record in expected.items() if key in left}
        view = store.read(None)
        rows = view.rows(0)
        parts = [view.part(number)[rows] for number in range(3)]
        np.testing.assert_array_equal(np.concatenate(parts, axis=1), list(expected.values()))
        np.testing.assert_array_equal(view.ids(0, np.arange(len(rows))), list(expected))


def test_what_is_no_order_is_refused() -> None:
    batch = store_of("native", False).take(3)
    for order in ([0, 1], [0, 1, 1], [0, 1, 3], [-1, 0, 1]):
        with pytest.raises(ShapeError):
            batch.arrange(np.asarray(order))


@pytest.mark.parametrize("kind", KINDS)
def test_ids_at_odd_addresses(kind: str) -> None:
    store = store_of(kind, False)
    put(store, [0, 1, 2, 3], False, 1)
    odd = np.empty(33, np.uint8)[1:].view(np.int64)
    odd[...] = [3, 9, 0, 2]
    assert not odd.flags.aligned
    view = store.read(odd)
    assert view.missing(0) == 1
    assert view.ids(0, np.asarray([0, 2, 3])).tolist() == [3, 0, 2]


def test_overwritten_items_cost_no_more_pages_than_new_ones() -> None:
    """Blocks of records that are no multiple of a huge page share those with their neighbours."""
    count, stride = 20_000, 1088
    keys, rows = np.arange(count), np.ones((count, stride), np.uint8)
    store, faults = store_of("native", False, stride, count), []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        batch = store.take(count)
        batch.write(0, rows)
        store.put(keys, batch)
        faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    assert max(faults[2:]) < 2 * max(faults[:2]) + 1000


def fill_overwrite_and_empty(order: str) -> None:
    """A store whose memory is compared with its items' at each step."""
    count, stride, generator = 700_000, 64, np.random.default_rng(0)
    keys = np.arange(count)
    chosen = generator.permutation(keys) if order == "at random" else keys
    block = np.ones((1 << 14, stride), np.uint8)
    store, start = store_of("native", False, stride, count), resident_bytes()

    def write(part: NDArray[np.int64]) -> None:
        batch = store.take(len(part))
        for begin in range(0, len(part), len(block)):
            batch.write(begin, block[: min(len(block), len(part) - begin)])
        store.put(part, batch)

    def used() -> float:
        return (resident_bytes() - start) / (count * stride)

    write(keys)
    assert used() < 1.5
    for parts in np.split(chosen.reshape(20, -1), 2):
        for part in parts:
            write(part)
        assert used() < 1.6
    for one in chosen[:500]:
        write(np.asarray([one]))
    write(chosen)
    assert used() < 1.6
    assert store.erase(chosen[1000:]) == count - 1000
    assert used() < 0.2
    assert store.taken() == 1000


@pytest.mark.parametrize("order", ["in order", "at random"])
def test_memory_follows_the_items(order: str) -> None:
    in_fresh_process(partial(fill_overwrite_and_empty, order))
