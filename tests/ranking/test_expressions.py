"""The language of `by=`: what it takes, what it refuses, and that it means what NumPy means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from support.models import FLOAT, make_model

import pyrec_infer as pi
from pyrec_infer.errors import DTypeError, InputError
from pyrec_infer.expressions import OPERATORS, Apply, Name, Number, Term, parse

NAMES = ("ctr", "cvr", "u", "x", "price")


def two_outputs() -> pi.Model:
    """ctr = sigmoid(u + x), cvr = sigmoid(u - x); columns of ``both``."""
    nodes = [
        helper.make_node("Add", ["u", "x"], ["a"]),
        helper.make_node("Sub", ["u", "x"], ["b"]),
        helper.make_node("Sigmoid", ["a"], ["ctr"]),
        helper.make_node("Sigmoid", ["b"], ["cvr"]),
    ]
    proto = make_model(
        nodes, {"u": (FLOAT, ["N"]), "x": (FLOAT, ["N"])}, {"ctr": (FLOAT, ["N"]), "cvr": (FLOAT, ["N"])}
    )
    return pi.load(proto.SerializeToString())


def value_of(term: Term, values: dict[str, NDArray[Any]]) -> Any:
    if isinstance(term, Number):
        return np.float32(term.value)
    if isinstance(term, Name):
        return values[term.name]
    assert isinstance(term, Apply)
    with np.errstate(all="ignore"):
        return OPERATORS[term.operator][0](*(value_of(operand, values) for operand in term.operands))


numbers = st.sampled_from(["0.5", "2", "3.25", "1e-3", "7"])
leaves = st.sampled_from(NAMES) | numbers


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, inner)
    condition = st.tuples(inner, st.sampled_from(["<", "<=", ">", ">=", "=="]), inner).map(" ".join)
    return st.one_of(
        st.tuples(inner, st.sampled_from(["+", "-", "*", "/"]), inner).map(
            lambda parts: f"({' '.join(parts)})"
        ),
        inner.map(lambda text: f"-{text}"),
        inner.map(lambda text: f"abs({text}) ** 0.5"),
        st.tuples(st.sampled_from(["exp", "log", "log1p", "sqrt", "abs"]), inner).map(
            "{0[0]}({0[1]})".format
        ),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map("{0[0]}({0[1]}, {0[2]})".format),
        inner.map(lambda text: f"clip({text}, -1.5, 2)"),
        st.tuples(condition, pair).map(lambda parts: f"where({parts[0]}, {parts[1][0]}, {parts[1][1]})"),
    )


expressions = st.recursive(leaves, _larger, max_leaves=8).map(lambda text: f"ctr * 0 + {text}")


def test_random_expressions_are_numpys() -> None:
    model = two_outputs()
    generator = np.random.default_rng(5)
    rows = 37
    x = generator.normal(0, 1, rows).astype(np.float32)
    price = generator.lognormal(1, 1, rows).astype(np.float32)
    u = np.float32([0.3])
    outputs = model.run({"u": np.repeat(u, rows), "x": x})
    values = {**outputs, "u": np.repeat(u, rows), "x": x, "price": price}

    @settings(max_examples=40, deadline=None)
    @given(expressions)
    def check(text: str) -> None:
        try:
            root = parse(text).root
        except InputError:
            assume(False)  # constants alone that float32 does not hold: 1 / 0
        expected = np.broadcast_to(value_of(root, values), rows).astype(np.float32)
        needed = {part.name for part in parse(text).names()}
        candidates = {"x": x, **({"price": price} if "price" in needed else {})}
        best = model.top_k({"u": u}, candidates, k=rows, by=text)
        found = np.empty(rows, np.float32)
        found[best.ids] = best.scores
        # Where rounding of the inputs alone changes the value (a pole, a comparison), none is right.
        shifted = [
            np.broadcast_to(value_of(root, {key: each * factor for key, each in values.items()}), rows)
            for factor in (np.float32(1 - 1e-6), np.float32(1 + 1e-6))
        ]
        stable = np.all(
            [np.isclose(each, expected, rtol=1e-4, atol=1e-5, equal_nan=True) for each in shifted], axis=0
        )
        np.testing.assert_allclose(found[stable], expected[stable], rtol=3e-4, atol=3e-5, err_msg=text)
        finite = best.scores[~np.isnan(best.scores)]
        assert np.all(finite[:-1] >= finite[1:])
        assert np.isnan(best.scores[len(finite) :]).all()

    check()


def test_log1p_keeps_small_numbers() -> None:
    model = two_outputs()
    x = np.float32([0, 1e-8, -1e-8, 3e-5, -0.999, -1, 0.5, 1, 40, 1e30, np.inf, -2, np.nan])
    best = model.top_k({"u": np.float32([0])}, {"x": x}, k=len(x), by="log1p(x) + 0 * u")
    found = np.empty(len(x), np.float32)
    found[best.ids] = best.scores
    with np.errstate(all="ignore"):
        np.testing.assert_allclose(found, np.log1p(x), rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not an expression"),
        ("ctr.mean()", r"character 1\)"),
        ("__import__('os').system('x')", "character 1"),
        ("ctr if cvr else u", "functions"),
        ("[ctr for x in u]", "functions"),
        ("lambda: ctr", "functions"),
        ("ctr @ cvr", "functions"),
        ("ctr < cvr", "`where`"),
        ("where(ctr, cvr, u)", "`where`"),
        ("where(ctr < cvr < u, 1, 2)", "functions"),
        ("min(ctr)", "2 to 8 operands, got 1"),
        ("log(*ctr)", "functions"),
        ("clip(ctr, low=1)", "functions"),
        ("1e39 * ctr", "float32 holds"),
        ("ctr + 1 / 0", "float32 holds"),
        ("1 + 2", "got a number"),
        ("True * ctr", "expected a number"),
        ("ctr\n+ cvr", "character 4"),
        ("ctr # x", "character 5"),
        ("ctr[cvr]", "a column as in"),
        ("ctr[1.5]", "a column as in"),
        ("ctr +", "not an expression"),
        ("(" * 400 + "ctr" + ")" * 400, "not an expression"),
        ("-" * 150 + "ctr", "64 deep"),
        ("+".join(["ctr"] * 240), "64 deep"),
        ("ctr" + " " * 1000, "1000 characters"),
        ("ctr * unknown", r"'unknown' is neither .*\(character 7\)"),
        ("ctr[3]", "no column 3"),
    ],
)
def test_what_is_refused(text: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        two_outputs().top_k({"u": [0.5]}, {"x": np.float32([1, 2])}, by=text)


def test_text_is_expected() -> None:
    with pytest.raises(DTypeError, match="by: expected an expression as text, got list"):
        two_outputs().top_k({"u": [0.5]}, {"x": np.float32([1, 2])}, by=["ctr"])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got both"):
        two_outputs().top_k({"u": [0.5]}, {"x": np.float32([1, 2])}, by="ctr", output="cvr")


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60) | st.text("ctr+-*/()[]<>=,.0123456789e \"'whmaxlogin", max_size=60))
def test_any_text_is_an_expression_or_an_input_error(text: str) -> None:
    try:
        names = list(parse(text).names())
    except InputError:
        return
    assert names
