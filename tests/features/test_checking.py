"""The contract between training and serving: golden rows, and logs of what training saw."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.models import ranker

import pyrec_infer as pi
from pyrec_infer import cli, features
from pyrec_infer.errors import InputError, RowCountError, SchemaError

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
    assert "expected JSON" in capsys.readouterr().err
