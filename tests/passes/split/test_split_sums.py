"""Sums of fields split by rate: the same values, and the heavy work at the earlier rate."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.field_graphs import NAMES, field_graph, field_inputs
from support.graphs import graph_of
from support.random_graphs import equal, evaluate, inputs_of, random_model
from support.split_graphs import FIELD, FIELDS, ONE, ROWS, WITH_ITEMS, WITHOUT, split_fields

from pyrec_infer.ir import Graph, Node, Rate, verify
from pyrec_infer.passes import compile_graph
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.split_pair_dots import split_pair_dots
from pyrec_infer.passes.split.split_sums import split_sums

pytestmark = pytest.mark.once


def work(graph: Graph, sides: Sides) -> dict[Rate, list[str]]:
    """The operators that compute, views and copies apart, by rate."""
    rates = find_rates(graph, sides)
    found: dict[Rate, list[str]] = {}
    for node in graph.nodes:
        if node.op not in ("Reshape", "Concat", "Gather"):
            found.setdefault(rates[node.outputs[0]], []).append(node.op)
    return found


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(1, 5))
def test_graphs_of_fields_keep_their_meaning(random: Random, rows: int) -> None:
    graph = field_graph(random)
    inputs = field_inputs(graph, rows, rows)
    expected = evaluate(graph, inputs, rows)["y"]
    compiled = compile_graph(graph) if random.random() < 0.5 else graph
    given_sides = {name: random.choice(("request", "item", "candidate")) for name in NAMES}
    sides = Sides(
        frozenset(name for name, side in given_sides.items() if side == "request"),
        frozenset(name for name, side in given_sides.items() if side == "item"),
    )
    after = compiled
    for step in (split_sums, split_pair_dots):
        after = step(after, sides)
        verify(after, step.__name__)
        assert equal(evaluate(after, inputs, rows)["y"], expected), step.__name__


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(1, 5))
def test_random_graphs_keep_their_meaning(random: Random, rows: int) -> None:
    graph = random_model(random).graph
    inputs = inputs_of(rows, rows)
    expected = evaluate(graph, inputs, rows)["y"]
    request = frozenset(name for name in graph.inputs if random.random() < 0.5)
    sides = Sides(request, frozenset(graph.inputs) - request if random.random() < 0.5 else frozenset())
    for step in (split_sums, split_pair_dots):
        graph = step(graph, sides)
        verify(graph, step.__name__)
        assert equal(evaluate(graph, inputs, rows)["y"], expected), step.__name__


def _machine(square: str) -> Graph:
    """A factorisation machine of four fields."""
    squares = [Node("Mul", ("e", "e"), ("q",))] if square == "Mul" else [Node("Pow", ("e", "square"), ("q",))]
    total = [Node("Mul", ("s", "s"), ("t",))] if square == "Mul" else [Node("Pow", ("s", "square"), ("t",))]
    nodes = [
        *FIELDS,
        Node("ReduceSum", ("e", "one"), ("s",), {"keepdims": 1}),
        *total,
        *squares,
        Node("ReduceSum", ("q", "one"), ("r",), {"keepdims": 1}),
        Node("Sub", ("t", "r"), ("d",)),
        Node("ReduceSum", ("d", "two"), ("w",), {"keepdims": 0}),
        Node("Mul", ("w", "half"), ("y",)),
    ]
    return graph_of(nodes, FIELD, **ROWS)


@pytest.mark.parametrize("square", ["Mul", "Pow"])
def test_a_machine_is_one_dot_product_and_what_is_known_before(square: str) -> None:
    after = work(split_fields(_machine(square), WITH_ITEMS), WITH_ITEMS)
    assert after[Rate.PAIR] == ["pyrec.PairDots", "Add", "Add"]
    assert after[Rate.REQUEST].count("ReduceSum") == after[Rate.ITEM].count("ReduceSum") == 3


def test_without_items_the_request_of_a_machine_is_summed_once() -> None:
    graph = _machine("Mul")
    rates = find_rates(graph, WITHOUT)
    assert {rates[node.outputs[0]] for node in graph.nodes} == {Rate.PAIR}
    after = work(split_fields(graph, WITHOUT), WITHOUT)
    assert after[Rate.REQUEST].count("ReduceSum") == 3


def test_a_square_that_is_not_summed_stays() -> None:
    nodes = [Node("Add", ("u", "i"), ("s",)), Node("Mul", ("s", "s"), ("t",)), Node("Relu", ("t",), ("y",))]
    graph = graph_of(nodes, ONE, u=(3,), i=(3,))
    assert [node.op for node in split_fields(graph, WITH_ITEMS).nodes] == ["Add", "Mul", "Relu"]


def test_first_order_terms() -> None:
    nodes = [
        Node("Concat", ("u", "i", "v", "j"), ("c",), {"axis": -1}),
        Node("ReduceSum", ("c", "one"), ("s",), {"keepdims": 1}),
        Node("Add", ("s", "half"), ("y",)),
    ]
    after = work(split_fields(graph_of(nodes, ONE, **dict.fromkeys("uivj", (1,))), WITH_ITEMS), WITH_ITEMS)
    assert after[Rate.REQUEST] == ["ReduceSum", "Add"]
    assert after[Rate.ITEM] == ["ReduceSum"]
    assert after[Rate.PAIR] == ["Add"]


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceMin", "ReduceSumSquare"])
def test_other_reductions(op: str) -> None:
    nodes = [*FIELDS, Node("Relu", ("e",), ("f",)), Node(op, ("f", "one"), ("y",), {"keepdims": 0})]
    after = work(split_fields(graph_of(nodes, FIELD, **ROWS), WITH_ITEMS), WITH_ITEMS)
    assert op in after[Rate.PAIR] or "Relu" in after[Rate.REQUEST]
    assert "Relu" not in after[Rate.PAIR]


def test_a_reduction_of_numbers_of_each_field_stays() -> None:
    nodes = [*FIELDS, Node("ReduceSum", ("e", "two"), ("y",), {"keepdims": 0})]
    graph = graph_of(nodes, FIELD, **ROWS)
    assert [node.op for node in split_fields(graph, WITH_ITEMS).nodes] == [node.op for node in graph.nodes]


def test_constants_along_the_fields_are_cut_too() -> None:
    nodes = [
        *FIELDS,
        Node("Mul", ("e", "weights"), ("f",)),
        Node("ReduceSum", ("f", "one"), ("y",), {"keepdims": 0}),
    ]
    graph = graph_of(nodes, {**FIELD, "weights": np.arange(4, dtype=np.float32)[:, None]}, **ROWS)
    assert work(split_fields(graph, WITH_ITEMS), WITH_ITEMS)[Rate.PAIR] == ["Add"]


def test_sums_are_ordered_by_rate() -> None:
    nodes = [
        Node("Add", ("u", "i"), ("a",)),
        Node("Sub", ("a", "v"), ("b",)),
        Node("Mul", ("b", "half"), ("c",)),
        Node("Add", ("c", "j"), ("y",)),
    ]
    after = work(split_fields(graph_of(nodes, ONE, **dict.fromkeys("uivj", (1,))), WITH_ITEMS), WITH_ITEMS)
    assert after[Rate.PAIR] == ["Add"]
    shared = [*nodes[:2], Node("Mul", ("a", "b"), ("y",))]
    graph = graph_of(shared, ONE, **dict.fromkeys("uivj", (1,)))
    assert [node.op for node in split_fields(graph, WITH_ITEMS).nodes] == ["Add", "Sub", "Mul"]


def test_a_sum_that_is_negative_as_a_whole_is_ordered_once() -> None:
    nodes = [
        Node("Exp", ("pair",), ("e",)),
        Node("Add", ("e", "j"), ("a",)),
        Node("Mul", ("a", "minus"), ("y",)),
    ]
    graph = graph_of(
        [Node("Mul", ("u", "i"), ("pair",)), *nodes],
        {"minus": np.float32(-2)},
        **dict.fromkeys("uij", (1,)),
    )
    after = split_fields(graph, WITH_ITEMS)
    assert work(after, WITH_ITEMS) == {Rate.ITEM: ["Mul"], Rate.PAIR: ["Mul", "Exp", "Mul", "Add"]}
    assert {float(value) for value in after.constants.values()} == {-2.0}
