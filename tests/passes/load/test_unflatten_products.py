"""Layers of flattened rows, whose rows are kept apart or can be told apart anyway."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import AXES, F32, XZ, N, applied, graph_of, ops

from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.passes.load.unflatten_products import unflatten_products

pytestmark = pytest.mark.once


def test_unflatten_products_leaves_rows_that_can_be_told_apart() -> None:
    nodes = [
        Node("Reshape", ("x", "pairs"), ("p",)),
        Node("Gemm", ("p", "w"), ("g",)),
        Node("Reshape", ("g", "back"), ("y",)),
    ]
    constants = {"pairs": np.asarray([-1, 2]), "back": np.asarray([-1, 2, 3]), "w": np.ones((2, 3), F32)}
    assert "Gemm" in ops(applied(unflatten_products, graph_of(nodes, constants, **XZ)))


LENGTHS = Dim.symbol("L")
TURNED = {
    "x": Info(F32, (N, LENGTHS, 2), 0),
    "z": Info(F32, (N, LENGTHS, 3), 0),
}


def turned(bias: str, **attributes: float) -> Graph:
    """A layer of the rows of a list for each request, after the list's axis came before the batch."""
    inputs = ("r", "w", bias) if bias else ("r", "w")
    nodes = (
        Node("Transpose", ("x",), ("xt",), {"perm": (1, 0, 2)}),
        Node("Transpose", ("z",), ("zt",), {"perm": (1, 0, 2)}),
        Node("Reshape", ("xt", "twos"), ("r",)),
        Node("Reshape", ("zt", "threes"), ("flat",)),
        Node("Gemm", inputs, ("g",), attributes),
        Node("Shape", ("xt",), ("shape",)),
        Node("Slice", ("shape", "zero", "two"), ("leading",)),
        Node("Concat", ("leading", "three"), ("back",), {"axis": 0}),
        Node("Reshape", ("g", "back"), ("y",)),
    )
    constants = {
        **AXES,
        "twos": np.asarray([-1, 2]),
        "threes": np.asarray([-1, 3]),
        "three": np.asarray([3]),
        "w": np.arange(6, dtype=F32).reshape(2, 3),
        "row": np.asarray([1, 2, 3], F32),
    }
    return Graph(("x", "z"), ("y",), nodes, constants, TURNED)


@pytest.mark.parametrize(("bias", "made"), [("", ["MatMul"]), ("row", ["MatMul", "Add"])])
def test_rows_that_a_fold_mixes_stay_apart(bias: str, made: list[str]) -> None:
    found = applied(unflatten_products, turned(bias))
    assert [op for op in ops(found) if op in ("Gemm", "MatMul", "Add")] == made


@pytest.mark.parametrize(
    ("bias", "attributes"),
    [("flat", {}), ("row", {"alpha": 2.0}), ("row", {"beta": 0.5})],
    ids=["something else for each row", "a factor", "a factor of the row"],
)
def test_other_products_stay_a_gemm(bias: str, attributes: dict[str, float]) -> None:
    assert "Gemm" in ops(applied(unflatten_products, turned(bias, **attributes)))
