"""Lists without padding: what tells them apart, weights, and the bags that they become."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from support.bag_models import SPELLINGS, TABLE
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.errors import IdRangeError, InputError, PyrecError, RowCountError, SchemaError

Array = NDArray[Any]
TAGS = [1000 + 7 * place for place in range(len(TABLE))]
FORMS = {
    "scripted-sum-first": {"offsets_to": "offsets"},
    "scripted-mean-last": {"offsets_to": "offsets", "ends": True},
    "sequenced-weighted": {"offsets_to": "offsets"},
    "lengths-repeated": {"lengths_to": "lengths"},
}
TOLERANCE = {"rtol": 1e-6, "atol": 1e-6}


def tags(name: str, words: bool = False, **more: Any) -> features.ListField:
    own: dict[str, Any] = {**FORMS[name], **more}
    if "weighted" in name:
        own.update(weights="by", weights_to="weights")
    known = features.Vocabulary(list(map(str, TAGS)) if words else TAGS, 0)
    kind: Any = "string" if words else "integer"
    return features.ListField("tags", "item", to="ids", dtype=kind, transforms=[known], **own)


@cache
def models(name: str, words: bool = False, **more: Any) -> tuple[pi.Model, pi.Model]:
    source = SPELLINGS[name]()
    return pi.load(source), pi.load(source, schema=pi.Schema([tags(name, words, **more)]))


def tensors(name: str, rows: list[list[int]], weights: list[list[float]]) -> dict[str, Array]:
    sizes = np.asarray([len(row) for row in rows])
    ends = np.cumsum(sizes)
    made = {"ids": np.asarray([TAGS.index(tag) for row in rows for tag in row], np.int64)}
    if "lengths_to" in FORMS[name]:
        made["lengths"] = sizes
    else:
        made["offsets"] = np.concatenate((ends - sizes, ends[-1:])) if "last" in name else ends - sizes
    if "weighted" in name:
        made["weights"] = np.asarray([value for row in weights for value in row], np.float32)
    return made


def dense(rows: int) -> Array:
    return np.random.default_rng(1).normal(size=(rows, 5)).astype(np.float32)


def raw(name: str, rows: list[list[int]], weights: list[list[float]], words: bool = False) -> dict[str, Any]:
    given = [[str(tag) for tag in row] for row in rows] if words else rows
    return {"tags": given, "by": weights} if "weighted" in name else {"tags": given}


@pytest.mark.parametrize("name", FORMS)
@settings(max_examples=6)
@given(
    st.lists(st.lists(st.sampled_from(TAGS), max_size=4), min_size=1, max_size=4),
    st.integers(0, 99),
    st.booleans(),
)
def test_scores_are_those_of_tensors(name: str, rows: list[list[int]], seed: int, words: bool) -> None:
    plain, model = models(name, words)
    numbers = np.random.default_rng(seed)
    weights = [numbers.normal(size=len(row)).astype(np.float32).tolist() for row in rows]
    given_, expected, x = raw(name, rows, weights, words), tensors(name, rows, weights), dense(len(rows))
    np.testing.assert_allclose(
        model.run({**given_, "x": x})["y"], plain.run({**expected, "x": x})["y"], **TOLERANCE
    )
    scores = plain.score({"x": x[:1]}, expected)
    np.testing.assert_allclose(model.score({"x": x[0]}, given_), scores, **TOLERANCE)
    np.testing.assert_allclose(model.catalog(given_).score({"x": x[0]}), scores, **TOLERANCE)
    first = {key: values[0] for key, values in given_.items()}
    one = tensors(name, rows[:1], weights[:1])
    np.testing.assert_allclose(model.score(first, {"x": x}), plain.score(one, {"x": x}), **TOLERANCE)


@pytest.mark.parametrize("form", ["list", "large_list", "list of a dictionary", "polars", "rows"])
def test_lists_of_strings_in_any_form(form: str) -> None:
    plain, model = models("scripted-mean-last", words=True)
    rows = [[TAGS[1], TAGS[2]], [], [TAGS[3]]]
    words: Any = [[str(tag) for tag in row] for row in rows]
    if form == "polars":
        polars = pytest.importorskip("polars", reason="makes a column of lists")
        words = polars.Series(words, dtype=polars.List(polars.String))
    elif form != "rows":
        arrow = pytest.importorskip("pyarrow", reason="makes columns of lists")
        text = arrow.dictionary(arrow.int32(), arrow.string()) if "dictionary" in form else arrow.string()
        words = arrow.array(words, arrow.large_list(text) if form == "large_list" else arrow.list_(text))
    expected = plain.score({"x": dense(1)}, tensors("scripted-mean-last", rows, []))
    np.testing.assert_allclose(model.score({"x": dense(1)}, {"tags": words}), expected, **TOLERANCE)
    catalog = model.catalog({"tags": words})
    np.testing.assert_allclose(catalog.score({"x": dense(1)}), expected, **TOLERANCE)
    best = catalog.top_k({"x": dense(1)}, k=3)
    np.testing.assert_array_equal(best.ids, np.argsort(-expected, kind="stable"))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("words", [False, True])
def test_an_unknown_value_is_refused_by_its_field_and_row(name: str, words: bool) -> None:
    _, model = models(name, words)
    rows: list[list[int]] = [[], [TAGS[1], TAGS[2]], [], [TAGS[3], 71_4253, TAGS[4]], [5]]
    given = raw(name, rows, [[1.0] * len(row) for row in rows], words)
    last = {key: value[-1:] for key, value in given.items()}
    known = model.catalog({key: value[:3] for key, value in given.items()})
    x = dense(5)
    late, full = model.catalog({"x": x}, candidates=[*given]), model.catalog({"x": x})
    requests = [{key: value[place] for key, value in given.items()} for place in range(5)]
    asked: dict[int, tuple[Any, ...]] = {
        3: (
            lambda: late.score({}, candidates=given),
            lambda: late.score({}, ids=range(5), candidates=given),
            lambda: late.top_k({}, 2, candidates=given),
            lambda: late.prepare([], [*given])(*given.values()),
            lambda: full.top_k(requests, 2),
            lambda: model.score(given, {"x": x}, offsets=range(6)),
            lambda: model.top_k(given, {"x": x}, k=1, offsets=range(6)),
            lambda: model.score({"x": x[:1]}, given),
            lambda: model.score({"x": x[:2]}, given, offsets=[0, 1, 5]),
            lambda: model.top_k({"x": x[:1]}, given, k=2),
            lambda: model.run({**given, "x": x}),
            lambda: model.prepare([], [*given, "x"])(*given.values(), x),
            lambda: model.catalog(given),
            lambda: known.upsert(given, range(5)),
        ),
        0: (
            lambda: full.score(requests[3]),
            lambda: full.top_k(requests[3], 2),
            lambda: full.prepare([*given])(*requests[3].values()),
            lambda: model.score(last, {"x": x}),
            lambda: known.upsert(last, [7]),
        ),
    }
    for row, calls in asked.items():
        for ask in calls:
            with pytest.raises(IdRangeError, match=rf"field 'tags': .*vocabulary.* \(row {row}\)") as told:
                ask()
            assert "714253" not in str(told.value)


@pytest.mark.parametrize("name", FORMS)
def test_lists_become_bags(name: str) -> None:
    phases = models(name)[1].explain(["tags"]).as_dict()["phases"]
    steps = [step["operator"] for phase in phases for step in phase["steps"]]
    assert "pyrec.EmbeddingBag" in steps
    assert not {"Loop", "ScatterND", "SequenceAt"} & set(steps)


@pytest.mark.parametrize("keep", ["first", "last"])
def test_long_lists_are_cut(keep: str) -> None:
    plain, model = models("scripted-sum-first", length=2, keep=keep)
    rows = [[TAGS[1], TAGS[2], TAGS[3]], [TAGS[4]], []]
    cut = [row[:2] if keep == "first" else row[-2:] for row in rows]
    expected = plain.run({**tensors("scripted-sum-first", cut, []), "x": dense(3)})["y"]
    np.testing.assert_allclose(model.run({"tags": rows, "x": dense(3)})["y"], expected, **TOLERANCE)


def test_weights_are_cut_and_padded_with_their_values() -> None:
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in ("x", "w")]
    shapes: dict[str, Any] = {"x": (INT64, ["N", 3]), "w": (FLOAT, ["N", 3])}
    source = make_model(nodes, shapes, {f"{name} out": shape for name, shape in shapes.items()})
    field = features.ListField(
        "tags",
        "item",
        to="x",
        dtype="integer",
        length=3,
        keep="last",
        pad="left",
        padding=-1,
        weights="by",
        weights_to="w",
        missing="zero",
    )
    model = pi.load(source.SerializeToString(), schema=pi.Schema([field]))
    made = model.run({"tags": [[1, 2, 3, 4], [5], None], "by": [[0.1, 0.2, 0.3, 0.4], [0.5], None]})
    assert made["x out"].tolist() == [[2, 3, 4], [-1, -1, 5], [-1, -1, -1]]
    np.testing.assert_allclose(made["w out"], np.float32([[0.2, 0.3, 0.4], [0, 0, 0.5], [0, 0, 0]]))


BAD: dict[str, tuple[dict[str, Any], type[PyrecError], str]] = {
    "too few weights": (
        {"by": [[1.0, 2.0], [1.0]]},
        RowCountError,
        "'by': .*2 values of .*'tags'.*row 1",
    ),
    "too few lists": ({"by": [[1.0, 2.0]]}, RowCountError, "'by': expected 2 rows"),
    "no weights": ({"by": None}, InputError, "'by'"),
    "a weight that is none": ({"by": [[1.0, 2.0], [1.0, np.nan]]}, InputError, "'by'.*NaN"),
    "words": ({"by": [[1.0, 2.0], ["a", "b"]]}, InputError, "'by'"),
    "an unknown value": ({"tags": [[TAGS[1], TAGS[2]], [TAGS[1], 5]]}, IdRangeError, "tags"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_weights_are_told_by_field_and_row(name: str) -> None:
    changed, error, message = BAD[name]
    good = {"tags": [[TAGS[1], TAGS[2]]] * 2, "by": [[1.0, 2.0]] * 2}
    rows = {key: value for key, value in {**good, **changed}.items() if value is not None}
    with pytest.raises(error, match=message):
        models("sequenced-weighted")[1].score({"x": dense(1)}, rows)


def test_values_and_weights_come_on_one_side() -> None:
    with pytest.raises(InputError, match="'by': expected beside the values of field 'tags'"):
        models("sequenced-weighted")[1].score({"by": [1.0]}, {"tags": [[TAGS[0]]], "x": dense(1)})


def test_numbers_that_a_type_rounds_are_told_by_their_row() -> None:
    shapes: dict[str, Any] = {"v": (FLOAT, ["L"]), "n": (INT64, ["N"])}
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in shapes]
    source = make_model(nodes, shapes, {f"{name} out": shape for name, shape in shapes.items()})
    field = features.ListField("f", "item", to="v", dtype="integer", lengths_to="n")
    model = pi.load(source.SerializeToString(), schema=pi.Schema([field]))
    with pytest.raises(IdRangeError, match=r"field 'f'.*row 2"):
        model.run({"f": [[1, 2], [], [2**24 + 1]]})


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "nothing tells the rows apart": ({"offsets_to": ""}, "length: expected a number of places"),
    "a mask": ({"mask_to": "m"}, "no mask and no padding"),
    "padding": ({"padding": 3}, "no mask and no padding"),
    "a column": ({"to": ("ids", 0)}, "to: expected whole inputs"),
    "weights without an input": ({"weights": "w"}, "weights: expected a list"),
    "an end of nothing": ({"offsets_to": "", "lengths_to": "n", "ends": True}, "ends: expected offsets"),
    "its own name": ({"weights": "tags", "weights_to": "w"}, "field 'tags': the name is given twice"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_told_with_the_field(name: str) -> None:
    own, message = WRONG[name]
    with pytest.raises(SchemaError, match=message):
        pi.Schema([features.ListField("tags", "item", **{"to": "ids", "offsets_to": "offsets", **own})])


def test_inputs_of_another_shape_are_refused() -> None:
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in ("x", "n")]
    shapes: dict[str, Any] = {"x": (INT64, ["N", 3]), "n": (INT64, ["N"])}
    source = make_model(nodes, shapes, {f"{name} out": shape for name, shape in shapes.items()})
    for value, lengths in (("x", "n"), ("n", "x")):
        field = features.ListField("f", "item", to=value, dtype="integer", lengths_to=lengths)
        with pytest.raises(SchemaError, match=r"input 'x' has shape .*one axis of any length"):
            pi.load(source.SerializeToString(), schema=pi.Schema([field]))


@pytest.mark.parametrize("name", FORMS)
def test_what_training_saw_is_compared_row_by_row(name: str) -> None:
    rows, weights = [[TAGS[1]], [], [TAGS[2], TAGS[3]]], [[0.5], [], [1.0, 2.0]]
    schema, expected = pi.Schema([tags(name)]), tensors(name, rows, weights)
    assert pi.check_features(schema, raw(name, rows, weights), expected).same
    expected["ids"] = expected["ids"] + [0, 0, 1]
    report = pi.check_features(schema, raw(name, rows, weights), expected)
    (wrong,) = [check for check in report.checks if check.first is not None]
    assert (wrong.field, wrong.rows, wrong.differ, wrong.first) == ("tags", 3, 1, 2)
    golden = schema.with_golden(raw(name, rows, weights), tensors(name, rows, weights))
    assert pi.Schema.from_json(golden.to_json()) == golden
