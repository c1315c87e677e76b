"""Strings of Arrow's views: hashed where they lie, and looked at before."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyrec_infer as pi
from pyrec_infer import extension
from pyrec_infer.arguments import read_column
from pyrec_infer.hashing import CROSSES, SCHEMES
from pyrec_infer.strings import Viewed, fallback

WORDS = st.lists(st.text(max_size=16), max_size=9)
LONG = b"0123456789abc\xc3\xa9xyz"
needs_native = pytest.mark.skipif(extension.native is None, reason="no native code in this build")


def fingerprint(values: Any, scheme: str) -> list[int]:
    seed = (1, 2) if scheme in ("siphash24", "keras_salted") else None
    name = None if SCHEMES[scheme].names == "none" else "field"
    made: list[int] = pi.fingerprint(values, scheme=scheme, seed=seed, name=name).tolist()
    return made


def views_of(rows: list[tuple[int, int, int, int]], missing: list[bool] | None = None) -> pa.Array:
    """Views of one buffer as numbers; pyarrow is not asked for them until they are changed."""
    memory = np.zeros((len(rows), 4), np.int32)
    bits = None if missing is None else pa.py_buffer(np.packbits(~np.asarray(missing), bitorder="little"))
    made = pa.Array.from_buffers(
        pa.string_view(), len(rows), [bits, pa.py_buffer(memory), pa.py_buffer(LONG)]
    )
    memory[:] = rows
    return made


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_hashes_views_as_strings(scheme: str) -> None:
    words = ["", "a", "é", "twelve bytes", "thirteen byte", "item_1234", "日本" * 9, "end\0"]
    expected = fingerprint(words, scheme)
    views = pa.array(words, pa.string_view())
    assert fingerprint(views, scheme) == expected
    assert fingerprint(pl.Series(words), scheme) == expected
    assert fingerprint(pa.array(["before it all", *words], pa.string_view())[1:], scheme) == expected
    chunks = pa.chunked_array([views[:3], views[3:3], views[3:]])
    assert fingerprint(chunks, scheme) == expected


@settings(max_examples=20)
@given(WORDS, st.sampled_from(sorted(CROSSES)))
def test_crosses_of_views(words: list[str], scheme: str) -> None:
    if words:
        views = pa.array([*words[1:], None], pa.string_view())[:-1]
        made = pi.cross_fingerprint([words[1:], views], scheme=scheme)
        np.testing.assert_array_equal(made, pi.cross_fingerprint([words[1:], words[1:]], scheme=scheme))


def test_nulls_and_masks_of_views() -> None:
    words = ["a", None, "longer than twelve bytes", "b"]
    for values in (pa.array(words, pa.string_view()), pl.Series(words)):
        options: dict[str, Any] = {"buckets": 100, "mask_value": "b"}
        expected = pi.hash_to_bucket(["a", "b", "longer than twelve bytes", "b"], **options)
        made = pi.hash_to_bucket(values, null="mask", **options)
        np.testing.assert_array_equal(made, expected)
        assert fingerprint(values, "spark_hash")[1] == 42
        with pytest.raises(pi.InputError, match=r"got a missing one \(row 1\)$"):
            pi.hash_to_bucket(values, buckets=3)


def test_views_are_read_where_they_lie() -> None:
    column = pa.array(["before it all", "long enough for a buffer", "b"], pa.string_view())
    (part,) = read_column("x", column[1:]).texts
    assert isinstance(part, Viewed)
    assert np.shares_memory(part.views, np.frombuffer(column.buffers()[1], np.uint8))
    assert np.shares_memory(part.buffers[0], np.frombuffer(column.buffers()[2], np.uint8))


def test_what_follows_a_views_own_bytes_is_of_no_matter() -> None:
    word = int.from_bytes(b"a\xff\xff\xff", "little", signed=True)
    assert fingerprint(views_of([(1, word, -1, -1)]), "mmh3_32") == fingerprint(["a"], "mmh3_32")


def test_a_missing_view_is_not_looked_at() -> None:
    values = views_of([(1, 97, 0, 0), (99, 0, 7, -3), (13, 0, 0, 0)], [False, True, False])
    made = pi.hash_to_bucket(values, buckets=97, null="mask")
    assert made.tolist() == pi.hash_to_bucket(["a", "", "0123456789abc"], buckets=97, mask_value="").tolist()


@pytest.mark.parametrize("cut", [(14, 0, 0, 0), (13, 0, 0, 1), (1, 0xC3, 0, 0), (2, 0x61C3, 0, 0)])
def test_views_that_cut_a_letter_are_refused_with_their_row(cut: tuple[int, int, int, int]) -> None:
    good = (15, 0, 0, 0)
    chunks = pa.chunked_array([views_of([good] * 300), views_of([good, cut, cut])])
    with pytest.raises(pi.DTypeError, match=r"^values: expected strings in UTF-8 \(row 301\)$"):
        pi.hash_to_bucket(chunks, buckets=3)


ROWS = st.lists(
    st.tuples(
        st.integers(-2, 20),
        st.sampled_from([0, 97, -1]),
        st.integers(-1, 1),
        st.integers(-1, 8),
    ),
    max_size=5,
)


@needs_native
@settings(max_examples=50)
@given(ROWS, st.lists(st.booleans(), min_size=5, max_size=5), st.booleans())
def test_native_code_and_python_find_the_same_faults(
    rows: list[tuple[int, int, int, int]], marks: list[bool], utf8: bool
) -> None:
    views = np.asarray(rows, np.int32).reshape(-1, 4).view(np.uint8).reshape(-1)
    buffers, missing = [np.frombuffer(LONG, np.uint8)], np.asarray(marks[: len(rows)], np.bool_)
    native = extension.native
    assert native is not None
    outside, row = native.faults_of_views(views, buffers, missing, utf8)
    expected = fallback.faults_of_views(views, buffers, missing, utf8)
    assert outside == expected[0]
    assert outside or row == expected[1]


PIECES = [
    b"a",
    b"seven77",
    b"\x7f",
    b"\xc3\xa9",
    b"\xe6\x97\xa5",
    b"\xf0\x9d\x84\x9e",
    b"\x80",
    b"\xc3",
    b"\xed\xa0\x80",
]


@needs_native
@settings(max_examples=200)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_what_is_utf8_is_what_python_decodes(text: bytes) -> None:
    """With letters at every place of the eight bytes that are looked at together."""
    native = extension.native
    assert native is not None
    try:
        text.decode()
        expected = -1
    except UnicodeDecodeError:
        expected = 0
    data = np.frombuffer(text, np.uint8)
    assert native.first_no_utf8(np.asarray([0, len(text)]), data) == expected


@needs_native
def test_hashes_stay_inside_buffers_that_nobody_looked_at() -> None:
    native = extension.native
    assert native is not None
    for row in ((13, 0, 0, 9), (13, 0, 1, 0), (-1, 0, 0, 0)):
        views = np.asarray(row, np.int32).view(np.uint8)
        with pytest.raises(ValueError, match="views inside their buffers"):
            native.hash_views("mmh3_32", views, [np.frombuffer(LONG, np.uint8)], None, (0, 0), b"", b"")
