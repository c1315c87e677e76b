"""Layers of flattened rows, whose rows are kept apart or can be told apart anyway."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import AXES, F32, XZ, N, applied, graph_of, ops

from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes import compile_graph
from pyrec_infer.passes.clean.remove_dead import remove_dead
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


def quantized(*inputs: str, **attributes: float) -> Graph:
    """The same with a product of integers."""
    graph = turned("row")
    rounded = Node("QuantizeLinear", ("r", "xs", "xz"), ("q",))
    product = Node("com.microsoft.QGemm", ("q", "xs", "xz", *inputs), ("g",), attributes)
    nodes = [item for node in graph.nodes for item in ((rounded, product) if node.op == "Gemm" else (node,))]
    constants = {
        **graph.constants,
        "xs": np.asarray(0.02, F32),
        "xz": np.asarray(120, np.uint8),
        "wq": np.asarray([[7, -90, 127], [-128, 3, 55]], np.int8),
        "wt": np.asarray([[7, -128], [-90, 3], [127, 55]], np.int8),
        "ws": np.asarray([0.01, 0.03, 0.002], F32),
        "wz": np.asarray([1, 0, -3], np.int8),
        "one_scale": np.asarray(0.01, F32),
        "no_zero": np.asarray(0, np.int8),
        "c": np.asarray([500, -4000, 0], np.int32),
        "ys": np.asarray(0.05, F32),
        "yz": np.asarray(100, np.uint8),
    }
    return graph.with_(nodes=tuple(nodes), constants=constants)


@pytest.mark.parametrize(
    ("inputs", "attributes"),
    [
        (("wq", "ws", "wz", "c", "ys", "yz"), {}),
        (("wq", "one_scale", "no_zero", "", "ys", "yz"), {}),
        (("wt", "ws", "wz", "c"), {"transB": 1, "alpha": 0.5}),
    ],
    ids=["rounded", "without a bias", "floats"],
)
def test_rows_that_a_fold_mixes_stay_apart_in_integers(
    inputs: tuple[str, ...], attributes: dict[str, float]
) -> None:
    graph = quantized(*inputs, **attributes)
    assert analyze(graph).coupled
    found = remove_dead(applied(unflatten_products, graph))
    assert "com.microsoft.QGemm" not in ops(found)
    assert not analyze(found).coupled


@pytest.mark.parametrize("inputs", [("wq", "ws", "z", "c"), ("wq", "ws", "wz", "z")])
def test_integers_that_the_file_does_not_hold_stay_a_product_of_matrices(inputs: tuple[str, ...]) -> None:
    assert "com.microsoft.QGemm" in ops(unflatten_products(quantized(*inputs)))


@pytest.mark.parametrize(
    ("bias", "attributes"),
    [("flat", {}), ("row", {"alpha": 2.0}), ("row", {"beta": 0.5})],
    ids=["something else for each row", "a factor", "a factor of the row"],
)
def test_other_products_stay_a_gemm(bias: str, attributes: dict[str, float]) -> None:
    assert "Gemm" in ops(applied(unflatten_products, turned(bias, **attributes)))


@pytest.mark.parametrize("flat", [False, True], ids=["by coordinates", "of rows laid end to end"])
def test_what_is_read_in_rows_behind_such_layers_is_found(flat: bool) -> None:
    """The state of a sequence at its own length, behind an attention whose lists come before the batch."""
    graph = turned("row")
    axis = {"last": np.asarray([1])}
    count = [
        Node("Shape", ("x",), ("sx",)),
        Node("Gather", ("sx", "begin"), ("n",)),
        Node("Gather", ("sx", "step"), ("l",)),
        Node("Range", ("begin", "n", "step"), ("rows",)),
        Node("Transpose", ("y",), ("t",), {"perm": (1, 0, 2)}),
    ]
    if flat:
        count += [
            Node("Mul", ("rows", "l"), ("base",)),
            Node("Add", ("base", "i"), ("k",)),
            Node("Reshape", ("t", "threes"), ("long",)),
            Node("Gather", ("long", "k"), ("state",)),
        ]
    else:
        count += [
            Node("Unsqueeze", ("rows", "last"), ("rc",)),
            Node("Unsqueeze", ("i", "last"), ("ic",)),
            Node("Concat", ("rc", "ic"), ("k",), {"axis": 1}),
            Node("GatherND", ("t", "k"), ("state",)),
        ]
    graph = Graph(
        (*graph.inputs, "i"),
        ("state",),
        (*graph.nodes, *count),
        {**graph.constants, **axis, "begin": np.asarray(0), "step": np.asarray(1)},
        {**graph.infos, "i": Info(np.dtype(np.int64), (N,), 0)},
    )
    assert analyze(graph).coupled
    made = applied(compile_graph, graph, i=np.asarray([0, 2, 1, 3, 3]))
    assert not analyze(made).coupled
