"""Lookups of joined ids of several rates, with all that leads to them, and ids that are told at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of, ops

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.split_lookups import split_lookups

pytestmark = pytest.mark.once

SIDES = Sides(frozenset("u"))
CONSTANTS: dict[str, Any] = {
    "table": np.arange(40, dtype=F32).reshape(20, 2),
    "fields": np.asarray([0, 5, 10]),
    "all": np.asarray(5),
    "columns": np.asarray([[0], [5]]),
    "half": np.asarray([0.5, 1, 2, 0.25], F32),
}
JOINED = Node("Concat", ("u", "i"), ("ids",), {"axis": 1})


def split(nodes: list[Node], outputs: tuple[str, ...] = ("y",), sides: Sides = SIDES, **sizes: Any) -> Graph:
    given = {"u": (1,), "i": (2,), **sizes}
    return applied(split_lookups, graph_of(nodes, CONSTANTS, outputs, ids="ui", **given), sides)


@pytest.mark.parametrize("shift", ["fields", "all"])
@pytest.mark.parametrize("order", [("ids", 0), ("ids", 1)])
def test_a_table_is_read_for_each_rate(shift: str, order: tuple[str, int]) -> None:
    operands = (order[0], shift) if order[1] == 0 else (shift, order[0])
    nodes = [
        JOINED,
        Node("Add", operands, ("moved",)),
        Node("Cast", ("moved",), ("narrow",), {"to": "int32"}),
        Node("Gather", ("table", "narrow"), ("y",), {"axis": 0}),
    ]
    found = split(nodes)
    rates = find_rates(found, SIDES)
    assert [rates[node.outputs[0]] for node in found.nodes if node.op == "Gather"] == [
        Rate.REQUEST,
        Rate.PAIR,
    ]
    assert ops(found)[-1] == "Concat"


def test_ids_that_are_joined_along_an_axis_behind_the_last() -> None:
    nodes = [
        Node("Concat", ("u", "i"), ("ids",), {"axis": 1}),
        Node("Add", ("ids", "columns"), ("moved",)),
        Node("Gather", ("table", "moved"), ("y",)),
    ]
    assert ops(split(nodes, u=(1, 3), i=(1, 3))).count("Gather") == 2


@pytest.mark.parametrize(
    "nodes",
    [
        [JOINED, Node("Gather", ("x", "ids"), ("y",), {"axis": 0})],
        [JOINED, Node("Cast", ("ids",), ("f",), {"to": "float32"}), Node("Mul", ("f", "half"), ("y",))],
        [
            Node("Cast", ("u",), ("f",), {"to": "float32"}),
            Node("Concat", ("f", "x"), ("joined",), {"axis": 1}),
            Node("Mul", ("joined", "half"), ("y",)),
        ],
        [JOINED, Node("Mul", ("ids", "ids"), ("y",))],
        [Node("Concat", ("i", "i"), ("ids",), {"axis": 1}), Node("Gather", ("table", "ids"), ("y",))],
        [Node("Concat", ("u", "i"), ("ids",), {"axis": 0}), Node("Gather", ("table", "ids"), ("y",))],
    ],
    ids=["no constant table", "a cast", "no whole numbers", "no constant", "one rate", "along the rows"],
)
def test_other_reads_stay(nodes: list[Node]) -> None:
    graph = graph_of(nodes, CONSTANTS, ids="ui", u=(2,), i=(2,), x=(2,))
    assert split_lookups(graph, SIDES) is graph
