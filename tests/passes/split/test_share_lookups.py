"""Lookups that are a part of others, and those that are not quite."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of, ops

from pyrec_infer.ir import Graph, Node
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.share_lookups import share_lookups

pytestmark = pytest.mark.once

REQUEST = Sides(frozenset("u"))
WITH_ITEMS = Sides(frozenset("u"), frozenset("i"))
TABLE = {"t": np.arange(36, dtype=F32).reshape(9, 4), "s": np.arange(9, dtype=F32).reshape(9, 1)}


def lookup(output: str, *operands: str, offset: int = 0) -> Node:
    widths = tuple(1 if table == "s" else 4 - offset // 4 for table in operands[1::2])
    count = len(widths)
    parts = {
        "columns": (-1,) * count,
        "offsets": (offset,) * count,
        "widths": widths,
        "codecs": ("f32",) * count,
    }
    return Node("pyrec.Lookup", operands, (output,), parts)


def graph_of_lookups(*nodes: Node) -> Graph:
    outputs = tuple(node.outputs[0] for node in nodes)
    return graph_of(nodes, TABLE, outputs, ids="uij", u=(), i=(), j=())


WHOLE = lookup("a", "i", "t", "j", "s", "j", "t")


@pytest.mark.parametrize(
    "piece",
    [lookup("b", "j", "s", "j", "t"), lookup("b", "i", "t"), lookup("b", "i", "t", "j", "s", "j", "t")],
    ids=["end", "begin", "all"],
)
def test_a_lookup_within_another_is_a_slice_of_it(piece: Node) -> None:
    graph = graph_of_lookups(WHOLE, piece)
    assert ops(applied(share_lookups, graph, REQUEST)) == ["pyrec.Lookup", "Slice"]


@pytest.mark.parametrize(
    "piece",
    [
        lookup("b", "i", "t", "j", "t"),
        lookup("b", "j", "t", "j", "s"),
        lookup("b", "i", "s"),
        lookup("b", "i", "t", offset=4),
    ],
    ids=["a gap", "another order", "another table", "another piece of the row"],
)
def test_other_lookups_stay(piece: Node) -> None:
    assert ops(applied(share_lookups, graph_of_lookups(WHOLE, piece), REQUEST)) == ["pyrec.Lookup"] * 2


def test_what_an_item_alone_tells_stays_apart_from_what_a_pair_tells() -> None:
    graph = graph_of_lookups(lookup("a", "u", "t", "i", "t"), lookup("b", "i", "t"))
    assert ops(applied(share_lookups, graph, WITH_ITEMS)) == ["pyrec.Lookup"] * 2
    assert ops(applied(share_lookups, graph, REQUEST)) == ["pyrec.Lookup", "Slice"]
