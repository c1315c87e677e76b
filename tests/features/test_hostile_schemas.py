"""JSON of schemas in which anything may stand anywhere: a typed error that names the field, or a schema."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from typing import Any

import pytest
from onnx import TensorProto, helper
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer.errors import SchemaError
from pyrec_infer.features.plain import FIELDS
from pyrec_infer.features.transforms import COMBINES, TRANSFORMS

HUGE = int("9" * 4000)
VALUES: list[Any] = [
    *(None, True, -1, 0, 2**31, 2**64, HUGE, -HUGE, 0.5, 1e308, "", "NaN", "\ud800"),
    *([], [None], [True], ["a", "a"], [HUGE], [0.5], [[]], [["x", -1]], [["x", HUGE]], [["x", True]]),
    *({}, {"a": {"b": 1}}, [{}], [{"transform": 1}], [{"transform": "vocabulary", "values": {"a": 1}}]),
]
NEEDED: dict[str, Any] = {
    "values": ["a"],
    "keys": ["a"],
    "boundaries": [1.0],
    "change": "lower",
    "part": "hour",
}
FIELD = {"field": "one", "name": "f", "side": "item", "to": ["x"], "transforms": []}
LIST = {**FIELD, "field": "list", "length": 3}
COMBINED = {"name": "c", "of": ["f"], "by": {"combine": "cross", "buckets": 5}, "to": ["x"]}


def read(*given: Any, **more: Any) -> pi.Schema:
    return pi.Schema.from_json(json.dumps({"version": 1, "fields": list(given), **more}))


def needed(kind: type[Any]) -> dict[str, Any]:
    parts = [part for part in fields(kind) if part.default is MISSING and part.default_factory is MISSING]
    return {part.name: NEEDED.get(part.name, 2) for part in parts}


def refused_or_read(label: str, *given: Any, **more: Any) -> None:
    told = ""
    try:
        made = read(*given, **more)
    except SchemaError as error:
        told = str(error)
    if told:
        assert label in told
    else:
        assert pi.Schema.from_json(made.to_json()) == made


@pytest.mark.once
@pytest.mark.parametrize("kind", FIELDS)
def test_anything_in_a_field(kind: str) -> None:
    whole = FIELD if kind == "one" else LIST
    for name in (part.name for part in fields(FIELDS[kind]) if part.name != "name"):
        for value in VALUES:
            for dtype in ("string", "integer", "number"):
                refused_or_read("'f'", {"dtype": dtype, **whole, name: value})


@pytest.mark.once
@pytest.mark.parametrize("name", TRANSFORMS)
def test_anything_in_a_transform(name: str) -> None:
    kind = TRANSFORMS[name]
    for part in fields(kind):
        for value in VALUES:
            made = {"transform": name, **needed(kind), part.name: value}
            for dtype in ("string", "integer", "number"):
                refused_or_read("'f'", {**FIELD, "dtype": dtype, "transforms": [made]})


@pytest.mark.once
@pytest.mark.parametrize("name", COMBINES)
def test_anything_in_a_combination(name: str) -> None:
    alone, kind = {**FIELD, "to": []}, COMBINES[name]
    for value in VALUES:
        for part in fields(kind):
            by = {"combine": name, **needed(kind), part.name: value}
            refused_or_read("'c'", alone, combinations=[{**COMBINED, "by": by}])
        for part_name in ("of", "by", "to", "transforms"):
            refused_or_read("'c'", alone, combinations=[{**COMBINED, part_name: value}])


@pytest.mark.once
@pytest.mark.parametrize("part", ["columns", "expected"])
def test_anything_in_golden_rows(part: str) -> None:
    for value in VALUES:
        golden = {"columns": {"f": ["a"]}, "expected": {"x": ["a"]}}
        refused_or_read("golden rows", FIELD, golden={**golden, part: value})
        refused_or_read("golden rows", FIELD, golden={**golden, part: {"f": value}})


TEXTS: dict[str, tuple[str, str]] = {
    "a name twice in a field": ('{"version": 1, "fields": [{"name": "f", "name": "f"}]}', "twice"),
    "an infinity": ('{"version": 1, "fields": [{"name": "f", "default": -Infinity}]}', "finite"),
    "objects in objects": ('{"version": 1, "fields": ' + '{"a": ' * 100_000, "deep|JSON"),
    "too many digits": ('{"version": ' + "9" * 5000 + "}", "JSON"),
    "a float that is none": ('{"version": 1, "fields": [], "golden": 1e999}', "golden|finite|field"),
    "two texts": ('{"version": 1, "fields": []} {}', "JSON"),
    "bytes": ('{"version": 1, "fields": []}\0', "JSON"),
    "true for a version": ('{"version": true, "fields": []}', "version"),
}


@pytest.mark.once
@pytest.mark.parametrize("name", TEXTS)
def test_texts_that_are_none(name: str) -> None:
    text, message = TEXTS[name]
    with pytest.raises(SchemaError, match=message):
        pi.Schema.from_json(text)
    with pytest.raises(SchemaError, match=message):
        pi.Schema.from_json(text.encode())


def load(kind: Any, shape: list[Any], given: dict[str, Any]) -> pi.Model:
    types: Any = {"x": (kind, shape)}
    source = make_model([helper.make_node("Identity", ["x"], ["y"])], types, {"y": types["x"]})
    return pi.load(source.SerializeToString(), schema=read(given))


NUMBER, WHOLE = {**FIELD, "dtype": "number"}, {**LIST, "dtype": "integer"}
OTHERS: dict[str, tuple[Any, list[Any], dict[str, Any], str]] = {
    "one value for columns of any number": (FLOAT, ["N", "M"], NUMBER, "expected one value in each row"),
    "one value for a cube": (FLOAT, ["N", 1, "M"], NUMBER, "expected one value in each row"),
    "a string for columns": (INT64, ["N", "M"], FIELD, "takes integer"),
    "a list without an end": (INT64, ["N", "M"], {**WHOLE, "length": 2**31 - 1}, "at most 16777216"),
    "columns without an end": (
        FLOAT,
        ["N", "M"],
        {**FIELD, "dtype": "integer", "transforms": [{"transform": "one_hot", "size": 2**31 - 1}]},
        "at most 16777216",
    ),
    "half an id at padded places": (INT64, ["N", 3], {**WHOLE, "padding": 0.5}, "padding: .*int64"),
    "a padding past int64": (INT64, ["N", 3], {**WHOLE, "padding": 2.0**63}, "padding: .*int64"),
    "a padding past int32": (TensorProto.INT32, ["N", 3], {**WHOLE, "padding": 2**31}, "padding: .*int32"),
    "a padding below 0": (TensorProto.UINT8, ["N", 3], {**WHOLE, "padding": -1}, "padding: .*uint8"),
    "a padding past float32": (
        FLOAT,
        ["N", 3],
        {**LIST, "dtype": "number", "padding": 1e308},
        "padding: .*float32",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_fields_that_do_not_fit_a_model(name: str) -> None:
    kind, shape, given, message = OTHERS[name]
    with pytest.raises(SchemaError, match=f"field 'f': .*{message}"):
        load(kind, shape, given)


def test_numbers_at_the_ends_of_a_type_are_padding() -> None:
    for kind, padding in ((INT64, -(2**63)), (TensorProto.INT32, 2**31 - 1)):
        made = load(kind, ["N", 3], {**WHOLE, "padding": padding}).run({"f": [[1]]})["y"]
        assert made.tolist() == [[1, padding, padding]]
