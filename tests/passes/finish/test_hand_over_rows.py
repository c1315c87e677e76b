"""Rows that layers of lower precision hand on in their own form, and values that stay float32."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, N
from support.towers import (
    ISAS,
    REQUEST,
    ROWS,
    WEIGHTS,
    H,
    K,
    finish_graph,
    layer,
    lookup,
    marks,
    normal,
    run,
    tower,
    tower_inputs,
)

from pyrec_infer import _native
from pyrec_infer.errors import ShapeError, UnsupportedModelError
from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.passes.finish.hand_over_rows import hand_over_rows

pytestmark = pytest.mark.once


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_lookups_and_layers_hand_over_to_layers_alone(precision: str) -> None:
    made = hand_over_rows(tower(precision), REQUEST)
    assert marks(made, "rows", "features") == [
        {"rows": precision},
        {"rows": precision, "features": K},
        {"features": H},
        {},
    ]


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (tower("int8", outputs=("y", "x")), [0, 1, 0, 0]),
        (tower("int8", layer("bf16", "a", "v", "c", "d")), [1, 0, 0, 0]),
        (tower("int8", Node("pyrec.Dense", ("a", "v", "c"), ("d",))), [1, 0, 0, 0]),
        (tower("int8", Node("Relu", ("r",), ("x",))), [0, 1, 0, 0]),
        (tower("int8", lookup(activation="Sigmoid")), [0, 1, 0, 0]),
        (tower("int8", layer("int8", "x", "w", "a"), outputs=("a",)), [1, 0, 0, 0]),
    ],
    ids=[
        "an output",
        "another precision",
        "a float32 layer",
        "made by something else",
        "a sigmoid",
        "the result",
    ],
)
def test_other_values_stay_float32(graph: Graph, expected: list[int]) -> None:
    made = hand_over_rows(graph, REQUEST)
    reader = {node.inputs[0]: node.op for node in graph.nodes}
    if reader.get("a") == "pyrec.DenseBf16":
        expected = [1, 1, 0, 0]  # in the form of its reader
        assert made.nodes[1].attributes["rows"] == "bf16"
    assert ["rows" in node.attributes for node in made.nodes] == [bool(mark) for mark in expected]


def test_a_value_that_is_also_a_bias_stays_float32() -> None:
    square = Graph(
        ("r",),
        ("y",),
        (
            layer("int8", "r", "w", "a"),
            layer("int8", "a", "w", "b"),
            layer("int8", "b", "w", "a", "d"),
            Node("pyrec.Dense", ("d", "w"), ("y",)),
        ),
        {"w": normal(32, 32)},
        {"r": Info(F32, (N, 32), 0)},
    )
    assert marks(hand_over_rows(square, REQUEST), "rows") == [{}, {"rows": "int8"}, {}, {}]


def test_values_of_more_axes_and_of_the_request_stay_float32() -> None:
    nodes = (layer("int8", "u", "w", "a"), layer("int8", "a", "w", "y"))
    for info in (Info(F32, (N, 5, 32), 0), Info(F32, (N, 32), 0)):
        graph = Graph(("u",), ("y",), nodes, {"w": normal(32, 32)}, {"u": info})
        assert marks(hand_over_rows(graph, REQUEST), "rows") == [{}, {}]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["int8", "bf16"])
@pytest.mark.parametrize("activation", ["", "Relu", "Sigmoid"])
@pytest.mark.parametrize("threads", [1, 2])
def test_handing_over_changes_no_bit(isa: str, precision: str, activation: str, threads: int) -> None:
    first = layer(precision, "x", "w", "b", "a", activation=activation, skip_zeros=1)
    graph = tower(precision, lookup(activation=activation), first)
    handed = finish_graph(graph)
    assert handed is not graph
    for rows in (0, 1, 7, 129, ROWS):
        inputs = tower_inputs(rows)
        np.testing.assert_array_equal(run(handed, isa, inputs, threads), run(graph, isa, inputs))


@pytest.mark.parametrize("isa", ISAS)
def test_layers_of_all_kinds_of_bias_hand_over(isa: str) -> None:
    for name, bias in (("b", normal(1, H)), ("b", normal(1, 1)), ("", None)):
        own = {} if bias is None else {"b": bias}
        graph = tower("int8", layer("int8", "x", "w", name, "a", activation="Relu"), **own)
        inputs = tower_inputs(20)
        handed = finish_graph(graph)
        np.testing.assert_array_equal(run(handed, isa, inputs), run(graph, isa, inputs))


@pytest.mark.parametrize("isa", ISAS)
def test_rows_of_another_size_are_refused(isa: str) -> None:
    attributes = {"features": 64}
    weights = normal(64, 32)
    for x in (normal(3, 64), np.zeros((3, 79), np.uint8), np.zeros((3, 2, 80), np.uint8)):
        with pytest.raises(ShapeError, match="do not fit"):
            _native.run_node(isa, "pyrec.DenseInt8", attributes, [x, weights], 1, [False, True])
    with pytest.raises(ShapeError, match="do not fit"):
        _native.run_node(isa, "pyrec.DenseInt8", {"features": 63}, [x, weights], 1, [False, True])
    parts = {"columns": (-1,), "offsets": (0,), "widths": (K,), "codecs": ("f32",)}
    attributes = {**parts, "rows": "int8", "activation": "Sigmoid"}
    inputs = [None, np.zeros(3, np.int64), WEIGHTS["t"]]
    with pytest.raises(UnsupportedModelError, match="another activation"):
        _native.run_node(isa, "pyrec.LookupSum", attributes, inputs, 1, [False, False, True])
    with pytest.raises(UnsupportedModelError, match="precision"):
        _native.run_node(isa, "pyrec.DenseInt8", {"rows": "int4"}, [normal(3, 64), weights], 1, [False, True])
