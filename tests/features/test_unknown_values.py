"""Values that a vocabulary does not have and has no id for: each call names the field and the row."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError
from pyrec_infer.features import Field, Hash, ListField, Lookup, Vocabulary

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
SECRET = "do not tell"
TABLES = {"city": 3, "seen": 4, "sku": 5, "tags": 6}
LISTS = ("seen", "tags")
WORDS = {name: [f"{name}{place}" for place in range(size)] for name, size in TABLES.items()}
USER: dict[str, Any] = {"city": "city1", "seen": ["seen0", "seen1"]}
ITEM: dict[str, Any] = {"sku": "sku1", "tags": ["tags0", "tags2"]}
WRONG: dict[str, Any] = {"city": SECRET, "seen": ["seen0", SECRET], "sku": SECRET, "tags": ["tags1", SECRET]}


def model(extra: int) -> bytes:
    """Rows of tables, of which each may have more than the vocabulary has values."""
    nodes, constants = [], {"axes": np.asarray([1])}
    for name, size in TABLES.items():
        constants[f"{name} table"] = np.arange((size + extra) * 2, dtype=np.float32).reshape(-1, 2)
        rows = f"{name} rows"
        nodes.append(helper.make_node("Gather", [f"{name} table", name], [rows]))
        if name in LISTS:
            nodes.append(helper.make_node("ReduceSum", [rows, "axes"], [f"{name} sum"], keepdims=0))
    parts = [f"{name} sum" if name in LISTS else f"{name} rows" for name in TABLES]
    nodes.append(helper.make_node("Sum", parts, ["all"]))
    nodes.append(helper.make_node("ReduceSum", ["all", "axes"], ["score"], keepdims=0))
    inputs = {name: (INT64, ["N", 2] if name in LISTS else ["N"]) for name in TABLES}
    return make_model(nodes, inputs, {"score": (FLOAT, ["N"])}, constants).SerializeToString()


def schema() -> pi.Schema:
    def field(name: str) -> Field:
        known = [Vocabulary(WORDS[name], oov=0)]
        side: Any = "request" if name in USER else "item"
        if name in LISTS:
            return ListField(name, side, name, transforms=known, length=2)
        return Field(name, side, name, transforms=known)

    return pi.Schema([field(name) for name in TABLES])


@pytest.fixture(scope="module", params=[0, 3], ids=["as many rows", "more rows"])
def loaded(request: pytest.FixtureRequest) -> pi.Model:
    return pi.load(model(request.param), schema=schema())


def calls(m: pi.Model, user: dict[str, Any], items: list[dict[str, Any]]) -> dict[str, Callable[[], Any]]:
    """Calls that read the request and the items, whose fourth has the unknown value."""
    columns = {name: [row[name] for row in items] for name in ITEM}
    return {
        "score": lambda: m.score(user, items),
        "score by column": lambda: m.score(user, columns),
        "top_k": lambda: m.top_k(user, items, k=2),
        "run": lambda: m.run([{**user, **item} for item in items]),
        "requests": lambda: m.score([user] * 2, items, offsets=[0, 2, 5]),
        "best of requests": lambda: m.top_k([user] * 2, items, k=2, offsets=[0, 2, 5]),
        "prepared": lambda: m.prepare([*USER], [*ITEM])(*user.values(), *columns.values()),
    }


@pytest.mark.parametrize("name", TABLES)
def test_ranking_calls(loaded: pi.Model, name: str) -> None:
    items = [dict(ITEM) for _ in range(5)]
    user = dict(USER)
    (user if name in USER else items[3])[name] = WRONG[name]
    row = 0 if name in USER else 3
    for call in calls(loaded, user, items).values():
        refused(call, name, row)
    np.testing.assert_allclose(loaded.score(USER, [ITEM] * 2), loaded.run({**USER, **ITEM})["score"][[0, 0]])


UNKNOWN = "expected a value of its vocabulary, got an unknown one"


def refused(call: Callable[[], Any], name: str, row: int) -> None:
    with pytest.raises(IdRangeError, match=f"^field '{name}': {UNKNOWN} \\(row {row}\\)$") as told:
        call()
    assert SECRET not in str(told.value)
    assert told.value.__cause__ is None


@pytest.mark.parametrize("name", TABLES)
def test_catalogues(loaded: pi.Model, name: str) -> None:
    catalog = loaded.catalog([ITEM] * 5)
    wrong = {**(USER if name in USER else ITEM), name: WRONG[name]}
    if name in USER:
        refused(lambda: catalog.score(wrong), name, 0)
        refused(lambda: catalog.top_k(wrong, 2), name, 0)
        refused(lambda: catalog.top_k([USER, wrong], 2), name, 1)
        refused(lambda: catalog.prepare([*USER])(*wrong.values()), name, 0)
        return
    items = [*[ITEM] * 3, wrong]
    refused(lambda: loaded.catalog(items), name, 3)
    refused(lambda: catalog.upsert(items, range(4)), name, 3)
    assert len(catalog) == 5
    other = next(one for one in ITEM if one != name)
    late = loaded.catalog({other: [ITEM[other]] * 4}, candidates=[name])
    beside = {name: [item[name] for item in items]}
    refused(lambda: late.score(USER, candidates=beside), name, 3)
    refused(lambda: late.top_k(USER, 2, candidates=beside), name, 3)
    refused(lambda: late.top_k([USER] * 2, 2, candidates={name: beside[name] * 2}), name, 3)


def test_ids_that_the_vocabulary_has_and_the_table_has_not() -> None:
    """Not the row, but the schema is wrong: it says that a known value is not in the table."""
    small = model(-1)
    m = pi.load(small, schema=schema())
    with pytest.raises(IdRangeError, match=r"^input 'city': id outside a table of 2 rows"):
        m.score({**USER, "city": WORDS["city"][2]}, [ITEM])


@pytest.mark.once
def test_vocabularies_of_numpy_are_those_of_lists() -> None:
    known = np.asarray([7, 5])
    made = pi.Schema([Field("a", "item", "a", "integer", [Vocabulary(known)])])
    assert pi.Schema.from_json(made.to_json()) == made
    assert made == pi.Schema([Field("a", "item", "a", "integer", [Vocabulary([7, 5])])])


@pytest.mark.parametrize("modulo", ["unsigned", "floor", "abs"])
def test_hashes_with_another_remainder(modulo: Any) -> None:
    words = [f"word{place}" for place in range(40)]
    made = pi.Schema([Field("a", "item", "a", transforms=[Hash(1000, "mmh3_32", modulo=modulo)])])
    expected = pi.hash_to_bucket(words, buckets=1000, scheme="mmh3_32", modulo=modulo)
    assert pi.check_features(made, {"a": words}, {"a": expected}).same
    assert pi.Schema.from_json(made.to_json()) == made
    kind = INT64, ["N"]
    copy = make_model([helper.make_node("Identity", ["a"], ["y"])], {"a": kind}, {"y": kind})
    m = pi.load(copy.SerializeToString(), schema=made)
    np.testing.assert_array_equal(m.run({"a": words})["y"], expected)
    with pytest.raises(pi.errors.SchemaError, match="modulo: expected one of unsigned, floor, abs"):
        pi.Schema([Field("a", "item", "a", transforms=[Hash(1000, "mmh3_32", modulo="round")])])


def test_categories_of_trees_are_nan_where_they_are_unknown_or_missing() -> None:
    words = ["oslo", "rome"]
    lookup = Lookup(words, range(len(words)), default=math.nan)
    made = pi.Schema([Field("city", "item", "x", transforms=[lookup], missing="oov")])
    nodes = [helper.make_node("Add", ["x", "one"], ["score"])]
    graph = make_model(
        nodes, {"x": (FLOAT, ["N"])}, {"score": (FLOAT, ["N"])}, {"one": np.ones(1, np.float32)}
    ).SerializeToString()
    again = pi.Schema.from_json(made.to_json())
    assert again == made
    rows = [{"city": "rome"}, {"city": None}, {"city": SECRET}, {"city": "oslo"}]
    golden = made.with_golden(rows[::2], {"x": np.asarray([1, np.nan], np.float32)})
    for one in (made, again, golden):
        found = pi.load(graph, schema=one).score({}, rows)
        np.testing.assert_array_equal(found, [2, np.nan, np.nan, 1])
    with pytest.raises(pi.SchemaError, match="lookup: default: expected finite"):
        pi.Schema([Field("city", "item", "x", transforms=[Lookup(words, [0, 1], default=math.inf)])])
