"""Raw rows of someone who means harm: columns that lie, values of other types far down, rows that change."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer.features import Field, ListField, Vocabulary

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
WORDS = ["a", "b", "ä", "", "a" * 40, "not known"]
REQUEST = {"number": 3}
COUNT = 800


@pytest.fixture(scope="module")
def model() -> pi.Model:
    """100 times the word's place, and the sum of the list's places."""
    nodes = [
        helper.make_node("Cast", ["word"], ["word/float"], to=FLOAT),
        helper.make_node("Mul", ["word/float", "hundred"], ["word/part"]),
        helper.make_node("Cast", ["list"], ["list/float"], to=FLOAT),
        helper.make_node("ReduceSum", ["list/float", "axis"], ["list/sum"], keepdims=0),
        helper.make_node("Cast", ["number"], ["number/float"], to=FLOAT),
        helper.make_node("Sum", ["word/part", "list/sum", "number/float"], ["score"]),
    ]
    inputs = {"word": (INT64, ["N"]), "list": (INT64, ["N", 3]), "number": (INT64, ["N"])}
    constants = {"hundred": np.asarray([100], np.float32), "axis": np.asarray([1])}
    graph = make_model(nodes, inputs, {"score": (FLOAT, ["N"])}, constants)
    known = Vocabulary(WORDS[:-1])
    fields = [
        Field("number", "request", to="number", dtype="integer"),
        Field("word", "item", to="word", transforms=[known], missing="oov"),
        ListField("list", "item", to="list", transforms=[known], length=3, keep="last"),
    ]
    return pi.load(graph.SerializeToString(), schema=pi.Schema(fields))


@pytest.fixture(scope="module")
def columns() -> dict[str, list[Any]]:
    random = np.random.default_rng(0)
    words = [WORDS[i] for i in random.integers(0, len(WORDS), COUNT)]
    lists = [
        [WORDS[i] for i in random.integers(0, len(WORDS), size)] for size in random.integers(0, 5, COUNT)
    ]
    return {"word": words, "list": lists}


@pytest.fixture(scope="module")
def expected(model: pi.Model, columns: dict[str, list[Any]]) -> Any:
    """As it is found by the closer look, which is no native code's."""
    return model.score(REQUEST, tuple(MappingProxyType(row) for row in rows_of(columns)))


def rows_of(columns: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


STRINGS = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.uint32(), pa.large_string()),
]


@pytest.mark.parametrize("kind", STRINGS, ids=str)
def test_arrow_in_slices_and_chunks(
    model: pi.Model, columns: dict[str, list[Any]], expected: Any, kind: pa.DataType
) -> None:
    lists = pa.array(columns["list"], pa.large_list(pa.string()))
    table = pa.table({"word": pa.array(columns["word"]).cast(kind), "list": lists})
    np.testing.assert_array_equal(model.score(REQUEST, table), expected)
    np.testing.assert_array_equal(model.score(REQUEST, table.slice(7, 70)), expected[7:77])
    parts = [table.slice(0, 3), table.slice(3, 0), table.slice(3)]
    np.testing.assert_array_equal(model.score(REQUEST, pa.concat_tables(parts)), expected)
    reader = pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=99))
    np.testing.assert_array_equal(model.score(REQUEST, reader), expected)
    words = pa.array([None, "b", None, "ä"]).cast(kind)
    holes = model.score(REQUEST, {"word": words, "list": [["a"]] * 4})
    np.testing.assert_array_equal(
        holes, model.score(REQUEST, {"word": ["?", "b", "?", "ä"], "list": [["a"]] * 4})
    )
    assert model.score(REQUEST, table.slice(5, 0)).shape == (0,)
    assert model.score(REQUEST, table.schema.empty_table()).shape == (0,)


def lying(
    kind: pa.DataType, *buffers: tuple[Any, list[int]], data: bytes = b"abc", children: Any = None
) -> Any:
    """An array of three elements, whose numbers change after pyarrow has looked at them."""
    held = [np.arange(len(wrong), dtype=dtype) for dtype, wrong in buffers]
    if len(held) > 1:
        held = [np.zeros_like(array) for array in held]
    rest = [] if children is not None else [pa.py_buffer(data)]
    made = pa.Array.from_buffers(kind, 3, [None, *map(pa.py_buffer, held), *rest], children=children)
    for array, (_, wrong) in zip(held, buffers, strict=True):
        array[:] = wrong
    return made


OFFSETS = [
    [0, 2, 1, 3],
    [3, 2, 1, 0],
    [-1, 0, 1, 2],
    [0, -5, 2, 3],
    [0, 1, 2, 2**30],
    [2**20] * 4,
    [0, 0, 0, -1],
]


@pytest.mark.parametrize("offsets", OFFSETS, ids=str)
def test_offsets_that_lie_are_refused(model: pi.Model, offsets: list[int]) -> None:
    words, lists = ["a"] * 3, [["a"]] * 3
    for kind, dtype in ((pa.string(), np.int32), (pa.large_string(), np.int64)):
        with pytest.raises(pi.InputError, match="contradict themselves"):
            model.score(REQUEST, {"word": lying(kind, (dtype, offsets)), "list": lists})
    made = lying(pa.list_(pa.string()), (np.int32, offsets), children=[pa.array(words)])
    with pytest.raises(pi.InputError, match="contradict themselves"):
        model.score(REQUEST, {"word": words, "list": made})


