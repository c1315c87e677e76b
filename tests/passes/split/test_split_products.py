"""Layers over values of several rates: what moves to an earlier rate, and what must not."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import ops
from support.random_graphs import split_graph
from support.split_graphs import (
    ITEMS,
    LENGTH,
    REQUEST,
    Builder,
    attention,
    check,
    multiplications,
)

from pyrec_infer.ir import Rate
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.split_products import split_products

pytestmark = pytest.mark.once


@pytest.mark.parametrize("items", [frozenset(), ITEMS])
def test_a_layer_over_a_concatenation_is_split_by_rate(items: frozenset[str]) -> None:
    build = Builder()
    joined = build.node("Concat", "u", "i", "p", "v", axis=-1)
    graph = build.graph(build.dense(joined, 13, 8, "Relu"))
    sides = Sides(REQUEST, items)
    work = multiplications(check(graph, split_products(graph, sides)), sides)
    assert work == {"REQUEST": 7 * 8, "ITEM": 4 * 8 if items else 0, "PAIR": 2 * 8 if items else 6 * 8}


def test_a_layer_of_one_rate_stays_whole() -> None:
    build = Builder()
    graph = build.graph(build.dense(build.node("Concat", "i", "p", axis=-1), 6, 3))
    assert split_products(graph, Sides(REQUEST)).nodes == graph.nodes


def test_a_function_that_is_not_linear_is_not_looked_through() -> None:
    build = Builder()
    squashed = build.node("Tanh", build.node("Concat", "u", "i", axis=-1))
    graph = build.graph(build.dense(squashed, 8, 3))
    assert split_products(graph, Sides(REQUEST)).nodes == graph.nodes


def test_a_layer_that_would_cost_more_when_split_stays_whole() -> None:
    build = Builder()
    joined = build.node("Concat", "u", "i", axis=-1)
    crossed = build.node("Add", build.node("Mul", joined, build.node("Tanh", joined)), joined)
    graph = build.graph(build.dense(crossed, 8, 3))
    assert split_products(graph, Sides(REQUEST)).nodes == graph.nodes


def test_scalers_sums_and_selections_are_looked_through() -> None:
    build = Builder()
    joined = build.node("Concat", "u", "i", axis=-1)
    scaled = build.node("Mul", build.node("Sub", joined, build.numbers(8)), build.numbers(8))
    halved = build.node("Div", build.node("Neg", scaled), build.constant(np.asarray([[2.0]], np.float32)))
    chosen = build.node("Gather", halved, build.integers(7, 0, 0, 5), axis=1)
    graph = build.graph(build.dense(chosen, 4, 3))
    sides = Sides(REQUEST)
    assert multiplications(check(graph, split_products(graph, sides)), sides)["PAIR"] == 4 * 3


def test_attention_becomes_one_product_with_a_matrix_of_the_request() -> None:
    build = Builder()
    graph = build.graph(attention(build))
    sides = Sides(REQUEST)
    split = check(graph, split_graph(graph, REQUEST))
    work = multiplications(split, sides)
    assert work == {"REQUEST": LENGTH * 4 * 6, "ITEM": 0, "PAIR": LENGTH * 4 * 6}
    assert "Expand" not in ops(split)
    assert find_rates(split, sides)[
        next(node for node in split.nodes if node.op == "pyrec.Pack").inputs[0]
    ] == (Rate.REQUEST)


def test_attention_on_the_candidates_side_stays_as_it_is() -> None:
    build = Builder()
    graph = build.graph(attention(build))
    assert "pyrec.Pack" not in ops(check(graph, split_graph(graph, frozenset({"i"}))))
    assert "pyrec.Pack" not in ops(check(graph, split_graph(graph, frozenset())))


def test_a_difference_alone_is_split_without_the_scaled_product() -> None:
    build = Builder()
    query = build.node(
        "Expand", build.node("Unsqueeze", "i", build.integers(1)), build.integers(1, LENGTH, 1)
    )
    joined = build.node("Concat", query, "k", build.node("Sub", query, "k"), axis=-1)
    graph = build.graph(build.dense(joined, 12, 6, "Relu"))
    sides = Sides(REQUEST)
    assert multiplications(check(graph, split_products(graph, sides)), sides)["PAIR"] == 4 * 6
