"""Passes for one split of the inputs: what moves to an earlier rate, what must not, and equal results."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.random_graphs import equal, evaluate, inputs_of, random_model, split_graph

from pyrec_infer.cost import node_flops
from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Rate, verify
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes import compile_graph
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.fold_tables import fold_tables
from pyrec_infer.passes.split.fuse_lookups import fuse_lookups
from pyrec_infer.passes.split.merge_sums import merge_sums
from pyrec_infer.passes.split.pack_matrices import pack_matrices
from pyrec_infer.passes.split.split_products import split_products

pytestmark = pytest.mark.once

Array = NDArray[Any]
N = Dim.symbol(BATCH)
F32, I64 = np.dtype(np.float32), np.dtype(np.int64)
LENGTH, TABLE_ROWS = 5, 7

INFOS = {
    "u": Info(F32, (N, 4), 0),
    "v": Info(F32, (N, 3), 0),
    "i": Info(F32, (N, 4), 0),
    "p": Info(F32, (N, 2), 0),
    "k": Info(F32, (N, LENGTH, 4), 0),
    "user_ids": Info(I64, (N, 2), 0),
    "item_ids": Info(I64, (N, 3), 0),
}
REQUEST = frozenset({"u", "v", "k", "user_ids"})
ITEMS = frozenset({"i", "item_ids"})


def inputs(rows: int, seed: int = 0) -> dict[str, Array]:
    """Random inputs; those of the request are one row repeated."""
    generator = np.random.default_rng(seed)
    made: dict[str, Array] = {}
    for name, info in INFOS.items():
        sizes = [int(size) for size in (info.shape or ())[1:] if isinstance(size, int)]
        shape = (1 if name in REQUEST else rows, *sizes)
        numbers = generator.integers(0, TABLE_ROWS, shape)
        values = numbers if info.dtype == I64 else generator.integers(-8, 9, shape).astype(np.float32) / 4
        made[name] = np.repeat(values, rows, axis=0) if name in REQUEST else values
    return made


class Builder:
    """Writes a graph over the inputs above."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.generator = np.random.default_rng(seed)

    def node(self, op: str, *names: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(Node(op, names, (name,), attributes))
        return name

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def numbers(self, *shape: int) -> str:
        return self.constant(self.generator.integers(-4, 5, shape).astype(np.float32) / 4)

    def integers(self, *values: int) -> str:
        return self.constant(np.asarray(values, np.int64))

    def dense(self, x: str, inner: int, width: int, activation: str = "") -> str:
        attributes = {"activation": activation} if activation else {}
        return self.node("pyrec.Dense", x, self.numbers(inner, width), self.numbers(width), **attributes)

    def lookup(self, ids: str, column: int, width: int) -> str:
        picked = self.node("Gather", ids, self.constant(np.asarray(column)), axis=1)
        return self.node("Gather", self.numbers(TABLE_ROWS, width), picked, axis=0)

    def graph(self, *outputs: str) -> Graph:
        used = {name for node in self.nodes for name in node.inputs} | set(outputs)
        names = tuple(name for name in INFOS if name in used)
        graph = Graph(names, outputs, tuple(self.nodes), self.constants, INFOS)
        verify(graph, "the test")
        return graph


def check(graph: Graph, after: Graph, rows: int = 6) -> Graph:
    """The graph after a pass, once it is known to mean the same."""
    verify(after, "the pass")
    values = inputs(rows)
    expected, made = evaluate(graph, values, rows), evaluate(after, values, rows)
    for name, value in expected.items():
        assert equal(made[name], value), name
    assert not analyze(after).coupled
    return after


def multiplications(graph: Graph, sides: Sides) -> dict[str, int]:
    """Multiplications of dense layers at each rate, for one row."""
    infos, rates = analyze(graph).infos, find_rates(graph, sides)
    found = dict.fromkeys(("REQUEST", "ITEM", "PAIR"), 0)
    for node in graph.nodes:
        if node.op == "pyrec.Dense":
            found[rates[node.outputs[0]].name] += node_flops(replace(node, attributes={}), infos) // 2
    return found


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


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


def attention(build: Builder, activation: str = "Sigmoid") -> str:
    """The hidden layer of a unit that compares a candidate with each row of a history."""
    one = build.integers(1)
    query = build.node("Expand", build.node("Unsqueeze", "i", one), build.integers(1, LENGTH, 1))
    parts = ["Sub", "Mul"]
    compared = [build.node(op, query, "k") for op in parts]
    joined = build.node("Concat", query, "k", *compared, axis=-1)
    return build.dense(joined, 16, 6, activation)


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


def folding_layer(build: Builder, rows: int, ids: str = "item_ids") -> Graph:
    table = build.numbers(rows, 8)
    found = build.node("Gather", table, build.node("Gather", ids, build.constant(0), axis=1), axis=0)
    other = build.lookup(ids, 1, 4)
    return build.graph(build.dense(build.node("Concat", found, other, "p", axis=1), 14, 32, "Relu"))


def test_small_tables_are_multiplied_with_the_weights_at_load() -> None:
    graph = folding_layer(Builder(), TABLE_ROWS)
    folded = check(graph, split_graph(graph, REQUEST))
    assert ops(folded) == ["pyrec.LookupSum", "pyrec.Lookup", "pyrec.Dense"]
    assert folded.nodes[0].attributes["columns"] == (0,), "narrow rows are multiplied faster than looked up"


def test_large_tables_are_not_folded() -> None:
    graph = folding_layer(Builder(), 100_000)
    fused = fuse_lookups(graph, Sides(REQUEST))
    assert fold_tables(fused, Sides(REQUEST)).nodes == fused.nodes


def test_a_layer_all_of_whose_tables_fold_is_a_sum_of_lookups() -> None:
    build = Builder()
    parts = [build.lookup("user_ids", column, 4) for column in range(2)]
    graph = build.graph(build.dense(build.node("Concat", *parts, axis=1), 8, 16, "Tanh"))
    folded = check(graph, split_graph(graph, REQUEST))
    assert ops(folded) == ["pyrec.LookupSum"]
    assert folded.nodes[0].attribute("activation") == "Tanh"


def test_a_product_with_a_matrix_of_the_request_is_packed_once() -> None:
    build = Builder()
    weights = build.node("Softmax", build.dense("i", 4, LENGTH), axis=-1)
    graph = build.graph(build.node("MatMul", build.node("Unsqueeze", weights, build.integers(1)), "k"))
    assert "pyrec.Pack" in ops(check(graph, pack_matrices(graph, Sides(REQUEST))))
    assert pack_matrices(graph, Sides(frozenset())).nodes == graph.nodes


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


def random_split_graph(random: Random) -> Graph:
    """Layers over concatenations, sums, lookups and attention, in any mixture."""
    build = Builder(random.randrange(1 << 30))
    flat: list[tuple[str, int]] = [("u", 4), ("v", 3), ("i", 4), ("p", 2)]
    flat.append((build.lookup("user_ids", 1, 4), 4))
    flat.append((build.lookup("item_ids", 2, 4), 4))
    deep: list[tuple[str, int]] = [("k", 4)]

    def pick(pool: list[tuple[str, int]], width: int | None = None) -> tuple[str, int]:
        return random.choice([item for item in pool if width in (None, item[1])])

    for _ in range(random.randint(3, 12)):
        pool = random.choice([flat, flat, deep])
        x, width = pick(pool)
        action = random.randrange(8)
        if action == 0:
            parts = [pick(pool) for _ in range(random.randint(2, 4))]
            pool.append(
                (build.node("Concat", *(name for name, _ in parts), axis=-1), sum(w for _, w in parts))
            )
        elif action == 1:
            pool.append((build.node(random.choice(["Add", "Sub", "Mul"]), x, pick(pool, width)[0]), width))
        elif action == 2:
            made = random.randint(1, 5)
            pool.append((build.dense(x, width, made, random.choice(["", "", "Relu", "Sigmoid"])), made))
        elif action == 3:
            row = build.numbers(random.choice([1, width]))
            pool.append((build.node(random.choice(["Mul", "Add", "Sub"]), x, row), width))
        elif action == 4:
            chosen = [random.randrange(width) for _ in range(random.randint(1, 4))]
            axis = 1 if pool is flat else 2
            pool.append((build.node("Gather", x, build.integers(*chosen), axis=axis), len(chosen)))
        elif action == 5:
            name, size = pick(flat)
            one, shape = build.integers(1), build.integers(1, LENGTH, 1)
            deep.append((build.node("Expand", build.node("Unsqueeze", name, one), shape), size))
        elif action == 6:
            name, size = pick(deep)
            flat.append((build.node("ReduceSum", name, build.integers(1), keepdims=0), size))
        else:
            pool.append((build.node(random.choice(["Neg", "Relu"]), x), width))
    outputs = [build.dense(name, width, 3) for name, width in (flat[-1], deep[-1])]
    return build.graph(*outputs)


def sides_of(random: Random) -> tuple[Iterable[str], Iterable[str]]:
    request = frozenset(name for name in REQUEST if random.random() < 0.7)
    items = frozenset(name for name in ITEMS if random.random() < 0.5)
    return request, items


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_splitting_keeps_the_meaning(random: Random, rows: int) -> None:
    graph = random_split_graph(random)
    request, items = sides_of(random)
    before = multiplications(graph, Sides(frozenset(request), frozenset(items)))
    after = split_graph(graph, request, items)
    values = inputs(rows)
    expected, made = evaluate(graph, values, rows), evaluate(after, values, rows)
    for name, value in expected.items():
        assert equal(made[name], value)
    assert multiplications(after, Sides(frozenset(request), frozenset(items)))["PAIR"] <= before["PAIR"]


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(1, 7))
def test_splitting_keeps_the_meaning_of_any_graph(random: Random, rows: int) -> None:
    graph = compile_graph(random_model(random).graph)
    values = inputs_of(rows, rows)
    request = [name for name in graph.inputs if random.random() < 0.4]
    for name in request:
        values[name] = np.repeat(values[name][:1], rows, axis=0)
    expected = evaluate(graph, values, rows)["y"]
    assert equal(evaluate(split_graph(graph, request), values, rows)["y"], expected)
