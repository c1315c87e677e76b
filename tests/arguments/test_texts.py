"""Columns of strings in every form that people keep them in are the same bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pyrec_infer as pi
from pyrec_infer import extension
from pyrec_infer.arguments import plain_names, read_column
from pyrec_infer.strings import Texts, fallback, texts

WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


needs_native = pytest.mark.skipif(extension.native is None, reason="no native code in this build")


NO_UTF8 = (
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\xf0\x80\x80\x80",
    b"\xc3",
)


@pytest.fixture(params=["native", "python"])
def core(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both sides in turn."""
    if request.param == "native" and extension.native is None:
        pytest.skip("no native code in this build")
    monkeypatch.setattr(texts, "_core", extension.native if request.param == "native" else fallback)


def words_of(value: Any, names: bool = False) -> list[bytes | None]:
    column = read_column("x", value, names)
    found: list[bytes | None] = []
    for part in column.texts:
        found += [
            None if gone else word for word, gone in zip(part.elements(), part.gone().tolist(), strict=True)
        ]
    return found


def forms(words: list[str]) -> dict[str, Any]:
    """The same strings in every form that keeps them."""
    objects = np.empty(len(words), object)
    objects[:] = words
    kept = {
        "list": words,
        "bytes": [word.encode() for word in words],
        "tuple": tuple(words),
        "object": objects,
        "object, strided": np.repeat(objects, 2)[::2],
        "StringDType": np.asarray(words, np.dtypes.StringDType()),
        "string": pa.array(words, pa.string()),
        "large_string": pa.array(words, pa.large_string()),
        "string_view": pa.array(words, pa.string_view()),
        "binary": pa.array([word.encode() for word in words], pa.binary()),
        "dictionary": pa.array(words, pa.string()).dictionary_encode(),
        "chunks": pa.chunked_array([words[:2], [], words[2:]], pa.string()),
        "slice": pa.array(["before", *words, "behind"], pa.string())[1 : 1 + len(words)],
        "slice of views": pa.array(["before it all", *words], pa.string_view())[1:],
        "polars": pl.Series(words, dtype=pl.String),
        "categories": pl.Series(words, dtype=pl.Categorical),
        "pandas": pd.Series(words, dtype=object),
    }
    if words and not any(word.endswith("\0") for word in words):
        kept["U"] = np.asarray(words)
        kept["U, other order"] = np.asarray(words).astype(np.asarray(words).dtype.newbyteorder(">"))
        kept["U, strided"] = np.repeat(np.asarray(words), 3)[::3]
        kept["S"] = np.asarray([word.encode() for word in words])
    return kept


@settings(max_examples=12)
@given(words=st.lists(WORDS, max_size=6))
@example(words=["", "a", "é", "日本", "𝄞", "longer than twelve bytes", "ends in NUL\0", "\0"])
@example(words=["a" * 300, "é" * 150])
@pytest.mark.usefixtures("core")
def test_all_forms_are_the_same_bytes(words: list[str]) -> None:
    expected = [word.encode() for word in words]
    for form, value in forms(words).items():
        assert words_of(value) == expected, form


@pytest.mark.usefixtures("core")
def test_nulls_of_every_form() -> None:
    expected = [b"a", None, b"b"]
    nan = float("nan")
    for gone in (None, nan, pd.NA, pd.NaT):
        assert words_of(["a", gone, "b"]) == expected
    given_: list[str | None] = ["a", None, "b"]
    for kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary()):
        assert words_of(pa.array(given_, pa.string()).cast(kind)) == expected
    assert words_of(pa.array(given_).dictionary_encode()) == expected
    in_words = pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(given_))
    assert words_of(in_words) == expected
    assert words_of(pl.Series(given_)) == expected
    assert words_of(pd.Series(given_, dtype="string")) == expected
    assert words_of(np.asarray(given_, np.dtypes.StringDType(na_object=None))) == expected
    assert words_of(pa.nulls(2)) == [None, None]
    assert words_of(pa.array([None, None], pa.string()).dictionary_encode()) == [None, None]


PLAIN = {
    *("list", "tuple", "object", "StringDType", "string", "large_string", "string_view"),
    *("chunks", "slice", "slice of views", "polars", "U"),
}
"""Forms that names are read from at once."""


