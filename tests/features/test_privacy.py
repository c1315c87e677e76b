"""No raw value of a feature, and no secret key, gets into messages, logs, explanations or files."""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.errors import PyrecError, SchemaError
from pyrec_infer.hashing import Seed
from pyrec_infer.ir import Secret

KEY = bytes(range(65, 81))
NUMBERS = tuple(int.from_bytes(KEY[i : i + 8], "little") for i in (0, 8))
PEOPLE = ["anna", "", "straße", "\0a", "x" * 100]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("PYREC_TEST_KEY", f" {KEY.hex()}\n")
    return "env:PYREC_TEST_KEY"


def identity(code: int = TensorProto.INT64) -> bytes:
    node = helper.make_node("Identity", ["x"], ["y"])
    return make_model([node], {"x": (code, ["N"])}, {"y": (code, ["N"])}).SerializeToString()


def pseudonyms(values: list[Any], dtype: Any = "string", **more: Any) -> Any:
    field = features.Field("f", "item", to="x", dtype=dtype, transforms=[features.Pseudonym(**more)])
    return pi.load(identity(), schema=pi.Schema([field])).run({"f": values})["y"]


def test_pseudonyms_are_keyed_hashes(key: str, tmp_path: Path) -> None:
    expected = pi.fingerprint(PEOPLE, scheme="siphash24", seed=NUMBERS).astype(np.int64)
    np.testing.assert_array_equal(pseudonyms(PEOPLE, key=key), expected)
    few = pi.hash_to_bucket([7, -7], buckets=97, scheme="siphash24", seed=NUMBERS)
    np.testing.assert_array_equal(pseudonyms([7, -7], "integer", key=key, buckets=97), few)
    (tmp_path / "key").write_text(KEY.hex().upper() * 2)
    made = pseudonyms(PEOPLE, key=f"file:{tmp_path / 'key'}", scheme="blake2b")
    digests = [hashlib.blake2b(word.encode(), digest_size=8, key=KEY * 2).digest() for word in PEOPLE]
    np.testing.assert_array_equal(
        made.astype(np.uint64), np.asarray([int.from_bytes(digest, "big") for digest in digests], np.uint64)
    )


def test_a_vocabulary_of_pseudonyms_holds_no_ids(key: str) -> None:
    known = pi.fingerprint(["anna", "bob"], scheme="siphash24", seed=NUMBERS).astype(np.int64).tolist()
    transforms = [features.Pseudonym(key), features.Vocabulary(known)]
    schema = pi.Schema([features.Field("f", "item", to="x", transforms=transforms)])
    assert pi.load(identity(), schema=schema).run({"f": ["bob", "eve"]})["y"].tolist() == [2, 0]
    assert pi.Schema.from_json(schema.to_json()) == schema


def test_all_bits_need_a_type_that_holds_them(key: str) -> None:
    field = features.Field("f", "item", to="x", transforms=[features.Pseudonym(key)])
    with pytest.raises(SchemaError, match="cannot hold them all"):
        pi.load(identity(TensorProto.FLOAT), schema=pi.Schema([field]))


@pytest.mark.parametrize(
    "place", [KEY.hex(), f"env:{KEY.hex()}", f"env:_{'a' * 32}", "env:", "env:A B", "file:", "file:\0", "x"]
)
def test_what_names_no_place_is_refused_and_not_shown(place: str) -> None:
    with pytest.raises(SchemaError, match="pseudonym: key: expected 'env:'") as refused:
        pi.Schema([features.Field("f", "item", transforms=[features.Pseudonym(place)])])
    assert KEY.hex() not in str(refused.value)


BAD_KEYS = ["", "0f" * 15, "0f" * 17, "0f" * 15 + "0", "zz" * 16, "0f " * 16, "\u0660" * 32]


@pytest.mark.parametrize("text", BAD_KEYS, ids=range(len(BAD_KEYS)))
def test_a_key_that_is_none_is_told_when_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
) -> None:
    monkeypatch.setenv("PYREC_TEST_KEY", text)
    (tmp_path / "key").write_text(text, encoding="utf-8")
    for place in ("env:PYREC_TEST_KEY", f"file:{tmp_path / 'key'}"):
        with pytest.raises(SchemaError, match="field 'f': pseudonym: key: expected 32 hex") as refused:
            pseudonyms(["a"], key=place)
        assert not text or text not in str(refused.value)


