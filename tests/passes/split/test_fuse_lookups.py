"""Lookups that are read into one matrix or sum, and reads that are none."""

from __future__ import annotations

import pytest
from support.graphs import ops
from support.random_graphs import split_graph
from support.split_graphs import (
    REQUEST,
    Builder,
    check,
)

from pyrec_infer.ir import Rate
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.fuse_lookups import fuse_lookups

pytestmark = pytest.mark.once


def test_lookups_are_read_into_one_matrix() -> None:
    build = Builder()
    parts = [build.lookup("item_ids", column, 2 + column) for column in range(3)]
    graph = build.graph(build.node("Concat", *parts, "p", axis=1))
    fused = check(graph, split_graph(graph, REQUEST))
    assert ops(fused) == ["pyrec.Lookup"]
    assert fused.nodes[0].attributes["columns"] == (0, 1, 2, -1)


def test_lookups_of_the_request_are_read_once_for_it() -> None:
    build = Builder()
    parts = [build.lookup("user_ids", 0, 2), build.lookup("user_ids", 1, 3), build.lookup("item_ids", 1, 4)]
    graph = build.graph(build.node("Concat", *parts, axis=1))
    fused = check(graph, fuse_lookups(graph, Sides(REQUEST)))
    rates = find_rates(fused, Sides(REQUEST))
    found = [rates[node.outputs[0]] for node in fused.nodes if node.op == "pyrec.Lookup"]
    assert found == [Rate.REQUEST, Rate.PAIR]


def test_a_stack_of_lookups_keeps_its_shape() -> None:
    build = Builder()
    one = build.integers(1)
    stacked = [build.node("Unsqueeze", build.lookup("item_ids", column, 4), one) for column in range(3)]
    graph = build.graph(build.node("Concat", *stacked, axis=1))
    assert "pyrec.Lookup" in ops(check(graph, split_graph(graph, REQUEST)))


def test_a_sum_of_lookups_needs_no_matrix() -> None:
    build = Builder()
    parts = [build.lookup("item_ids", column, 1) for column in range(3)]
    joined = build.node("Concat", *parts, axis=1)
    graph = build.graph(build.node("ReduceSum", joined, build.integers(1), keepdims=1))
    assert ops(check(graph, split_graph(graph, REQUEST))) == ["pyrec.LookupSum"]


def test_a_sum_along_a_row_is_not_a_sum_of_lookups() -> None:
    build = Builder()
    parts = [build.lookup("item_ids", column, 4) for column in range(3)]
    joined = build.node("Concat", *parts, axis=1)
    graph = build.graph(build.node("ReduceSum", joined, build.integers(1), keepdims=1))
    assert "pyrec.LookupSum" not in ops(check(graph, split_graph(graph, REQUEST)))


def test_a_table_that_is_not_constant_is_left_alone() -> None:
    build = Builder()
    picked = build.node("Gather", "k", build.integers(0, 2), axis=1)
    flat = build.node("Reshape", picked, build.integers(0, 8))
    graph = build.graph(build.node("Concat", flat, "p", axis=1))
    assert "pyrec.Lookup" not in ops(check(graph, fuse_lookups(graph, Sides(REQUEST))))
