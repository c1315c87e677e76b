"""Lookups of an item and a request: the item's parts apart, and lookups of one of them whole."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.split_item_lookups import split_item_lookups

pytestmark = pytest.mark.once

SIDES = Sides(frozenset("u"), frozenset("ij"))
TABLES = {"t": np.arange(10, dtype=F32).reshape(5, 2), "s": np.arange(15, dtype=F32).reshape(5, 3)}
USER, ITEM, OTHER = LookupPart("u", "t", -1, 2), LookupPart("i", "t", -1, 2), LookupPart("j", "s", -1, 3)
NUMBERS = LookupPart.numbers("x", 2)


def lookups(*nodes: Node) -> Graph:
    outputs = tuple(node.outputs[0] for node in nodes)
    return graph_of(nodes, TABLES, outputs, ids="uij", u=(), i=(), j=(), x=(2,))


def rates(graph: Graph, sides: Sides = SIDES) -> list[tuple[str, int]]:
    """The rate of each lookup of the split graph, and how many tables it reads."""
    found = applied(split_item_lookups, graph, sides)
    known = find_rates(found, sides)
    return [
        (known[node.outputs[0]].name, sum(name in TABLES for name in node.inputs)) for node in found.nodes
    ]


def test_neighbouring_parts_of_an_item_are_one_lookup() -> None:
    graph = lookups(make_lookup("pyrec.Lookup", "y", [ITEM, OTHER, USER, NUMBERS, ITEM]))
    assert rates(graph) == [("ITEM", 2), ("ITEM", 1), ("PAIR", 1)]


@pytest.mark.parametrize("activation", ["", "Relu"])
@pytest.mark.parametrize("bias", ["", "x"])
def test_addends_of_an_item_are_one_sum_wherever_they_stand(bias: str, activation: str) -> None:
    total = make_lookup("pyrec.LookupSum", "y", [ITEM, USER, ITEM], bias=bias, activation=activation)
    assert rates(lookups(total)) == [("ITEM", 2), ("PAIR", 1)]


def test_lookups_of_one_rate_stay() -> None:
    items, request = (
        make_lookup("pyrec.Lookup", "y", [ITEM, OTHER]),
        make_lookup("pyrec.Lookup", "z", [USER, USER]),
    )
    graph = lookups(items, request, make_lookup("pyrec.Lookup", "w", [USER, NUMBERS]))
    assert rates(graph) == [("ITEM", 2), ("REQUEST", 2), ("PAIR", 1)]
    mixed = lookups(make_lookup("pyrec.Lookup", "y", [ITEM, USER]))
    assert rates(mixed, Sides(frozenset("u"))) == [("PAIR", 2)]
