"""Elements of each row by their place among all rows laid end to end, and reads that cross rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import applied, graph_of, ops

from pyrec_infer.errors import IdRangeError
from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.interpret import interpret
from pyrec_infer.passes.load.pick_from_flat import pick_from_flat

pytestmark = pytest.mark.once

WIDTH = 5
COUNTED = Node("Range", ("zero", "n", "one"), ("r",))
FLAT = Node("Reshape", ("x", "rows_first"), ("flat",))
BEGINS = Node("Mul", ("r", "width"), ("b",))
PLACES = Node("Add", ("i", "b"), ("k",))
READ = Node("Gather", ("flat", "k"), ("y",))


def reading(*nodes: Node, **constants: Any) -> Graph:
    """``x[rows, i]`` as lookups among all elements, with some of the nodes that make it given."""
    given = {node.outputs[0]: node for node in (COUNTED, BEGINS, PLACES, FLAT, READ)}
    further = [node for node in nodes if node.outputs[0] not in given]
    given.update((node.outputs[0], node) for node in nodes if node not in further)
    known = {
        "zero": np.asarray(0),
        "one": np.asarray(1),
        "axis": np.asarray([1]),
        "width": np.asarray(WIDTH),
        "rows_first": np.asarray([-1, 6]),
        **constants,
    }
    size = [Node("Shape", ("x",), ("s",)), Node("Gather", ("s", "zero"), ("n",))]
    return graph_of([*size, *further, *given.values()], known, ids="ij", x=(WIDTH, 6), i=(), j=(2,))


@pytest.mark.parametrize(
    "nodes",
    [
        (),
        (Node("Add", ("b", "i"), ("k",)),),
        (Node("Mul", ("width", "r"), ("b",)),),
        (Node("Flatten", ("x",), ("flat",), {"axis": 2}),),
    ],
    ids=["as exported", "begins first", "width first", "flattened"],
)
def test_rows_are_read_apart(nodes: tuple[Node, ...]) -> None:
    graph = reading(*nodes)
    assert analyze(graph).coupled
    found = applied(pick_from_flat, graph)
    assert found.nodes[-1].op == "GatherND"
    assert found.nodes[-1] not in analyze(found).coupled


def test_single_numbers_are_read_from_a_column() -> None:
    size = [Node("Shape", ("x",), ("s",)), Node("Gather", ("s", "zero"), ("n",))]
    column = Node("Flatten", ("x",), ("flat",), {"axis": 2})
    nodes = [*size, COUNTED, BEGINS, PLACES, column, READ]
    graph = graph_of(nodes, {"zero": 0, "one": 1, "width": WIDTH}, ids="i", x=(WIDTH,), i=())
    assert analyze(graph).coupled
    found = applied(pick_from_flat, graph)
    assert found.nodes[-1].op == "GatherND"
    assert found.nodes[-1] not in analyze(found).coupled


def test_several_places_of_each_row() -> None:
    size = [Node("Shape", ("x",), ("s",)), Node("Gather", ("s", "zero"), ("n",))]
    column = [Node("Unsqueeze", ("r", "axis"), ("c",)), Node("Mul", ("c", "width"), ("b",))]
    nodes = [*size, COUNTED, *column, Node("Add", ("j", "b"), ("k",)), FLAT, READ]
    constants = {"zero": 0, "one": 1, "axis": [1], "width": WIDTH, "rows_first": [-1, 6]}
    graph = graph_of(nodes, constants, ids="j", x=(WIDTH, 6), j=(2,))
    found = applied(pick_from_flat, graph)
    assert found.nodes[-1].op == "GatherND"
    assert analyze(found).infos["y"].rows == 0


@pytest.mark.parametrize(
    "nodes",
    [
        (Node("Mul", ("r", "other"), ("b",)),),
        (Node("Range", ("zero", "n", "one"), ("a",)), Node("Abs", ("a",), ("r",))),
        (Node("Sub", ("b", "i"), ("k",)),),
        (Node("Add", ("one", "b"), ("k",)),),
        (Node("Reshape", ("x", "other_way"), ("flat",)), Node("Gather", ("flat", "k"), ("y",), {"axis": 1})),
        (
            Node("Transpose", ("x",), ("t",), {"perm": (1, 0, 2)}),
            Node("Reshape", ("t", "rows_first"), ("flat",)),
        ),
    ],
    ids=[
        "another width",
        "computed numbers",
        "backwards",
        "one place",
        "along another axis",
        "columns first",
    ],
)
def test_other_reads_stay(nodes: tuple[Node, ...]) -> None:
    graph = reading(*nodes, other=np.asarray(WIDTH - 1), other_way=np.asarray([6, -1]))
    assert ops(pick_from_flat(graph)) == ops(graph)


def test_long_chains_are_followed_one_way() -> None:
    """Of products of a value with itself there would be 2^60 ways, and of a thousand views as many calls."""
    squares = [Node("Mul", (f"b{i}", f"b{i}"), (f"b{i + 1}",)) for i in range(60)]
    squares[0] = Node("Mul", ("r", "r"), ("b1",))
    views = [Node("Reshape", ("r" if not i else f"v{i}", "last"), (f"v{i + 1}",)) for i in range(1200)]
    size = [Node("Shape", ("x",), ("s",)), Node("Gather", ("s", "zero"), ("n",)), COUNTED]
    known = {"zero": 0, "one": 1, "width": WIDTH, "rows_first": [-1, 6], "last": [-1]}
    for chain, end, made in ((squares, "b60", "Gather"), (views, "v1200", "GatherND")):
        begins = Node("Mul", (end, "width"), ("b",))
        graph = graph_of([*size, *chain, begins, PLACES, FLAT, READ], known, ids="i", x=(WIDTH, 6), i=())
        assert pick_from_flat(graph).nodes[-1].op == made


@pytest.mark.parametrize("place", [-1, WIDTH])
def test_places_in_another_row_are_refused(place: int) -> None:
    graph = pick_from_flat(reading())
    x = np.zeros((3, WIDTH, 6), np.float32)
    with pytest.raises(IdRangeError):
        interpret(graph, [x, np.asarray([0, place, 1]), np.zeros((3, 2), np.int64)])
