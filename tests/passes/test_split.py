"""All passes for one split of the inputs: equal results, and no more work for a candidate."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.graphs import inputs_for
from support.random_graphs import equal, evaluate, inputs_of, random_model, split_graph
from support.split_graphs import ITEMS, LENGTH, REQUEST, Builder, multiplications

from pyrec_infer.ir import Graph
from pyrec_infer.passes import compile_graph
from pyrec_infer.passes.common.sides import Sides

pytestmark = pytest.mark.once


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
    # Sorted: which names are drawn may not depend on how strings are hashed.
    request = frozenset(name for name in sorted(REQUEST) if random.random() < 0.7)
    items = frozenset(name for name in sorted(ITEMS) if random.random() < 0.5)
    return request, items


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_splitting_keeps_the_meaning(random: Random, rows: int) -> None:
    graph = random_split_graph(random)
    request, items = sides_of(random)
    before = multiplications(graph, Sides(frozenset(request), frozenset(items)))
    after = split_graph(graph, request, items)
    values = inputs_for(graph, rows, request=REQUEST)
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