def test_a_key_that_is_missing_is_told_when_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch, key: str, tmp_path: Path
) -> None:
    schema = pi.Schema([features.Field("f", "item", to="x", transforms=[features.Pseudonym(key)])])
    stored = pickle.dumps(pi.load(identity(), schema=schema))
    monkeypatch.delenv("PYREC_TEST_KEY")
    for load in (
        lambda: pi.load(identity(), schema=schema),
        lambda: pickle.loads(stored),
        lambda: pi.check_features(schema, {"f": ["a"]}, {"x": [1]}),
    ):
        with pytest.raises(SchemaError, match=r"field 'f': pseudonym: .*'PYREC_TEST_KEY' is not set"):
            load()
    os.mkfifo(tmp_path / "pipe")
    for path, message in ((tmp_path / "none", "cannot be read"), (tmp_path / "pipe", "plain file")):
        with pytest.raises(SchemaError, match=message):
            pseudonyms(["a"], key=f"file:{path}")


def shapes_of_the_key() -> list[bytes]:
    texts = [KEY.hex(), *(str(number) for number in NUMBERS), *(hex(number)[2:] for number in NUMBERS)]
    return [KEY, *(text.encode() for text in texts), *(number.to_bytes(8, "big") for number in NUMBERS)]


def test_the_key_is_in_nothing_that_leaves_the_process(
    key: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    fields = [
        features.Field("f", "item", to="x", transforms=[features.Pseudonym(key)]),
        features.Field("who", "request"),
        features.Combination("both", ["who"], None, to="z", transforms=[features.Pseudonym(key, "blake2b")]),
    ]
    node = helper.make_node("Add", ["x", "z"], ["y"])
    kind = (TensorProto.INT64, ["N"])
    source = make_model([node], {"x": kind, "z": kind}, {"y": kind}).SerializeToString()
    schema = pi.Schema(fields)
    model = pi.load(source, schema=schema)
    catalog = model.catalog({"f": ["a", "b"]}, output="y")
    schema.save(tmp_path / "schema.json")
    (tmp_path / "model.onnx").write_bytes(source)
    report = pi.check_features(schema, {"f": ["a"], "who": ["b"]}, {"x": [1], "z": [1]})
    plans = [model.explain(passes=True), catalog.explain(), model.explain(["who"], output="y")]
    shown = [repr(one) for one in (model, schema, catalog, report, model.inputs, schema.fields, *plans)]
    shown += [str(one) for one in (*plans, *(plan.as_dict() for plan in plans), report, schema.to_json())]
    for call in (lambda: model.run({"f": [1], "who": "b"}), lambda: pickle.dumps(catalog)):
        with pytest.raises((PyrecError, TypeError)) as refused:
            call()
        shown.append("".join(traceback.format_exception(refused.value)))
    shown += [*capsys.readouterr(), caplog.text]
    kept = [pickle.dumps(schema), pickle.dumps(model), (tmp_path / "schema.json").read_bytes()]
    for form in shapes_of_the_key():
        assert not any(form in data for data in [*kept, *(text.encode() for text in shown)])


def test_a_key_in_memory_is_not_shown_copied_or_pickled() -> None:
    secret = Secret(KEY)
    assert str(secret) == f"{secret}" == "<secret>"
    assert secret == Secret(bytes(KEY)) != Secret(b"")
    with pytest.raises(TypeError, match="cannot be copied"):
        pickle.dumps(secret)
    with pytest.raises(TypeError):
        hash(secret)
    assert repr(Seed(1, 2, KEY)) == "<seed>"


MARK = "Zx9Marker"
MARKED_NUMBER = 918273645546372819
FORMS = (MARK, "91827364554637", "9.1827364")


def every_kind(key: str) -> pi.Schema:
    number: dict[str, Any] = {"dtype": "number"}
    return pi.Schema(
        [
            features.Field(
                "word", "item", to="a", transforms=[features.Text("lower"), features.Vocabulary(["w"], 0)]
            ),
            features.Field("hashed", "item", to="b", transforms=[features.Hash(5)]),
            features.Field("person", "request", to="c", transforms=[features.Pseudonym(key, buckets=5)]),
            features.Field("id", "item", to="d", dtype="integer", transforms=[features.Modulo(5)]),
            features.Field("plain", "item", to="e", dtype="integer"),
            features.Field("number", "item", to="f", **number, transforms=[features.Log1p()]),
            features.ListField("list", "request", to="g", transforms=[features.Hash(5)], length=2, most=3),
            features.ListField(
                "split", "item", to="h", transforms=[features.Vocabulary(["w"])], length=2, separator="|"
            ),
            features.ListField("weights", "item", to="i", **number, length=2),
            features.Combination("joined", ["word", "hashed"], features.Cross(5), to="j"),
        ]
    )


def table_ranker() -> bytes:
    """Looks each input up in a table of 5 rows."""
    nodes, shapes, parts = [], {}, []
    for name in "abcdefghij":
        width = ["N", 2] if name in "ghi" else ["N"]
        shapes[name] = (TensorProto.FLOAT if name in "fi" else TensorProto.INT64, width)
        value = name
        if name not in "fi":
            nodes.append(helper.make_node("Gather", ["table", name], [f"{name} row"]))
            value = f"{name} row"
        if name in "ghi":
            nodes.append(helper.make_node("ReduceSum", [value, "last"], [f"{name} sum"], keepdims=0))
            value = f"{name} sum"
        parts.append(value)
    nodes.append(helper.make_node("Sum", parts, ["y"]))
    constants = {"table": np.arange(5, dtype=np.float32), "last": [1]}
    outputs = {"y": (TensorProto.FLOAT, ["N"])}
    return make_model(nodes, shapes, outputs, constants).SerializeToString()


GOOD: dict[str, Any] = {
    "word": "w",
    "hashed": "h",
    "person": "p",
    "id": 3,
    "plain": 4,
    "number": 1.5,
    "list": ["a", "b"],
    "split": "w|v",
    "weights": [0.5],
}


class Odd:
    """An object whose texts are what it holds."""

    def __repr__(self) -> str:
        return MARK

    __str__ = __repr__


SCALARS: list[Any] = [
    MARK,
    MARK.encode(),
    MARK + "\udcff",
    MARK.encode() + b"\xff",
    MARKED_NUMBER,
    MARKED_NUMBER * 10**6,
    -MARKED_NUMBER,
    9.1827364e18,
    float("nan"),
    float("inf"),
    None,
    True,
    Odd(),
    {MARK: MARK},
    complex(9.1827364, 1),
    np.datetime64("2020-01-01"),
    np.str_(MARK),
]

bad = st.recursive(st.sampled_from(SCALARS), lambda inner: st.lists(inner, max_size=4), max_leaves=6)


def forms(values: list[Any]) -> Iterator[Any]:
    """The values as what a caller might give."""
    yield values
    for make in (
        lambda: np.asarray(values),
        lambda: np.asarray(values, object),
        lambda: pa.array(values),
        lambda: pd.Series(values),
    ):
        try:
            yield make()
        except Exception:
            continue


@pytest.fixture(scope="module")
def model() -> Iterator[pi.Model]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYREC_TEST_KEY", KEY.hex())
        yield pi.load(table_ranker(), schema=every_kind("env:PYREC_TEST_KEY"))


def shown(error: BaseException) -> str:
    """All that a log would hold of an error, what it was raised from included."""
    parts = [str(error), repr(error)]
    for cause in (error.__cause__, None if error.__suppress_context__ else error.__context__):
        parts += [] if cause is None else [shown(cause)]
    return "\n".join(parts)


CALLS: dict[str, Callable[[pi.Model, Any, Any], Any]] = {
    "score": lambda model, request, items: model.score(request, items),
    "top_k": lambda model, request, items: model.top_k(request, items, 1),
    "run": lambda model, request, items: model.run({**items, **request}),
    "catalog": lambda model, request, items: model.catalog(items, output="y").score(request),
    "prepare": lambda model, request, items: model.prepare([*request], [*items])(
        *request.values(), *items.values()
    ),
    "check": lambda model, request, items: pi.check_features(
        every_kind("env:PYREC_TEST_KEY"), {**items, **request}, {"a": [0]}
    ),
}


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(sorted(GOOD)),
    st.lists(bad, min_size=1, max_size=2),
    st.lists(st.sampled_from(sorted(CALLS)), min_size=5, max_size=5),
)
def test_no_raw_value_is_in_an_error(model: pi.Model, name: str, values: list[Any], calls: list[str]) -> None:
    request: dict[str, Any] = {"person": GOOD["person"], "list": GOOD["list"]}
    items: dict[str, Any] = {key: [value] * len(values) for key, value in GOOD.items() if key not in request}
    for given_values, call in zip(forms(values), calls, strict=False):
        side = request if name in request else items
        side[name] = given_values
        try:
            CALLS[call](model, request, items)
        except PyrecError as error:
            text = shown(error)
            assert not any(form in text for form in FORMS), text