@pytest.mark.parametrize("sizes", [[1, 2, 4], [1, -2, 3], [2**30, 1, 1]], ids=str)
def test_views_and_dictionaries_that_lie_are_refused(model: pi.Model, sizes: list[int]) -> None:
    places = [0, 1, 0]
    made = lying(
        pa.list_view(pa.string()), (np.int32, places), (np.int32, sizes), children=[pa.array(["a"] * 3)]
    )
    view = np.asarray([20, 0, 0, 0] * 3, np.int32)
    views = pa.Array.from_buffers(pa.string_view(), 3, [None, pa.py_buffer(view), pa.py_buffer(b"a" * 20)])
    view[4:8] = [20, 0, *sizes[::2]]
    indices = pa.array([0, 1, sizes[-1] if sizes[-1] > 2 else -1])
    words = pa.DictionaryArray.from_arrays(indices, pa.array(["a", "b"]), safe=False)
    for item in ({"list": made}, {"word": views}, {"word": words}):
        with pytest.raises(pi.InputError, match="contradict themselves"):
            model.score(REQUEST, {"word": ["a"] * 3, "list": [["a"]] * 3, **item})


BYTES = [
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int8(), pa.binary()),
    pa.dictionary(pa.int32(), pa.large_binary()),
]


@pytest.mark.parametrize("kind", BYTES, ids=str)
def test_bytes_that_are_no_utf8_are_refused_by_row(model: pi.Model, kind: pa.DataType) -> None:
    words = [b"a", b"b", b"a", b"\xffsecret", b"b", b"\xffsecret"]
    wrong = pa.array([b"?", *words], kind)[1:]
    lists = pa.array([[b"a"], [], [b"b", b"a"], [b"a", b"\xffsecret"], [], [b"a"]], pa.list_(kind))
    good = {"word": ["a"] * 6, "list": [["a"]] * 6}
    for name, column in (("word", wrong), ("list", lists)):
        with pytest.raises(pi.InputError, match=rf"'{name}'.*UTF-8 \(row 3\)$") as told:
            model.score(REQUEST, {**good, name: column})
        assert "secret" not in str(told.value)
        assert told.value.__cause__ is None


def test_dictionaries_of_strings_that_are_none_are_refused_by_row(model: pi.Model) -> None:
    offsets, data = pa.py_buffer(np.asarray([0, 1, 2, 3], np.int32)), pa.py_buffer(b"\xffab")
    words = pa.Array.from_buffers(pa.string(), 3, [None, offsets, data])
    column = pa.DictionaryArray.from_arrays(pa.array([1, None, 2, 2, 0]), words)
    with pytest.raises(pi.InputError, match=r"'word'.*UTF-8 \(row 4\)$"):
        model.score(REQUEST, {"word": column, "list": [["a"]] * 5})


WRONG = [7, b"a", b"\xff", "x\0", "\ud800", np.str_("a"), 3.5, float("nan"), None, True, ["a"], {}]
WRONG_LISTS = [7, "abc", None, ["a", 3], ["a", None], [["a"]], [], (), np.array(["a"]), ["\ud800"], ["x\0"]]


@pytest.mark.parametrize(("name", "wrong"), [("word", WRONG), ("list", WRONG_LISTS)], ids=["words", "lists"])
def test_one_value_far_down(
    model: pi.Model, columns: dict[str, list[Any]], name: str, wrong: list[Any]
) -> None:
    def outcome(rows: Any) -> Any:
        try:
            return model.score(REQUEST, rows).tolist()
        except pi.PyrecError as error:
            return type(error), str(error)

    for value in wrong:
        changed = {**columns, name: [*columns[name][:700], value, *columns[name][701:]]}
        rows = rows_of(changed)
        found = outcome(tuple(map(MappingProxyType, rows)))
        assert outcome(rows) == found
        assert outcome(changed) == found
        assert isinstance(found, list) or re.fullmatch(rf"field '{name}': .*\(row 700\)", found[1]), found


def test_long_strings_take_the_memory_that_they_have(model: pi.Model) -> None:
    words = ["a", "z" * 10**6, *["b", "a"] * 74]
    scores = model.score(REQUEST, {"word": words, "list": [["a"]] * 150})
    short = model.score(REQUEST, {"word": ["a", "z", *words[2:]], "list": [["a"]] * 150})
    np.testing.assert_array_equal(scores, short)


class Failing(Mapping[str, Any]):
    """Fails with what it holds."""

    def __getitem__(self, name: str) -> Any:
        raise RuntimeError("secret")

    def __iter__(self) -> Iterator[str]:
        return iter(["number"])

    def __len__(self) -> int:
        return 1


def test_mappings_that_fail_do_not_tell_what_they_hold(model: pi.Model) -> None:
    rows = {"word": ["a"], "list": [["a"]]}
    for request in (Failing(), [Failing()]):
        with pytest.raises(pi.InputError, match=r"RuntimeError$") as caught:
            model.score(request, rows)
        assert caught.value.__cause__ is None


def test_rows_that_others_change(model: pi.Model, columns: dict[str, list[Any]], expected: Any) -> None:
    catalog = model.catalog(rows_of(columns)[:50])
    ids, shared, stop = np.arange(50), {"number": 0}, threading.Event()
    growing = rows_of(columns)[:50]
    wrong: list[Any] = []

    def change() -> None:
        for number in range(10**9):
            shared["number"] = number % 9
            growing[number % 50]["word"] = "b" * (number % 60)
            if stop.is_set():
                return

    def score(offset: int) -> None:
        for _ in range(20):
            made = catalog.score({"number": 3 + offset}, ids)
            if not np.array_equal(made, expected[:50] + offset):
                wrong.append(made)
            if not set(catalog.score(shared, ids) - expected[:50]) <= set(range(-3, 6)):
                wrong.append(offset)
            model.score(REQUEST, growing)

    workers = [threading.Thread(target=score, args=(offset,)) for offset in range(3)]
    changing = threading.Thread(target=change)
    for thread in (changing, *workers):
        thread.start()
    for thread in workers:
        thread.join()
    stop.set()
    changing.join()
    assert not wrong
