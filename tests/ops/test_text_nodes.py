"""Operators of ONNX and onnxruntime on strings: native forms beside references and onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.models import make_model, one_node

import pyrec_infer as pi
from pyrec_infer.extension import native
from pyrec_infer.ir import Node, as_array_of_strings
from pyrec_infer.ops import OPS
from pyrec_infer.ops.strings import letter_attributes
from pyrec_infer.strings.tensors import tensor_of

WORDS = ("", "a", "B", "Ab", "b\0", "ä", "straße", "\u2003x\x1cy", "a,b,,c", " a  b ", "ab" * 9)
ROWS = st.lists(st.sampled_from(WORDS), max_size=7)

needs_native = pytest.mark.skipif(native is None, reason="compares with the extension")


def objects(words: Any, *shape: int) -> Any:
    array = np.empty(len(words), object)
    array[:] = words
    return array.reshape(shape or -1)


def compare(op: str, attributes: Mapping[str, Any], x: Any, outputs: int = 1) -> None:
    """What a node gives or refuses, natively as by its reference."""
    node = Node(op, ("x",), tuple("yz"[:outputs]), dict(attributes))
    attributes = {**attributes, **letter_attributes(node)}
    try:
        expected = OPS[op].evaluate(node, [x])
    except pi.PyrecError as error:
        with pytest.raises(type(error)):
            native.run_node("scalar", op, dict(attributes), [x], outputs)
        return
    found = native.run_node("scalar", op, dict(attributes), [x], outputs)
    for own, other in zip(found, expected, strict=True):
        assert own.shape == other.shape
        assert own.tolist() == other.tolist()


def by_runtime(x: Any, op: str, domain: str = "", **attributes: Any) -> list[Any]:
    """The results of onnxruntime."""
    runtime = pytest.importorskip("onnxruntime", reason="the peer")
    code = TensorProto.STRING if x.dtype.kind == "O" else TensorProto.INT64
    model = one_node(op, {"x": (code, [None] * x.ndim)}, domain=domain, opset=20, **attributes)
    found: list[Any] = runtime.InferenceSession(model.SerializeToString()).run(None, {"x": x})
    return found


@needs_native
@pytest.mark.once
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.sampled_from([*WORDS, "STRASSE", "Ä", "İ"]), max_size=7),
    st.lists(st.sampled_from(["a", "B", "AB", "Straße", "ä"]), max_size=2, unique=True),
    st.sampled_from(["NONE", "LOWER", "UPPER", "Lower"]),
    st.booleans(),
    st.sampled_from([(-1,), (1, -1), (-1, 1)]),
)
def test_normalized(rows: list[str], words: list[str], action: str, exact: bool, shape: Any) -> None:
    attributes = {
        "stopwords": tuple(words),
        "case_change_action": action,
        "is_case_sensitive": int(exact),
    }
    compare("StringNormalizer", attributes, objects(rows).reshape(shape) if rows else objects(rows))


@needs_native
@pytest.mark.once
@settings(max_examples=30, deadline=None)
@given(ROWS, st.sampled_from(["", ",", "ab", "b", "ß"]), st.sampled_from([None, -1, 0, 1, 2]))
def test_split(rows: list[str], delimiter: str, most: int | None) -> None:
    attributes = {"delimiter": delimiter} | ({} if most is None else {"maxsplit": most})
    compare("StringSplit", attributes, objects(rows), 2)


@st.composite
def counted(draw: Any) -> tuple[dict[str, Any], Any]:
    """Attributes of a TfIdfVectorizer, and rows."""
    texts = draw(st.booleans())
    items: tuple[Any, ...] = ("a", "b", "ä", "") if texts else (0, 1, -7, 2**40)
    pool: list[Any] = []
    starts, longest = [], draw(st.integers(1, 3))
    for length in range(1, longest + 1):
        starts.append(len(pool))
        grams = st.lists(st.tuples(*[st.sampled_from(items)] * length), max_size=3, unique=True)
        pool += [item for gram in draw(grams) for item in gram]
    pool = pool or [*items[:1]] * longest
    count = len(pool) + draw(st.integers(0, 1))
    attributes = {
        "pool_strings" if texts else "pool_int64s": tuple(pool),
        "ngram_counts": tuple(starts),
        "ngram_indexes": tuple(draw(st.permutations(range(count)))),
        "weights": tuple(draw(st.lists(st.sampled_from([0.5, 2.0, -3.0]), min_size=count, max_size=count))),
        "mode": draw(st.sampled_from(["TF", "IDF", "TFIDF"])),
        "min_gram_length": draw(st.integers(1, longest)),
        "max_gram_length": longest,
        "max_skip_count": draw(st.integers(0, 3)),
    }
    rows = draw(st.lists(st.sampled_from(items), min_size=8, max_size=8))
    return attributes, objects(rows, 2, 4) if texts else np.asarray(rows).reshape(2, 4)


@needs_native
@pytest.mark.once
@settings(max_examples=40, deadline=None)
@given(counted())
def test_counts_of_n_grams(case: tuple[dict[str, Any], Any]) -> None:
    attributes, x = case
    compare("TfIdfVectorizer", attributes, x)
    compare("TfIdfVectorizer", attributes, x[0])


@pytest.mark.once
@settings(max_examples=12, deadline=None)
@given(counted())
def test_counts_of_onnxruntime(case: tuple[dict[str, Any], Any]) -> None:
    attributes, x = case
    (expected,) = by_runtime(x, "TfIdfVectorizer", **attributes)
    (found,) = OPS["TfIdfVectorizer"].evaluate(Node("TfIdfVectorizer", ("x",), ("y",), attributes), [x])
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("more", [False, True])
def test_counts_of_many_rows(threads: int, more: bool) -> None:
    """All rows at once, in parts, in tiles before another step, and of several requests."""
    width, count = 150, 2000
    attributes = {"pool_int64s": range(width), "ngram_counts": [0], "ngram_indexes": range(width)}
    lengths = {"min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0}
    made = "counts" if more else "y"
    nodes = [helper.make_node("TfIdfVectorizer", ["x"], [made], mode="TF", **attributes, **lengths)]
    nodes += [helper.make_node("Sqrt", ["counts"], ["y"])] if more else []
    source = make_model(nodes, {"x": (TensorProto.INT64, ["N", 4])}, {"y": (TensorProto.FLOAT, ["N", width])})
    x = np.random.default_rng(0).integers(-3, width + 3, (count, 4))
    expected = np.zeros((count, width), np.float32)
    rows, places = np.nonzero((x >= 0) & (x < width))
    np.add.at(expected, (rows, x[rows, places]), 1)
    expected = np.sqrt(expected) if more else expected
    model = pi.load(source.SerializeToString(), threads=threads)
    np.testing.assert_array_equal(model.run({"x": x})["y"], expected)
    np.testing.assert_array_equal(model.run({"x": x[:3]})["y"], expected[:3])
    np.testing.assert_array_equal(model.score({}, {"x": x}, output=("y", 7)), expected[:, 7])


GRAMS: Mapping[str, Any] = {
    "pool_int64s": (1, 2, 3, 1, 2),
    "ngram_counts": (0, 3),
    "ngram_indexes": (0, 1, 2, 3),
    "weights": (1.0, 2.0, 3.0, 4.0),
    "mode": "IDF",
    "min_gram_length": 1,
    "max_gram_length": 2,
    "max_skip_count": 0,
}


@pytest.mark.parametrize(
    "change",
    [
        {"ngram_counts": (0, 4)},
        {"ngram_counts": (3, 0)},
        {"ngram_counts": (0, 2**62)},
        {"ngram_counts": (-1, 3)},
        {"ngram_counts": ()},
        {"ngram_indexes": (0, 1, 2)},
        {"ngram_indexes": (0, 1, 2, -1)},
        {"ngram_indexes": (0, 1, 2, 2**62)},
        {"ngram_indexes": ()},
        {"ngram_indexes": (0, 1, 1, 3)},
        {"weights": (1.0,)},
        {"pool_int64s": (1, 2, 1, 1, 2)},
        {"pool_int64s": ()},
        {"pool_strings": ("a",)},
        {"mode": "DF"},
        {"min_gram_length": 0},
        {"max_gram_length": 2**62},
        {"max_skip_count": -1},
    ],
)
def test_tables_that_lie_are_refused(change: Mapping[str, Any]) -> None:
    attributes = {**GRAMS, **change}
    x = np.asarray([1, 2, 3])
    with pytest.raises(pi.ModelError):
        OPS["TfIdfVectorizer"].evaluate(Node("TfIdfVectorizer", ("x",), ("y",), attributes), [x])
    if native is not None:
        with pytest.raises(pi.ModelError):
            native.run_node("scalar", "TfIdfVectorizer", attributes, [x], 1)


def test_long_skips_end_with_the_row() -> None:
    attributes = {**GRAMS, "max_skip_count": 2**62}
    model = pi.load(
        one_node("TfIdfVectorizer", {"x": (TensorProto.INT64, ["N", 4])}, **attributes).SerializeToString()
    )
    assert model.run({"x": [[1, 3, 3, 2], [2, 1, 3, 3]]})["y"].tolist() == [[1, 2, 3, 4], [1, 2, 3, 0]]
    assert "Python" not in str(model.explain())


@needs_native
@pytest.mark.once
@pytest.mark.parametrize("dtype", [object, np.int32, np.int64, np.uint64, np.float32, np.float64])
@pytest.mark.parametrize("positive", [0, 1])
def test_murmur(dtype: Any, positive: int) -> None:
    x = objects(WORDS) if dtype is object else np.asarray([0, 1, 77], dtype)
    compare("com.microsoft.MurmurHash3", {"seed": -5, "positive": positive}, x)
    if dtype in (object, np.int64):
        (expected,) = by_runtime(x, "MurmurHash3", "com.microsoft", seed=-5, positive=positive)
        node = Node("com.microsoft.MurmurHash3", ("x",), ("y",), {"seed": -5, "positive": positive})
        np.testing.assert_array_equal(OPS[node.op].evaluate(node, [x])[0], expected)


def test_letters_are_changed_row_by_row() -> None:
    """Also those beyond ASCII, and in a catalogue."""
    normalizer = one_node("StringNormalizer", {"x": (TensorProto.STRING, ["N"])}, case_change_action="LOWER")
    model = pi.load(normalizer.SerializeToString())
    assert not model.explain().as_dict()["coupled"]
    assert model.run({"x": ["Ä", "STRASSE", "ΑΣ"]})["y"].tolist() == ["ä", "strasse", "ας"]
    assert model.run({"x": ["Ä", "STRASSE"]})["y"].tolist() == ["ä", "strasse"]


@needs_native
@pytest.mark.once
@settings(max_examples=20, deadline=None)
@given(ROWS, st.sampled_from([list, tuple, objects, lambda rows: objects(rows)[:, None]]))
def test_strings_are_handed_over_as_they_are(rows: list[str], form: Any) -> None:
    """And those that an array of a fixed width could not hold are refused as ever."""
    value = form(rows)
    made = tensor_of(value)
    if made is None:
        assert not rows or any(row.endswith("\0") for row in rows)
        return
    assert np.asarray(made).tolist() == np.asarray(value, object).tolist()
    assert np.asarray(made.reshape((1, len(rows)))).tolist() == [rows]
    with pytest.raises(pi.ShapeError):
        made.reshape((len(rows) + 1,))


@pytest.mark.parametrize("value", [["a", None], ["a", 1], ["a\0"], [["a"], ["b", "c"]], ("a", b"\xff")])
def test_what_is_no_string_is_refused(value: Any) -> None:
    node = helper.make_node(
        "LabelEncoder", ["x"], ["y"], domain="ai.onnx.ml", keys_strings=["a"], values_int64s=[1]
    )
    inputs, outputs = {"x": (TensorProto.STRING, ["N"])}, {"y": (TensorProto.INT64, ["N"])}
    encoder = make_model([node], inputs, outputs, domains={"ai.onnx.ml": 4})
    model = pi.load(encoder.SerializeToString())
    assert model.run({"x": ["a", "b"]})["y"].tolist() == [1, -1]
    assert model.run({"x": objects(["b", "a"], 2, 1)})["y"].tolist() == [-1, 1]
    with pytest.raises(pi.InputError):
        model.run({"x": value})


@pytest.mark.parametrize(
    "texts",
    [
        ["a,bc", "", "x" * 17],
        ["ä,😀b", "\ud800,\udfff"],
        ["a\0,c", "d"],
        ["a,\0b"],
        ["word,w"] * 9_000 + ["x" * 17],
        ["word,w"] * 9_000 + ["x" * 1_000],
        [],
    ],
    ids=["short", "not ASCII", "zeros", "zeros inside", "many", "wasteful", "none"],
)
def test_results_are_as_wide_as_their_longest(texts: list[str]) -> None:
    model = one_node("StringSplit", {"x": (TensorProto.STRING, [None])}, outputs=("y", "n"), delimiter=",")
    pieces = [text.split(",") for text in texts]
    widest = max(map(len, pieces), default=0)
    expected = as_array_of_strings([piece for row in pieces for piece in row + [""] * (widest - len(row))])
    made = pi.load(model.SerializeToString()).run({"x": objects(texts)})["y"]
    assert made.dtype == expected.dtype
    assert made.tolist() == expected.reshape(len(texts), widest).tolist()


@needs_native
@pytest.mark.once
@pytest.mark.parametrize("first", [-(2**63), -3, 0, 2**63 - 9])
@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_numbers_that_lie_close_together_are_found(first: int, step: int) -> None:
    """And those that do not: of equal ones the first; what is beside them, or far away, is none."""
    keys = [first + step * place for place in (2, 0, 1, 0)]
    attributes = {"keys_int64s": tuple(keys), "values_int64s": (10, 11, 12, 13), "default_int64": -7}
    near = [key + by for key in keys for by in (-1, 0, 1) if -(2**63) <= key + by < 2**63]
    compare("ai.onnx.ml.LabelEncoder", attributes, np.asarray([*near, -(2**63), -1, 0, 2**63 - 1]))