def plain_words(value: Any) -> list[bytes] | None:
    made = plain_names(value)
    return None if made is None else made.elements()


@needs_native
@settings(max_examples=12, deadline=None)
@given(words=st.lists(WORDS.filter(lambda word: not word.endswith("\0")), min_size=1, max_size=6))
@example(words=["", "a", "é", "日本", "𝄞", "longer than twelve bytes", "\0a"])
def test_plain_names_are_the_same_bytes(words: list[str]) -> None:
    expected = [word.encode() for word in words]
    for form, value in forms(words).items():
        found = plain_words(value)
        assert found == expected or (found is None and form not in PLAIN), form


class Exported:
    """A column that keeps count of the names that it is asked for and does not have."""

    def __init__(self, words: list[str], asked: list[str]) -> None:
        self.column, self.asked = pl.Series(words), asked

    def __getattr__(self, name: str) -> Any:
        self.asked.append(name)
        raise AttributeError(name)

    def __len__(self) -> int:
        return len(self.column)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.column.__arrow_c_stream__(requested_schema)


@needs_native
def test_methods_of_columns_are_looked_for_in_their_types() -> None:
    asked: list[str] = []
    assert plain_words(Exported(["a", "\u00e4"], asked)) == [b"a", "\u00e4".encode()]
    assert asked == []


@needs_native
def test_names_that_need_a_closer_look_are_left() -> None:
    gone: list[str | None] = ["a", None, "b"]
    broken = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xc3"], pa.binary()).buffers())
    falling = [None, pa.py_buffer(np.asarray([0, 2, 1], np.int32)), pa.py_buffer(b"ab")]
    far = np.frombuffer(np.asarray([13, 0, 0, 0], np.int32).tobytes(), np.uint8)
    views = [None, pa.py_buffer(far), pa.py_buffer(b"only twelve.")]
    for value in (
        gone,
        np.asarray(gone, object),
        np.asarray(gone, np.dtypes.StringDType(na_object=None)),
        pa.array(gone),
        pa.array(gone, pa.string_view()),
        pl.Series(gone),
        pd.Series(["a"]),
        pa.array([1]),
        pa.array(["a"]).dictionary_encode(),
        broken,
        pa.Array.from_buffers(pa.string(), 2, falling),
        pa.Array.from_buffers(pa.string_view(), 1, views),
        np.asarray(["a"]).reshape(1, 1),
        np.asarray([1]),
        ["a", b"b"],
        "a",
        3,
    ):
        assert plain_words(value) is None


@needs_native
def test_a_stream_that_is_read_once_is_left() -> None:
    class Stream:
        asked = 0

        def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
            self.asked += 1
            return pa.chunked_array([["a"]]).__arrow_c_stream__(requested_schema)

    stream = Stream()
    assert plain_words(stream) is None
    assert stream.asked == 0
    assert words_of(stream) == [b"a"]


def test_arrow_is_read_where_it_lies() -> None:
    column = pa.array(["abc", "", "long enough to be told apart"])
    (part,) = read_column("x", column[1:]).texts
    memory = np.frombuffer(column.buffers()[2], np.uint8)
    assert np.shares_memory(part.data, memory)
    assert np.shares_memory(part.offsets, np.frombuffer(column.buffers()[1], np.int32))


@pytest.mark.usefixtures("core")
def test_what_is_no_utf8_is_refused_with_its_row() -> None:
    wrong = [
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x82",
        b"\xf0\x80\x80\x80",
        b"\xc3",
    ]
    for word in wrong:
        broken = pa.array([b"fine", b"\xc3\xa9", word], pa.binary())
        text = pa.Array.from_buffers(pa.string(), 3, broken.buffers())
        with pytest.raises(pi.DTypeError, match=r"^x: expected strings in UTF-8 \(row 2\)$"):
            read_column("x", text)
        with pytest.raises(pi.DTypeError, match=r"\(row 5\)$"):
            read_column("x", pa.chunked_array([pa.array(["a", "b", "c"]), text]))
        assert words_of(broken)[2] == words_of([word])[0] == word
        for value in ([b"fine", word], np.asarray([b"fine", word])):
            with pytest.raises(pi.DTypeError, match=r"UTF-8 \(row 1\)$"):
                read_column("x", value, names=True)
    hidden = pa.array([b"fine", b"\xff"], pa.binary(), mask=np.asarray([False, True]))
    assert words_of(pa.Array.from_buffers(pa.string(), 2, hidden.buffers())) == [b"fine", None]


