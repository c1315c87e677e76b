"""Tables and columns of other packages as arguments: the same scores, or a typed error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import pyrec_infer as pi
from pyrec_infer.arguments import as_array, regular
from pyrec_infer.arguments.tables import as_columns
from pyrec_infer.bundled import MODEL, items, users

pa: Any = pytest.importorskip("pyarrow", reason="tables of pyarrow are tested with it")
pl: Any = pytest.importorskip("polars", reason="tables of polars are tested with it")
pd: Any = pytest.importorskip("pandas", reason="tables of pandas are tested with it")

Array = NDArray[Any]


def arrow(columns: dict[str, Array]) -> Any:
    return pa.table(
        {
            name: pa.array(value.tolist(), pa.list_(pa.from_numpy_dtype(value.dtype)))
            if value.ndim > 1
            else value
            for name, value in columns.items()
        }
    )


FORMS: dict[str, Callable[[dict[str, Array]], Any]] = {
    "pyarrow": arrow,
    "chunks": lambda columns: pa.concat_tables([arrow(columns).slice(0, 2), arrow(columns).slice(2)]),
    "batch": lambda columns: arrow(columns).combine_chunks().to_batches()[0],
    "slice": lambda columns: (
        pa.concat_tables([arrow(columns)] * 2)
        .combine_chunks()
        .slice(len(arrow(columns)), len(arrow(columns)))
    ),
    "polars": lambda columns: pl.from_arrow(arrow(columns)),
    "pandas": lambda columns: pd.DataFrame(columns),
    "nullable": lambda columns: pd.DataFrame(columns).convert_dtypes(),
    "polars columns": lambda columns: {name: pl.Series(value) for name, value in columns.items()},
    "lists": lambda columns: {name: value.tolist() for name, value in columns.items()},
}


@pytest.fixture(scope="module")
def model() -> pi.Model:
    return pi.load(MODEL)


@pytest.mark.parametrize("form", FORMS)
def test_tables_score_as_their_arrays(model: pi.Model, form: str) -> None:
    user = users(1, 7)[0]
    own = {name: np.asarray(value).reshape(1, -1)[:, 0] for name, value in user.request.items()}
    flat = all(np.asarray(value).size == 1 for value in user.request.values())
    late = {**items(7), "affinity": user.affinity}
    vectors = {name: value for name, value in late.items() if value.ndim == 1}
    others = {name: value for name, value in late.items() if value.ndim > 1}
    expected = model.score(user.request, late)
    table = FORMS[form](vectors)
    given_late = table if not others else {**as_columns(table), **others}
    given_own = FORMS[form](own) if flat and form != "chunks" else user.request
    np.testing.assert_array_equal(model.score(given_own, given_late), expected)


def test_streams_that_can_be_read_once(model: pi.Model) -> None:
    def stream(columns: dict[str, Array]) -> Any:
        table = arrow({name: np.asarray(value) for name, value in columns.items()})
        return pa.RecordBatchReader.from_batches(table.schema, table.to_batches(max_chunksize=3))

    user, ids = users(1, 7)[0], np.arange(7)
    own = {name: np.reshape(value, 1) for name, value in user.request.items()}
    late, shop = {"affinity": user.affinity}, items(7)
    expected = model.score(own, {**shop, **late})
    np.testing.assert_array_equal(model.score(stream(own), stream({**shop, **late})), expected)
    catalog = model.catalog(stream(shop), candidates=["affinity"])
    assert len(catalog) == 7
    np.testing.assert_allclose(catalog.score(stream(own), ids, stream(late)), expected, rtol=1e-5)
    for which in (None, ids, [ids]):
        best = catalog.top_k(stream(own), 2, ids=which, candidates=stream(late))
        np.testing.assert_array_equal(np.ravel(best.ids), np.argsort(-expected, kind="stable")[:2])
    catalog.upsert(stream({name: value[::-1] for name, value in shop.items()}), ids[::-1])
    np.testing.assert_allclose(catalog.score(own, ids, late), expected, rtol=1e-5)


def columns_of(table: Any) -> dict[str, Array]:
    return {name: regular(name, column) for name, column in as_columns(table).items()}


KINDS = {
    "int8": pa.int8(),
    "uint64": pa.uint64(),
    "float32": pa.float32(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "string_view": pa.string_view(),
    "binary": pa.binary(),
    "dictionary": pa.dictionary(pa.int16(), pa.string()),
    "list": pa.list_(pa.int64()),
    "fixed": pa.list_(pa.float64(), 2),
}


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(sorted(KINDS)), st.integers(0, 20), st.booleans())
def test_columns_of_every_type_and_slice(data: st.DataObject, kind: str, count: int, holes: bool) -> None:
    """What Arrow itself reads, or an error that names the first row without a value."""
    rng = np.random.default_rng(count)
    if kind in ("list", "fixed"):
        values: list[Any] = rng.integers(0, 99, (count, 2)).tolist()
    elif kind == "bool":
        values = (rng.integers(0, 2, count) == 1).tolist()
    elif kind in ("int8", "uint64", "float32"):
        values = rng.integers(0, 99, count).tolist()
    else:
        words = ["", "a", "längere Wörter als in eine Sicht passen", "x" * 12, "y" * 13]
        values = [words[i] for i in rng.integers(0, len(words), count)]
    if holes and count:
        values[data.draw(st.integers(0, count - 1))] = None
    begin = data.draw(st.integers(0, count))
    size = data.draw(st.integers(0, count - begin))
    written = [v.encode() if kind == "binary" and v is not None else v for v in values]
    column = pa.array(written, KINDS[kind]).slice(begin, size)
    expected = values[begin : begin + size]
    if None in expected:
        with pytest.raises(pi.InputError, match=rf"^x: .*missing one \(row {expected.index(None)}\)"):
            columns_of(pa.table({"x": column}))
        return
    assert columns_of(pa.table({"x": column}))["x"].tolist() == expected


def test_numbers_are_borrowed() -> None:
    numbers = np.arange(10, dtype=np.float32)
    table = pa.table({"x": pa.array(numbers)})
    read = columns_of(table)["x"]
    assert np.shares_memory(read, numbers)
    assert not read.flags.writeable
    table = None
    np.testing.assert_array_equal(read, np.arange(10))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (lambda: pa.table({"x": pa.array([[1], [2, 3]])}), r"x: expected lists of one length.*row 1"),
        (lambda: pa.table({"x": pa.array([1], pa.timestamp("s"))}), "x: .*dates or times"),
        (lambda: pa.table({"x": pa.nulls(2)}), r"x: .*missing one \(row 0\)"),
        (lambda: pa.table({"x": pa.array([b"\xff"])}), r"x: .*UTF-8 \(row 0\)"),
        (lambda: pa.array([1, 2]), "expected arrays by the inputs' names"),
        (lambda: pl.DataFrame({"x": [1, None]}), r"x: .*missing one \(row 1\)"),
        (lambda: pd.DataFrame({"x": pd.array([1, None], dtype="Int64")}), r"x: .*missing one \(row 1\)"),
        (lambda: pd.DataFrame([[1, 2]], columns=["x", "x"]), "several columns"),
        (lambda: [1, 2], "expected arrays by the inputs' names"),
        (lambda: None, "expected arrays by the inputs' names"),
    ],
)
def test_tables_that_are_refused(table: Callable[[], Any], message: str) -> None:
    with pytest.raises(pi.InputError, match=message):
        columns_of(table())


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        (np.array([b"\xc3\xa9", "b"], object), str, ["é", "b"]),
        (np.array([b"\xc3\xa9", b"b"]), str, ["é", "b"]),
        (np.array([1, np.int8(2)], object), np.int64, [1, 2]),
        (pd.Categorical(["p", "q"]), str, ["p", "q"]),
        (pd.Series([1, 2], dtype="Int64"), np.int64, [1, 2]),
        ([[1, 2], [3, 4]], np.float32, [[1, 2], [3, 4]]),
        (np.ma.array([1, 2], mask=False), np.int64, [1, 2]),
    ],
)
def test_columns_as_people_have_them(value: Any, dtype: Any, expected: Any) -> None:
    assert as_array("x", value, np.dtype(dtype)).tolist() == expected


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "got None"),
        ([1, None], "row 1"),
        (object(), "torch tensor.*got object"),
        ({1, 2}, "got set"),
        ([2**70], "got whole numbers of more than 64 bits$"),
        (np.asarray([0.5, "secret"], object), r"expected numbers \(float32\), got str \(row 1\)$"),
        (pd.Categorical(["secret"]), r"expected numbers \(float32\), got str \(row 0\)$"),
        (np.ma.array([1, 2], mask=[0, 1]), "row 1"),
        (pd.Series([1.5, None], dtype="Float64"), "row 1"),
    ],
)
def test_columns_that_are_refused(value: Any, message: str) -> None:
    with pytest.raises(pi.InputError, match=message):
        as_array("x", value, np.dtype(np.float32))
