"""The published JSON Schema is that of the code, and takes what the code takes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.errors import SchemaError
from pyrec_infer.features.transforms import COMBINES, TRANSFORMS

PUBLISHED = Path(__file__).resolve().parents[2] / "docs" / "schema.json"

EXAMPLES: list[Any] = [
    features.Hash(5, "siphash24", [1, 2], mask="x"),
    features.Vocabulary(["a", "b"], 2, ""),
    features.Modulo(3),
    features.Shift(-1),
    features.Lookup([1, 2], [0.5, 1], 3),
    features.Lookup(["a"], [1], float("nan")),
    features.Bucketise([1, 2.5], True),
    features.Log1p(),
    features.Standardise(1, 0.5),
    features.MinMax(0, 1),
    features.Clip(high=2.5),
    features.Sign(),
    features.DatePart("hour"),
    features.Text("lower"),
    features.Prefix("p="),
    features.Pseudonym("env:KEY", buckets=7),
    features.OneHot(4),
    features.Counts(2, [0.5, 1], True),
    features.YeoJohnson(0.5),
]


def schema() -> pi.Schema:
    made: list[Any] = [
        features.Field(f"f{place}", "item", f"x{place}", sorted(one.takes)[-1], [one])
        for place, one in enumerate(EXAMPLES)
    ]
    made += [
        features.Field("a", "request", ["p", ("X", 1)], "integer"),
        features.Field("b", "candidate", (), "number", missing="default", default=float("nan"), nan="keep"),
        features.ListField("c", "item", "v", offsets_to="o", ends=True, weights="w", weights_to="u"),
        features.ListField("d", "item", "z", length=3, keep="last", pad="left", mask_to="m", most=9),
        features.Combination("e", ["a", "a"], features.Since(9), "s"),
        features.Combination("g", ["a", "a"], features.Cross(9, seed=3), "t"),
        features.Combination("h", ["a", "a"], features.Join(["-"]), "r"),
        features.Combination("i", ["a"], None, "q", [features.Log1p()]),
    ]
    return pi.Schema(made).with_golden({"a": [1]}, {"p": [1]})


WRITTEN, PLAIN_SCHEMA = schema().to_json(), features.json_schema()


@pytest.mark.once
def test_the_published_schema_is_that_of_the_code() -> None:
    if not PUBLISHED.is_file():
        pytest.skip("not a source tree")
    made = json.dumps(features.json_schema(), indent=1) + "\n"
    assert PUBLISHED.read_text(encoding="utf-8") == made, "write it anew: json.dumps(json_schema(), indent=1)"


@pytest.mark.once
def test_everything_that_a_schema_may_hold_is_in_it() -> None:
    assert {one.name for one in EXAMPLES} == set(TRANSFORMS)
    assert {type(one.by).name for one in schema().combinations if one.by is not None} == set(COMBINES)
    made = schema()
    again = pi.Schema.from_json(made.to_json())
    assert again == made
    assert all(
        getattr(one, part.name) == getattr(other, part.name) or part.name == "default"
        for one, other in zip(made.fields, again.fields, strict=True)
        for part in fields(one)
    )


def parts(plain: Any) -> Iterator[Any]:
    """All objects of a schema's plain data but golden rows."""
    yield plain
    for one in (*plain["fields"], *plain["combinations"]):
        yield one
        yield from one["transforms"]
        if one.get("by"):
            yield one["by"]


@pytest.mark.once
@settings(max_examples=40)
@given(st.data())
def test_what_is_no_schema_by_it_is_none(data: st.DataObject) -> None:
    """A name less, a name more or a value of another type: what the JSON Schema refuses, the code does."""
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    plain = json.loads(WRITTEN)
    part = data.draw(st.sampled_from(list(parts(plain))))
    name = data.draw(st.sampled_from([*part, "more"]))
    if data.draw(st.booleans()):
        part.pop(name, None)
    else:
        part[name] = data.draw(st.sampled_from([{}, {"a": 1}, "?", True, None, [], 3, 0.5, [None]]))
    try:
        pi.Schema.from_json(json.dumps(plain))
    except SchemaError:
        return
    assert jsonschema.Draft202012Validator(PLAIN_SCHEMA).is_valid(plain)


def test_numbers_that_json_does_not_hold_are_no_part_of_a_schema() -> None:
    for one in (
        features.Clip(-float("inf"), 1),
        features.Clip(),
        features.Lookup(["a"], [float("nan")]),
        features.Lookup(["a"], [1], 10**400),
    ):
        with pytest.raises(SchemaError, match=f"field 'f': {one.name}: .*expected"):
            pi.Schema([features.Field("f", "item", dtype=sorted(one.takes)[-1], transforms=[one])])
    with pytest.raises(SchemaError, match="padding: expected finite"):
        pi.Schema([features.ListField("f", "item", "x", length=2, padding=float("nan"))])
    for wrong in (lambda: features.Vocabulary("rome"), lambda: features.Combination("f", {"a": 1})):  # type: ignore[arg-type]
        with pytest.raises(SchemaError, match="expected a sequence"):
            wrong()
    for default in (float("inf"), "NaN", 10**400):
        with pytest.raises(SchemaError, match="default: expected a value of type"):
            pi.Schema([features.Field("f", "item", dtype="integer", missing="default", default=default)])
