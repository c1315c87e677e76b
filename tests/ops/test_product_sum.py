"""Sums of rows of tables, some multiplied first and kept: native against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pyrec_infer.errors import IdRangeError, PyrecError
from pyrec_infer.ir import Node
from pyrec_infer.ops import OPS

pytestmark = pytest.mark.once

_native = pytest.importorskip("pyrec_infer._native", reason="the native extension is not built")

F32 = np.float32
OP = "pyrec.ProductSum"
WIDTH = 40


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(size=shape).astype(F32)


ATTRIBUTES: dict[str, Any] = {
    "columns": (1, 0, 2),
    "offsets": (0, 0, 0),
    "widths": (WIDTH, 16, 20),
    "codecs": ("f32", "f32", "f32"),
    "multiplied": (1, 2),
    "width": WIDTH,
}
TABLES = (normal(9, WIDTH), normal(3000, 16), normal(50, 20))
WEIGHTS = (normal(16, WIDTH, seed=1), normal(20, WIDTH, seed=1))
CONSTANT = [False, False, True, False, True, False, True, True, True]


def inputs_of(ids: np.ndarray, bias: np.ndarray | None = None) -> list[np.ndarray | None]:
    operands = [operand for table in TABLES for operand in (ids, table)]
    return [bias, *operands, *WEIGHTS]


def ids_of(n: int, distinct: int = 3000) -> np.ndarray:
    random = np.random.default_rng(n)
    return np.stack([random.integers(0, min(distinct, size), n) for size in (3000, 9, 50)], axis=1)


def run(backend: str, ids: np.ndarray, bias: np.ndarray | None = None, **more: Any) -> np.ndarray:
    made: list = _native.run_node(backend, OP, {**ATTRIBUTES, **more}, inputs_of(ids, bias), 1, CONSTANT)
    return made[0]


def reference(ids: np.ndarray, bias: np.ndarray | None = None, **more: Any) -> np.ndarray:
    inputs = inputs_of(ids, bias)
    names = tuple("" if x is None else f"x{i}" for i, x in enumerate(inputs))
    node = Node(OP, names, ("y",), {**ATTRIBUTES, **more}, name="node")
    return np.asarray(OPS[OP].evaluate(node, inputs)[0])


@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_sums(backend: str) -> None:
    for n in (0, 1, 31, 32, 100, 257):
        for bias in (None, normal(WIDTH), normal(n, WIDTH)):
            for activation in ("", "Relu", "Sigmoid"):
                actual = run(backend, ids_of(n), bias, activation=activation)
                expected = reference(ids_of(n), bias, activation=activation)
                assert actual.dtype == F32
                np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("distinct", [3, 700, 3000])
@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_rows_are_the_same_whatever_came_before(backend: str, distinct: int) -> None:
    # Many times as many ids as places: those that are kept make room and come again. Where none does at
    # first, nothing is kept for some time.
    random = np.random.default_rng(1)
    table, weights = normal(3000, 16), normal(16, 1024)
    ids = np.concatenate([np.arange(3000) % distinct, random.integers(0, distinct, 12000)])
    attributes = {
        "columns": (-1,),
        "offsets": (0,),
        "widths": (16,),
        "codecs": ("f32",),
        "multiplied": (0,),
        "width": 1024,
    }
    constant = [False, False, True, True]

    def made(ids: np.ndarray) -> np.ndarray:
        return _native.run_node(backend, OP, attributes, [None, ids, table, weights], 1, constant)[0]

    each = np.concatenate([made(np.arange(begin, begin + 30)) for begin in range(0, distinct, 30)])
    np.testing.assert_array_equal(made(ids), each[ids])


@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_names_the_row_of_a_wrong_id(backend: str) -> None:
    labels = {"labels": ("input 'a'", "input 'b'", "input 'c'")}
    ids = ids_of(40)
    ids[33, 0] = 3000
    with pytest.raises(IdRangeError, match=r"^input 'b': id outside a table of 3000 rows .*\(row 33\)$"):
        run(backend, ids, **labels)
    ids[33, 0] = -1
    with pytest.raises(IdRangeError, match=r"^input 'b': .*\(row 33\)$"):
        run(backend, ids, strict=1, **labels)
    np.testing.assert_allclose(run(backend, ids), reference(ids), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_refuses_what_does_not_fit(backend: str) -> None:
    for more in (
        {"width": 41},
        {"multiplied": (0, 1)},
        {"multiplied": (1, 3)},
        {"multiplied": (1, -1)},
        {"multiplied": (1,)},
    ):
        with pytest.raises(PyrecError):
            run(backend, ids_of(5), **more)
    for place in (4, 7):
        constant = [i != place and known for i, known in enumerate(CONSTANT)]
        with pytest.raises(PyrecError):
            _native.run_node(backend, OP, ATTRIBUTES, inputs_of(ids_of(5)), 1, constant)
