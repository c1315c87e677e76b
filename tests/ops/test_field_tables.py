"""Tables times a request's matrix, and sums of rows of a table that each row has of its own."""

from __future__ import annotations

import numpy as np
import pytest
from test_fused import BACKENDS, F32, close, multiplied, normal, reference

from pyrec_infer.backends.evaluators import EVALUATORS
from pyrec_infer.errors import IdRangeError, PyrecError
from pyrec_infer.ir import Node
from pyrec_infer.ops import OPS

pytestmark = pytest.mark.once

_native = pytest.importorskip("pyrec_infer._native", reason="the native extension is not built")

LABELS = ("input 'a'", "input 'b'")


def tables_of(backend: str, matrices: np.ndarray, tables: list[np.ndarray], firsts: tuple[int, ...]) -> list:
    attributes, inputs = {"firsts": firsts}, [matrices, *tables]
    if backend == "numba":
        names = [f"x{place}" for place in range(len(inputs))]
        outputs = tuple(f"y{place}" for place in range(len(tables)))
        return list(
            OPS["pyrec.FieldTables"].evaluate(
                Node("pyrec.FieldTables", (*names,), outputs, attributes), inputs
            )
        )
    constants = [False, *[True] * len(tables)]
    made: list = _native.run_node(backend, "pyrec.FieldTables", attributes, inputs, len(tables), constants)
    return made


@pytest.mark.parametrize("backend", BACKENDS)
def test_tables_times_their_rows_of_a_matrix(backend: str) -> None:
    for n, columns in ((0, 8), (1, 40), (2, 33), (1, 1), (3, 0)):
        matrices = normal(n, 21, columns)
        tables = [normal(130, 16), normal(1, 5, seed=1), normal(0, 3, seed=2), normal(9, 4, seed=3).T]
        firsts = (0, 16, 18, 12)
        for given in (matrices, matrices[:, ::-1], np.broadcast_to(matrices[:1], matrices.shape)):
            made = tables_of(backend, given, tables, firsts)
            for found, table, first in zip(made, tables, firsts, strict=True):
                expected = table.astype(np.float64) @ given[:, first : first + table.shape[1]].astype(
                    np.float64
                )
                close(found, expected.astype(F32), 16)


@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_tables_that_do_not_fit_are_refused(backend: str) -> None:
    matrices, table = normal(2, 6, 4), normal(5, 3)
    for given, tables, firsts in (
        (matrices, [table], (4,)),
        (matrices, [table], (-1,)),
        (matrices, [table], (2**62,)),
        (matrices, [table], ()),
        (matrices, [table, table], (0,)),
        (matrices[0], [table], (0,)),
        (matrices.astype(np.float64), [table], (0,)),
        (matrices, [table[0]], (0,)),
        (matrices, [table.astype(np.float64)], (0,)),
    ):
        with pytest.raises(PyrecError):
            tables_of(backend, given, tables, firsts)
    with pytest.raises(PyrecError):
        _native.run_node(backend, "pyrec.FieldTables", {"firsts": (0,)}, [matrices, table], 1, [False, False])
    with pytest.raises(PyrecError, match="beyond the matrices"):
        tables_of("numba", matrices, [table], (4,))


def attributes_of(width: int) -> dict:
    return {"columns": (1, 0, -1), "offsets": (0, 0, 8), "widths": (width,) * 3, "codecs": ("f32",) * 3}


def summed(backend: str, inputs: list, attributes: dict) -> np.ndarray:
    node = Node(
        "pyrec.LookupSum",
        tuple("" if x is None else f"x{i}" for i, x in enumerate(inputs)),
        ("y",),
        attributes,
    )
    if backend == "numba":
        return np.asarray(EVALUATORS["pyrec.LookupSum"](node, inputs)[0])
    made: np.ndarray = _native.run_node(backend, "pyrec.LookupSum", attributes, inputs, 1, [])[0]
    return made


@pytest.mark.parametrize("backend", BACKENDS)
def test_sums_of_rows_of_tables_that_rows_have_of_their_own(backend: str) -> None:
    rng = np.random.default_rng(0)
    for n, width in ((0, 8), (1, 16), (2, 30), (70, 200)):
        ids, record = rng.integers(-5, 5, (n, 2)), rng.integers(0, 9, n)
        other, own = normal(9, width + 2), normal(n, 5, width, seed=1)
        one = np.broadcast_to(normal(1, 5, width, seed=2), (n, 5, width))
        for a, b in ((own, one), (one, own), (own, own), (one, one), (own[:, ::-1], one[:, :, ::-1])):
            inputs = [normal(width), ids, a, ids, b, record, other]
            expected = reference("pyrec.LookupSum", inputs, attributes_of(width))
            place = np.arange(n)
            again = inputs[0] + a[place, ids[:, 1]] + b[place, ids[:, 0]] + other[record, 2:]
            close(expected, again, 4)
            close(summed(backend, inputs, attributes_of(width)), expected, 4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_wrong_id_is_named_though_the_next_row_has_a_table_there(backend: str) -> None:
    tables, ids = normal(3, 5, 4), np.zeros((3, 2), np.int64)
    attributes = {
        "columns": (0, 1),
        "offsets": (0, 0),
        "widths": (4, 4),
        "codecs": ("f32",) * 2,
        "labels": LABELS,
    }
    ids[1, 1] = 5
    for given in (tables, np.broadcast_to(tables[:1], tables.shape)):
        with pytest.raises(IdRangeError, match=r"input 'b': id outside a table of 5 rows .* \(row 1\)"):
            summed(backend, [None, ids, given, ids, given], attributes)


@pytest.mark.parametrize("backend", _native.kernel_backends())
def test_tables_of_other_rows_are_refused(backend: str) -> None:
    ids = np.zeros(4, np.int64)
    one = {"columns": (-1,), "offsets": (0,), "widths": (8,), "codecs": ("f32",)}
    for tables in (normal(3, 5, 8), normal(4, 5, 7), normal(4, 5, 8).astype(np.float64), normal(4, 1, 5, 8)):
        with pytest.raises(PyrecError):
            summed(backend, [None, ids, tables], one)


def test_a_matrix_for_each_row_gives_a_table_for_each_row() -> None:
    matrices, table, ids = normal(6, 7, 9), normal(5, 3), np.asarray([0, 4, 2, 2, -1, 1])
    (tables,) = tables_of("numba", matrices, [table], (2,))
    one = {"columns": (-1,), "offsets": (0,), "widths": (9,), "codecs": ("f32",)}
    made = summed("numba", [None, ids, tables], one)
    expected = multiplied("MatMul", [table[ids][:, None], matrices[:, 2:5]], {})
    close(made, expected[:, 0], 3)
