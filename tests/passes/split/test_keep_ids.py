"""Which lookups of an item are split, so that a record holds the ids of small tables."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of, ops

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.lookup_parts import LookupPart, lookup_parts, make_lookup
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.fold_dots import fold_dots
from pyrec_infer.passes.split.keep_ids import MOST_ROWS, keep_ids
from pyrec_infer.passes.split.record_layout import NEAR
from pyrec_infer.passes.split.separate_items import same_records, separate_items
from pyrec_infer.passes.split.tabulate_fields import tabulate_fields

pytestmark = pytest.mark.once

SIDES = Sides(frozenset("u"), frozenset("ij"))
LARGE, SMALL = LookupPart("i", "large", 0, 8), LookupPart("i", "small", 1, 8)
SHORT = LookupPart("j", "short", -1, 4)
DOTS = Node("pyrec.PairDots", ("u", "v", "left", "right"), ("d",))
LAYER = Node("pyrec.Dense", ("d", "w"), ("y",))
REQUEST = 5
"""Vectors of the request: enough for a matrix to pay."""


def tables() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    rows = {"large": (MOST_ROWS + 1, 8), "small": (MOST_ROWS, 8), "short": (9, 4)}
    return {name: (rng.integers(-8, 9, size) / 4).astype(F32) for name, size in rows.items()}


def dots(*parts: LookupPart, last: Node = LAYER, ids: int = 3) -> Graph:
    """A layer of dot products of a request's vectors with those that a lookup gives."""
    fields = sum(part.width for part in parts) // 4
    nodes = [make_lookup("pyrec.Lookup", "x", parts), Node("Reshape", ("x", "shape"), ("v",)), DOTS, last]
    left, right = (each.reshape(-1) for each in np.indices((REQUEST, fields)))
    constants = {
        **tables(),
        "shape": np.asarray([-1, fields, 4]),
        "left": left,
        "right": right,
        "w": (np.arange(left.size * 8) % 9 / 4).reshape(-1, 8).astype(F32),
    }
    return graph_of(nodes, constants, ids="ij", u=(REQUEST, 4), i=(ids,), j=())


def marks(graph: Graph) -> list[tuple[int, int]]:
    """How many parts each lookup has, and whether it is marked."""
    return [
        (len(lookup_parts(node)), int(node.attribute(NEAR, 0)))
        for node in graph.nodes
        if node.op == "pyrec.Lookup"
    ]


def test_parts_in_small_tables_are_looked_up_apart() -> None:
    made = applied(keep_ids, dots(LARGE, SMALL, SMALL, SHORT, LARGE), SIDES)
    assert marks(made) == [(1, 0), (2, 1), (2, 0)]
    assert ops(made)[3:] == ["Concat", "Reshape", "pyrec.PairDots", "pyrec.Dense"]
    assert marks(applied(keep_ids, dots(SMALL, SMALL), SIDES)) == [(2, 1)]


def test_the_record_holds_ids_in_their_place() -> None:
    graph = dots(LARGE, SMALL, SMALL)
    before = separate_items(graph, SIDES)
    after = separate_items(keep_ids(graph, SIDES), SIDES)
    assert [(field.dtype.name, field.shape) for field in before.fields] == [("float32", (1, 24))]
    assert [(field.dtype.name, field.shape) for field in after.fields] == [
        ("float32", (1, 8)),
        ("int64", (1, 3)),
    ]
    assert [node.op for node in after.items.nodes] == ["pyrec.Lookup", "Identity"]


@pytest.mark.parametrize(
    ("parts", "sides"),
    [
        ([LARGE, SHORT], SIDES),
        ([LARGE, SMALL], Sides(frozenset("u"))),
        ([LARGE, SMALL], Sides(frozenset(), frozenset("ij"))),
    ],
)
def test_near_misses(parts: list[LookupPart], sides: Sides) -> None:
    graph = dots(*parts)
    assert keep_ids(graph, sides).nodes == graph.nodes


def test_ids_that_take_more_than_the_rows_stay_out_of_the_record() -> None:
    assert marks(keep_ids(dots(SMALL, ids=3), SIDES)) == [(1, 1)]
    assert marks(keep_ids(dots(SMALL, ids=4), SIDES)) == [(1, 0)]


@pytest.mark.parametrize("last", [Node("Exp", ("d",), ("y",)), Node("Exp", ("v",), ("y",))])
def test_what_no_matrix_multiplies_stays(last: Node) -> None:
    graph = dots(LARGE, SMALL, last=last)
    assert keep_ids(graph, SIDES).nodes == graph.nodes


def test_graphs_for_few_and_for_many_candidates_store_the_same() -> None:
    graph = dots(LARGE, SMALL, SMALL)
    few, many = keep_ids(graph, SIDES), tabulate_fields(keep_ids(fold_dots(graph, SIDES), SIDES), SIDES)
    assert "pyrec.FieldTables" in ops(many)
    assert same_records(separate_items(few, SIDES), separate_items(remove_dead(many), SIDES))
