"""Sums that start from their bias, and values that are no bias."""

from __future__ import annotations

import pytest
from support.graphs import ops
from support.split_graphs import (
    ITEMS,
    REQUEST,
    Builder,
    check,
)

from pyrec_infer.ir import Rate
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.merge_sums import merge_sums

pytestmark = pytest.mark.once


def test_a_sum_of_products_is_one_chain_that_ends_with_its_activation() -> None:
    build = Builder()
    deep, wide = build.dense("i", 4, 3), build.dense("p", 2, 3)
    total = build.node("Add", build.node("Add", deep, build.dense("u", 4, 3)), wide)
    graph = build.graph(build.node("Sigmoid", total))
    merged = check(graph, merge_sums(graph, Sides(REQUEST)))
    rates = find_rates(merged, Sides(REQUEST))
    late = [node for node in merged.nodes if rates[node.outputs[0]] == Rate.PAIR]
    assert [node.op for node in late] == ["pyrec.Dense", "pyrec.Dense"]
    assert late[1].inputs[2] == late[0].outputs[0]
    assert late[1].attribute("activation") == "Sigmoid"


def test_what_an_item_adds_is_added_before_the_request_is_known() -> None:
    build = Builder()
    known = build.node("Add", build.dense("i", 4, 4), "i")
    graph = build.graph(build.node("Add", build.node("Add", build.dense("p", 2, 4), "u"), known))
    sides = Sides(REQUEST, ITEMS)
    merged = check(graph, merge_sums(graph, sides))
    rates = find_rates(merged, sides)
    found = sorted(rates[node.outputs[0]].name for node in merged.nodes)
    assert found == ["ITEM", "ITEM", "PAIR", "PAIR", "REQUEST"]


@pytest.mark.parametrize(("late", "width"), [("p", 2), ("i", 4)])
def test_what_is_known_early_is_one_chain_too(late: str, width: int) -> None:
    build = Builder()
    known = build.node("Add", build.dense("u", 4, 3), build.dense("v", 3, 3))
    graph = build.graph(build.node("Add", known, build.dense(late, width, 3)))
    sides = Sides(REQUEST, ITEMS)
    merged = check(graph, merge_sums(graph, sides))
    rates = find_rates(merged, sides)
    early = [node for node in merged.nodes if rates[node.outputs[0]] == Rate.REQUEST]
    assert [node.op for node in early] == ["pyrec.Dense", "pyrec.Dense"]
    assert early[0].inputs[2] in merged.constants
    assert early[1].inputs[2] == early[0].outputs[0]


def test_sums_of_the_request_and_of_an_item_are_a_chain_each() -> None:
    build = Builder()
    sums = [build.node("Add", build.dense("u", 4, 3), build.dense("v", 3, 3))]
    sums.append(build.node("Add", build.dense("i", 4, 3), build.dense("i", 4, 3)))
    graph = build.graph(build.node("Add", build.node("Add", *sums), build.dense("p", 2, 3)))
    sides = Sides(REQUEST, ITEMS)
    merged = check(graph, merge_sums(graph, sides))
    rates = find_rates(merged, sides)
    for rate in (Rate.REQUEST, Rate.ITEM):
        steps = [node.op for node in merged.nodes if rates[node.outputs[0]] == rate]
        assert steps == ["pyrec.Dense", "pyrec.Dense"]
    late = [node.op for node in merged.nodes if rates[node.outputs[0]] == Rate.PAIR]
    assert late == ["Add", "pyrec.Dense"]


def test_a_sum_of_the_request_that_no_other_sum_reads_is_a_chain() -> None:
    build = Builder()
    known = build.node("Tanh", build.node("Add", build.dense("u", 4, 2), build.dense("v", 3, 2)))
    graph = build.graph(build.node("Mul", known, "p"))
    merged = check(graph, merge_sums(graph, Sides(REQUEST)))
    assert ops(merged) == ["pyrec.Dense", "pyrec.Dense", "Mul"]
    assert merged.nodes[1].attribute("activation") == "Tanh"


def test_an_early_product_that_others_read_too_is_added_as_it_is() -> None:
    build = Builder()
    shared = build.dense("u", 4, 3)
    known = build.node("Add", shared, build.dense("v", 3, 3))
    total = build.node("Add", known, build.dense("p", 2, 3))
    graph = build.graph(total, build.node("Tanh", shared))
    merged = check(graph, merge_sums(graph, Sides(REQUEST)))
    assert merged.producers[shared] == graph.producers[shared]
    assert ops(merged).count("pyrec.Dense") == 3


def test_an_early_layer_with_an_activation_is_no_addend_of_its_sum() -> None:
    build = Builder()
    known = [build.dense("u", 4, 3, "Relu"), build.dense("v", 3, 3)]
    graph = build.graph(build.node("Add", build.node("Add", *known), build.dense("p", 2, 3)))
    merged = check(graph, merge_sums(graph, Sides(REQUEST)))
    assert merged.producers[known[0]] == graph.producers[known[0]]


def test_a_layer_of_the_request_stays_as_it_is_where_nothing_is_added() -> None:
    build = Builder()
    hidden = build.node("pyrec.Dense", "v", build.numbers(3, 4), "u")
    graph = build.graph(build.node("Mul", hidden, "i"))
    assert merge_sums(graph, Sides(REQUEST)).nodes == graph.nodes


def test_a_product_that_others_read_too_keeps_a_step_of_its_own() -> None:
    build = Builder()
    hidden = build.dense("i", 4, 3)
    graph = build.graph(build.node("Add", hidden, build.node("Tanh", hidden)))
    assert merge_sums(graph, Sides(REQUEST)).nodes == graph.nodes


def test_a_value_that_is_repeated_along_an_axis_is_not_a_bias() -> None:
    build = Builder()
    narrow = build.dense("p", 2, 1)
    graph = build.graph(build.node("Add", build.dense("i", 4, 3), narrow))
    assert "Add" in ops(check(graph, merge_sums(graph, Sides(REQUEST))))


def test_a_layer_that_is_added_to_itself_is_made_once() -> None:
    build = Builder()
    once = build.dense("i", 4, 3)
    graph = build.graph(build.node("Relu", build.node("Add", once, once)))
    merged = check(graph, merge_sums(graph, Sides(REQUEST)))
    assert ops(merged).count("pyrec.Dense") == 1
