"""Lists of values, by their elements: whatever is read out of them is by row again."""

from __future__ import annotations

from typing import Any

import pytest
from support.graphs import applied, graph_of, ops

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.load.open_sequences import open_sequences

pytestmark = pytest.mark.once

KNOWN: dict[str, Any] = {"first": 0, "second": 1, "last": -1, "sizes": [2, 3], "three": 3, "far": 9}


def element(*nodes: Node, place: str = "second") -> Graph:
    """An element of the sequence ``s`` that the nodes make."""
    return graph_of([*nodes, Node("SequenceAt", ("s", place), ("y",))], KNOWN, x=(5,), z=(5,))


def opened(graph: Graph) -> Graph:
    assert analyze(graph).coupled
    found = remove_dead(applied(open_sequences, graph))
    assert not any("Sequence" in op for op in ops(found))
    assert not analyze(found).coupled
    return found


PAIR = Node("SequenceConstruct", ("x", "z"), ("s",))


@pytest.mark.parametrize("place", ["first", "second", "last"])
def test_elements_are_what_the_list_was_made_of(place: str) -> None:
    found = opened(element(PAIR, place=place))
    assert found.nodes[-1].inputs == ("x" if place == "first" else "z",)


@pytest.mark.parametrize(
    "inserted",
    [("a", "z"), ("a", "z", "first"), ("a", "z", "second")],
    ids=["at the end", "in front", "behind"],
)
def test_lists_that_grow(inserted: tuple[str, ...]) -> None:
    nodes = [Node("SequenceEmpty", (), ("e",)), Node("SequenceInsert", ("e", "x"), ("a",))]
    opened(element(*nodes, Node("Identity", ("a",), ("b",)), Node("SequenceInsert", inserted, ("s",))))


@pytest.mark.parametrize(
    ("sizes", "attributes"),
    [(("sizes",), {}), (("three",), {}), ((), {}), ((), {"keepdims": 0})],
    ids=["sizes", "one size", "ones", "ones without their axis"],
)
def test_parts(sizes: tuple[str, ...], attributes: dict[str, int]) -> None:
    opened(element(Node("SplitToSequence", ("x", *sizes), ("s",), {"axis": -1, **attributes})))


@pytest.mark.parametrize("attributes", [{"axis": 1}, {"axis": -1, "new_axis": 1}, {"axis": 1, "new_axis": 1}])
def test_concatenations(attributes: dict[str, int]) -> None:
    opened(graph_of([PAIR, Node("ConcatFromSequence", ("s",), ("y",), attributes)], x=(5,), z=(5,)))


def test_parts_of_what_was_joined() -> None:
    joined = Node("ConcatFromSequence", ("p",), ("j",), {"axis": 1})
    pair = Node("SequenceConstruct", ("x", "z"), ("p",))
    opened(element(pair, joined, Node("SplitToSequence", ("j",), ("s",), {"axis": 1})))


@pytest.mark.parametrize(
    "graph",
    [
        element(PAIR, place="far"),
        element(Node("SplitToSequence", ("x",), ("s",), {"axis": 0})),
        element(Node("SplitToSequence", ("x", "far"), ("s",), {"axis": 1}), place="far"),
    ],
    ids=["no such element", "parts by row", "no such part"],
)
def test_what_is_not_known_stays(graph: Graph) -> None:
    assert "SequenceAt" in ops(open_sequences(graph))