@pytest.mark.usefixtures("core")
def test_names_may_be_halves_of_characters() -> None:
    for value in (["a\ud800"], np.asarray(["a\ud800"])):
        assert words_of(value, names=True) == [b"a\xed\xa0\x80"]
        with pytest.raises(pi.DTypeError, match=r"^x: expected strings in UTF-8 \(row 0\)$"):
            read_column("x", value)


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize(
    ("offsets", "kind"),
    [
        ([0, 3, 2], pa.string()),
        ([-1, 0, 1], pa.string()),
        ([0, 1 << 60, 2], pa.large_string()),
        ([0, 2, -(2**31)], pa.string()),
        ([5, 4, 3], pa.binary()),
    ],
)
def test_offsets_that_lie_are_refused(offsets: list[int], kind: Any) -> None:
    memory = np.zeros(3, np.int64 if kind == pa.large_string() else np.int32)
    lying = pa.Array.from_buffers(kind, 2, [None, pa.py_buffer(memory), pa.py_buffer(b"abcdef")])
    memory[:] = offsets
    with pytest.raises(pi.InputError, match=r"^values: its Arrow structures contradict themselves$"):
        pi.hash_to_bucket(lying, buckets=3)


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize(
    ("length", "place", "offset"), [(13, 1, 0), (13, 0, 9), (-1, 0, 0), (13, 0, -1), (13, -1, 0)]
)
def test_views_that_lie_are_refused(length: int, place: int, offset: int) -> None:
    view = np.zeros(4, np.int32)
    buffers = [None, pa.py_buffer(view), pa.py_buffer(b"0123456789abcdef")]
    lying = pa.Array.from_buffers(pa.string_view(), 1, buffers)
    view[:] = length, 0, place, offset
    with pytest.raises(pi.InputError, match=r"^values: its Arrow structures contradict themselves$"):
        pi.hash_to_bucket(lying, buckets=3)


@settings(max_examples=20)
@given(
    st.lists(st.sampled_from([b"", b"a", b"ab", b"b\0"]), max_size=9),
    st.sampled_from([b"", b"a", b"ab", b"b"]),
)
def test_equal_to_a_text(words: list[bytes], text: bytes) -> None:
    column = texts.of_objects(words, 1, False)
    assert column.equal(text).tolist() == [word == text for word in words]
    places = np.arange(len(words))[::-1]
    turned = Texts(column.offsets, column.data, places)
    assert turned.equal(text).tolist() == [word == text for word in words[::-1]]
    assert turned.plain().elements() == turned.elements() == words[::-1]


def test_shapes_stay() -> None:
    grid = [["a", "b", "c"], ["d", "e", "f"]]
    for value in (
        grid,
        np.asarray(grid),
        np.asarray(grid, object),
        np.asarray(grid, np.dtypes.StringDType()),
    ):
        assert pi.hash_to_bucket(value, buckets=7).shape == (2, 3)
    assert pi.hash_to_bucket("a", buckets=7).shape == ()
    assert pi.hash_to_bucket([], buckets=7).shape == (0,)
    assert pi.hash_to_bucket(np.empty((0, 3), str), buckets=7).shape == (0, 3)


@pytest.mark.usefixtures("core")
@pytest.mark.parametrize(("count", "kinds"), [(0, 1), (1, 1), (500, 3), (500, 10_000)])
def test_grouping_holds_each_string_once(count: int, kinds: int) -> None:
    rng = np.random.default_rng(count + kinds)
    words = [
        b"" if i == 0 else b"word " * (i % 4) + b"%d" % i for i in rng.integers(0, kinds, count).tolist()
    ]
    flags = rng.random(count) < 0.2
    offsets = np.cumsum([0, *map(len, words)])
    given = Texts(offsets, np.frombuffer(b"".join(words), np.uint8), missing=flags)
    made = given.grouped()
    assert made.elements() == words
    assert made.words() == list(dict.fromkeys(words))
    assert made.gone().tolist() == flags.tolist()
    assert made.grouped() is made
