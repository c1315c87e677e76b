"""Layers behind a gate and in front of one column, turned so that the gate's product is known earlier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from support.split_graphs import REQUEST, WITH_ITEMS, WITHOUT, Builder, check

from pyrec_infer.ir import Graph, Rate
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.split_products import split_products
from pyrec_infer.passes.split.turn_products import turn_products

pytestmark = pytest.mark.once

WIDTH = 15  # of u, v, i and i again


def crossed(new: Builder, layers: int) -> tuple[str, str]:
    """The numbers of both sides, and cross layers over them."""
    first = new.node("Concat", "u", "v", "i", new.node("Neg", "i"), axis=1)
    made = first
    for _ in range(layers):
        made = new.node("Add", new.node("Mul", first, new.dense(made, WIDTH, WIDTH)), made)
    return first, made


def cross_network(layers: int, activation: str = "Sigmoid") -> Graph:
    new = Builder()
    first, made = crossed(new, layers)
    deep = new.dense(new.dense(first, WIDTH, 6, "Relu"), 6, 5, "Relu")
    both = new.node("Concat", made, deep, axis=1)
    return new.graph(new.dense(both, WIDTH + 5, 1, activation))


def layers_of(graph: Graph, sides: Sides = WITH_ITEMS) -> list[int]:
    """Multiplications of the layers that run for each pair, most first."""
    rates = find_rates(graph, sides)
    pair = [node for node in graph.nodes if node.op == "pyrec.Dense" and rates[node.outputs[0]] == Rate.PAIR]
    return sorted((graph.constants[node.inputs[1]].size for node in pair), reverse=True)


@pytest.mark.parametrize("activation", ["", "Sigmoid"])
def test_the_last_cross_layer_is_a_product_of_the_sides(activation: str) -> None:
    graph = cross_network(3, activation)
    after = check(graph, turn_products(graph, WITH_ITEMS))
    before, left = (layers_of(split_products(each, WITH_ITEMS)) for each in (graph, after))
    assert before[:3] == [WIDTH * WIDTH, WIDTH * WIDTH, 30]
    assert left[:2] == [WIDTH * WIDTH, 30]
    assert after.nodes[-1].op == "pyrec.Dense"
    assert after.nodes[-1].attribute("activation", "") == activation


def test_without_items_the_candidates_part_is_left() -> None:
    graph = cross_network(2)
    after = check(graph, turn_products(graph, WITHOUT))
    before, left = (layers_of(split_products(each, WITHOUT), WITHOUT) for each in (graph, after))
    assert before[0] == WIDTH * WIDTH
    assert left[0] == 8 * WIDTH  # of the 15 numbers 8 are the candidate's


def test_a_gate_of_the_request_leaves_no_layer() -> None:
    new = Builder()
    gate = new.node("Sigmoid", new.dense("u", 4, 6))
    hidden = new.dense(new.node("Concat", "u", "p", "i", axis=1), 10, 8, "Relu")
    graph = new.graph(new.dense(new.node("Mul", new.dense(hidden, 8, 6), gate), 6, 1))
    after = check(graph, turn_products(graph, WITH_ITEMS))
    assert [layers_of(each) for each in (graph, after)] == [[80, 48, 6], [80, 8]]


def _one_layer(new: Builder) -> str:
    return new.dense(crossed(new, 1)[1], WIDTH, 1)


def _columns(new: Builder) -> str:
    return new.dense(crossed(new, 2)[1], WIDTH, 2)


def _late_gate(new: Builder) -> str:
    late = new.dense("p", 2, WIDTH)
    return new.dense(new.node("Mul", late, new.dense(new.dense("p", 2, WIDTH), WIDTH, WIDTH)), WIDTH, 1)


def _bent(new: Builder) -> str:
    first, made = crossed(new, 1)
    bent = new.dense(made, WIDTH, WIDTH, "Relu")
    return new.dense(new.node("Mul", first, bent), WIDTH, 1)


@pytest.mark.parametrize("make", [_one_layer, _columns, _late_gate, _bent])
def test_others_stay(make: Callable[[Builder], str]) -> None:
    """Where nothing is saved, or a column, an activation or a late gate stands between."""
    new = Builder()
    graph = new.graph(make(new))
    assert turn_products(graph, WITH_ITEMS) is graph


def test_what_others_read_stays() -> None:
    new = Builder()
    made = crossed(new, 2)[1]
    graph = new.graph(new.dense(made, WIDTH, 1), made)
    assert turn_products(graph, WITH_ITEMS) is graph
    alone = cross_network(2)
    assert turn_products(alone, Sides(frozenset())) is alone
    assert turn_products(alone, Sides(REQUEST)) is not alone


def test_products_beyond_float32_stay() -> None:
    new = Builder()
    first, made = crossed(new, 1)
    layer = new.node("pyrec.Dense", made, new.constant(np.full((WIDTH, WIDTH), 1e30, np.float32)))
    crossing = new.node("Mul", first, layer)
    last = new.constant(np.full((WIDTH, 1), 1e10, np.float32))
    graph = new.graph(new.node("pyrec.Dense", crossing, last))
    assert turn_products(graph, WITH_ITEMS) is graph
