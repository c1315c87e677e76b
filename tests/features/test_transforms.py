"""Every transform beside Python's or NumPy's own arithmetic, on every kind of element that it takes."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.errors import IdRangeError, SchemaError
from pyrec_infer.features.transforms import TRANSFORMS, Transform
from pyrec_infer.hashing import CROSSES, SCHEMES

DOUBLE, INT64 = TensorProto.DOUBLE, TensorProto.INT64


def as_it_is(code: int) -> bytes:
    """A model that gives back its input."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return make_model([node], {"x": (code, ["N"])}, {"y": (code, ["N"])}).SerializeToString()


def transformed(
    values: Sequence[Any], transforms: Sequence[Transform], dtype: Any, code: int = DOUBLE, **more: Any
) -> np.ndarray[Any, Any]:
    field = features.Field("raw", "item", to="x", dtype=dtype, transforms=transforms, **more)
    return pi.load(as_it_is(code), schema=pi.Schema([field])).run({"raw": values})["y"]


def yeo_johnson(x: float, power: float) -> float:
    sign, power = (1, power) if x >= 0 else (-1, 2 - power)
    size = math.log1p(abs(x))
    return sign * (math.expm1(power * size) / power if power else size)


NUMBERS: dict[str, tuple[Transform, Callable[[float], float]]] = {
    "log1p": (features.Log1p(), lambda x: math.log1p(x) if x > -1 else math.nan),
    "yeo_johnson": (features.YeoJohnson(0.3), partial(yeo_johnson, power=0.3)),
    "yeo_johnson, 0": (features.YeoJohnson(0.0), partial(yeo_johnson, power=0.0)),
    "yeo_johnson, 2": (features.YeoJohnson(2.0), partial(yeo_johnson, power=2.0)),
    "yeo_johnson, nearly 0": (features.YeoJohnson(-1e-9), partial(yeo_johnson, power=-1e-9)),
    "yeo_johnson, negative": (features.YeoJohnson(-1.25), partial(yeo_johnson, power=-1.25)),
    "standardise": (features.Standardise(3.5, 0.25), lambda x: (x - 3.5) / 0.25),
    "min_max": (features.MinMax(-2.0, 6.0), lambda x: (x + 2.0) / 8.0),
    "clip": (features.Clip(-1.0, 4.5), lambda x: min(max(x, -1.0), 4.5)),
    "sign": (features.Sign(), lambda x: math.copysign(1, x) if x else 0),
    "bucketise": (features.Bucketise([-1.5, 0, 2.5]), lambda x: float(np.digitize(x, [-1.5, 0, 2.5]))),
    "bucketise right": (
        features.Bucketise([-1.5, 0, 2.5], right=True),
        lambda x: float(np.digitize(x, [-1.5, 0, 2.5], right=True)),
    ),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers(name: str) -> None:
    transform, expected = NUMBERS[name]
    values = [-1.5, -1.0, -1e-12, 0.0, 1e-300, 1e-9, 0.3, 2.5, 1e6, 3e18]
    kept = [value for value in values if name != "log1p" or value > -1]
    made = transformed(kept, [transform], "number")
    np.testing.assert_allclose(made, [expected(value) for value in kept], rtol=1e-14, atol=0)


def test_powers_without_end() -> None:
    endless = {"nan": "keep", "infinity": "keep"}
    for power, expected in ((0.5, [math.inf, -math.inf]), (-2.0, [0.5, -math.inf]), (3.0, [math.inf, -1.0])):
        made = transformed([math.inf, -math.inf, math.nan], [features.YeoJohnson(power)], "number", **endless)
        np.testing.assert_array_equal(made, [*expected, math.nan])


def test_log1p_below_its_domain_is_nan() -> None:
    assert np.isnan(transformed([-1.5], [features.Log1p()], "number")).all()


@cache
def date_model(part: str) -> pi.Model:
    field = features.Field("raw", "item", "x", "integer", [features.DatePart(part)])
    return pi.load(as_it_is(INT64), schema=pi.Schema([field]))


@settings(max_examples=20)
@given(st.lists(st.integers(-(2**38), 2**38), min_size=1, max_size=8))
def test_parts_of_dates_are_those_of_the_calendar(seconds: list[int]) -> None:
    epoch = datetime.datetime(1970, 1, 1)
    kept = [moment for moment in seconds if -62_135_596_800 <= moment < 253_402_300_800]
    for part in ("minute", "hour", "weekday", "day", "month", "year"):
        made = date_model(part).run({"raw": kept})["y"]
        moments = [epoch + datetime.timedelta(seconds=moment) for moment in kept]
        expected = [one.weekday() if part == "weekday" else getattr(one, part) for one in moments]
        np.testing.assert_array_equal(made, expected, err_msg=part)


@pytest.mark.parametrize("words", [("rome", "oslo", "b\0"), (7, -3, 2**62)])
@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("oov", [0, 1])
def test_vocabularies(words: tuple[Any, ...], mask: bool, oov: int) -> None:
    blank: Any = "" if isinstance(words[0], str) else 0
    dtype = "string" if isinstance(words[0], str) else "integer"
    given = [word for word in words if word != "b\0"]
    transform = features.Vocabulary(given, oov=oov, mask=blank if mask else None)
    first = int(mask) + oov
    values = [*given, *([blank] if mask else []), *(["else" if dtype == "string" else 99] if oov else [])]
    expected = [*range(first, first + len(given)), *([0] if mask else []), *([int(mask)] if oov else [])]
    np.testing.assert_array_equal(transformed(values, [transform], dtype, INT64), expected)


def test_unknown_ids_of_a_closed_vocabulary_are_in_no_table() -> None:
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
    table = {"table": np.arange(4, dtype=np.float32)}
    proto = make_model(nodes, {"x": (INT64, ["N"])}, {"y": (TensorProto.FLOAT, ["N"])}, table)
    field = features.Field("city", "item", to="x", transforms=[features.Vocabulary(["a", "b"], oov=0)])
    model = pi.load(proto.SerializeToString(), schema=pi.Schema([field]))
    assert model.run({"city": ["b", "a"]})["y"].tolist() == [1, 0]
    for call in (lambda: model.run({"city": ["a", "c"]}), lambda: model.score({}, {"city": ["a", "c"]})):
        with pytest.raises(IdRangeError, match=r"city.*row 1"):
            call()


def test_texts_are_put_together() -> None:
    words = ["-7=x/12", "-7=/12"]
    vocabulary = features.Vocabulary(words, oov=0)
    fields = [
        features.Field("number", "request", dtype="integer"),
        features.Field("word", "item"),
        features.Field("other", "item", dtype="integer", to=()),
        features.Combination(
            "all", ["number", "word", "other"], features.Join(["=", "/"]), "x", [vocabulary]
        ),
    ]
    model = pi.load(as_it_is(INT64), schema=pi.Schema(fields))
    assert model.score({"number": -7}, {"word": ["", "x"], "other": [12, 12]}, output="y").tolist() == [1, 0]
    prefixed = [features.Prefix("-7="), features.Vocabulary(["-7=5"])]
    assert transformed([5, 6], prefixed, "integer", INT64).tolist() == [1, 0]


def test_small_tables_and_arithmetic_of_ids() -> None:
    table = features.Lookup(["de", "it"], [0.5, 2.0], default=-1.0)
    assert transformed(["it", "xx", "de"], [table], "string").tolist() == [2.0, -1.0, 0.5]
    ids = [features.Modulo(5), features.Shift(2)]
    assert transformed([-7, 12, 5], ids, "integer", INT64).tolist() == [5, 4, 2]


@pytest.mark.parametrize("change", ["lower", "upper", "strip"])
def test_texts_change_as_in_python(change: str) -> None:
    words = [" Ärger", "STRASSE\t", "ß", "", "i̇İ"]
    vocabulary = features.Vocabulary(sorted({getattr(word, change)() for word in words}), oov=0)
    made = transformed(words, [features.Text(change), vocabulary], "string", INT64)
    assert [vocabulary.values[i] for i in made.tolist()] == [getattr(word, change)() for word in words]


MISTAKES: list[tuple[Transform, str]] = [
    (features.Standardise(0.0, 0.0), "deviation"),
    (features.Standardise(math.nan, 1.0), "finite"),
    (features.MinMax(2.0, 2.0), "low"),
    (features.Clip(3.0, 2.0), "low"),
    (features.Bucketise([1.0, 1.0]), "ascending"),
    (features.Modulo(0), "divisor"),
    (features.Vocabulary([]), "at least one"),
    (features.Vocabulary(["a", "a"]), "once"),
    (features.Vocabulary(["a", 1]), "alone"),
    (features.Vocabulary(["a"], mask="a"), "mask"),
    (features.Vocabulary(["a"], oov=-1), "oov"),
    (features.Lookup(["a"], [1.0, 2.0]), "one for each key"),
    (features.DatePart("century"), "part"),
    (features.Text("title"), "change"),
    (features.OneHot(0), "size"),
    (features.Counts(0), "size"),
    (features.Hash(0), "buckets"),
    (features.Hash(10, "sha1"), "scheme"),
    (features.Hash(10, "vw"), "power of two"),
    (features.Hash(10, "siphash24"), "key"),
    (features.Hash(10, "blake2b"), "scheme"),
]


@pytest.mark.parametrize(("transform", "message"), MISTAKES)
def test_mistakes_are_told_with_the_field(transform: Transform, message: str) -> None:
    dtype: Any = sorted(transform.takes)[-1]
    with pytest.raises(SchemaError, match=rf"field 'f': {transform.name}.*{message}"):
        pi.Schema([features.Field("f", "item", dtype=dtype, transforms=[transform])])


def test_each_transform_has_a_test() -> None:
    tested = {transform.name for transform, _ in (*NUMBERS.values(), *((item, 0) for item, _ in MISTAKES))}
    assert {*tested, "shift", "prefix", "pseudonym"} == set(TRANSFORMS)


WORDS = ["Hello", "", "straße", "0", "2.x"]


@pytest.mark.parametrize("scheme", sorted(name for name, one in SCHEMES.items() if one.seeds != "key"))
def test_hashes_are_those_of_columns(scheme: str) -> None:
    seed: Any = [7, 9] if SCHEMES[scheme].seeds == "pair" else None
    name = "field" if scheme == "spark_feature_hasher" else None
    transform = features.Hash(16, scheme, seed, name)
    expected = pi.hash_to_bucket(
        WORDS, buckets=16, scheme=scheme, seed=None if seed is None else tuple(seed), name=name
    )
    np.testing.assert_array_equal(transformed(WORDS, [transform], "string", INT64), expected)


def test_masks_of_hashes() -> None:
    made = transformed(WORDS, [features.Hash(5, mask="")], "string", INT64)
    np.testing.assert_array_equal(made, pi.hash_to_bucket(WORDS, buckets=5, mask_value=""))
    given = [3, 1, 2**62]
    made = transformed(given, [features.Hash(5, "keras", mask=1)], "integer", INT64)
    np.testing.assert_array_equal(made, pi.hash_to_bucket(given, buckets=5, scheme="keras", mask_value=1))
    missing = transformed(["Hello", None], [features.Hash(5, mask="")], "string", INT64, missing="oov")
    assert missing[1] == 0


@pytest.mark.parametrize(
    "after", [features.Shift(2), features.Hash(7), features.Lookup([0, 1], [0.5, 1.5]), features.Log1p()]
)
def test_what_is_missing_is_made_of_as_what_is_unknown_is(after: Transform) -> None:
    transforms = [features.Vocabulary(["a"]), after]
    made = transformed(["unheard of", None, "a"], transforms, "string", missing="oov")
    assert made[0] == made[1]
    assert made[0] != made[2]


def test_several_unknown_ids_are_shared_out() -> None:
    vocabulary = features.Vocabulary(["a"], oov=3, mask="-")
    expected = [4, 0, *(1 + pi.hash_to_bucket(["x", "yz"], buckets=3))]
    np.testing.assert_array_equal(transformed(["a", "-", "x", "yz"], [vocabulary], "string", INT64), expected)
    numbers = transformed([5, -4, 11], [features.Vocabulary([5], oov=3)], "integer", INT64)
    assert numbers.tolist() == [3, -4 % 3, 11 % 3]


@pytest.mark.parametrize("scheme", sorted(CROSSES))
def test_crosses_of_a_request_and_its_candidates(scheme: str) -> None:
    fields = [
        features.Field("word", "request"),
        features.Field("number", "item", dtype="integer"),
        features.Combination("both", ["word", "number"], features.Cross(100, scheme), to="x"),
    ]
    code = TensorProto.INT64
    model = pi.load(as_it_is(code), schema=pi.Schema(fields))
    made = model.score({"word": "Hello"}, {"number": [4, -1, 2**40]}, output="y")
    expected = pi.cross_to_bucket([["Hello"] * 3, [4, -1, 2**40]], buckets=100, scheme=scheme)
    np.testing.assert_array_equal(made, expected)


def test_one_hot_of_ids_and_of_what_is_missing() -> None:
    node = helper.make_node("Identity", ["x"], ["y"])
    kind = (TensorProto.FLOAT, ["N", 3])
    source = make_model([node], {"x": kind}, {"y": kind}).SerializeToString()
    transforms = [features.Vocabulary(["a", "b"]), features.OneHot(3)]
    field = features.Field("raw", "item", to="x", transforms=transforms, missing="zero")
    made = pi.load(source, schema=pi.Schema([field])).run({"raw": ["b", "z", None]})["y"]
    assert made.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    field = features.Field("raw", "item", to="x", transforms=transforms, missing="oov")
    made = pi.load(source, schema=pi.Schema([field])).run({"raw": ["b", "z", None]})["y"]
    assert made.tolist() == [[0, 0, 1], [1, 0, 0], [1, 0, 0]]
    with pytest.raises(SchemaError, match="one_hot: expected as the last"):
        pi.Schema([features.Field("f", "item", transforms=[*transforms, features.Log1p()])])
    further = features.Combination("g", ["f"], transforms=[*transforms, features.Log1p()])
    with pytest.raises(SchemaError, match="field 'g': one_hot: expected as the last"):
        pi.Schema([features.Field("f", "item"), further])


def moments(code: int, by: Any = None, *transforms: Transform) -> pi.Model:
    by = features.Since() if by is None else by
    fields = [
        features.Field(name, side, dtype="integer") for name, side in (("now", "request"), ("at", "item"))
    ]
    made = features.Combination("ago", ["now", "at"], by, "x", transforms)
    return pi.load(as_it_is(code), schema=pi.Schema([*fields, made]))


def test_times_that_a_type_would_round_are_refused_unless_they_are_cut() -> None:
    for code in (TensorProto.FLOAT, TensorProto.INT32):
        with pytest.raises(
            SchemaError, match=r"field 'ago': it gives whole numbers up to 9223372036854775807"
        ):
            moments(code)
    with pytest.raises(SchemaError, match=r"'ago': it gives whole numbers up to 16777217"):
        moments(TensorProto.FLOAT, features.Since(2**24 + 1))
    model = moments(TensorProto.FLOAT, features.Since(2**24))
    rows = {"at": [2**33, 2**33 - 2**24 + 1, 0, 2**40]}
    assert model.score({"now": 2**33}, rows, output="y").tolist() == [0, 2**24 - 1, 2**24, 0]
    logs = moments(TensorProto.FLOAT, None, features.Log1p()).score({"now": 2**33}, {"at": [0]}, output="y")
    np.testing.assert_allclose(logs, np.log1p([2.0**33]), rtol=1e-6)


OVERFLOWS: dict[str, tuple[Any, int]] = {
    "since": ((), 2**62 - 1),
    "shift": ((features.Shift(5),), 2**63 - 6),
    "shift and hash": ((features.Shift(-5), features.Hash(9)), 2**63 - 6),
    "date": ((features.DatePart("hour"),), 2**63 - 86401),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_numbers_that_arithmetic_would_wrap_are_refused(name: str) -> None:
    transforms, limit = OVERFLOWS[name]
    if name == "since":
        model, rest = moments(TensorProto.INT64), {"now": [0]}
    else:
        field = features.Field("at", "item", "x", "integer", transforms)
        model, rest = pi.load(as_it_is(TensorProto.INT64), schema=pi.Schema([field])), {}
    assert model.run({"at": [limit], **rest})["y"].shape == (1,)
    assert model.run({"at": [-limit], **rest})["y"].shape == (1,)
    for value in (limit + 1, -limit - 1):
        with pytest.raises(IdRangeError, match=rf"field 'at'.*{limit}.*row 0"):
            model.run({"at": [value], **rest})
