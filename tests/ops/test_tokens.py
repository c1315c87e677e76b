"""Tokens of texts and regular expressions: native forms beside references, Python's `re` and onnxruntime."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from support.models import one_node

import pyrec_infer as pi
from pyrec_infer.extension import native
from pyrec_infer.ir import Node
from pyrec_infer.ops import OPS
from pyrec_infer.ops.patterns import parse
from pyrec_infer.ops.tokens import pattern_attributes

TOKENIZER = "com.microsoft.Tokenizer"
TEXTS = st.text("ab0_ ,-ä漢\n\t", max_size=8)
CLASSES = st.sampled_from(
    [
        "a",
        "b",
        ",",
        " ",
        "ä",
        ".",
        r"\d",
        r"\W",
        r"\.",
        r"\-",
        "[ab]",
        "[^a]",
        "[a-z0-9_]",
        r"[^\w ]",
        "[ä-漢-]",
    ]
)
TIMES = st.sampled_from(["", "+", "*", "?", "{2}", "{1,}", "{0,2}"])
EXPRESSIONS = st.lists(st.tuples(CLASSES, TIMES).map("".join), min_size=1, max_size=3).map("".join)


def objects(words: Any) -> Any:
    array = np.empty(len(words), object)
    array[:] = words
    return array


def compare(op: str, attributes: dict[str, Any], x: Any) -> Any:
    """What a node gives or refuses, natively as by its reference."""
    node = Node(op, ("x",), ("y",), attributes)
    try:
        (expected,) = OPS[op].evaluate(node, [x])
    except pi.PyrecError as error:
        return type(error)
    known = pattern_attributes(node)
    if native is not None and "in_python" not in known:
        (found,) = native.run_node("scalar", op, {**attributes, **known}, [x], 1)
        assert found.shape == expected.shape
        assert found.tolist() == expected.tolist()
    return expected


def by_runtime(x: Any, op: str, domain: str, **attributes: Any) -> Any:
    runtime = pytest.importorskip("onnxruntime", reason="the peer")
    model = one_node(op, {"x": (TensorProto.STRING, [None])}, domain=domain, opset=20, **attributes)
    return runtime.InferenceSession(model.SerializeToString()).run(None, {"x": x})[0]


@pytest.mark.once
@settings(max_examples=25, deadline=None)
@given(EXPRESSIONS, TEXTS)
def test_expressions_match_as_those_of_python(expression: str, text: str) -> None:
    pattern, python = parse(expression), re.compile(expression, re.ASCII)
    assert pattern is not None
    letters = list(map(ord, text))
    for begin in range(len(text) + 1):
        ends = [end for end in range(begin, len(text) + 1) if python.fullmatch(text, begin, end)]
        assert pattern.longest(letters, begin) == max(ends, default=-1)
    found = compare("RegexFullMatch", {"pattern": expression}, objects([text]))
    assert found.tolist() == [python.fullmatch(text) is not None]


@pytest.mark.once
@pytest.mark.parametrize(
    "expression",
    [
        "(a)",
        "a|b",
        "^a",
        "a$",
        r"\ba",
        "a+?",
        "a++",
        "a{,2}",
        "a{2,1}",
        "[]a]",
        "[[:alpha:]]",
        r"\p{L}",
        "[b-a]",
        "",
        "a{64}",
        "[a",
        "*",
        r"\x41",
        r"[\d-z]",
    ],
)
def test_other_expressions_are_left(expression: str) -> None:
    assert parse(expression) is None


@pytest.mark.once
@settings(max_examples=25, deadline=None)
@given(
    st.lists(TEXTS, min_size=1, max_size=4),
    st.one_of(EXPRESSIONS, st.lists(EXPRESSIONS, min_size=1, max_size=3), st.sampled_from([".", [""]])),
    st.integers(1, 3),
    st.booleans(),
)
def test_tokens(texts: list[str], how: str | list[str], least: int, mark: bool) -> None:
    cut = {"tokenexp": how} if isinstance(how, str) else {"separators": tuple(how)}
    compare(TOKENIZER, {**cut, "mincharnum": least, "mark": int(mark), "pad_value": "#"}, objects(texts))


@pytest.mark.once
@pytest.mark.parametrize(
    "cut",
    [
        {"tokenexp": "[a-z0-9_]+"},
        {"tokenexp": r"\w\w+", "mincharnum": 3},
        {"tokenexp": "a?b{1,2}", "mincharnum": 2},
        {"tokenexp": "x*b?"},
        {"tokenexp": "."},
        {"tokenexp": "(a|ab|b)"},
        {"separators": [""], "mark": 1},
        {"separators": [",", " "], "mark": 1},
        {"separators": ["ab", "b,"], "mincharnum": 2},
        {"separators": ["b", "aba"]},
        {"separators": [r"\s+", "[^a-z]"]},
    ],
)
def test_tokens_of_onnxruntime(cut: dict[str, Any]) -> None:
    attributes = {"mark": 0, "mincharnum": 1, "pad_value": "#", **cut}
    for texts in (["ab,b ä_b  abba", "", "xbabax\tb0,"], ["", ""]):
        expected = by_runtime(objects(texts), "Tokenizer", "com.microsoft", **attributes)
        given_ = {
            key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()
        }
        found = compare(TOKENIZER, given_, objects(texts))
        assert found.shape == expected.shape
        assert found.tolist() == expected.tolist()


@pytest.mark.once
def test_whole_matches_of_onnxruntime() -> None:
    texts = objects(["aäb", "ä", "_", "٣", "a\n", "\v", " ", "", "ab", "a"])
    for expression in ("a.b", r"\w", r"\s", r"\w?b?", "[^a]*", "a|ab"):
        expected = by_runtime(texts, "RegexFullMatch", "", pattern=expression)
        assert compare("RegexFullMatch", {"pattern": expression}, texts).tolist() == expected.tolist()


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"tokenexp": "a", "separators": ("b",)},
        {"separators": (",", "")},
        {"separators": ("a*",)},
        {"tokenexp": "a", "mincharnum": 0},
        {"tokenexp": ".", "mincharnum": 2},
        {"tokenexp": "(a"},
    ],
)
def test_what_cuts_nothing_is_refused(attributes: dict[str, Any]) -> None:
    assert compare(TOKENIZER, attributes, objects(["a"])) is pi.ModelError


def test_halves_of_characters_are_refused() -> None:
    model = pi.load(
        one_node(
            "Tokenizer",
            {"x": (TensorProto.STRING, ["N"])},
            domain="com.microsoft",
            tokenexp="a+",
            mark=0,
            mincharnum=1,
            pad_value="#",
        ).SerializeToString()
    )
    assert model.run({"x": ["baab", ""]})["y"].tolist() == [["aa"], ["#"]]
    with pytest.raises(pi.DTypeError, match=r"row 1"):
        model.run({"x": ["a", "\ud800"]})


@pytest.mark.once
@pytest.mark.skipif(native is None, reason="of the extension")
@pytest.mark.parametrize(
    "numbers",
    [(), (0,), (64,), (1,), (1, 4, 1, 0, 0), (1, 0, 0), (1, 0, 1, 5, 4), (1, 0, 1, 0, 2**40), (1, 0, 1, 0)],
)
def test_numbers_that_are_no_expression_are_refused(numbers: tuple[int, ...]) -> None:
    with pytest.raises(pi.ModelError):
        native.run_node("scalar", "RegexFullMatch", {"patterns": numbers}, [objects(["a"])], 1)
