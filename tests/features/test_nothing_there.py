"""Rows and lists that are missing, in each of the ways in which tables say so."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from onnx import helper
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer.features import Field, ListField, Vocabulary

WORDS = ["a", "b"]


def model(missing: Any = "zero", length: int = 2, **own: Any) -> pi.Model:
    """The word's id, and ten times the sum of the list's ids."""
    nodes = [
        helper.make_node("ReduceSum", ["list", "axis"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "ten"], ["part"]),
        helper.make_node("Add", ["part", "word"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["score"], to=FLOAT),
    ]
    inputs = {"word": (INT64, ["N"]), "list": (INT64, ["N", length])}
    graph = make_model(
        nodes, inputs, {"score": (FLOAT, ["N"])}, {"axis": np.asarray([1]), "ten": np.asarray(10)}
    )
    known = own.pop("transforms", [Vocabulary(WORDS)])
    fields = [
        Field("word", "item", to="word", transforms=[Vocabulary(WORDS)], missing=missing),
        ListField("list", "item", to="list", transforms=known, length=length, missing=missing, **own),
    ]
    return pi.load(graph.SerializeToString(), schema=pi.Schema(fields))


NOTHING = [None, None]
COLUMNS = {
    "None": NOTHING,
    "objects": np.asarray(NOTHING, object),
    "NaN": [float("nan")] * 2,
    "pyarrow": pa.nulls(2),
    "pyarrow lists": pa.array(NOTHING, pa.list_(pa.null())),
    "pyarrow chunks": pa.chunked_array([pa.nulls(1), pa.nulls(0), pa.nulls(1)]),
    "polars": pl.Series("x", NOTHING),
    "polars lists": pl.Series("x", [[], None], dtype=pl.List(pl.Null)),
    "pandas": pd.Series(NOTHING),
    "pandas floats": pd.Series([np.nan, np.nan]),
    "pandas lists": pd.Series([["a"], np.nan]).iloc[[1, 1]],
}


@pytest.mark.parametrize("name", [name for name in COLUMNS if "lists" not in name])
def test_columns_without_a_value(name: str) -> None:
    scores = model().score({}, {"word": COLUMNS[name], "list": [["a"], ["b", "a"]]})
    np.testing.assert_array_equal(scores, [10, 30])
    with pytest.raises(pi.InputError, match=r"field 'word': expected a value .* \(row 0\)"):
        model("error").score({}, {"word": COLUMNS[name], "list": [["a"], ["b", "a"]]})


@pytest.mark.parametrize("name", [name for name in COLUMNS if name != "NaN"])
def test_lists_without_a_value(name: str) -> None:
    np.testing.assert_array_equal(model().score({}, {"word": ["a", "b"], "list": COLUMNS[name]}), [1, 2])
    if name != "polars lists":
        with pytest.raises(pi.InputError, match=r"field 'list': expected a list .* \(row 0\)"):
            model("error").score({}, {"word": ["a", "b"], "list": COLUMNS[name]})


@pytest.mark.parametrize("nothing", [None, float("nan"), pd.NA], ids=repr)
def test_rows_without_a_list(nothing: Any) -> None:
    """pandas has NaN where a list is missing, as after a join, and so have its dictionaries."""
    rows = [{"word": "a", "list": nothing}, {"word": "b", "list": ["b"]}]
    loaded = model()
    for given in (rows, pd.DataFrame(rows), {name: [row[name] for row in rows] for name in rows[0]}):
        np.testing.assert_array_equal(loaded.score({}, given), [1, 22])
    np.testing.assert_array_equal(loaded.score({}, rows[0]), [1])
    with pytest.raises(pi.InputError, match=r"field 'list': expected a list .* \(row 0\)"):
        model("error").score({}, rows[0])


def test_what_fills_a_list_is_no_value_of_another_row() -> None:
    loaded = model(transforms=(), dtype="integer", keep="last", pad="left")
    large = 2**63 - 1
    expected = loaded.score({}, [{"word": "a", "list": []}, {"word": "a", "list": [3]}])
    np.testing.assert_array_equal(expected, [1, 31])
    for lists in ([[], [large]], [(), (large,)], pa.array([[], [large]])):
        scores = loaded.score({}, {"word": ["a", "a"], "list": lists})
        assert scores[0] == 1
    narrow = pi.load(
        make_model(
            [helper.make_node("ReduceSum", ["list", "axis"], ["score"], keepdims=0)],
            {"list": (FLOAT, ["N", 2])},
            {"score": (FLOAT, ["N"])},
            {"axis": np.asarray([1])},
        ).SerializeToString(),
        schema=pi.Schema([ListField("list", "item", to="list", dtype="integer", length=2, keep="last")]),
    )
    for lists in ([[], [large]], pa.array([[], [large]]), np.array([(), (large,)], object)):
        with pytest.raises(pi.IdRangeError, match=r"field 'list': expected whole .* \(row 1\)"):
            narrow.score({}, {"list": lists})
    np.testing.assert_array_equal(narrow.score({}, {"list": pa.array([[], [large, 1, 2]])}), [0, 3])


def test_tables_without_a_value_give_no_field() -> None:
    made = pi.Schema.infer({"word": pl.Series([None, None]), "list": [["a"], ["b", "a"]]}, source())
    assert [item.name for item in made.fields] == ["list"]
    assert "field 'word': left out, no row has a value" in made.notes


def source() -> bytes:
    nodes = [helper.make_node("Add", ["word", "list"], ["whole"])]
    inputs = {"word": (INT64, ["N", 1]), "list": (INT64, ["N", 2])}
    return make_model(nodes, inputs, {"whole": (INT64, ["N", 2])}).SerializeToString()


@pytest.mark.parametrize("none", [[], ()], ids=["list", "tuple"])
def test_no_rows_have_no_scores(none: Any) -> None:
    loaded = model()
    row = {"word": "a", "list": ["b"]}
    assert loaded.score({}, none).shape == (0,)
    assert loaded.score({"word": "a"}, none).shape == (0,)
    assert loaded.top_k({}, none, k=3).count == 0
    assert (
        loaded.top_k({"list": ["a"]}, none, k=3, attributes={"seller": []}, max_per={"seller": 1}).count == 0
    )
    shop = loaded.catalog([row])
    before = shop.score({}).tolist()
    shop.upsert(none, none)
    assert shop.score({}).tolist() == before
    with pytest.raises(pi.MissingInputError, match="'list'"):
        loaded.score({"word": "a"}, [{}])


PARTLY = {
    "masked objects": np.ma.array(["a", None], object, mask=[False, True]),
    "masked strings": np.ma.array(["a", "b"], mask=[False, True]),
    "NumPy's strings": np.asarray(["a", None], np.dtypes.StringDType(na_object=None)),
    "NumPy's strings, NaN": np.asarray(["a", np.nan], np.dtypes.StringDType(na_object=np.nan)),
    "categories": pd.Categorical(["a", None]),
}


@pytest.mark.parametrize("name", PARTLY)
def test_columns_whose_last_value_is_missing(name: str) -> None:
    columns = {"word": PARTLY[name], "list": [["a"], ["b", "a"]]}
    np.testing.assert_array_equal(model().score({}, columns), [11, 30])
    with pytest.raises(pi.InputError, match=r"^field 'word': expected a value .* \(row 1\)$"):
        model("error").score({}, columns)


@pytest.mark.parametrize("place", [0, 3])
@pytest.mark.parametrize("kind", ["string", "integer", "number"])
def test_masked_values_of_a_matrix_of_lists_are_missing(kind: Any, place: int) -> None:
    values = {"string": ["a", "b", "b", "a"], "integer": [5, 6, 7, 8], "number": [0.5, 1.5, 2.5, 3.5]}[kind]
    dtype: Any = object if place else None
    field = ListField("list", "item", to="list", dtype=kind, length=2, missing="zero")
    if kind == "string":
        field = dataclasses.replace(field, transforms=(Vocabulary(WORDS),))
    taken = FLOAT if kind == "number" else INT64
    nodes = [
        helper.make_node("ReduceSum", ["list", "axis"], ["sum"], keepdims=0),
        helper.make_node("Cast", ["sum"], ["score"], to=FLOAT),
    ]
    graph = make_model(
        nodes, {"list": (taken, ["N", 2])}, {"score": (FLOAT, ["N"])}, {"axis": np.asarray([1])}
    )
    loaded = pi.load(graph.SerializeToString(), schema=pi.Schema([field]))
    matrix = np.ma.array(np.asarray(values, dtype).reshape(2, 2))
    expected = loaded.score({}, {"list": [values[:2], values[2:]]})
    np.testing.assert_array_equal(loaded.score({}, {"list": matrix}), expected)
    matrix[place // 2, place % 2] = np.ma.masked
    with pytest.raises(pi.InputError, match=rf"^field 'list': expected values .* \(row {place // 2}\)$"):
        loaded.score({}, {"list": matrix})


def test_large_categories_beside_a_missing_one_are_whole_numbers() -> None:
    field = Field(
        "id", "item", to="id", dtype="integer", transforms=[Vocabulary([2**60 + 1])], missing="zero"
    )
    nodes = [helper.make_node("Cast", ["id"], ["score"], to=FLOAT)]
    graph = make_model(nodes, {"id": (INT64, ["N"])}, {"score": (FLOAT, ["N"])})
    loaded = pi.load(graph.SerializeToString(), schema=pi.Schema([field]))
    for column in (pd.Categorical([2**60 + 1, None]), pd.Series(pd.Categorical([2**60 + 1, None]))):
        np.testing.assert_array_equal(loaded.score({}, {"id": column}), [1, 0])


@pytest.mark.parametrize("dtype", [object, str])
def test_matrices_are_no_columns_of_one_value(dtype: Any) -> None:
    matrix = np.asarray([["a", "b"], ["b", "a"]], dtype)
    with pytest.raises(pi.ShapeError, match=r"^field 'word': expected one value .*, got shape \[2, 2\]$"):
        model().score({}, {"word": matrix, "list": [["a"]] * 4})
    scores = model().score({}, {"word": matrix[:, :1], "list": [["a"], ["b"]]})
    np.testing.assert_array_equal(scores, [11, 22])


def test_the_first_row_lacks_what_others_have() -> None:
    node = helper.make_node("Add", ["x", "z"], ["y"])
    graph = make_model([node], {"x": (FLOAT, ["N"]), "z": (FLOAT, ["N"])}, {"y": (FLOAT, ["N"])})
    fields = [
        Field("own", "item", to="x", dtype="number", missing="default", default=1.0),
        Field("asked", "request", to="z", dtype="number"),
    ]
    loaded = pi.load(graph.SerializeToString(), schema=pi.Schema(fields))
    for _ in range(2):
        assert loaded.score({"asked": 1.0}, [{}, {"own": 2.0}]).tolist() == [2.0, 3.0]
        assert loaded.top_k({"asked": 1.0}, [{}, {"own": 2.0}], k=1).ids.tolist() == [1]
        assert loaded.score({"asked": 1.0}, [{"own": 2.0}, {}]).tolist() == [3.0, 2.0]
