"""Columns in chunks: an error names the row of the column, not that of the chunk."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.models import INT64, make_model

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.arguments.arrow import arrow_column
from pyrec_infer.errors import InputError, ShapeError

pa = pytest.importorskip("pyarrow", reason="makes columns of chunks")

FIRST = ["a", "b", "c"]
BYTES = [b"ok", b"a", b"\xff and more than a view holds", b"b"]


def no_utf8(kind: Any) -> Any:
    """Strings of which that of row 2 is none."""
    held = pa.large_binary() if kind == pa.large_string() else pa.binary_view()
    of_bytes = pa.array(BYTES, pa.binary() if kind == pa.string() else held)
    return pa.Array.from_buffers(kind, len(BYTES), of_bytes.buffers())


def words(kind: Any, begin: int = 0) -> Any:
    return pa.chunked_array([pa.array(FIRST, kind)[begin:], pa.array([], kind), no_utf8(kind)[begin:]])


def encoded() -> Any:
    places = pa.array([1, 0, None, 2, 2], pa.int32())
    second = pa.DictionaryArray.from_arrays(places, no_utf8(pa.string()), safe=False)
    return pa.chunked_array([pa.array(FIRST).dictionary_encode(), second])


def lists() -> Any:
    kind = pa.list_(pa.string())
    second = pa.ListArray.from_arrays(pa.array([0, 0, 1, 4], pa.int32()), no_utf8(pa.string()))
    return pa.chunked_array([pa.array([["a"], ["b", "a"]], kind), second])


def model(field: Any) -> pi.Model:
    shape = ["N", field.length] if isinstance(field, features.ListField) else ["N"]
    types: Any = {"x": (INT64, shape)}
    source = make_model([helper.make_node("Identity", ["x"], ["y"])], types, {"y": types["x"]})
    return pi.load(source.SerializeToString(), schema=pi.Schema([field]))


KNOWN: Any = features.Vocabulary(FIRST)
ONE: Any = features.Field("f", "item", "x", transforms=[KNOWN])
SPLIT: Any = features.ListField("f", "item", "x", transforms=[KNOWN], length=2, separator="|")
LIST: Any = features.ListField("f", "item", "x", transforms=[KNOWN], length=2)
WRONG: dict[str, tuple[Any, Any, int]] = {
    "strings": (ONE, words(pa.string()), 5),
    "large strings": (ONE, words(pa.large_string()), 5),
    "views": (ONE, words(pa.string_view()), 5),
    "slices": (ONE, words(pa.string(), 1), 3),
    "dictionaries": (ONE, encoded(), 6),
    "strings with separators": (SPLIT, words(pa.string()), 5),
    "lists": (LIST, lists(), 4),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("begin", [0, 1])
def test_bytes_that_are_no_utf8(name: str, begin: int) -> None:
    field, column, row = WRONG[name]
    with pytest.raises(pi.DTypeError, match=rf"^field 'f': expected strings in UTF-8 \(row {row - begin}\)$"):
        model(field).run(pa.table({"f": column}).slice(begin))


ENDED = pa.array(["b", "c\0"])
NUL: dict[str, tuple[str, list[Any]]] = {
    "strings": ("array", [pa.array(FIRST), ENDED]),
    "dictionaries": ("array", [pa.array(FIRST).dictionary_encode(), ENDED.dictionary_encode()]),
    "lists": (
        "lists",
        [pa.array([["a"]] * 3), pa.ListArray.from_arrays(pa.array([0, 0, 2], pa.int32()), ENDED)],
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", NUL)
def test_a_string_that_ends_in_nul(name: str) -> None:
    read, chunks = NUL[name]
    with pytest.raises(InputError, match=r"^x: .*ends in NUL.*\(row 4\)$"):
        getattr(arrow_column("x", pa.chunked_array(chunks)), read)("x")


@pytest.mark.once
def test_lists_of_other_lengths() -> None:
    chunks = pa.chunked_array([pa.array([[1], [2]]), pa.array([[3], [4, 5]])])
    with pytest.raises(ShapeError, match=r"expected lists of one length, 1 as before it, got 2 \(row 3\)$"):
        arrow_column("x", chunks).array("x")


@pytest.mark.once
def test_chunks_without_a_mistake_are_one_column() -> None:
    chunks = pa.chunked_array([pa.array(FIRST), pa.array([], pa.string()), pa.array(["Łódź"])])
    np.testing.assert_array_equal(arrow_column("x", chunks).array("x"), [*FIRST, "Łódź"])
