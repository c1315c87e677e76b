"""Every elementwise operator: the C++ form on each ISA against the NumPy reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from pyrec_infer.errors import PyrecError
from pyrec_infer.ir import Array, Node
from pyrec_infer.ops import OPS

pytestmark = pytest.mark.once

native = pytest.importorskip("pyrec_infer._native", reason="the native extension is not built")

FLOATS = ("float16", "float32", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
NUMBERS = FLOATS + INTEGERS
TYPES = (*NUMBERS, "bool")
# float16 is rounded once on each side, so it may differ by one unit in the last place.
TOLERANCE = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-14}
BACKENDS: tuple[str, ...] = tuple(native.kernel_backends())


@dataclass(frozen=True)
class Case:
    op: str
    dtypes: tuple[str, ...]
    arity: int = 1
    attributes: dict[str, Any] = field(default_factory=dict)
    scale: float = 3.0
    nonzero: bool = False

    def __str__(self) -> str:
        return "-".join([self.op, *map(str, self.attributes.values())])


def unary(names: str, dtypes: tuple[str, ...] = FLOATS, **attributes: Any) -> list[Case]:
    return [Case(name, dtypes, attributes=attributes) for name in names.split()]


def binary(names: str, dtypes: tuple[str, ...] = NUMBERS, arity: int = 2, **attributes: Any) -> list[Case]:
    divides = {"Div", "Mod"}
    return [Case(name, dtypes, arity, attributes, nonzero=name in divides) for name in names.split()]


CASES = [
    *unary("Acos Acosh Asin Asinh Atan Atanh Ceil Cos Cosh Erf Exp Floor Log Round Sin Sinh Sqrt Tan Tanh"),
    *unary("Celu Elu Gelu HardSigmoid HardSwish IsInf IsNaN LeakyRelu Mish Reciprocal Selu Sigmoid"),
    *unary("Softplus Softsign Swish ThresholdedRelu"),
    *unary("Elu Celu LeakyRelu ThresholdedRelu Swish", alpha=0.625),
    *unary("Gelu", approximate="tanh"),
    *unary("HardSigmoid", alpha=0.5, beta=0.25),
    *unary("Selu", alpha=2.0, gamma=0.5),
    *unary("IsInf", detect_negative=0),
    *unary("IsInf", detect_positive=0),
    *unary("Abs Sign Relu", NUMBERS),
    *unary("Shrink", NUMBERS, lambd=1.5, bias=0.5),
    *unary("Neg", (*FLOATS, "int8", "int16", "int32", "int64")),
    *unary("Not", ("bool",)),
    *unary("BitwiseNot", INTEGERS),
    *unary("Identity Dropout", TYPES),
    *binary("Add Sub Mul Div Mod Less LessOrEqual Greater GreaterOrEqual"),
    *binary("Mod", fmod=1),
    *binary("Equal", TYPES),
    *binary("And Or Xor", ("bool",)),
    *binary("BitwiseAnd BitwiseOr BitwiseXor", INTEGERS),
    *binary("BitShift", INTEGERS, direction="LEFT"),
    *binary("BitShift", INTEGERS, direction="RIGHT"),
    *binary("Max Min Sum Mean", FLOATS, 3),
    *binary("Max Min", INTEGERS),
    *binary("Max", NUMBERS, 1),
    *binary("Pow", (*FLOATS, "int32", "int64")),
]

EDGES = {
    "f": [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        1e-3,
        -1e-3,
        100.0,
        -100.0,
    ],
    "i": [0, 1, -1, 2, -2, 7, -7, 100, -100, 127, -128],
    "u": [0, 1, 2, 7, 8, 63, 100, 127, 128, 255],
    "b": [True, False],
}


def values(rng: np.random.Generator, dtype: str, shape: tuple[int, ...], scale: float = 3.0) -> Array:
    """Random elements with edge values sprinkled in."""
    kind = np.dtype(dtype)
    if kind.kind == "f":
        drawn = (rng.standard_normal(shape) * scale).astype(kind)
    else:
        drawn = rng.integers(-9 if kind.kind == "i" else 0, 10, shape).astype(kind)
    edges = np.array(EDGES[kind.kind]).astype(kind)
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        edges = np.concatenate([edges, np.array([limits.min, limits.max], kind)])
    chosen = rng.random(shape) < 0.4
    return np.where(chosen, rng.choice(edges, shape), drawn)


def compare(node: Node, inputs: list[Array | None]) -> None:
    expected = OPS[node.op].evaluate(node, inputs)
    constants = [False] * len(inputs)
    for backend in BACKENDS:
        found = native.run_node(backend, node.op, dict(node.attributes), inputs, len(node.outputs), constants)
        for want, got in zip(expected, found, strict=True):
            assert got.dtype == want.dtype
            assert got.shape == want.shape
            tolerance = TOLERANCE.get(want.dtype.name, 0)
            np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance / 4, err_msg=backend)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": lambda x: x,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "every other": lambda x: np.repeat(x, 2, axis=-1)[..., ::2] if x.ndim else x,
    "backwards": lambda x: np.ascontiguousarray(x[..., ::-1])[..., ::-1] if x.ndim else x,
    "repeated": lambda x: np.broadcast_to(x[..., :1], x.shape) if x.ndim else x,
}
SHAPES = ((67,), (5, 1, 19), (), (3, 0, 2))
PAIRS = (
    ((6, 37), (6, 37)),
    ((6, 37), (37,)),
    ((3, 4), (29, 3, 4)),
    ((2, 1050, 3), (3,)),
    ((6, 1), (6, 37)),
    ((), (6, 37)),
    ((6, 37), (1, 1)),
    ((2, 3, 1, 5), (3, 4, 1)),
    ((0, 4), (1, 4)),
    ((), ()),
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matches_reference(case: Case) -> None:
    rng = np.random.default_rng(7)
    outputs = ("y", "mask") if case.op == "Dropout" else ("y",)
    node = Node(case.op, ("x",) * case.arity, outputs, case.attributes)
    for dtype in case.dtypes:
        layouts = LAYOUTS.values() if dtype in ("float32", "int64", "bool") else [LAYOUTS["transposed"]]
        for layout in layouts:
            for shapes in SHAPES if case.arity == 1 else PAIRS:
                given = (shapes,) if case.arity == 1 else (*shapes, shapes[0])[: case.arity]
                inputs = [layout(values(rng, dtype, shape)) for shape in given]  # type: ignore[arg-type]
                if case.nonzero and np.dtype(dtype).kind in "iu":
                    inputs[1] = np.where(inputs[1] == 0, inputs[1] + 1, inputs[1]).astype(dtype)
                compare(node, inputs)


@pytest.mark.parametrize("base", ["float16", "float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("exponent", NUMBERS)
def test_power_of_mixed_types(base: str, exponent: str) -> None:
    rng = np.random.default_rng(8)
    node = Node("Pow", ("a", "b"), ("y",))
    x = values(rng, base, (5, 8))
    for scalar in (0, 1, 2, 3, 5):
        compare(node, [x, np.array([[[scalar]]], exponent)])
    compare(node, [x, rng.integers(0, 6, (1, 8)).astype(exponent)])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "uint64"])
def test_prelu(dtype: str) -> None:
    rng = np.random.default_rng(9)
    node = Node("PRelu", ("x", "slope"), ("y",))
    for shape in ((), (1,), (5,), (4, 1), (3, 4, 5)):
        compare(node, [values(rng, dtype, (3, 4, 5)), values(rng, dtype, shape)])
    refused = [values(rng, dtype, (3, 1)), values(rng, dtype, (3, 4))]
    with pytest.raises(PyrecError):
        OPS["PRelu"].evaluate(node, refused)
    with pytest.raises(PyrecError):
        native.run_node(BACKENDS[0], "PRelu", {}, refused, 1, [False, False])


@pytest.mark.parametrize("dtype", NUMBERS)
def test_clip(dtype: str) -> None:
    rng = np.random.default_rng(10)
    x = values(rng, dtype, (7, 11))
    bounds: list[Array | None] = [None, np.array(1, dtype), np.array(5, dtype)]
    if np.dtype(dtype).kind == "f":
        bounds.append(np.array(np.nan, dtype))
    for low in bounds:
        for high in bounds:
            compare(Node("Clip", ("x", "low", "high"), ("y",)), [x.T, low, high])


@pytest.mark.parametrize("dtype", TYPES)
def test_where(dtype: str) -> None:
    rng = np.random.default_rng(11)
    node = Node("Where", ("c", "a", "b"), ("y",))
    for shapes in (
        ((6, 19), (6, 19), (6, 19)),
        ((6, 1), (6, 19), (19,)),
        ((4,), (31, 4), ()),
        ((31, 4), (4,), (1, 4)),
        ((6, 1), (), (6, 19)),
        ((6, 19), (1,), (6, 19)),
        ((19,), (6, 19), ()),
        ((6, 19), (), (1, 1)),
        ((1,), (4, 1, 3), (5, 1)),
        ((), (), ()),
        ((0, 3), (1, 3), (3,)),
    ):
        condition, a, b = (
            values(rng, kind, shape) for kind, shape in zip(("bool", dtype, dtype), shapes, strict=True)
        )
        compare(node, [condition, a, b])
        compare(node, [condition, a, LAYOUTS["every other"](b)])


@pytest.mark.parametrize("source", TYPES)
@pytest.mark.parametrize("target", TYPES)
def test_cast(source: str, target: str) -> None:
    rng = np.random.default_rng(12)
    x = values(rng, source, (4, 33), scale=300.0)
    if np.dtype(source).kind == "f":
        powers = np.ldexp(1.0, np.arange(0, 33 if source != "float16" else 16))
        with np.errstate(over="ignore"):
            x = np.concatenate(
                [x.reshape(-1), powers, -powers, powers**2, -(powers**2), 1.5 * powers]
            ).astype(source)
    compare(Node("Cast", ("x",), ("y",), {"to": target}), [x])
    compare(Node("Cast", ("x",), ("y",), {"to": target}), [x.reshape(-1)[::-3]])
    compare(Node("CastLike", ("x", "like"), ("y",)), [x, np.zeros((), target)])


@pytest.mark.parametrize(("dtype", "limit"), [("float16", 2**11), ("float32", 2**24), ("float64", 2**53)])
def test_cast_that_requires_exact_integers(dtype: str, limit: int) -> None:
    node = Node("Cast", ("x",), ("y",), {"to": "int64", "require_integral": 1})
    exact = np.array([[0, -1, limit - 1], [1 - limit, 5, 7]], dtype)
    compare(node, [exact])
    beyond = np.nextafter(np.array(limit, dtype), np.array(np.inf, dtype))
    for wrong in (0.5, np.nan, np.inf, -np.inf, limit, -limit, beyond):
        x = exact.copy()
        x[1, 2] = wrong
        for run in (
            lambda x=x: OPS["Cast"].evaluate(node, [x]),
            lambda x=x: native.run_node(BACKENDS[0], "Cast", dict(node.attributes), [x], 1, [False]),
        ):
            with pytest.raises(PyrecError, match=r"expected whole numbers"):
                run()


@pytest.mark.parametrize("op", ["Div", "Mod"])
def test_integer_division_by_zero_is_an_error(op: str) -> None:
    inputs = [np.array([1, 2], np.int32), np.array([1, 0], np.int32)]
    with pytest.raises(PyrecError, match="division by zero"):
        OPS[op].evaluate(Node(op, ("a", "b"), ("y",)), inputs)
    with pytest.raises(PyrecError, match="division by zero"):
        native.run_node(BACKENDS[0], op, {}, inputs, 1, [False, False])


@pytest.mark.parametrize(
    ("text", "dtype", "expected"),
    [
        (str(2**63 - 1), "int64", 2**63 - 1),
        (str(-(2**63)), "int64", -(2**63)),
        (str(2**64 - 1), "uint64", 2**64 - 1),
        (str(2**32 + 5), "int32", 5),
        (str(2**63), "int64", None),
        (str(-(2**63) - 1), "int64", None),
        (str(2**64), "uint64", None),
        ("9" * 5000, "int64", None),
        ("\u0661", "int64", None),
    ],
)
def test_strings_as_whole_numbers(text: str, dtype: str, expected: int | None) -> None:
    node = Node("Cast", ("x",), ("y",), {"to": dtype})
    if expected is None:
        with pytest.raises(PyrecError, match="not a number"):
            OPS["Cast"].evaluate(node, [np.array([text])])
    else:
        assert OPS["Cast"].evaluate(node, [np.array([text])])[0].tolist() == [expected]


def test_strings() -> None:
    def cast(x: Array, to: str) -> Array:
        return OPS["Cast"].evaluate(Node("Cast", ("x",), ("y",), {"to": to}), [x])[0]

    assert cast(np.array([1.5, np.nan, -np.inf, 1e-10], np.float32), "str").tolist() == [
        "1.5",
        "NaN",
        "-INF",
        "1e-10",
    ]
    assert cast(np.array(["1", "-2", "1e3"]), "int64").tolist() == [1, -2, 1]
    assert cast(np.array(["1", "-INF", "1e3"]), "float32").tolist() == [1.0, -np.inf, 1000.0]
    with pytest.raises(PyrecError, match="not a number") as caught:
        cast(np.array(["secret"]), "int64")
    assert "secret" not in str(caught.value)
    for text in ("1_0", "\u0661", "\uff11"):
        with pytest.raises(PyrecError, match="not a number"):
            cast(np.array([text]), "float32")
    equal = OPS["Equal"].evaluate(
        Node("Equal", ("a", "b"), ("y",)), [np.array(["a", "bc"]), np.array(["bc"])]
    )
    assert equal[0].tolist() == [False, True]
