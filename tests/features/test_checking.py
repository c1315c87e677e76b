"""The contract between training and serving: golden rows, and logs of what training saw."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.models import FLOAT, INT64, make_model, ranker

import pyrec_infer as pi
from pyrec_infer import cli, features
from pyrec_infer.backends.select import make_executor, select_backend
from pyrec_infer.bundled import MODEL, SCHEMA
from pyrec_infer.errors import InputError, RowCountError, SchemaError
from pyrec_infer.formats import import_model, model_source
from pyrec_infer.passes import compile_graph

NAMES = ["ann", "bob"]


def fields() -> list[Any]:
    return [
        features.Field("name", "request", to="user", transforms=[features.Vocabulary(NAMES)]),
        features.Field("sku", "item", to="item", transforms=[features.Hash(23)]),
        features.Field(
            "price", "item", to=("dense", 0), dtype="number", transforms=[features.Standardise(1.0, 4.0)]
        ),
        features.Field("age", "request", to=("dense", 1), dtype="integer"),
        features.Field("now", "request", dtype="integer"),
        features.Combination("fresh", ["now", "age"], features.Since(100), ("dense", 2)),
    ]


ROWS = {"name": ["bob", "cyd"], "sku": ["a", "secret"], "price": [3.0, 1.0], "age": [5, 6], "now": [9, 2]}


def expected() -> dict[str, Any]:
    return {
        "user": np.asarray([2, 0]),
        "item": pi.hash_to_bucket(["a", "secret"], buckets=23),
        "dense": np.asarray([[0.5, 5, 4], [0, 6, 0]], np.float32),
    }


def test_what_training_saw_is_what_serving_makes() -> None:
    report = pi.check_features(pi.Schema(fields()), ROWS, expected())
    assert report.same
    assert [check.rows for check in report.checks] == [2] * 5
    assert not report.skipped


def test_the_first_field_and_row_that_differ_are_told() -> None:
    wrong = fields()
    wrong[1] = replace(wrong[1], transforms=(features.Hash(23, "xxh64"),))
    wrong[2] = replace(wrong[2], transforms=(features.Standardise(1.0, 4.5),))
    report = pi.check_features(pi.Schema(wrong), ROWS, expected())
    assert not report.same
    told = {check.field: check for check in report.checks}
    assert (told["sku"].differ, told["sku"].first, told["sku"].transforms) == (2, 0, ("hash",))
    assert (told["price"].differ, told["price"].first, told["price"].target) == (
        1,
        0,
        "input 'dense', column 0",
    )
    assert told["age"].first is None
    assert "secret" not in str(report)
    assert "price" in str(report).splitlines()[1]


def test_only_fields_with_tensors_are_compared() -> None:
    report = pi.check_features(pi.Schema(fields()), ROWS, {"item": expected()["item"]})
    assert [check.field for check in report.checks] == ["sku"]
    assert set(report.skipped) == {"name", "price", "age", "now", "fresh"}


def test_tensors_of_other_rows_are_refused() -> None:
    with pytest.raises(RowCountError, match=r"input 'user'.*\[2\], got \[3\]"):
        pi.check_features(pi.Schema(fields()), ROWS, {**expected(), "user": np.zeros(3, np.int64)})
    with pytest.raises(InputError, match="field 'now' is missing"):
        pi.check_features(pi.Schema(fields()), {k: v for k, v in ROWS.items() if k != "now"}, expected())
    with pytest.raises(SchemaError, match="3 columns"):
        pi.check_features(pi.Schema(fields()[:3]), ROWS, expected())


def test_golden_rows_are_checked_when_a_model_is_loaded() -> None:
    source = ranker().SerializeToString()
    good = pi.Schema(fields()).with_golden(ROWS, expected())
    again = pi.Schema.from_json(good.to_json())
    assert again == good
    assert pi.load(source, schema=again).inputs
    drifted = fields()
    drifted[0] = replace(drifted[0], transforms=(features.Vocabulary(["bob", "ann"]),))
    with pytest.raises(SchemaError, match=r"golden rows: field 'name'.*row 0") as told:
        pi.load(source, schema=pi.Schema(drifted, good.golden))
    assert "bob" not in str(told.value)


def test_a_fault_of_the_backend_is_found_at_load(monkeypatch: pytest.MonkeyPatch) -> None:
    schema = pi.Schema(fields()).with_golden(ROWS, expected())
    made: list[str] = []

    def faulty(plan: Any, backend: str, *rest: Any) -> Any:
        made.append(backend)
        ready = make_executor(plan, backend, *rest)

        def run(arrays: Any, offsets: Any, to_caller: bool) -> list[Any]:
            found = ready.run(arrays, offsets, to_caller)
            outputs = zip(plan.outputs, found, strict=True)
            return [np.where(a == 2, 1, a) if "name" in item.value else a for item, a in outputs]

        return SimpleNamespace(run=run)

    monkeypatch.setattr("pyrec_infer.execution.planning.make_executor", faulty)
    with pytest.raises(SchemaError, match=r"golden rows: field 'name', .*1 of 2 rows.*row 0$"):
        pi.load(ranker().SerializeToString(), schema=schema)
    assert made == [select_backend()]


@pytest.mark.once
def test_loading_chooses_no_other_operators_in_front_of_a_model() -> None:
    given = [(MODEL, pi.Schema.load(SCHEMA)), (ranker().SerializeToString(), pi.Schema(fields()))]
    for model, schema in given:
        front = schema.fit(import_model(model_source(model)).graph).front.graph
        before, after = ({node.op for node in graph.nodes} for graph in (front, compile_graph(front)))
        assert after <= before | {"Reshape"}


@pytest.mark.parametrize(
    "golden",
    [
        features.Golden({}, {}),
        features.Golden({"name": ["bob"]}, {"user": 7}),
        features.Golden({"name": ["x"] * 5000}, {}),
        features.Golden({1: ["x"]}, {}),  # type: ignore[dict-item]
    ],
)
def test_golden_rows_that_are_none(golden: features.Golden) -> None:
    with pytest.raises(SchemaError, match="golden rows"):
        pi.Schema(fields(), golden)


def test_golden_rows_have_a_tensor_for_each_input() -> None:
    few = {name: values for name, values in expected().items() if name != "item"}
    with pytest.raises(SchemaError, match="'item'"):
        pi.load(ranker().SerializeToString(), schema=pi.Schema(fields()).with_golden(ROWS, few))


def test_all_that_golden_rows_lack_is_told_at_once() -> None:
    raw: dict[str, Any] = {**ROWS, "colour": ["red", "blue"], "age": [5]}
    del raw["price"]
    tensors: dict[str, Any] = {"item": [1, 2], "colour": [1, 2]}
    with pytest.raises(SchemaError) as told:
        pi.load(ranker().SerializeToString(), schema=pi.Schema(fields(), features.Golden(raw, tensors)))
    assert sorted(line.partition(":")[2].partition(":")[0] for line in str(told.value).split("\n")) == [
        " field 'age'",
        " field 'colour'",
        " field 'price'",
        " input 'colour'",
        " input 'dense'",
        " input 'user'",
    ]


def test_a_check_of_nothing_is_refused() -> None:
    with pytest.raises(
        pi.InputError, match=r"^expected: expected tensors of inputs that fields feed: user, "
    ):
        pi.check_features(pi.Schema(fields()), ROWS, {"users": [1, 2]})
    with pytest.raises(pi.ShapeError, match=r"^expected 'user': expected values for rows, got one alone$"):
        pi.check_features(pi.Schema(fields()), ROWS, {"user": 3})
    with pytest.raises(SchemaError, match="type integer, input 'user' takes strings"):
        pi.check_features(pi.Schema(fields()), ROWS, {"user": ["a", "b"]})
    found = pi.check_features(pi.Schema(fields()), ROWS, {**expected(), "other": [1, 2]})
    assert found.skipped == ("input 'other'",)


WRONG: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a fraction of an id": ({}, {"item": [0.5, 1]}, "input 'item': expected numbers of type int64"),
    "words": ({}, {"item": ["a", "b"]}, "input 'item': expected numbers"),
    "a number without end": ({}, {"item": [10**400, 1]}, "input 'item': expected numbers"),
    "a float without end": ({}, {"dense": [[10**400, 5, 4], [0, 6, 0]]}, "input 'dense': expected numbers"),
    "true": ({}, {"item": [True, 1]}, "input 'item': expected numbers"),
    "lists of other lengths": ({}, {"dense": [[1.0], [2.0, 3.0]]}, r"'dense': .*6 values.* got 3"),
    "lists in lists": ({}, {"item": [[[1]], [[2]]]}, "input 'item': expected numbers"),
    "an object": ({}, {"dense": [{}, {}]}, "'dense': .*6 values"),
    "no value": ({"name": ["bob", None]}, {}, r"field 'name'.*row 1"),
    "a number for a string": ({"name": ["bob", 7]}, {}, r"field 'name'.*row 1"),
    "too few rows": ({"name": ["bob"]}, {}, "expected"),
    "an unknown field": ({"colour": ["red", "blue"]}, {}, "field 'colour'"),
    "an unknown input": ({}, {"colour": [1, 2]}, "input 'colour': no field feeds it, expected .*user"),
    "an unknown value that is refused": ({"sku": ["a\0", "b"]}, {}, "field 'sku': expected strings"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_golden_rows_are_told_without_their_values(name: str) -> None:
    raw, tensors, message = WRONG[name]
    plain = {key: np.asarray(value).tolist() for key, value in expected().items()}
    golden = features.Golden({**ROWS, **raw}, {**plain, **tensors})
    with pytest.raises(SchemaError, match=f"golden rows: .*{message}") as told:
        pi.load(ranker().SerializeToString(), schema=pi.Schema(fields(), golden))
    assert not any(text in str(told.value) for text in ("bob", "secret", "000000"))


def table(rows: int) -> list[dict[str, Any]]:
    return [
        {"name": NAMES[row % 2], "sku": f"s{row}", "price": row / 4, "age": row, "now": 2 * row, "more": 1}
        for row in range(rows)
    ]


def encode(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """What training makes of rows."""
    return {
        "user": [NAMES.index(row["name"]) + 1 if row["name"] in NAMES else 0 for row in rows],
        "item": pi.hash_to_bucket([row["sku"] for row in rows], buckets=23),
        "dense": [
            [(row["price"] - 1) / 4, row["age"], min(max(row["now"] - row["age"], 0), 100)] for row in rows
        ],
    }


@pytest.mark.parametrize("how", ["serving", "tensors", "function"])
def test_golden_rows_are_recorded_from_a_table(how: str) -> None:
    source, rows = ranker().SerializeToString(), table(40)
    given: Any = {"serving": None, "tensors": encode(rows), "function": encode}[how]
    schema = pi.record_golden(pi.Schema(fields()), rows, source, given)
    assert schema.golden is not None
    assert schema.golden.count >= 16
    assert not schema.uncovered
    columns = schema.golden.columns
    assert {"s0", "s39"} <= set(columns["sku"]) or how != "tensors"
    assert {0, 39} <= set(columns["age"])
    assert how == "tensors" or {"", "ann", "bob"} < set(columns["name"])
    again = pi.Schema.from_json(schema.to_json())
    assert again == schema
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pi.load(source, schema=again)


@pytest.mark.parametrize("how", ["tensors", "function"])
def test_what_training_makes_otherwise_is_not_recorded(how: str) -> None:
    def other(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return {**encode(rows), "user": [int(row["name"] == "bob") for row in rows]}

    given: Any = other(table(40)) if how == "tensors" else other
    with pytest.raises(SchemaError, match=r"field 'name', input 'user' \(transforms: vocabulary\)") as told:
        pi.record_golden(pi.Schema(fields()), table(40), ranker().SerializeToString(), given)
    assert "ann" not in str(told.value)


def test_tables_of_which_no_golden_rows_are_made() -> None:
    schema, source = pi.Schema(fields()), ranker().SerializeToString()
    with pytest.raises(RowCountError, match="at least 16 rows, got 3"):
        pi.record_golden(schema, table(3), source, encode(table(3)))
    with pytest.raises(SchemaError, match="got none of name, price"):
        pi.record_golden(schema, table(20), source, {"item": encode(table(20))["item"]})
    with pytest.raises(InputError, match="field 'sku' is missing"):
        pi.record_golden(schema, [{"name": "ann"}], source)
    with pytest.raises(InputError, match="at least one row"):
        pi.record_golden(schema, {name: [] for name in ROWS}, source)
    assert not pi.record_golden(schema, table(1), source).uncovered


def test_special_values_are_recorded_and_read_back() -> None:
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in ("x", "w", "n")]
    shapes: dict[str, Any] = {"x": (INT64, ["N", 3]), "w": (FLOAT, ["N", 3]), "n": (FLOAT, ["N"])}
    source = make_model(nodes, shapes, {f"{name} out": shape for name, shape in shapes.items()})
    words = features.Vocabulary(["a", "b"])
    made = [
        features.ListField(
            "tags", "item", "x", transforms=[words], length=3, weights="by", weights_to="w", missing="zero"
        ),
        features.Field("n", "item", "n", "number", (), "default", "NaN", nan="keep", infinity="keep"),
        features.ListField("words", "item", transforms=[words], length=2, separator="|"),
    ]
    rows = {"tags": [["a"], ["b", "c", "a", "b"]], "by": [[1.0], [1.0, 2.0, 3.0, 4.0]], "n": [np.inf, 1.0]}
    rows["words"] = ["a|b|a", ""]
    schema = pi.record_golden(pi.Schema(made), rows, source.SerializeToString())
    assert schema.golden is not None
    columns = schema.golden.columns
    assert {"NaN", "Infinity", "-Infinity", None} < set(columns["n"])
    assert [] in columns["tags"]
    assert {"a|b|a", ""} < set(columns["words"])
    assert None in columns["tags"]
    assert max(map(len, filter(None, columns["tags"]))) > 3
    again = pi.Schema.from_json(schema.to_json())
    assert again == schema
    pi.load(source.SerializeToString(), schema=again)


def test_a_schema_without_golden_rows_is_a_draft(tmp_path: Path) -> None:
    schema = pi.Schema(fields())
    assert schema.uncovered == ("name", "sku", "price", "age", "now")
    with pytest.warns(pi.UncoveredSchemaWarning, match=r"5 of its fields \(name, sku, price, \.\.\.\)"):
        schema.save(tmp_path / "schema.json")
    assert pi.Schema.load(tmp_path / "schema.json") == schema
    with pytest.warns(pi.UncoveredSchemaWarning) as told:
        pi.load(ranker().SerializeToString(), schema=schema)
    assert told[0].filename == __file__


def test_whole_numbers_are_compared_to_the_last_place() -> None:
    field = features.Field("age", "item", to="age", dtype="integer")
    made, wanted = {"age": [2**22]}, {"age": np.asarray([2**22 + 1], np.float32)}
    assert not pi.check_features(pi.Schema([field]), made, wanted).same


def test_the_command_line_compares_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pi.Schema(fields()).save(tmp_path / "schema.json")
    rows = [dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    files = [str(tmp_path / name) for name in ("schema.json", "rows.jsonl", "expected.npz")]
    np.savez(tmp_path / "expected.npz", **expected())
    assert cli.main(["check-features", *files]) == 0
    np.savez(tmp_path / "expected.npz", **{**expected(), "user": np.asarray([2, 1])})
    assert cli.main(["check-features", *files]) == 1
    assert "field 'name', input 'user' (transforms: vocabulary): 1 of 2" in capsys.readouterr().out
    (tmp_path / "rows.jsonl").write_text("[1")
    assert cli.main(["check-features", *files]) == 1
    assert "is no JSON" in capsys.readouterr().err
