"""When each value of a graph is known, by the sides of its inputs."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, I64, N, graph_of

from pyrec_infer.ir import Dim, Graph, Info, Node, Rate
from pyrec_infer.passes.common.sides import Sides, find_rates

pytestmark = pytest.mark.once

NODES = [
    Node("Add", ("u", "k"), ("a",)),
    Node("Add", ("i", "k"), ("b",)),
    Node("Add", ("a", "b"), ("c",)),
    Node("Add", ("x", "k"), ("d",)),
    Node("Exp", ("k",), ("e",)),
]


def rates(sides: Sides) -> list[str]:
    graph = graph_of(NODES, {"k": F32.type(2)}, outputs=tuple("abcde"), u=(4,), i=(4,), x=(4,))
    found = find_rates(graph, sides)
    return [found[name].name for name in "abcde"]


def test_values_are_known_when_all_that_they_are_made_of_is() -> None:
    assert rates(Sides(frozenset("u"), frozenset("i"))) == ["REQUEST", "ITEM", "PAIR", "PAIR", "MODEL"]
    assert rates(Sides(frozenset("u"))) == ["REQUEST", "PAIR", "PAIR", "PAIR", "MODEL"]
    assert rates(Sides()) == ["PAIR", "PAIR", "PAIR", "PAIR", "MODEL"]


def test_inputs_without_rows_belong_to_the_request_unless_they_are_an_items() -> None:
    infos = {"list": Info(I64, (Dim.symbol("L"),)), "x": Info(I64, (N,), 0)}
    graph = Graph(("list", "x"), ("y",), (Node("Gather", ("list", "x"), ("y",)),), {}, infos)
    assert find_rates(graph, Sides())["list"] is Rate.REQUEST
    assert find_rates(graph, Sides(items=frozenset(("list", "x"))))["list"] is Rate.ITEM


def _running_total(static_rows: bool) -> Graph:
    info = Info(F32, (1, 3) if static_rows else (N, 3), 0)
    nodes = (Node("CumSum", ("u", "rows"), ("total",)), Node("Neg", ("total",), ("y",)))
    return Graph(("u",), ("y",), nodes, {"rows": np.asarray(0)}, {"u": info}, static_rows=static_rows)


def test_coupled_rows_wait_for_all_of_them() -> None:
    assert find_rates(_running_total(False), Sides(frozenset("u")))["y"] is Rate.PAIR


def test_rows_that_run_one_by_one_are_never_coupled() -> None:
    assert find_rates(_running_total(True), Sides(frozenset("u")))["y"] is Rate.REQUEST
