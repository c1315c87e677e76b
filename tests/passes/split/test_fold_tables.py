"""Tables that are multiplied with weights at load, and those that are too large."""

from __future__ import annotations

import pytest
from support.graphs import ops
from support.random_graphs import split_graph
from support.split_graphs import (
    REQUEST,
    TABLE_ROWS,
    Builder,
    check,
)

from pyrec_infer.ir import Graph
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.fold_tables import fold_tables
from pyrec_infer.passes.split.fuse_lookups import fuse_lookups

pytestmark = pytest.mark.once


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


def test_tables_of_items_are_folded_when_items_enter() -> None:
    """Twice as far as for candidates: nothing else is read beside them."""
    graph = folding_layer(Builder(), 6000)
    for items, count in ((frozenset(), 0), (frozenset({"item_ids", "p"}), 1)):
        sides = Sides(REQUEST, items)
        folded = fold_tables(fuse_lookups(graph, sides), sides)
        assert ops(folded).count("pyrec.LookupSum") == count


def test_folded_tables_lie_side_by_side() -> None:
    """Together they may fill huge pages, which each by itself would not."""
    build = Builder()
    parts = [build.lookup("user_ids", column, 8) for column in range(2)]
    graph = build.graph(build.dense(build.node("Concat", *parts, axis=1), 16, 16))
    folded = check(graph, split_graph(graph, REQUEST))
    first, second = sorted(
        (folded.constants[name] for name in folded.nodes[0].inputs if "/folded" in name),
        key=lambda table: table.ctypes.data,
    )
    assert first.ctypes.data + first.nbytes == second.ctypes.data
