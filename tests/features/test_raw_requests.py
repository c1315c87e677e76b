"""Requests as dictionaries: what native code reads of them equals what the closer look gives, errors too."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer.arguments.raw_values import read_values
from pyrec_infer.features import Bucketise, Field, Hash, ListField, Vocabulary

FLOAT, INT64, LENGTH = TensorProto.FLOAT, TensorProto.INT64, 3
IDS = np.arange(2)


def model() -> bytes:
    """The sum of all inputs, lists by place."""
    singles = ["word", "code", "amount", "item"]
    lists = ["words", "codes", "amounts"]
    nodes = [helper.make_node("Cast", [name], [f"{name}/float"], to=FLOAT) for name in (*singles, *lists)]
    nodes += [helper.make_node("MatMul", [f"{name}/float", "places"], [f"{name}/sum"]) for name in lists]
    parts = [*(f"{name}/float" for name in singles), *(f"{name}/sum" for name in lists)]
    nodes.append(helper.make_node("Sum", parts, ["score"]))
    inputs = {name: (INT64, ["N"]) for name in ("word", "code", "item")}
    inputs |= {name: (INT64, ["N", LENGTH]) for name in ("words", "codes")}
    inputs |= {"amount": (FLOAT, ["N"]), "amounts": (FLOAT, ["N", LENGTH])}
    constants = {"places": np.asarray([1, 10, 100], np.float32)}
    return make_model(nodes, inputs, {"score": (FLOAT, ["N"])}, constants).SerializeToString()


@pytest.fixture(scope="module")
def loaded() -> pi.Model:
    known = Vocabulary(["a", "b", "ä"])
    fields = [
        Field("word", "request", to="word", transforms=[known], missing="oov"),
        Field("code", "request", to="code", dtype="integer", missing="default", default=5),
        Field("amount", "request", to="amount", dtype="number", nan="keep"),
        Field("item", "item", to="item", transforms=[Hash(10)]),
        ListField("words", "request", to="words", transforms=[known], length=LENGTH, keep="last"),
        ListField("codes", "request", to="codes", dtype="integer", length=LENGTH, pad="left", most=4),
        ListField(
            "amounts",
            "request",
            to="amounts",
            dtype="number",
            length=LENGTH,
            infinity="keep",
            padding=7,
            transforms=[Bucketise([0.0, 1.0])],
        ),
    ]
    return pi.load(model(), schema=pi.Schema(fields))


@pytest.fixture(scope="module")
def catalog(loaded: pi.Model) -> pi.Catalog:
    return loaded.catalog({"item": ["x", "y"]})


class Word(str):
    """A str that says of itself what it is not."""

    def __eq__(self, other: object) -> bool:
        raise AssertionError

    def __hash__(self) -> int:
        return super().__hash__()


ODD = st.sampled_from(
    [None, "a", "é", "x\0", b"a", 1, -3, 2**63, True, 0.5, float("nan"), [], ["a"], "\ud800"]
)
LARGE = st.sampled_from([2**63 - 1, -(2**63), 2**53 + 1, 2**24])
WORDS = st.one_of(st.sampled_from(["a", "b", "ä", "", "z"]), ODD)
CODES = st.one_of(st.integers(-9, 9), LARGE, ODD)
AMOUNTS = st.one_of(st.floats(-4, 4), st.sampled_from([float("inf"), 3]), ODD)


def outcome(catalog: pi.Catalog, request: Any) -> Any:
    """The scores and the best, or the error."""
    try:
        best = catalog.top_k(request, 2)
        return catalog.score(request, IDS).tolist(), best.ids.tolist(), best.scores.tolist()
    except pi.PyrecError as error:
        return type(error), str(error)


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries(
        {
            "word": WORDS,
            "code": CODES,
            "amount": AMOUNTS,
            "words": st.lists(WORDS, max_size=5),
            "codes": st.lists(CODES, max_size=5),
            "amounts": st.lists(AMOUNTS, max_size=5),
        }
    )
)
def test_dictionaries_are_read_as_other_mappings(catalog: pi.Catalog, row: dict[str, Any]) -> None:
    np.testing.assert_equal(outcome(catalog, row), outcome(catalog, MappingProxyType(row)))


def plain() -> dict[str, Any]:
    return {"word": "b", "code": 2, "amount": 0.5, "words": ["a"] * 4, "codes": (1, 2), "amounts": [2.0]}


def test_each_request_is_read_anew(catalog: pi.Catalog) -> None:
    scores = catalog.score(plain(), IDS)
    np.testing.assert_array_equal(catalog.score(MappingProxyType(plain()), IDS), scores)
    np.testing.assert_array_equal(catalog.score({**plain(), "code": 3}, IDS), scores + 1)
    np.testing.assert_array_equal(catalog.score({**plain(), "words": ["a"]}, IDS), scores - 110)
    for names in (reversed(plain()), ["".join([*name]) for name in plain()]):
        np.testing.assert_array_equal(catalog.score({name: plain()[name] for name in names}, IDS), scores)
    np.testing.assert_array_equal(catalog.score(plain(), IDS), scores)


@pytest.mark.parametrize("few", [0, 1 << 12])
def test_the_best_for_a_dictionary(catalog: pi.Catalog, few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pyrec_infer.execution.calls.FEW", few)
    for boost in (None, [0, 50]):
        best = catalog.top_k(plain(), 1, boost=boost)
        expected = catalog.top_k(MappingProxyType(plain()), 1, boost=boost)
        assert best.ids.tolist() == expected.ids.tolist()
        np.testing.assert_array_equal(best.scores, expected.scores)
    assert catalog.top_k(plain(), 2, ids=[1]).ids.tolist() == [1]
    assert catalog.top_k(plain(), 2, exclude=[0, 1]).count == 0
    several = [plain(), {**plain(), "code": 3}]
    one = catalog.top_k(plain(), 1).scores
    np.testing.assert_array_equal(catalog.top_k(several, 1).scores, np.stack([one, one + 1]))
    np.testing.assert_array_equal(catalog.top_k(several[:1], 1).scores, one[None])


@pytest.mark.parametrize("change", [{"other": 1}, {"word": None, "code": None}])
def test_fields_too_many_and_missing(catalog: pi.Catalog, change: dict[str, Any]) -> None:
    request = {**plain(), **change}
    np.testing.assert_equal(outcome(catalog, request), outcome(catalog, MappingProxyType(request)))
    del request["codes"]
    np.testing.assert_equal(outcome(catalog, request), outcome(catalog, MappingProxyType(request)))


def test_objects_with_code_of_their_own(catalog: pi.Catalog) -> None:
    expected = catalog.score(plain(), IDS)

    class Key(str):
        def __eq__(self, other: object) -> bool:
            request.pop("codes", None)
            return str.__eq__(self, str(other))

        def __hash__(self) -> int:
            return str.__hash__(self)

    request = plain()
    request[Key("word")] = request.pop("word")
    found = outcome(catalog, request)
    assert found[0] in (expected.tolist(), pi.errors.MissingInputError)
    request = {**plain(), "word": Word("b"), "words": type("Own", (list,), {})(["a"] * 4)}
    np.testing.assert_array_equal(catalog.score(request, IDS), expected)


def looked_at(rows: Any) -> Any:
    """The same rows as nothing that is read natively."""
    return tuple(map(MappingProxyType, rows)) if isinstance(rows, list) else MappingProxyType(rows)


def result(run: Callable[[], Any]) -> Any:
    try:
        made = run()
    except pi.PyrecError as error:
        return type(error), str(error)
    return [made.ids.tolist(), made.scores.tolist()] if isinstance(made, tuple) else made.tolist()


ITEMS = st.one_of(st.sampled_from(["x", "y", "é", ""]), ODD)


@settings(max_examples=40, deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=4), CODES, st.lists(WORDS, max_size=5), st.booleans())
def test_all_calls_read_rows_alike(
    loaded: pi.Model, items: list[Any], code: Any, words: list[Any], by_column: bool
) -> None:
    request = {**plain(), "code": code, "words": words}
    rows: Any = [{"item": item} for item in items]
    given = {"item": items} if by_column else rows
    expected = result(lambda: loaded.score(looked_at(request), looked_at(rows)))
    np.testing.assert_equal(result(lambda: loaded.score(request, given)), expected)
    call = loaded.prepare([*request], ["item"])
    np.testing.assert_equal(result(lambda: call(*request.values(), items)), expected)
    best = result(lambda: loaded.top_k(looked_at(request), looked_at(rows), 2))
    np.testing.assert_equal(result(lambda: loaded.top_k(request, given, 2)), best)


@pytest.fixture(scope="module")
def changing(loaded: pi.Model) -> list[pi.Catalog]:
    return [loaded.catalog({"item": ["a"] * 3}) for _ in range(2)]


@settings(max_examples=20, deadline=None)
@given(st.lists(ITEMS, min_size=1, max_size=3), st.booleans())
def test_items_enter_alike(changing: list[pi.Catalog], items: list[Any], by_column: bool) -> None:
    rows: Any = [{"item": item} for item in items]
    ids = np.arange(len(items))

    def scores(catalog: pi.Catalog, given: Any) -> Any:
        catalog.upsert(given, ids)
        return catalog.score(plain(), ids)

    expected = result(lambda: scores(changing[0], looked_at(rows)))
    assert result(lambda: scores(changing[1], {"item": items} if by_column else rows)) == expected


def test_prepared_calls_name_each_field(loaded: pi.Model, catalog: pi.Catalog) -> None:
    names = [*plain()]
    for missing, side in (("words", "request"), ("item", "item")):
        fields = [name for name in (*names, "item") if name != missing]
        with pytest.raises(pi.errors.MissingInputError, match=rf"^field '{missing}' .*the {side} side"):
            loaded.prepare(fields, [])
    with pytest.raises(pi.errors.MissingInputError, match=r"^field 'code' .*request"):
        catalog.prepare([name for name in names if name != "code"])
    for hidden in ("word (missing)", "other"):
        with pytest.raises(pi.errors.UnexpectedInputError):
            loaded.prepare([*names, hidden], ["item"])
    with pytest.raises(pi.InputError, match="part of the items"):
        catalog.prepare([*names, "item"])
    out = np.empty(2, np.float32)
    call = catalog.prepare(names, max_rows=2)
    np.testing.assert_array_equal(call(*plain().values(), out=out), catalog.score(plain()))
    assert call(*plain().values(), ids=[1]).tolist() == out[1:].tolist()
    with pytest.raises(pi.InputError, match="expected 6 values"):
        call("a")


PLAIN = st.sampled_from(["", "a", "b", "a b", "x\0y", "-" * 40])
"""ASCII, of which an array of a fixed width is made in one go."""


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), PLAIN, st.just("ä"), st.just("z\0")), max_size=9), st.integers(0, 3))
def test_columns_of_strings_in_every_form(words: list[str | None], first: int) -> None:
    def read(column: Any) -> Any:
        try:
            found = read_values("w", column, Field("w", "request", missing="oov"))
        except pi.PyrecError as error:
            return str(error)
        gone = [] if found.missing is None else np.flatnonzero(found.missing).tolist()
        return [text for row, text in enumerate(found.array.tolist()) if row not in gone], gone

    expected = read(tuple(words[first:]))
    arrow = pa.array(words, pa.string())[first:]
    for column in (arrow, arrow.cast(pa.large_string()), arrow.dictionary_encode()):
        assert read(column) == expected if isinstance(expected, tuple) else isinstance(read(column), str)
