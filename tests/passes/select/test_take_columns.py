"""One column of a matrix in place of all, and matrices of which more is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of, ops

from pyrec_infer.ir import Graph, Node
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.select.take_columns import take_columns

pytestmark = pytest.mark.once

CONSTANTS: dict[str, Any] = {
    "w": np.arange(12, dtype=F32).reshape(4, 3),
    "b": np.asarray([1, 2, 3], F32),
    "column": np.asarray([[1, 2, 3]], F32),
    "last": np.asarray(-1),
    "one": np.asarray([1]),
    "two": np.asarray([0, 1]),
}
LAYER = Node("pyrec.Dense", ("x", "w", "b"), ("d",))
TAKEN = Node("Gather", ("d", "last"), ("y",), {"axis": 1})


def taken(graph: Graph) -> Graph:
    return remove_dead(applied(take_columns, graph))


@pytest.mark.parametrize("activation", ["", "Sigmoid"])
@pytest.mark.parametrize("bias", ["", "b"])
def test_a_column_of_a_layer_needs_a_column_of_its_weights(activation: str, bias: str) -> None:
    names = ("x", "w", bias) if bias else ("x", "w")
    layer = Node("pyrec.Dense", names, ("d",), {"activation": activation} if activation else {})
    found = taken(graph_of([layer, TAKEN], CONSTANTS, x=(4,)))
    assert ops(found) == ["pyrec.Dense", "Reshape"]
    assert [found.constants[name].shape for name in found.nodes[0].inputs[1:]] == [(4, 1), (1,)][
        : len(names) - 1
    ]


def test_functions_of_a_layer_are_seen_through() -> None:
    nodes = [
        LAYER,
        Node("Exp", ("d",), ("e",)),
        Node("Cast", ("e",), ("f",), {"to": "float64"}),
        Node("Gather", ("f", "last"), ("y",), {"axis": 1}),
    ]
    assert ops(taken(graph_of(nodes, CONSTANTS, x=(4,)))) == ["pyrec.Dense", "Reshape", "Exp", "Cast"]


def test_functions_of_parts_are_those_of_one_part() -> None:
    nodes = [
        Node("Concat", ("z", "x"), ("c",), {"axis": 1}),
        Node("Exp", ("c",), ("e",)),
        Node("Gather", ("e", "last"), ("y",), {"axis": 1}),
    ]
    found = taken(graph_of(nodes, CONSTANTS, x=(4,), z=(4,)))
    assert found.nodes[0].inputs[0] == "x"
    assert ops(found) == ["Gather", "Exp"]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([LAYER, TAKEN], ("y", "d")),
        (
            [
                LAYER,
                Node("Gather", ("d", "last"), ("a",), {"axis": 1}),
                Node("ReduceMax", ("d", "one"), ("y",)),
            ],
            ("y", "a"),
        ),
        ([LAYER, Node("Gather", ("d", "two"), ("y",), {"axis": 1})], ("y",)),
        ([LAYER, Node("Gather", ("d", "last"), ("y",), {"axis": 0})], ("y",)),
        ([Node("Softmax", ("x",), ("d",)), TAKEN], ("y",)),
        ([Node("Add", ("x", "z"), ("d",)), TAKEN], ("y",)),
        ([Node("pyrec.Dense", ("x", "w", "column"), ("d",)), TAKEN], ("y",)),
    ],
    ids=["an output", "read twice", "two columns", "a row", "a row's function", "a sum", "another bias"],
)
def test_what_needs_all_columns_stays(nodes: list[Node], outputs: tuple[str, ...]) -> None:
    graph = graph_of(nodes, CONSTANTS, outputs, x=(4,), z=(4,))
    assert ops(taken(graph)) == ops(graph)
