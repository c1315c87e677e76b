"""Rules that are applied until none fits, to nodes with one output or several, and what sites know."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, XZ, N, alike, graph_of, ops

from pyrec_infer.ir import Dim, Graph, Info, Node, Rate
from pyrec_infer.passes.common.rules import Rules, Site, apply_rules, for_ops, joined, whole_axis
from pyrec_infer.passes.common.sides import Sides

pytestmark = pytest.mark.once


def as_sums(node: Node, site: Site) -> str | None:
    """``2 x`` is ``x + x``."""
    factor = site.known(node.inputs[1])
    return site.node("Add", *(node.inputs[0],) * 2) if factor is not None and np.all(factor == 2) else None


def without_negations(node: Node, site: Site) -> str | None:
    source = site.source(node.inputs[0], "Neg")
    return None if source is None else source.inputs[0]


RULES: Rules = joined({"Mul": (as_sums,)}, for_ops(("Neg", "Abs"), without_negations))
CONSTANTS = {"two": F32.type(2), "three": F32.type(3), "sizes": np.asarray([1, 3])}


def test_rules_are_applied_to_what_rules_have_made() -> None:
    nodes = [
        Node("Neg", ("x",), ("a",)),
        Node("Neg", ("a",), ("b",)),
        Node("Mul", ("b", "two"), ("c",)),
        Node("Mul", ("c", "three"), ("y",)),
    ]
    graph = graph_of(nodes, CONSTANTS, x=(4,))
    found = alike(graph, apply_rules(graph, RULES))
    assert [(node.op, node.inputs) for node in found.nodes] == [("Add", ("x", "x")), ("Mul", ("c", "three"))]


def test_a_graph_that_no_rule_fits_is_itself() -> None:
    graph = graph_of([Node("Mul", ("x", "three"), ("y",))], CONSTANTS, x=(4,))
    assert apply_rules(graph, RULES) is graph


def test_a_result_that_is_an_output_keeps_its_name() -> None:
    nodes = [Node("Neg", ("x",), ("a",)), Node("Neg", ("a",), ("y",)), Node("Mul", ("a", "two"), ("z2",))]
    graph = graph_of(nodes, CONSTANTS, ("y", "a", "z2"), x=(4,))
    found = alike(graph, apply_rules(graph, RULES))
    assert sorted(ops(found)) == ["Add", "Identity", "Neg"]


def test_rules_may_stand_for_several_outputs() -> None:
    def split(node: Node, site: Site) -> tuple[str, ...]:
        return (site.slice(node.inputs[0], 1, 0, 1), site.slice(node.inputs[0], 1, 1, 4))

    nodes = [Node("Split", ("x", "sizes"), ("a", "b"), {"axis": 1}), Node("Mul", ("a", "b"), ("y",))]
    graph = graph_of(nodes, CONSTANTS, ("y", "b"), x=(4,))
    assert ops(alike(graph, apply_rules(graph, {"Split": (split,)}))) == ["Slice", "Slice", "Mul"]


@pytest.mark.once
def test_rules_that_never_end_are_stopped() -> None:
    applications = []

    def again(node: Node, site: Site) -> str:
        applications.append(node)
        return site.node("Neg", node.inputs[0])

    graph = graph_of([Node("Neg", ("x",), ("y",))], x=(4,))
    assert ops(alike(graph, apply_rules(graph, {"Neg": (again,)}))) == ["Neg"]
    assert 100 < len(applications) < 10_000


def test_a_site_knows_values_readers_and_rates() -> None:
    nodes = [Node("Neg", ("x",), ("a",)), Node("Add", ("a", "z"), ("y",)), Node("Abs", ("z",), ("w",))]
    graph = graph_of(nodes, CONSTANTS, ("y", "w"), **XZ)
    site = Site(graph, Sides(frozenset("x")))
    assert (site.rate("a"), site.rate("y"), site.rate("two")) == (Rate.REQUEST, Rate.PAIR, Rate.MODEL)
    assert (site.alone("a"), site.alone("z"), site.alone("y")) == (True, False, False)
    assert (site.known("two"), site.known("x")) == (2, None)
    assert site.sizes("x") == (4,)
    assert site.rate(site.node("Exp", "a")) == Rate.REQUEST
    assert site.rate(site.node("Add", "a", "z")) == Rate.PAIR


def test_reshapes_that_a_run_could_not_tell_are_refused() -> None:
    length, other = Dim.symbol("L"), Dim.symbol("unbound")
    graph = Graph(("x",), ("x",), (), {}, {"x": Info(F32, (N, length, 4), 0)})
    site = Site(graph)
    assert site.reshape("x", (N, length, 4)) == "x"
    assert site.shape(site.reshape("x", (N, length, 2, 2)) or "") == (N, length, 2, 2)
    assert site.reshape("x", (N, other, 4)) is None
    assert site.reshape("x", (N, 0)) is None


def test_ranges_that_take_all_of_an_axis() -> None:
    assert whole_axis(4, 0, 4)
    assert not whole_axis(4, 0, 3)
    assert not whole_axis(4, 1, 4)
    assert whole_axis(N, 0, 2**31 - 1)
    assert not whole_axis(N, 0, 4)
