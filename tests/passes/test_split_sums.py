"""Sums and dot products of fields split by rate: the same values, and the heavy work at the earlier rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.field_graphs import NAMES, field_graph, field_inputs
from support.random_graphs import equal, evaluate, inputs_of, random_model

from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Rate, verify
from pyrec_infer.passes import compile_graph
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.common.rules import Site
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.rate_groups import position_rates, restricted
from pyrec_infer.passes.split.split_pair_dots import split_pair_dots
from pyrec_infer.passes.split.split_sums import split_sums

pytestmark = pytest.mark.once

N = Dim.symbol(BATCH)
F32 = np.dtype(np.float32)
WITH_ITEMS = Sides(frozenset("uv"), frozenset("ij"))
WITHOUT = Sides(frozenset("uv"))


def graph_of(
    nodes: Sequence[Node], constants: Mapping[str, Any] | None = None, **sizes: tuple[int, ...]
) -> Graph:
    """A graph of float32 inputs with the given sizes after the rows, and the output ``y``."""
    infos = {name: Info(F32, (N, *size), 0) for name, size in sizes.items()}
    stored = {name: np.asarray(value) for name, value in (constants or {}).items()}
    graph = Graph(tuple(sizes), ("y",), tuple(nodes), stored, infos)
    verify(graph, "the test")
    return graph


def split(graph: Graph, sides: Sides) -> Graph:
    """The graph after both passes, once it is known to mean the same."""
    after = graph
    for step in (split_sums, split_pair_dots):
        after = remove_dead(step(after, sides))
        verify(after, step.__name__)
    inputs = field_inputs(graph, 6)
    assert equal(evaluate(after, inputs, 6)["y"], evaluate(graph, inputs, 6)["y"])
    return after


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


ONE = {"one": np.asarray([1]), "two": np.asarray([2]), "half": F32.type(0.5), "square": F32.type(2)}
FIELDS = [Node("Concat", ("u", "i", "v", "j"), ("c",), {"axis": 1}), Node("Reshape", ("c", "fields"), ("e",))]
FIELD = {**ONE, "fields": np.asarray([-1, 4, 3])}
ROWS = dict.fromkeys("uivj", (3,))


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
    after = work(split(_machine(square), WITH_ITEMS), WITH_ITEMS)
    assert after[Rate.PAIR] == ["pyrec.PairDots", "Add", "Add"]
    assert after[Rate.REQUEST].count("ReduceSum") == after[Rate.ITEM].count("ReduceSum") == 3


def test_without_items_the_request_of_a_machine_is_summed_once() -> None:
    graph = _machine("Mul")
    rates = find_rates(graph, WITHOUT)
    assert {rates[node.outputs[0]] for node in graph.nodes} == {Rate.PAIR}
    after = work(split(graph, WITHOUT), WITHOUT)
    assert after[Rate.REQUEST].count("ReduceSum") == 3


def test_a_square_that_is_not_summed_stays() -> None:
    nodes = [Node("Add", ("u", "i"), ("s",)), Node("Mul", ("s", "s"), ("t",)), Node("Relu", ("t",), ("y",))]
    graph = graph_of(nodes, ONE, u=(3,), i=(3,))
    assert [node.op for node in split(graph, WITH_ITEMS).nodes] == ["Add", "Mul", "Relu"]


def test_first_order_terms() -> None:
    nodes = [
        Node("Concat", ("u", "i", "v", "j"), ("c",), {"axis": -1}),
        Node("ReduceSum", ("c", "one"), ("s",), {"keepdims": 1}),
        Node("Add", ("s", "half"), ("y",)),
    ]
    after = work(split(graph_of(nodes, ONE, **dict.fromkeys("uivj", (1,))), WITH_ITEMS), WITH_ITEMS)
    assert after[Rate.REQUEST] == ["ReduceSum", "Add"]
    assert after[Rate.ITEM] == ["ReduceSum"]
    assert after[Rate.PAIR] == ["Add"]


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceMin", "ReduceSumSquare"])
def test_other_reductions(op: str) -> None:
    nodes = [*FIELDS, Node("Relu", ("e",), ("f",)), Node(op, ("f", "one"), ("y",), {"keepdims": 0})]
    after = work(split(graph_of(nodes, FIELD, **ROWS), WITH_ITEMS), WITH_ITEMS)
    assert op in after[Rate.PAIR] or "Relu" in after[Rate.REQUEST]
    assert "Relu" not in after[Rate.PAIR]


def test_a_reduction_of_numbers_of_each_field_stays() -> None:
    nodes = [*FIELDS, Node("ReduceSum", ("e", "two"), ("y",), {"keepdims": 0})]
    graph = graph_of(nodes, FIELD, **ROWS)
    assert [node.op for node in split(graph, WITH_ITEMS).nodes] == [node.op for node in graph.nodes]


def test_constants_along_the_fields_are_cut_too() -> None:
    nodes = [
        *FIELDS,
        Node("Mul", ("e", "weights"), ("f",)),
        Node("ReduceSum", ("f", "one"), ("y",), {"keepdims": 0}),
    ]
    graph = graph_of(nodes, {**FIELD, "weights": np.arange(4, dtype=np.float32)[:, None]}, **ROWS)
    assert work(split(graph, WITH_ITEMS), WITH_ITEMS)[Rate.PAIR] == ["Add"]


def test_sums_are_ordered_by_rate() -> None:
    nodes = [
        Node("Add", ("u", "i"), ("a",)),
        Node("Sub", ("a", "v"), ("b",)),
        Node("Mul", ("b", "half"), ("c",)),
        Node("Add", ("c", "j"), ("y",)),
    ]
    after = work(split(graph_of(nodes, ONE, **dict.fromkeys("uivj", (1,))), WITH_ITEMS), WITH_ITEMS)
    assert after[Rate.PAIR] == ["Add"]
    shared = [*nodes[:2], Node("Mul", ("a", "b"), ("y",))]
    graph = graph_of(shared, ONE, **dict.fromkeys("uivj", (1,)))
    assert [node.op for node in split(graph, WITH_ITEMS).nodes] == ["Add", "Sub", "Mul"]


def _dots(left: Sequence[int], right: Sequence[int]) -> Graph:
    nodes = [*FIELDS, Node("pyrec.PairDots", ("e", "e", "left", "right"), ("y",))]
    return graph_of(nodes, {**FIELD, "left": np.asarray(left), "right": np.asarray(right)}, **ROWS)


def test_pair_dots_by_rate() -> None:
    after = split(_dots(*np.triu_indices(4, 1)), WITH_ITEMS)
    rates = find_rates(after, WITH_ITEMS)
    made = {rates[node.outputs[0]]: node for node in after.nodes if node.op == "pyrec.PairDots"}
    counts = {rate: after.constants[node.inputs[2]].size for rate, node in made.items()}
    assert counts == {Rate.REQUEST: 1, Rate.ITEM: 1, Rate.PAIR: 4}
    assert after.nodes[-1].op == "Gather"
    assert {rates[name] for name in made[Rate.PAIR].inputs[:2]} == {Rate.REQUEST, Rate.ITEM}


def test_the_order_of_a_pair_does_not_matter() -> None:
    after = split(_dots([0, 1, 3, 2], [1, 0, 2, 3]), WITHOUT)
    assert sum(node.op == "pyrec.PairDots" for node in after.nodes) == 1


def test_dots_of_one_rate_stay() -> None:
    graph = _dots([0, 1], [1, 2])
    assert split_pair_dots(graph, Sides(frozenset("uivj"))) is graph
    assert split_pair_dots(graph, Sides(frozenset())) is graph


def test_restriction_to_positions() -> None:
    graph = graph_of([*FIELDS, Node("Relu", ("e",), ("y",))], FIELD, **ROWS)
    site = Site(graph, WITH_ITEMS)
    site.producers.update(graph.producers)
    rates = position_rates("y", 1, site)
    assert rates == [Rate.REQUEST, Rate.ITEM, Rate.REQUEST, Rate.ITEM]
    chosen = restricted("y", 1, [0, 2], site)
    assert chosen is not None
    assert site.rate(chosen) == Rate.REQUEST
    assert site.shape(chosen) == (N, 2, 3)
    assert position_rates("y", 0, site) == []
