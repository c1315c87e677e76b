"""Graphs that read records of items, compared with those that were not cut."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrec_infer.ir import Array, Graph, verify
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.fuse_records import fuse_records
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS
from pyrec_infer.passes.split.separate_items import Separated, separate_items
from pyrec_infer.tables.records import encode
from support.graphs import inputs_for
from support.random_graphs import equal, evaluate

ITEMS = 5
SIDES = Sides(frozenset("uv"), frozenset("ij"))


def stored(made: Separated, inputs: dict[str, Array]) -> Array:
    """The items' records."""
    records = np.zeros((ITEMS, made.stride), np.uint8)
    values = evaluate(made.items, inputs, ITEMS) if made.fields else {}
    encode(made.fields, list(values.values()), range(ITEMS), records)
    return records


def through_records(graph: Graph, precision: str = "fp32", **given: Any) -> Separated:
    """A graph in two, and the pair's part fused, once both give of chosen items what the whole gives."""
    made = separate_items(graph, SIDES, precision)
    rows = np.asarray([3, 0, 4, 4])
    inputs = {**inputs_for(graph, ITEMS, request=SIDES.request), **given}
    chosen = {name: value[rows] for name, value in inputs.items()}
    called = {**chosen, RECORDS: stored(made, inputs), ROWS: rows}
    expected = evaluate(graph, chosen, len(rows))
    for pairs in (made.pairs, fuse_records(made.pairs)):
        verify(pairs, "the pair's part")
        for name, value in evaluate(pairs, called, len(rows)).items():
            assert equal(value, expected[name]), name
    return made
