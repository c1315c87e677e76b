"""Operators on strings: the native forms beside the references, and whole plans on every backend."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer.backends.native import native_ops
from pyrec_infer.errors import ModelError
from pyrec_infer.extension import native
from pyrec_infer.ir import Node
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.texts import MOVING, READING
from pyrec_infer.ops.hashed import native_attributes
from pyrec_infer.ops.strings import letter_attributes

WORDS = ("", "a", "b", "Ab", "zero\0in", "ä", "straße", "漢字", "\ud800", "x" * 40, "0", "-7")
TEXT = st.sampled_from(WORDS)
ROWS = st.lists(TEXT, min_size=0, max_size=9)

needs_native = pytest.mark.skipif(native is None, reason="compares with the extension")


def objects(words: Any) -> Any:
    array = np.empty(len(words), object)
    array[:] = words
    return array


def agree(node: Node, *inputs: Any) -> Any:
    """What a node gives, natively as by its reference."""
    (expected,) = OPS[node.op].evaluate(node, list(inputs))
    attributes = {**node.attributes, **native_attributes(node), **letter_attributes(node)}
    (found,) = native.run_node("scalar", node.op, attributes, list(inputs), 1)
    assert found.shape == expected.shape
    assert found.dtype.kind == expected.dtype.kind or {found.dtype.kind, expected.dtype.kind} == {"U", "O"}
    assert found.tolist() == expected.tolist()
    return found


@needs_native
@pytest.mark.once
def test_each_has_a_native_form() -> None:
    assert native_ops() >= MOVING | READING


@needs_native
@pytest.mark.once
@settings(max_examples=40, deadline=None)
@given(ROWS, st.lists(TEXT, min_size=1, max_size=6))
def test_label_encoders(rows: list[str], keys: list[str]) -> None:
    x = objects(rows)
    places, halves = tuple(range(len(keys))), tuple(i + 0.5 for i in range(len(keys)))
    encoder = "ai.onnx.ml.LabelEncoder"
    values: list[dict[str, Any]] = [
        {"values_int64s": places},
        {"values_floats": halves, "default_float": float("nan")},
        {"values_strings": tuple(keys[::-1]), "default_string": "none"},
        {"values_tensor": np.asarray(places, np.int16), "default_tensor": np.asarray([7], np.int16)},
    ]
    for made in values:
        found = {"keys_strings": tuple(keys), **made}
        if "values_floats" in found:
            (expected,) = OPS[encoder].evaluate(Node(encoder, ("x",), ("y",), found), [x])
            (own,) = native.run_node("scalar", encoder, found, [x], 1)
            np.testing.assert_array_equal(own, expected)
            continue
        agree(Node(encoder, ("x",), ("y",), found), x)
    numbers = np.asarray([len(row) for row in rows], np.int32)
    back = {"keys_int64s": places, "values_tensor": objects(keys), "default_tensor": objects(["?"])}
    agree(Node(encoder, ("x",), ("y",), back), numbers)


@needs_native
@pytest.mark.once
@settings(max_examples=40, deadline=None)
@given(ROWS, st.lists(TEXT, min_size=1, max_size=6))
def test_categories(rows: list[str], keys: list[str]) -> None:
    x = objects(rows)
    agree(Node("ai.onnx.ml.OneHotEncoder", ("x",), ("y",), {"cats_strings": tuple(keys)}), x)
    mapper = {"cats_strings": tuple(keys), "cats_int64s": tuple(range(len(keys)))}
    agree(Node("ai.onnx.ml.CategoryMapper", ("x",), ("y",), mapper), x)
    agree(Node("ai.onnx.ml.CategoryMapper", ("x",), ("y",), mapper), np.arange(-1, len(keys)))


@needs_native
@pytest.mark.once
@settings(max_examples=40, deadline=None)
@given(ROWS, TEXT, st.booleans())
def test_texts_put_together_compared_and_moved(rows: list[str], word: str, first: bool) -> None:
    x, one = objects(rows), objects([word])
    pair = (one, x) if first else (x, one)
    agree(Node("StringConcat", ("a", "b"), ("y",)), *pair)
    agree(Node("Equal", ("a", "b"), ("y",)), *pair)
    agree(Node("Where", ("c", "a", "b"), ("y",)), np.asarray([len(row) > 1 for row in rows], bool), *pair)
    agree(Node("Concat", ("a", "b"), ("y",), {"axis": 0}), *pair)
    agree(Node("Expand", ("a", "s"), ("y",)), one[:, None], np.asarray([1, 3]))


@needs_native
@pytest.mark.once
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text("aZ \t\x1f09_", max_size=5), max_size=6), st.sampled_from(["lower", "upper", "strip"])
)
def test_letters_of_ascii(rows: list[str], change: str) -> None:
    agree(Node("pyrec.ChangeText", ("x",), ("y",), {"change": change}), objects(rows))


@needs_native
@pytest.mark.once
@pytest.mark.parametrize("change", ["lower", "upper", "strip"])
def test_all_letters(change: str) -> None:
    """Of Unicode, those that become several ones among them; halves of UTF-16 stay."""
    letters = [chr(code) for code in range(0x110000) if not (change == "lower" and code == 0x3A3)]
    rows = ["".join(letters[begin : begin + 61]) for begin in range(0, len(letters), 61)]
    agree(Node("pyrec.ChangeText", ("x",), ("y",), {"change": change}), objects(rows))


@needs_native
@pytest.mark.once
@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("aSß\u0130\u0149\u0390ΑΩ-İǅﬃ漢", max_size=6), max_size=5),
    st.sampled_from(["lower", "upper"]),
)
def test_letters_that_become_several(rows: list[str], change: str) -> None:
    agree(Node("pyrec.ChangeText", ("x",), ("y",), {"change": change}), objects(rows))


@needs_native
@pytest.mark.once
@pytest.mark.parametrize(
    "numbers", [(65, 1, 97), (200, 0), (200, 1), (200, 9, *[65] * 9), (200, 1, -1), (200,)]
)
def test_letters_that_do_not_fit(numbers: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="letters"):
        native.run_node(
            "scalar", "pyrec.ChangeText", {"change": "lower", "lower_letters": numbers}, [objects(["a"])], 1
        )


@needs_native
@pytest.mark.once
@pytest.mark.parametrize("scheme", ["farmhash64", "mmh3_32", "sklearn", "siphash24", "md5"])
def test_hashes(scheme: str) -> None:
    attributes = {"scheme": scheme, "buckets": 1 << 10, "first": 1, "seed": ("3", "5"), "field": "f"}
    node = Node("pyrec.HashBucket", ("x",), ("y",), attributes)
    agree(node, objects([word for word in WORDS if word != "\ud800"]))
    if native_attributes(node)["digits"]:
        agree(node, np.asarray([0, -1, 2**63 - 1, -(2**63)]))
        agree(node, np.asarray([2**64 - 1, 7], np.uint64))


@needs_native
@pytest.mark.once
@pytest.mark.parametrize("scheme", ["crc32", "farmhash64", "md5", "vw"])
def test_hashes_behind_a_text(scheme: str) -> None:
    """The text is hashed in front of each string, and the mask alone has bucket 0."""
    words = [word for word in WORDS if word != "\ud800"]
    attributes: dict[str, Any] = {"scheme": scheme, "buckets": 1 << 10, "first": 1, "field": "f"}
    behind = Node("pyrec.HashBucket", ("x",), ("y",), {**attributes, "before": "ä=", "mask": words[1]})
    agree(behind, objects(words))
    (made,) = OPS[behind.op].evaluate(behind, [objects(words)])
    whole = Node("pyrec.HashBucket", ("x",), ("y",), {**attributes, "mask": "ä=" + words[1]})
    (expected,) = OPS[whole.op].evaluate(whole, [objects(["ä=" + word for word in words])])
    np.testing.assert_array_equal(made, expected)
    assert set(np.flatnonzero(made == 0)) == {place for place, word in enumerate(words) if word == words[1]}
    agree(Node(whole.op, ("x",), ("y",), {**attributes, "mask": -7}), np.asarray([0, -7, 2**63 - 1]))


@needs_native
@pytest.mark.once
@pytest.mark.parametrize("scheme", ["tf_cross_v1", "tf_cross_v2"])
def test_crosses(scheme: str) -> None:
    node = Node(
        "pyrec.CrossBucket", ("a", "b"), ("y",), {"scheme": scheme, "buckets": 97, "seed": ("11", "0")}
    )
    agree(node, objects(["a", "ä", ""]), np.asarray([1, -1, 2**40]))


@needs_native
@pytest.mark.once
@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint64, np.bool_])
def test_whole_numbers_as_text(dtype: Any) -> None:
    numbers = np.asarray([0, 1, 127], dtype)
    agree(Node("Cast", ("x",), ("y",), {"to": "str"}), numbers)


def labels() -> pi.Model:
    """Strings of both sides put together, given as they are and as the codes of some."""
    text, rows = TensorProto.STRING, ["N"]
    nodes = [
        helper.make_node("StringConcat", ["user", "dash"], ["head"]),
        helper.make_node("StringConcat", ["head", "item"], ["label"]),
        helper.make_node(
            "LabelEncoder",
            ["label"],
            ["code"],
            domain="ai.onnx.ml",
            keys_strings=["u-3", "u-ä", "v-300"],
            values_floats=[1.0, 2.0, 3.0],
            default_float=-1.0,
        ),
    ]
    inputs = {"user": (text, rows), "item": (text, rows)}
    outputs = {"code": (TensorProto.FLOAT, rows), "label": (text, rows)}
    return pi.load(
        make_model(
            nodes, inputs, outputs, {"dash": np.asarray(["-"], object)}, opset=20, domains={"ai.onnx.ml": 4}
        ).SerializeToString(),
        threads=2,
    )


@pytest.mark.parametrize("kind", ["U", "O", "list"])
def test_strings_that_a_plan_makes_outlive_its_tiles(kind: str) -> None:
    model = labels()
    items = ["ä", *map(str, range(999))]
    given: Any = items if kind == "list" else np.asarray(items, object if kind == "O" else str)
    made = model.run({"user": ["u"] * 1000, "item": given})
    assert made["label"].tolist() == [f"u-{item}" for item in items]
    scores = model.score({"user": "u"}, {"item": given}, output="code")
    np.testing.assert_array_equal(made["code"], scores)
    assert {row: score for row, score in enumerate(scores.tolist()) if score >= 0} == {0: 2.0, 4: 1.0}
    both = model.score({"user": ["u", "v"]}, {"item": given}, offsets=[0, 500, 1000], output="code")
    assert {row: score for row, score in enumerate(both.tolist()) if score >= 0} == {0: 2.0, 4: 1.0}
    assert "Python" not in str(model.explain(["user"], output="code"))


def test_rows_of_strings_are_counted() -> None:
    model = labels()
    with pytest.raises(pi.RowCountError, match="input 'item': expected 2 rows"):
        model.run({"user": ["u", "v"], "item": ["a", "b", "c"]})
    call = model.prepare(["user"], ["item"], output="code")
    assert call(np.asarray(["v"]), np.asarray(["300", "3"])).tolist() == [3.0, -1.0]
    with pytest.raises(pi.DTypeError, match=r"input 'item': expected strings, got .*int.*row 1"):
        call(np.asarray(["v"]), objects(["300", 3]))
