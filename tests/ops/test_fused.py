"""Operators of fused plans: native and Numba against the reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from support.references import evaluate_in_double

from pyrec_infer.backends.evaluators import EVALUATORS
from pyrec_infer.errors import IdRangeError, PyrecError
from pyrec_infer.ir import Node
from pyrec_infer.ops import OPS

pytestmark = pytest.mark.once

_native = pytest.importorskip("pyrec_infer._native", reason="the native extension is not built")

F32 = np.float32
BACKENDS = [*_native.kernel_backends(), "numba"]

Inputs = Sequence[np.ndarray | None]


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(F32)


def node_of(op: str, inputs: Inputs, attributes: dict[str, Any]) -> Node:
    names = tuple("" if x is None else f"x{i}" for i, x in enumerate(inputs))
    return Node(op, names, ("y",), attributes, name="node")


def multiplied(op: str, inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
    """The reference of an operator that multiplies float32 matrices only."""
    (made,) = evaluate_in_double(node_of(op, inputs, attributes), inputs)
    return made


def reference(op: str, inputs: Inputs, attributes: dict[str, Any]) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.asarray(OPS[op].evaluate(node_of(op, inputs, attributes), inputs)[0])


def run(
    backend: str, op: str, inputs: Inputs, attributes: dict[str, Any], constants: Sequence[bool] = ()
) -> np.ndarray:
    if backend == "numba":
        evaluate = EVALUATORS.get(op, OPS[op].evaluate)
        with np.errstate(all="ignore"):
            return np.asarray(evaluate(node_of(op, inputs, attributes), inputs)[0])
    return _native.run_node(backend, op, attributes, list(inputs), 1, list(constants))[0]


def close(actual: np.ndarray, expected: np.ndarray, terms: int) -> None:
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype == F32
    np.testing.assert_allclose(actual, expected, rtol=3e-6, atol=2e-6 * (terms + 1))


# MultiplyAdd


@pytest.mark.parametrize("backend", BACKENDS)
def test_multiply_add(backend: str) -> None:
    shapes = ((5, 33), (1, 33), (33,), (5, 1), (), (1, 1))
    for a in shapes:
        for b in shapes:
            inputs = [normal(5, 33), normal(*a, seed=1), normal(*b, seed=2)]
            for turn in range(3):
                operands = inputs[turn:] + inputs[:turn]
                close(
                    run(backend, "pyrec.MultiplyAdd", operands, {}),
                    reference("pyrec.MultiplyAdd", operands, {}),
                    2,
                )
    strided = [normal(33, 5).T, normal(5, 66)[:, ::2], normal(10, 33)[::-2]]
    close(run(backend, "pyrec.MultiplyAdd", strided, {}), reference("pyrec.MultiplyAdd", strided, {}), 2)
    assert run(backend, "pyrec.MultiplyAdd", [normal(0, 3)] * 3, {}).shape == (0, 3)


# Dense


def dense_cases() -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
    for n in (0, 1, 3, 20, 300):
        for k, h in ((16, 1), (40, 1), (64, 64), (7, 3), (1, 17), (429, 33), (41, 80), (0, 5), (5, 0)):
            yield normal(n, k), normal(k, h), None
            yield normal(n, k), normal(k, h), normal(h)
            yield normal(n, k), normal(k, h), normal(n, h, seed=1)
            yield normal(n, k), normal(k, h), np.broadcast_to(normal(1, h), (n, h))
            yield normal(n, k), normal(k, h), normal(1, h)
    x = normal(12, 50, 9)
    yield x, normal(9, 20), normal(20)
    yield x, normal(9, 20), normal(12, 1, 20)
    yield x, normal(9, 20), normal(50, 20)
    yield x, normal(9, 20), normal(1)
    yield x, normal(12, 9, 4), normal(12, 50, 4)
    yield x, normal(12, 9, 1), None
    yield x, np.broadcast_to(normal(1, 9, 4), (12, 9, 4)), np.broadcast_to(normal(1, 1, 4), (12, 1, 4))
    yield x, normal(2, 12, 9, 4), normal(4)
    yield normal(12, 1, 9), np.broadcast_to(normal(1, 9, 24), (12, 9, 24)), None
    yield normal(12, 50, 1, 9), np.broadcast_to(normal(1, 50, 9, 4), (12, 50, 9, 4)), normal(4)
    yield normal(1, 9), normal(9, 4), normal(30, 4)
    yield normal(1, 9), normal(9, 4), normal(2, 30, 4)
    yield x[::2, ::3], normal(9, 20), normal(20)
    yield x[:, ::-1], normal(9, 20), normal(12, 50, 20)[:, ::-1]
    yield x[:, :, ::-1], normal(9, 20)[::-1, ::-1], normal(20)[::-1]
    yield x[:, :, 2:7], normal(40, 5).T[:, ::2], normal(12, 50, 30)[:, :, 3:23]
    yield x.transpose(1, 0, 2), normal(9, 20), normal(20)
    yield x.transpose(2, 1, 0), normal(12, 6), None
    yield normal(5, 60)[:, 10:30], normal(20, 8), None
    yield np.broadcast_to(normal(1, 9), (5, 9)), normal(9, 8), normal(8)


ACTIVATIONS = ("", "Relu", "Sigmoid", "Tanh")


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "runtime"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_dense(backend: str, constant: bool) -> None:
    for i, (x, weights, bias) in enumerate(dense_cases()):
        attributes = {"activation": ACTIVATIONS[i % 4]} if i % 4 else {}
        expected = multiplied("pyrec.Dense", (x, weights, bias), attributes)
        actual = run(backend, "pyrec.Dense", (x, weights, bias), attributes, [False, constant, False])
        close(actual, expected, x.shape[-1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_dense_of_packed_matrices(backend: str) -> None:
    for i, (x, weights, bias) in enumerate(dense_cases()):
        attributes = {"activation": ACTIVATIONS[i % 4], "columns": weights.shape[-1]}
        packed = run(backend, "pyrec.Pack", (weights,), {})
        assert packed.ndim == weights.ndim
        expected = multiplied("pyrec.Dense", (x, weights, bias), attributes)
        close(run(backend, "pyrec.Dense", (x, packed, bias), attributes), expected, x.shape[-1])
        if packed.ndim == 3 and len(x) == len(packed):  # a request's matrix for each candidate
            one = np.broadcast_to(run(backend, "pyrec.Pack", (weights[:1],), {}), packed.shape)
            whole = np.broadcast_to(weights[:1], weights.shape)
            expected = multiplied("pyrec.Dense", (x, whole, bias), attributes)
            close(run(backend, "pyrec.Dense", (x, one, bias), attributes), expected, x.shape[-1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_dense_of_numbers_that_are_not_finite(backend: str) -> None:
    x, weights = normal(30, 40), normal(40, 50)
    x[2, 3], x[5, 7], x[29, 39] = np.nan, np.inf, -np.inf
    for activation in ACTIVATIONS:
        for h in (1, 3, 50):
            inputs = (x, weights[:, :h], normal(h))
            attributes = {"activation": activation}
            expected = multiplied("pyrec.Dense", inputs, attributes)
            close(run(backend, "pyrec.Dense", inputs, attributes, [False, True, True]), expected, 40)


@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_dense_refuses(backend: str) -> None:
    x, weights = normal(4, 5), normal(5, 6)
    packed = run(backend, "pyrec.Pack", (weights,), {})
    for inputs, attributes in (
        ((x, normal(4, 6), None), {}),
        ((x, weights.astype(np.float64), None), {}),
        ((x[0], weights, None), {}),
        ((x, weights, normal(7)), {}),
        ((x, weights, normal(3, 6)), {}),
        ((x, weights[:, :1], normal(6)), {}),
        ((x, weights, None), {"activation": "Gelu"}),
        ((x, packed, None), {"columns": 1}),
        ((x, packed, None), {"columns": -1}),
        ((x, packed, None), {"columns": 2**62}),
        ((normal(4, 400), packed, None), {"columns": 6}),
    ):
        with pytest.raises(PyrecError):
            run(backend, "pyrec.Dense", inputs, attributes)


# Lookups


def records(count: int, widths: Sequence[int], codecs: Sequence[str]) -> tuple[np.ndarray, list[int]]:
    """A record table of random numbers, rows of 64-byte steps, and the offset of each part."""
    columns, offsets, end = [], [], 0
    for i, (width, codec) in enumerate(zip(widths, codecs, strict=True)):
        numbers = normal(count, width, seed=i)
        if codec == "f32":
            made = numbers.view(np.uint8)
        elif codec == "bf16":
            made = np.ascontiguousarray(numbers.view(np.uint16)[:, 1::2]).view(np.uint8)
        else:
            made = np.random.default_rng(i).integers(-127, 128, (count, width), np.int8).view(np.uint8)
            made = np.pad(made, ((0, 0), (0, -width % 4)))
            made = np.concatenate([made, normal(count, 1, seed=i).view(np.uint8)], axis=1)
        made = np.pad(made, ((0, 0), (0, -made.shape[1] % 4)))
        offsets.append(end)
        end += made.shape[1]
        columns.append(made)
    return np.pad(np.concatenate(columns, axis=1), ((0, 0), (0, -end % 64))), offsets


def lookup_case(n: int, width: int | None, seed: int) -> tuple[list[np.ndarray | None], dict[str, Any]]:
    """Parts of every kind; of one width or of several."""
    random = np.random.default_rng((n, seed))
    widths = [width] * 9 if width is not None else [16, 1, 8, 5, 33, 16, 7, 20, 3]
    ids = random.integers(-50, 50, (n, 4))
    table, offsets = records(50, widths[3:7], ["f32", "bf16", "i8", "i8"])
    rows = random.integers(0, 50, n)
    inputs: list[np.ndarray | None] = [
        *(ids, normal(50, widths[0])[::-1]),
        *(ids.astype(np.int32), normal(60, widths[1])),
        *(ids[:, 3:], normal(50, widths[2] + 3)),
        *(rows, table),
        *(rows, table),
        *(rows[::-1], table),
        *(rows[:, None], table),
        *(normal(n, 2 * widths[7])[:, :: 2 if n % 2 else 1][:, : widths[7]], None),
        *(np.broadcast_to(normal(1, widths[8]), (n, widths[8])), None),
    ]
    attributes = {
        "columns": (2, 0, -1, -1, -1, -1, -1, -1, -1),
        "offsets": (0, 0, 8, *offsets, 0, 0),
        "widths": tuple(widths),
        "codecs": ("f32", "f32", "f32", "f32", "bf16", "i8", "i8", "", ""),
    }
    return inputs, attributes


def constant_tables(first: int, inputs: Inputs) -> list[bool]:
    """Which inputs of a lookup are tables; its first source is input ``first``."""
    return [i > first and (i - first) % 2 == 1 for i in range(len(inputs))]


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "runtime"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_lookup(backend: str, constant: bool) -> None:
    for n in (0, 1, 2, 17, 100):
        for width in (None, 0, 1, 16, 30):
            inputs, attributes = lookup_case(n, width, 1)
            expected = reference("pyrec.Lookup", inputs, attributes)
            known = constant_tables(0, inputs) if constant else []
            actual = run(backend, "pyrec.Lookup", inputs, attributes, known)
            assert actual.dtype == F32
            np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "runtime"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_lookup_sum(backend: str, constant: bool) -> None:
    for i, n in enumerate((0, 1, 2, 17, 100)):
        for width in (0, 1, 16, 30, 200):
            inputs, attributes = lookup_case(n, width, 2)
            biases = (
                *(None, normal(width), normal(1, width), normal(n, width)),
                *(np.broadcast_to(normal(1, width), (n, width)), normal(n, 2 * width)[:, ::2]),
            )
            for j, bias in enumerate(biases):
                named = {**attributes, "activation": ACTIVATIONS[(i + j) % 4]}
                expected = reference("pyrec.LookupSum", [bias, *inputs], named)
                known = constant_tables(1, [bias, *inputs]) if constant else []
                close(run(backend, "pyrec.LookupSum", [bias, *inputs], named, known), expected, 10)


@pytest.mark.parametrize("backend", BACKENDS)
def test_lookup_in_a_big_table(backend: str) -> None:
    table = normal(20_000, 48)
    ids = np.random.default_rng(0).integers(0, 20_000, (70, 2))
    attributes = {
        "columns": (0, 1),
        "offsets": (0, 0),
        "widths": (48, 48),
        "codecs": ("f32", "f32"),
    }
    inputs = (ids, table, ids, table)
    np.testing.assert_array_equal(
        run(backend, "pyrec.Lookup", inputs, attributes), reference("pyrec.Lookup", inputs, attributes)
    )
    inputs = (None, *inputs)
    close(
        run(backend, "pyrec.LookupSum", inputs, attributes),
        reference("pyrec.LookupSum", inputs, attributes),
        2,
    )


@pytest.mark.parametrize("constant", [True, False], ids=["constant", "runtime"])
@pytest.mark.parametrize("op", ["pyrec.Lookup", "pyrec.LookupSum"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_lookup_names_the_row_of_a_wrong_id(backend: str, op: str, constant: bool) -> None:
    attributes = {
        "columns": (0, 1),
        "offsets": (0, 0),
        "widths": (4, 4),
        "codecs": ("f32", "f32"),
        "labels": ("input 'a'", "input 'b' column 1"),
    }
    for n, row, wrong in product((1, 9), (0, 7), (5, -6, 2**62, -(2**62))):
        ids = np.zeros((n, 2), np.int64)
        ids[row % n, 1] = wrong
        first = 1 if op == "pyrec.LookupSum" else 0
        inputs = (*[None] * first, ids, normal(9, 4), ids, normal(5, 4))
        known = constant_tables(first, inputs) if constant else []
        where = (
            rf"^input 'b' column 1: id outside a table of 5 rows \(expected -5 <= id < 5\) \(row {row % n}\)$"
        )
        with pytest.raises(IdRangeError, match=where):
            run(backend, op, inputs, attributes, known)


@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_lookup_refuses(backend: str) -> None:
    ids, table = np.zeros(4, np.int64), normal(5, 8)
    one = {"columns": (-1,), "offsets": (0,), "widths": (8,), "codecs": ("f32",)}
    record = np.zeros((5, 64), np.uint8)
    for inputs, attributes in (
        ((ids, table), {**one, "widths": (9,)}),
        ((ids, table), {**one, "offsets": (4,)}),
        ((ids, table), {**one, "offsets": (-4,)}),
        ((ids, table), {**one, "widths": (-1,)}),
        ((ids, table), {**one, "widths": (2**62,)}),
        ((ids, table), {**one, "codecs": ("i4",)}),
        ((ids, table), {**one, "columns": (0,)}),
        ((ids[:, None], table), {**one, "columns": (1,)}),
        ((np.zeros((4, 2), np.int64), table), one),
        ((ids.astype(F32), table), one),
        ((ids, table.astype(np.float64)), one),
        ((ids, table[0]), one),
        ((normal(4, 7), None), one),
        ((ids, table, ids), one),
        ((ids, table), {**one, "codecs": ()}),
        ((ids, record), {**one, "widths": (15,), "offsets": (2,)}),
        ((ids, record), {**one, "widths": (61,), "codecs": ("i8",)}),
        ((ids, record), {**one, "widths": (33,), "codecs": ("bf16",)}),
    ):
        for known in ([], constant_tables(0, inputs)):
            with pytest.raises(PyrecError):
                run(backend, "pyrec.Lookup", inputs, attributes, known)
    two = {"columns": (-1, -1), "offsets": (0, 0), "widths": (8, 7), "codecs": ("f32", "f32")}
    with pytest.raises(PyrecError):
        run(backend, "pyrec.LookupSum", (None, ids, table, ids, table), two)
    with pytest.raises(PyrecError):
        run(backend, "pyrec.Lookup", (ids, table, ids[1:], table), {**two, "widths": (8, 8)})


# Pair dots


@pytest.mark.parametrize("backend", BACKENDS)
def test_pair_dots(backend: str) -> None:
    random = np.random.default_rng(5)
    for n in (0, 1, 9):
        for d in (0, 1, 8, 16, 32, 37):
            for pairs in (0, 3, 16, 50):
                a, b = normal(n, 6, d), normal(n, 5, 2 * d)[:, :, :d]
                left, right = random.integers(0, 6, pairs), random.integers(0, 5, pairs)
                for x, y in (
                    (a, b),
                    (a, np.broadcast_to(b[:1] if n else normal(1, 5, d), (n, 5, d))),
                    (a[:, ::-1], b),
                    (a.transpose(0, 2, 1).copy().transpose(0, 2, 1), b),
                ):
                    inputs = (x, y, left, right)
                    expected = multiplied("pyrec.PairDots", inputs, {})
                    actual = run(backend, "pyrec.PairDots", inputs, {}, [False, False, True, True])
                    close(actual, expected, d)


@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_pair_dots_refuses(backend: str) -> None:
    a, pairs = normal(4, 3, 2), np.array([0, 2])
    known = [False, False, True, True]
    for inputs, constants in (
        ((a, a, pairs, pairs + 1), known),
        ((a, a, pairs - 4, pairs), known),
        ((a, a, pairs, pairs[:1]), known),
        ((a, a[:3], pairs, pairs), known),
        ((a, normal(4, 3, 5), pairs, pairs), known),
        ((a, a[0], pairs, pairs), known),
        ((a, a.astype(np.float64), pairs, pairs), known),
        ((a, a, pairs, pairs), []),
    ):
        with pytest.raises(PyrecError):
            run(backend, "pyrec.PairDots", inputs, {}, constants)


# Folded dots


def folded_case(n: int, d: int, columns: int, pairs: int, more: int | None) -> list[np.ndarray | None]:
    random = np.random.default_rng((n, d, columns, pairs))
    left, right = random.integers(-6, 6, pairs), random.integers(-4, 4, pairs)
    base = None if more is None or more % 2 else normal(4 * d, columns)
    below = None if more is None else normal(more, columns)
    return [normal(n, 6, d), normal(pairs, columns, seed=1), left, right, base, below]


def constants_of(inputs: Inputs) -> list[bool]:
    return [False, *(x is not None for x in inputs[1:])]


@pytest.mark.parametrize("backend", BACKENDS)
def test_folded_dots(backend: str) -> None:
    for n in (0, 1, 3):
        for d, columns, pairs in ((16, 40, 30), (3, 1, 5), (1, 33, 0), (0, 4, 3), (8, 0, 2)):
            for more in (None, 0, 5, 6):
                inputs = folded_case(n, d, columns, pairs, more)
                vectors = inputs[0]
                assert vectors is not None
                for a in (vectors, vectors[:, ::-1], vectors.transpose(0, 2, 1).copy().transpose(0, 2, 1)):
                    given = [a, *inputs[1:]]
                    expected = multiplied("pyrec.FoldDots", given, {"fields": 4})
                    actual = run(backend, "pyrec.FoldDots", given, {"fields": 4}, constants_of(given))
                    close(actual, expected, pairs)


def test_folded_dots_are_the_dots_and_the_layer() -> None:
    a, weights, left, right = folded_case(3, 5, 7, 20, None)[:4]
    b = normal(3, 4, 5)
    dots = multiplied("pyrec.PairDots", (a, b, left, right), {})
    matrix = multiplied("pyrec.FoldDots", (a, weights, left, right), {"fields": 4})
    double = [x.astype(np.float64) for x in (b.reshape(3, 1, 20), matrix, dots, weights)]
    left_first, right_first = np.matmul(*double[:2])[:, 0], np.matmul(*double[2:])
    close(left_first.astype(F32), right_first.astype(F32), 20)


@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_folded_dots_refuse(backend: str) -> None:
    a, weights, left, right, base, below = folded_case(2, 4, 6, 9, 4)
    assert a is not None
    assert weights is not None
    assert left is not None
    assert right is not None
    assert base is not None
    assert below is not None
    every = [False, True, True, True, True, True]
    for inputs, fields, constants in (
        ((a[0], weights, left, right, base), 4, every),
        ((a.astype(np.float64), weights, left, right, base), 4, every),
        ((a, weights[1:], left, right, base), 4, every),
        ((a, weights[0], left, right, base), 4, every),
        ((a, weights.astype(np.float64), left, right, base), 4, every),
        ((a, weights, left[1:], right, base), 4, every),
        ((a, weights, left + 6, right, base), 4, every),
        ((a, weights, left, right + 4, base), 4, every),
        ((a, weights, left, right, base[:15]), 4, every),
        ((a, weights, left, right, base[:, 1:]), 4, every),
        ((a, weights, left, right, base[0]), 4, every),
        ((a, weights, left, right, base.astype(np.float64)), 4, every),
        ((a, weights, left, right, None, below[:, 1:]), 4, every),
        ((a, weights, left, right, None, below[0]), 4, every),
        ((a, weights, left, right, base), -1, every),
        ((a, weights, left, right, base), 1 << 40, every),
        ((a, weights, left, right, base), 4, [False, False, True, True, True]),
        ((a, weights, left, right, base), 4, [False, True, False, True, True]),
    ):
        with pytest.raises(PyrecError):
            run(backend, "pyrec.FoldDots", inputs, {"fields": fields}, constants)
