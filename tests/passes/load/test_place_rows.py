"""The axis of the candidates: axes of size 1 beside it, another axis than the batch, and a fixed batch."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, N, alike, graph_of, ops

from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.passes.load.place_rows import fix_rows, is_placed, move_rows, name_squeezed_axes

pytestmark = pytest.mark.once

LENGTHS = Dim.symbol("L")


def squeezed(*sizes: object) -> Graph:
    return graph_of([Node("Squeeze", ("x",), ("s",)), Node("Neg", ("s",), ("y",))], x=sizes)


@pytest.mark.parametrize("rows", [2, 5])
def test_axes_of_size_one_have_names_beside_the_rows(rows: int) -> None:
    graph = squeezed(1, 4, 1)
    found = alike(graph, name_squeezed_axes(graph), rows)
    assert found.constants[found.nodes[0].inputs[1]].tolist() == [1, 3]
    assert not is_placed(graph, 0)
    assert is_placed(found, 0)


def test_a_squeeze_of_nothing_is_none() -> None:
    graph = squeezed(4)
    assert ops(alike(graph, name_squeezed_axes(graph))) == ["Identity", "Neg"]


def test_a_squeeze_that_may_drop_a_length_stays() -> None:
    graph = squeezed(LENGTHS, 1)
    assert name_squeezed_axes(graph) is graph
    named = graph_of([Node("Squeeze", ("x", "axis"), ("y",))], {"axis": np.asarray([1])}, x=(1,))
    assert name_squeezed_axes(named) is named


def test_rows_move_to_another_size_and_the_batch_is_one() -> None:
    infos = {"u": Info(F32, (N, 3), 0), "x": Info(F32, (N, LENGTHS, 3), 0), "k": Info(F32, (5,))}
    graph = Graph(("u", "x", "k"), ("u",), (), {}, infos, static_rows=4)
    found = move_rows(graph, "L")
    assert [(found.infos[name].shape, int(found.infos[name].rows)) for name in "uxk"] == [
        ((1, 3), -1),
        ((1, N, 3), 1),
        ((5,), -1),
    ]
    assert not found.static_rows


def test_rows_of_a_fixed_batch_are_those_of_first_axes_of_its_size() -> None:
    infos = {"x": Info(F32, (4, 3)), "z": Info(F32, (3, 4)), "k": Info(F32, ())}
    found = fix_rows(Graph(("x", "z", "k"), ("x",), (), {}, infos), 4)
    assert [int(found.infos[name].rows) for name in "xzk"] == [0, -1, -1]
    assert found.static_rows == 4
    assert not is_placed(found, 4)
