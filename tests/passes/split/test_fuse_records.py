"""Records read into sums and concatenations, and values that others read too."""

from __future__ import annotations

import pytest
from support.graphs import graph_of, ops
from support.record_graphs import through_records

from pyrec_infer.ir import Graph, Node
from pyrec_infer.passes.split.fuse_records import fuse_records
from pyrec_infer.passes.split.record_layout import RECORDS

pytestmark = pytest.mark.once

EXP = [Node("Exp", (name,), (f"{name}e",)) for name in "ij"]
FIRST = EXP[0]
RELU = Node("Relu", ("t",), ("y",))
SIZES: dict[str, tuple[int, ...]] = {"i": (2,), "j": (2,), "u": (2,), "x": (2,)}


def fused(nodes: list[Node], outputs: tuple[str, ...] = ("y",), **sizes: tuple[int, ...]) -> Graph:
    graph = graph_of(nodes, None, outputs, **{**SIZES, **sizes})
    return fuse_records(through_records(graph).pairs)


@pytest.mark.parametrize(
    "nodes",
    [
        [FIRST, Node("Add", ("ie", "u"), ("y",))],
        [FIRST, Node("Add", ("x", "ie"), ("y",))],
        [*EXP, Node("Add", ("ie", "je"), ("s",)), Node("Add", ("s", "u"), ("y",))],
        [
            *EXP,
            Node("Add", ("u", "ie"), ("s",)),
            Node("Add", ("s", "je"), ("t",)),
            Node("Relu", ("t",), ("y",)),
        ],
    ],
    ids=["request", "candidate", "of the item", "a chain with an activation"],
)
def test_sums_read_records(nodes: list[Node]) -> None:
    assert ops(fused(nodes)) == ["pyrec.LookupSum"]


def test_neighbours_in_a_record_are_one_part() -> None:
    found = fused([*EXP, Node("Concat", ("ie", "je", "x", "ie"), ("y",), {"axis": 1})])
    assert ops(found) == ["pyrec.Lookup"]
    assert found.nodes[0].attributes["widths"] == (4, 2, 2)
    assert found.nodes[0].inputs.count(RECORDS) == 2


@pytest.mark.parametrize(
    ("nodes", "outputs", "kept"),
    [
        ([FIRST, Node("Add", ("ie", "u"), ("s",)), Node("Relu", ("s",), ("y",))], ("y", "s"), "Relu"),
        ([FIRST, Node("Sub", ("ie", "u"), ("y",))], ("y",), "Sub"),
        (
            [
                FIRST,
                Node("Add", ("ie", "ie"), ("s",)),
                Node("Exp", ("s",), ("t",)),
                Node("Mul", ("t", "u"), ("y",)),
            ],
            ("y",),
            "Mul",
        ),
    ],
    ids=["an output", "a difference", "another function"],
)
def test_other_steps_stay(nodes: list[Node], outputs: tuple[str, ...], kept: str) -> None:
    assert kept in ops(fused(nodes, outputs))


def test_a_sum_that_repeats_a_narrow_value_stays() -> None:
    nodes = [FIRST, Node("Add", ("ie", "u"), ("y",))]
    assert "Add" in ops(fused(nodes, i=(1,)))
    assert "Add" in ops(fused(nodes, u=(1,)))
