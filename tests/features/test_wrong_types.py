"""Columns of another type than their field, in every form: the error names the field and a row."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer.features import Field, Hash, ListField, Vocabulary

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
USER = {"user": "ann"}
GOOD: dict[str, list[Any]] = {
    "word": ["a", "b", "a"],
    "price": [1.0, 2.0, 3.0],
    "count": [1, 2, 3],
    "tags": [["x"], ["y", "z"], []],
}
DAY = datetime.date(2020, 1, 1)


@pytest.fixture(scope="module")
def model() -> pi.Model:
    inputs: dict[str, Any] = {name: (INT64, ["N"]) for name in ("user", "word", "count")}
    inputs |= {"price": (FLOAT, ["N"]), "tags": (INT64, ["N", 2])}
    nodes = [helper.make_node("Cast", [name], [f"{name}/float"], to=FLOAT) for name in inputs]
    nodes.append(helper.make_node("ReduceSum", ["tags/float", "axis"], ["tags/sum"], keepdims=0))
    terms = ["user/float", "word/float", "count/float", "price/float", "tags/sum"]
    nodes.append(helper.make_node("Sum", terms, ["score"]))
    graph = make_model(nodes, inputs, {"score": (FLOAT, ["N"])}, {"axis": np.asarray([1])})
    fields = [
        Field("user", "request", to="user", transforms=[Hash(9)]),
        Field("word", "item", to="word", transforms=[Vocabulary(["a", "b"], oov=0)]),
        Field("price", "item", to="price", dtype="number"),
        Field("count", "item", to="count", dtype="integer"),
        ListField("tags", "item", to="tags", transforms=[Hash(9)], length=2),
    ]
    return pi.load(graph.SerializeToString(), schema=pi.Schema(fields))


def rows_of(columns: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


FORMS: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "lists": dict,
    "dictionaries": rows_of,
    "NumPy": lambda columns: {
        name: values if name == "tags" else np.asarray(values) for name, values in columns.items()
    },
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "Arrow": pa.table,
    "chunks": lambda columns: pa.concat_tables([pa.table(columns)[:1], pa.table(columns)[1:]]),
}

WRONG: dict[str, tuple[str, list[Any], str]] = {
    "strings for numbers": ("price", ["secret", "b", "c"], r"expected numbers, got str(ings)? \(row 0\)"),
    "strings for whole numbers": (
        "count",
        ["secret", "b", "c"],
        r"expected whole numbers, got str(ings)? \(row 0\)",
    ),
    "strings behind nulls": ("price", [None, None, "secret"], r"expected numbers, got str(ings)? \(row 2\)"),
    "whole numbers for strings": ("word", [7, 8, 9], r"expected strings, got int(64)? \(row 0\)"),
    "numbers behind nulls": ("word", [None, 8.5, 9.5], r"expected strings, got float(64)? \(row 1\)"),
    "booleans for strings": ("word", [True, False, True], r"expected strings, got bool \(row 0\)"),
    "fractions": ("count", [1.0, 2.5, 3.5], r"expected whole numbers, got one with a fraction \(row 1\)"),
    "lists for numbers": ("price", [[1.0], [2.0, 3.0], []], r"expected numbers, .*got lists? \(row 0\)"),
    "lists for strings": ("word", [["a"], ["b", "a"], []], r"expected strings, .*got lists? \(row 0\)"),
    "numbers in lists": ("tags", [[], [7], [8, 9]], r"expected strings, got int(64)? \(row 1\)"),
    "dates for numbers": (
        "price",
        [DAY] * 3,
        r"expected numbers, .*got (date|dates or times|datetime.*) \(row 0\)",
    ),
    "too large": (
        "count",
        [1, 2, 2**63],
        r"expected whole numbers below 2\^\d\d.*, got a larger one \(row 2\)",
    ),
    "unknown": (
        "word",
        ["a", "secret", "b"],
        r"expected a value of its vocabulary, got an unknown one \(row 1\)",
    ),
}


NO_TABLE = {
    *(("NumPy", name) for name in ("lists for numbers", "lists for strings")),
    *((form, "too large") for form in ("Arrow", "chunks")),
}
"""Values of which a form makes nothing."""

CASES = [(form, name) for name in WRONG for form in FORMS if (form, name) not in NO_TABLE]


@pytest.mark.parametrize(("form", "name"), CASES)
def test_what_is_of_another_type_is_told_with_field_and_row(model: pi.Model, form: str, name: str) -> None:
    field, values, message = WRONG[name]
    rows = FORMS[form]({**GOOD, field: values})
    for call in (model.score, lambda user, items: model.top_k(user, items, k=1)):
        with pytest.raises(pi.InputError, match=f"^field '{field}': {message}$") as told:
            call(USER, rows)
        assert "secret" not in str(told.value)
    with pytest.raises(pi.InputError, match=f"^field '{field}': {message}$"):
        model.catalog(rows)


@pytest.mark.parametrize("form", ["dictionaries", "pandas", "polars", "Arrow", "chunks"])
@pytest.mark.parametrize("count", [1, 3])
def test_one_text_in_a_row_is_no_list(model: pi.Model, form: str, count: int) -> None:
    columns = {name: values[:count] for name, values in {**GOOD, "tags": ["secret", "b", "c"]}.items()}
    with pytest.raises(pi.DTypeError, match=r"^field 'tags': expected a list in each row, got .*\(row 0\)$"):
        model.score(USER, FORMS[form](columns))
    for tags in ([None, "secret", ["x"]], [["x"], "secret", None]):
        rows = rows_of({**GOOD, "tags": tags})
        if tags[0] is None:
            rows[0]["tags"] = []
        with pytest.raises(pi.DTypeError, match=r"got str \(row 1\)$"):
            model.score(USER, rows)


def test_one_row_of_pandas_has_one_list(model: pi.Model) -> None:
    row = pd.Series({name: values[1] for name, values in GOOD.items()})
    expected = model.score(USER, {name: [values[1]] for name, values in GOOD.items()})
    np.testing.assert_array_equal(model.score(USER, row), expected)


def test_a_column_of_nothing_may_be_of_any_type(model: pi.Model) -> None:
    rows = pa.table({**GOOD, "price": pa.array([None] * 3, pa.date32())})
    with pytest.raises(pi.InputError, match=r"^field 'price': expected a value in each row.*\(row 0\)$"):
        model.score(USER, rows)
    rows = pa.table({**GOOD, "tags": pa.array([None] * 3, pa.string())})
    with pytest.raises(pi.InputError, match=r"^field 'tags': expected a list in each row.*\(row 0\)$"):
        model.score(USER, rows)


def test_missing_fields_are_told_without_the_graphs_own_names(model: pi.Model) -> None:
    rows = {name: values for name, values in GOOD.items() if name != "tags"}
    expected = r"^field 'tags' is missing: expected user, word, price, count, tags$"
    with pytest.raises(pi.MissingInputError, match=expected):
        model.score(USER, rows)
    with pytest.raises(pi.InputError, match=r"^field 'user' is given both in the request and with the cand"):
        model.score(USER, {**GOOD, "user": ["a", "b", "c"]})
