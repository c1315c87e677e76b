"""Raw rows through a schema: the same scores as tensors made by hand, on every way into a model."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper
from support.models import FLOAT, INT64, ITEMS, USERS, make_model, matrix_ranker, ranker

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.errors import (
    DTypeError,
    IdRangeError,
    InputError,
    MissingInputError,
    PyrecError,
    RowCountError,
    SchemaError,
    UnexpectedInputError,
)

TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}
NAMES = [f"user {i}" for i in range(USERS - 1)]
SKUS = [f"sku {i}" for i in range(ITEMS - 1)]


def schema() -> pi.Schema:
    return pi.Schema(
        [
            features.Field(
                "name", "request", to="user", transforms=[features.Vocabulary(NAMES)], missing="oov"
            ),
            features.Field("sku", "item", to="item", transforms=[features.Vocabulary(SKUS)]),
            features.Field(
                "price",
                "item",
                to=("dense", 0),
                dtype="number",
                transforms=[features.Log1p(), features.Standardise(1.0, 2.0)],
                missing="zero",
            ),
            features.Field(
                "age", "request", to=("dense", 1), dtype="integer", transforms=[features.Bucketise([18, 30])]
            ),
            features.Field("now", "request", dtype="integer"),
            features.Field("published", "item", dtype="integer"),
            features.Combination(
                "fresh", ["now", "published"], features.Since(), ("dense", 2), [features.Log1p()]
            ),
        ]
    )


REQUEST = {"name": "user 3", "age": 25, "now": 1_700_000_000}
ROWS = [
    {"sku": "sku 1", "price": 1.0, "published": 0},
    {"sku": "sku 5", "price": None, "published": 1_699_999_999},
    {"sku": "unheard of", "price": 3.0, "published": 1_800_000_000},
]
COLUMNS: dict[str, list[Any]] = {name: [row[name] for row in ROWS] for name in ROWS[0]}


def by_hand() -> tuple[dict[str, Any], dict[str, Any]]:
    price = [(np.log1p(1.0) - 1) / 2, 0.0, (np.log1p(3.0) - 1) / 2]
    fresh = np.log1p([1_700_000_000, 1, 0])
    dense = np.stack([price, np.full(3, 1.0), fresh], axis=1)
    return {"user": [4]}, {"item": [2, 6, 0], "dense": dense.astype(np.float32)}


@pytest.fixture(scope="module")
def raw() -> pi.Model:
    return pi.load(ranker().SerializeToString(), schema=schema())


@pytest.fixture(scope="module")
def expected() -> NDArray[np.float32]:
    scores: NDArray[np.float32] = pi.load(ranker().SerializeToString()).score(*by_hand())
    return scores


FORMS: dict[str, Callable[[], Any]] = {
    "lists": lambda: COLUMNS,
    "rows": lambda: ROWS,
    "arrays": lambda: {name: np.asarray(values, object) for name, values in COLUMNS.items()},
    "pandas": lambda: pd.DataFrame(ROWS),
    "polars": lambda: pl.DataFrame(ROWS),
    "polars categories": lambda: pl.DataFrame(ROWS).with_columns(pl.col("sku").cast(pl.Categorical)),
    "pyarrow": lambda: pa.Table.from_pylist(ROWS),
    "a slice": lambda: pa.Table.from_pylist([ROWS[0], *ROWS]).slice(1),
    "large": lambda: pa.table({**COLUMNS, "sku": pa.array(COLUMNS["sku"], pa.large_string())}),
    "views": lambda: pa.table({**COLUMNS, "sku": pa.array(COLUMNS["sku"], pa.string_view())}),
    "batches": lambda: pa.concat_tables([pa.Table.from_pylist(ROWS[:1]), pa.Table.from_pylist(ROWS[1:])]),
    "masked": lambda: {**COLUMNS, "price": np.ma.masked_array([1.0, 9.0, 3.0], [False, True, False])},
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_in_any_form(raw: pi.Model, expected: NDArray[np.float32], form: str) -> None:
    np.testing.assert_allclose(raw.score(REQUEST, FORMS[form]()), expected, **TOLERANCE)
    np.testing.assert_allclose(raw.score(REQUEST, FORMS[form]()), expected, **TOLERANCE)


def test_every_call_takes_rows(raw: pi.Model, expected: NDArray[np.float32]) -> None:
    best = raw.top_k(REQUEST, ROWS, 2)
    assert best.ids.tolist() == np.argsort(-expected, kind="stable")[:2].tolist()
    prepared = raw.prepare([*REQUEST], [*COLUMNS], max_rows=3)
    out = np.empty(3, np.float32)
    assert prepared(*REQUEST.values(), *COLUMNS.values(), out=out) is out
    np.testing.assert_allclose(out, expected, **TOLERANCE)
    whole = raw.run({**COLUMNS, **{name: [value] * 3 for name, value in REQUEST.items()}})
    np.testing.assert_allclose(whole["score"].reshape(-1), expected, **TOLERANCE)
    several = {name: [value, value] for name, value in REQUEST.items()}
    np.testing.assert_allclose(raw.score(several, ROWS, offsets=[0, 1, 3]), expected, **TOLERANCE)
    by = raw.top_k(REQUEST, {**COLUMNS, "price": [1.0, 2.0, 3.0]}, 1, by="price")
    assert by.ids.tolist() == [2]
    assert [item.name for item in raw.inputs] == ["name", "sku", "price", "age", "now", "published"]


def test_catalogues_hold_rows(raw: pi.Model, expected: NDArray[np.float32]) -> None:
    catalog = raw.catalog(ROWS, ids=["a", "b", "c"])
    np.testing.assert_allclose(catalog.score(REQUEST), expected, **TOLERANCE)
    np.testing.assert_allclose(catalog.score(REQUEST, ["c", "a"]), expected[[2, 0]], **TOLERANCE)
    catalog.upsert(ROWS[1], ids=["a"])
    np.testing.assert_allclose(catalog.score(REQUEST), expected[[1, 1, 2]], **TOLERANCE)
    with pytest.raises(InputError, match="part of the items"):
        catalog.score({**REQUEST, "sku": "sku 1"})


def test_work_of_the_items_is_done_when_they_enter(raw: pi.Model) -> None:
    steps = [step for phase in raw.catalog(ROWS).explain().as_dict()["phases"] for step in phase["steps"]]
    touched = {step["name"] for step in steps}
    assert "field fresh" in touched
    assert not touched & {"field sku", "field price"}


def test_a_schema_survives_json_and_pickling(raw: pi.Model, tmp_path: Path) -> None:
    schema().save(tmp_path / "schema.json")
    assert pi.Schema.load(tmp_path / "schema.json") == schema()
    assert pi.Schema.from_json(schema().to_json()) == schema()
    again = pickle.loads(pickle.dumps(raw))
    np.testing.assert_array_equal(again.score(REQUEST, ROWS), raw.score(REQUEST, ROWS))


def test_columns_of_one_matrix() -> None:
    names = ["user", "city", "item"]
    fields: list[Any] = [
        features.Field(name, "item", to=("X", place), dtype="integer") for place, name in enumerate(names)
    ]
    fields += [features.Field("price", "item", to=("X", 3), dtype="number")]
    fields += [features.ListField("history", "request", to=("X", 4), dtype="integer", length=3)]
    source = matrix_ranker().SerializeToString()
    model = pi.load(source, schema=pi.Schema(fields))
    rows = {"user": [1, 2], "city": [0, 1], "item": [3, 3], "price": [0.5, 1.5]}
    made = model.score({"history": [5, 2]}, rows)
    matrix = np.asarray([[1, 0, 3, 0.5, 5, 2, 0], [2, 1, 3, 1.5, 5, 2, 0]], np.float32)
    np.testing.assert_allclose(
        made.reshape(-1), next(iter(pi.load(source).run({"X": matrix}).values())).reshape(-1), **TOLERANCE
    )
    with pytest.raises(IdRangeError, match=r"field 'user'.*16777216.*row 1"):
        model.score({"history": [5]}, {**rows, "user": [1, 2**24 + 1]})


def test_a_further_use_of_a_field_has_the_limits_of_its_input_too() -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    source = make_model([node], {"x": (FLOAT, ["N"])}, {"y": (FLOAT, ["N"])}).SerializeToString()
    fields = [features.Field("f", "item", dtype="integer"), features.Combination("g", ["f"], None, to="x")]
    model = pi.load(source, schema=pi.Schema(fields))
    assert model.run({"f": [2**24]})["y"].tolist() == [2**24]
    with pytest.raises(IdRangeError, match=r"field 'f'.*16777216.*row 0"):
        model.run({"f": [2**24 + 1]})


def lists_as_they_are(length: int | str = "L") -> bytes:
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in ("x", "n", "m")]
    shapes: dict[str, Any] = {"x": (INT64, ["N", length]), "n": (INT64, ["N"]), "m": (FLOAT, ["N", length])}
    outputs = {f"{name} out": shape for name, shape in shapes.items()}
    return make_model(nodes, shapes, outputs).SerializeToString()


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(1, 9), max_size=6), min_size=1, max_size=4),
    st.sampled_from(["first", "last"]),
    st.sampled_from(["left", "right"]),
    st.integers(1, 4),
)
def test_lists_are_cut_and_padded(rows: list[list[int]], keep: Any, pad: Any, length: int) -> None:
    field = features.ListField(
        "raw",
        "item",
        to="x",
        dtype="integer",
        length=length,
        keep=keep,
        pad=pad,
        padding=-1,
        lengths_to="n",
        mask_to="m",
    )
    made = pi.load(lists_as_they_are(), schema=pi.Schema([field])).run({"raw": rows})
    for place, row in enumerate(rows):
        kept = row[:length] if keep == "first" else row[max(len(row) - length, 0) :]
        blank = [-1] * (length - len(kept))
        assert made["x out"][place].tolist() == ([*kept, *blank] if pad == "right" else [*blank, *kept])
        assert made["n out"][place] == len(kept)
        assert made["m out"][place].tolist() == [float(value != -1) for value in made["x out"][place]]


@pytest.mark.parametrize(
    "kind", ["list_", "large_list", "list_view", "large_list_view", "polars", "sliced", "null list"]
)
def test_lists_of_arrow(kind: str) -> None:
    rows: list[Any] = [[1, 2], [], [3, 4, 5, 6], [7]]
    if kind == "polars":
        column: Any = pl.Series(rows)
    elif kind == "sliced":
        column = pa.array([[9], *rows, [8]], pa.list_(pa.int32())).slice(1, 4)
    elif kind == "null list":
        column = pa.array([[1, 2], None, [3, 4, 5, 6], [7]], pa.list_(pa.int64()))
    else:
        column = pa.array(rows, getattr(pa, kind)(pa.int64()))
    field = features.ListField(
        "raw", "item", to="x", dtype="integer", length=3, lengths_to="n", mask_to="m", missing="zero"
    )
    made = pi.load(lists_as_they_are(), schema=pi.Schema([field])).run({"raw": column})
    assert made["x out"].tolist() == [[1, 2, 0], [0, 0, 0], [3, 4, 5], [7, 0, 0]]
    assert made["n out"].tolist() == [2, 0, 3, 1]


def test_lists_in_one_string() -> None:
    words = features.Vocabulary(["a", "b", "c"], mask="")
    field = features.ListField("tags", "item", to="x", transforms=[words], length=3, separator="|")
    more = [features.ListField("n", "item", to=(), length=1, dtype="integer", lengths_to="n", mask_to="")]
    mask = features.ListField("w", "item", to="m", length=3, dtype="number")
    model = pi.load(lists_as_they_are(), schema=pi.Schema([field, *more, mask]))
    made = model.run({"tags": ["a|c", "", "b|x|a|a"], "n": [[1], [], [2]], "w": [[0.5], [], [1, 2, 3]]})
    assert made["x out"].tolist() == [[2, 4, 0], [0, 0, 0], [3, 1, 2]]
    assert made["m out"].tolist() == [[0.5, 0, 0], [0, 0, 0], [1, 2, 3]]


def one(dtype: Any = "integer", **more: Any) -> pi.Model:
    code = {"integer": INT64, "number": TensorProto.DOUBLE, "string": TensorProto.STRING}[dtype]
    node = helper.make_node("Identity", ["x"], ["y"])
    source = make_model([node], {"x": (code, ["N"])}, {"y": (code, ["N"])}).SerializeToString()
    return pi.load(source, schema=pi.Schema([features.Field("f", "item", to="x", dtype=dtype, **more)]))


BAD: dict[str, tuple[dict[str, Any], Any, type[PyrecError], str]] = {
    "string for a number": ({"dtype": "number"}, ["a"], DTypeError, r"numbers, got str.*row 0"),
    "string for an id": ({"dtype": "integer"}, [1, "secret"], DTypeError, r"numbers, got str.*row 1"),
    "number for a string": ({"dtype": "string"}, ["a", 7], DTypeError, r"strings.*row 1"),
    "array of numbers for strings": ({"dtype": "string"}, np.arange(3), DTypeError, "expected strings"),
    "array of strings for numbers": ({"dtype": "number"}, np.asarray(["a"]), DTypeError, "numbers"),
    "a null": ({"dtype": "integer"}, [1, None], InputError, r"missing.*row 1"),
    "a null string": ({"dtype": "string"}, ["a", None], InputError, r"missing.*row 1"),
    "a null number": ({"dtype": "number"}, [None], InputError, r"missing.*row 0"),
    "NaN": ({"dtype": "number"}, [1.0, np.nan], InputError, r"NaN.*row 1"),
    "infinity": ({"dtype": "number"}, [1.0, -np.inf], InputError, r"infinity.*row 1"),
    "2^64 - 1": ({"dtype": "integer"}, [2**64 - 1], DTypeError, r"below 2\^63.*row 0"),
    "2^64": ({"dtype": "integer"}, [2**64], DTypeError, r"below 2\^63.*row 0"),
    "half": ({"dtype": "integer"}, [1.5], DTypeError, r"whole numbers.*row 0"),
    "bytes": ({"dtype": "string"}, [b"\xff"], DTypeError, r"UTF-8.*row 0"),
    "a matrix": ({"dtype": "number"}, np.ones((2, 2)), InputError, "one value in each row"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_values_are_told_by_field_and_row(name: str) -> None:
    made, value, kind, message = BAD[name]
    with pytest.raises(kind, match=rf"field 'f': .*{message}") as told:
        one(**made).run({"f": value})
    assert "secret" not in str(told.value)


def test_the_largest_whole_number_is_one() -> None:
    assert one().run({"f": [2**63 - 1, -(2**63)]})["y"].tolist() == [2**63 - 1, -(2**63)]


def test_what_is_missing_by_rule() -> None:
    assert one(missing="default", default=7).run({"f": [1, None]})["y"].tolist() == [1, 7]
    assert one("number", missing="zero", nan="missing").run({"f": [2.0, np.nan]})["y"].tolist() == [2, 0]
    kept = one("number", nan="keep", infinity="keep").run({"f": [np.nan, np.inf]})["y"]
    assert np.isnan(kept[0])
    assert np.isinf(kept[1])
    frame = pd.DataFrame({"f": pd.array([1, None], "Int64")})
    assert one(missing="default", default=7).run(frame)["y"].tolist() == [1, 7]
    assert one(missing="default", default=7).run({"f": [3.0, float("nan")]})["y"].tolist() == [3, 7]


def test_rows_that_do_not_fit_the_schema(raw: pi.Model) -> None:
    with pytest.raises(UnexpectedInputError, match=r"field 'colour'.*expected name, sku"):
        raw.score(REQUEST, {**COLUMNS, "colour": ["red"] * 3})
    with pytest.raises(UnexpectedInputError, match="schema has no such field"):
        raw.score(REQUEST, {**COLUMNS, "price (missing)": [True] * 3})
    with pytest.raises(MissingInputError, match="sku"):
        raw.score(REQUEST, {name: values for name, values in COLUMNS.items() if name != "sku"})
    with pytest.raises(RowCountError, match=r"field 'price'.*expected 3 rows as of field 'sku'"):
        raw.score(REQUEST, {**COLUMNS, "price": [1.0]})
    with pytest.raises(InputError, match="dictionaries"):
        raw.score(REQUEST, [1, 2])  # type: ignore[arg-type]
    short = features.ListField("f", "item", to="x", dtype="integer", length=2, most=3)
    model = pi.load(lists_as_they_are(), schema=pi.Schema([short]))
    with pytest.raises(InputError, match=r"field 'f': expected at most 3 values, got 4.*row 1"):
        model.run({"f": [[1], [1, 2, 3, 4]], "n": [1, 1], "m": np.ones((2, 2))})
    with pytest.raises(InputError, match=r"field 'f': expected values in the list.*row 0"):
        model.run({"f": [[1, None]], "n": [1], "m": np.ones((1, 2))})


MISFITS: dict[str, tuple[list[Any], str]] = {
    "no such input": ([features.Field("f", "item", to="colour")], "no input 'colour', its inputs are"),
    "a string for ids": ([features.Field("f", "item", to="user")], "type string, input 'user' takes integer"),
    "a number for ids": ([features.Field("f", "item", to="user", dtype="number")], "takes integer"),
    "one value for three": ([features.Field("f", "item", to="dense", dtype="number")], "one value in each"),
    "a list for one": (
        [features.ListField("f", "item", to="user", dtype="integer", length=2)],
        "expected lists of 2",
    ),
    "columns left out": ([features.Field("f", "item", to=("dense", 1), dtype="number")], "3 columns"),
    "a column too many": (
        [features.ListField("f", "item", to=("dense", 1), dtype="number", length=3)],
        "3 columns",
    ),
    "columns of a vector": ([features.Field("f", "item", to=("user", 0), dtype="integer")], "matrix"),
    "whole and by column": (
        [
            features.ListField("f", "item", to="dense", dtype="number", length=3),
            features.Field("g", "item", to=("dense", 0), dtype="number"),
        ],
        "whole and by column",
    ),
    "a joined string for ids": (
        [
            features.Field("f", "item"),
            features.Combination("g", ["f"], features.Join([]), to="user"),
        ],
        "type string, input 'user' takes integer",
    ),
    "more buckets than float32 tells apart": (
        [
            features.Field("f", "item"),
            features.Combination("g", ["f"], features.Cross(2**25), to=("dense", 0)),
        ],
        "cannot hold them all",
    ),
    "name of an output": ([features.Field("score", "item", to="user", dtype="integer")], "output"),
    "name of another input": ([features.Field("item", "item", to="user", dtype="integer")], "no field feeds"),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_schema_of_another_model_is_refused(name: str) -> None:
    fields, message = MISFITS[name]
    with pytest.raises(SchemaError, match=message):
        pi.load(ranker().SerializeToString(), schema=pi.Schema(fields))


def test_all_mistakes_are_listed_at_once() -> None:
    with pytest.raises(SchemaError) as told:
        pi.Schema(
            [
                features.Field("a", "nobody", dtype="integer", missing="oov"),  # type: ignore[arg-type]
                features.Field("b", "item", to="x", default="y"),
                features.Field("b", "item", to="x", transforms=[features.Log1p()]),
                features.ListField("c", "item", length=0),
                features.Combination("d", ["a", "e"], features.Since()),
            ]
        )
    lines = str(told.value).splitlines()
    for part in ("'a': side", "'a': missing", "'b': the name", "'b': default", "'b': log1p", "'c': length"):
        assert any(part in line for line in lines), part
    assert any("no field 'e'" in line for line in lines)
    assert any("input 'x': several fields feed it: 'b', 'b'" in line for line in lines)


@pytest.mark.parametrize("boundaries", [[1.0, {}], [None, 1.0], ["a", 2.0], [[1.0], 2.0], [2.0, 1.0]])
def test_boundaries_that_are_none_are_mistakes(boundaries: Any) -> None:
    field = features.Field("age", "item", dtype="number", transforms=[features.Bucketise(boundaries)])
    with pytest.raises(SchemaError, match="field 'age': bucketise: boundaries: expected"):
        pi.Schema([field])


def test_what_may_be_negative_is_not_for_inputs_without_a_sign() -> None:
    bare: Any = features.Field("age", "item", to="age", dtype="integer")
    ages = {"age": np.asarray([5], np.uint8)}
    for transforms in ((), (features.Modulo(9), features.Shift(-1))):
        with pytest.raises(SchemaError, match="'age': it may be negative"):
            pi.check_features(pi.Schema([replace(bare, transforms=transforms)]), {"age": [5]}, ages)
    ids = replace(bare, transforms=(features.Modulo(9),))
    assert pi.check_features(pi.Schema([ids]), {"age": [5]}, ages).same


def of_ages(*more: Any) -> list[Any]:
    """An age in buckets, to be combined further."""
    age = features.Field("age", "request", dtype="integer")
    return [age, features.Combination("bucket", ["age"], None, (), [features.Bucketise([18, 40])]), *more]


def test_what_is_combined_may_be_combined_further() -> None:
    city = features.Field("city", "item", to="item", transforms=[features.Vocabulary(["oslo", "rome"])])
    crossed = features.Combination("crossed", ["bucket", "city"], features.Cross(11), "user")
    schema = pi.Schema([*of_ages(city, crossed)])
    rows = {"age": [17, 18, 70], "city": ["rome", "bern", "oslo"]}
    wanted = {"user": pi.cross_to_bucket([[0, 1, 2], rows["city"]], buckets=11)}
    report = pi.check_features(schema, rows, wanted)
    assert report.same, report
    assert report.skipped == ("city",)
    assert pi.Schema.from_json(schema.to_json()) == schema


NOT_COMBINED: dict[str, tuple[Any, str]] = {
    "before it is there": (
        [
            features.Combination("late", ["early"], features.Join([])),
            *of_ages(features.Combination("early", ["age"], None)),
        ],
        "'late': of: there is no field 'early', and no combination before",
    ),
    "itself": (of_ages(features.Combination("f", ["f"], features.Join([]))), "'f': of: there is no field"),
    "a further use": (of_ages(features.Combination("f", ["bucket"], None)), "'bucket' is a combination"),
    "times": (
        of_ages(features.Combination("f", ["age", "bucket"], features.Since())),
        "'bucket' is a combination",
    ),
    "several values": (
        of_ages(
            features.Combination("hot", ["age"], None, (), [features.OneHot(3)]),
            features.Combination("f", ["hot", "age"], features.Cross(3)),
        ),
        "'hot' is several",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", NOT_COMBINED)
def test_what_cannot_be_combined_further(name: str) -> None:
    fields, message = NOT_COMBINED[name]
    with pytest.raises(SchemaError, match=message):
        pi.Schema(fields)


HOSTILE: dict[str, tuple[str, str]] = {
    "no JSON": ("{", "JSON"),
    "deep": ("[" * 100_000, "deep"),
    "a name twice": ('{"version": 1, "version": 1}', "twice"),
    "NaN": ('{"version": NaN}', "finite"),
    "no object": ("[]", "version"),
    "another version": ('{"version": 2, "fields": []}', "version"),
    "unknown name": ('{"version": 1, "fields": [], "more": 1}', "unknown name 'more'"),
    "fields of no list": ('{"version": 1, "fields": 7}', "list of fields"),
    "a field of no object": ('{"version": 1, "fields": [7]}', "place 0"),
    "unknown kind": ('{"version": 1, "fields": [{"name": "a", "field": "x"}]}', "unknown kind"),
    "nothing known": ('{"version": 1, "fields": [{"field": "one"}]}', "'name' is missing"),
    "unknown transform": (
        '{"version": 1, "fields": [{"field": "one", "name": "a", "side": "item",'
        ' "transforms": [{"transform": "eval"}]}]}',
        "eval: unknown kind",
    ),
    "targets of no text": (
        '{"version": 1, "fields": [{"field": "one", "name": "a", "side": "item", "to": [7]}]}',
        "to: expected inputs",
    ),
    "values of another type": (
        '{"version": 1, "fields": [{"field": "one", "name": "a", "side": "item",'
        ' "transforms": [{"transform": "vocabulary", "values": 7}]}]}',
        "wrong type",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused(name: str) -> None:
    text, message = HOSTILE[name]
    with pytest.raises(SchemaError, match=message):
        pi.Schema.from_json(text)


@settings(max_examples=25)
@given(st.data())
def test_json_with_other_values_is_refused_or_a_schema(data: st.DataObject) -> None:
    plain = json.loads(schema().to_json())
    values = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.just([]), st.just({}))
    field = data.draw(st.sampled_from(plain["fields"]))
    field[data.draw(st.sampled_from(sorted(field)))] = data.draw(values)
    try:
        made = pi.Schema.from_json(json.dumps(plain))
        pi.load(ranker().SerializeToString(), schema=made)
    except SchemaError:
        pass
