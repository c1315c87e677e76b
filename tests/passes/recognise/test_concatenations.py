"""Rows and fields that are put together and cut: one form for all spellings."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import AXES, graph_of, ops, recognised

from pyrec_infer.ir import Node

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    "nodes",
    [
        # one concatenation along the fields, flattened
        [Node("Concat", ("a", "b"), ("c",), {"axis": 1}), Node("Flatten", ("c",), ("y",))],
        # along the numbers, reshaped
        [Node("Concat", ("a", "b"), ("c",), {"axis": 2}), Node("Reshape", ("c", "flat"), ("y",))],
        # a stack of flat rows, flattened
        [
            Node("Squeeze", ("a", "one"), ("a1",)),
            Node("Squeeze", ("b", "one"), ("b1",)),
            Node("Unsqueeze", ("a1", "one"), ("a2",)),
            Node("Unsqueeze", ("b1", "one"), ("b2",)),
            Node("Concat", ("a2", "b2"), ("c",), {"axis": 1}),
            Node("Reshape", ("c", "flat"), ("y",)),
        ],
        # nested, with single parts
        [
            Node("Concat", ("a",), ("c",), {"axis": 2}),
            Node("Concat", ("c", "b"), ("d",), {"axis": 2}),
            Node("Concat", ("d",), ("e",), {"axis": 2}),
            Node("Flatten", ("e",), ("y",)),
        ],
    ],
)
def test_assembly_has_one_form(nodes: list[Node]) -> None:
    after = recognised(graph_of(nodes, {**AXES, "flat": np.asarray([-1, 8])}, a=(1, 4), b=(1, 4)))
    assert ops(after) == ["Reshape", "Reshape", "Concat"]


def test_fields_and_rows_share_a_concatenation() -> None:
    nodes = [
        Node("Unsqueeze", ("a", "one"), ("a1",)),
        Node("Unsqueeze", ("b", "one"), ("b1",)),
        Node("Concat", ("a1", "b1"), ("c",), {"axis": 1}),
        Node("ReduceMax", ("c", "one"), ("y",), {"keepdims": 0}),
    ]
    assert ops(recognised(graph_of(nodes, AXES, a=(4,), b=(4,)))) == ["Concat", "Reshape", "ReduceMax"]


def test_slices_of_a_concatenation_read_its_parts() -> None:
    nodes = [
        Node("Concat", ("a", "b"), ("c",), {"axis": 1}),
        Node("Slice", ("c", "start", "end", "axes"), ("s",)),
        Node("Exp", ("s",), ("y",)),
    ]
    constants = {"start": [0, 3], "end": [2**31 - 1, 6], "axes": [0, 1]}
    after = recognised(graph_of(nodes, constants, a=(4,), b=(4,)))
    assert ops(after) == ["Slice", "Slice", "Concat", "Exp"]
    inside = recognised(graph_of(nodes, {**constants, "start": [0, 4]}, a=(4,), b=(4,)))
    assert ops(inside) == ["Slice", "Exp"]
    assert inside.nodes[0].inputs[0] == "b"


def test_a_field_of_flat_rows_is_its_part() -> None:
    nodes = [
        Node("Concat", ("a", "b"), ("c",), {"axis": 1}),
        Node("Reshape", ("c", "fields"), ("f",)),
        Node("Gather", ("f", "number"), ("g",), {"axis": 1}),
        Node("Exp", ("g",), ("y",)),
    ]
    after = recognised(graph_of(nodes, {"fields": [-1, 2, 4], "number": np.asarray(1)}, a=(4,), b=(4,)))
    assert [(node.op, node.inputs) for node in after.nodes] == [("Exp", ("b",))]
    # Here a field is a half of each part.
    across = recognised(graph_of(nodes, {"fields": [-1, 2, 4], "number": np.asarray(1)}, a=(2,), b=(6,)))
    assert "Slice" in ops(across)


def test_neighbouring_ranges_are_one() -> None:
    nodes = [
        Node("Split", ("a", "sizes"), ("p", "q", "r"), {"axis": 1}),
        Node("Concat", ("p", "q"), ("c",), {"axis": 1}),
        Node("Exp", ("c",), ("y",)),
    ]
    assert ops(recognised(graph_of(nodes, {"sizes": [1, 2, 1]}, a=(4,)))) == ["Slice", "Exp"]
    swapped = [nodes[0], Node("Concat", ("q", "p"), ("c",), {"axis": 1}), nodes[2]]
    assert ops(recognised(graph_of(swapped, {"sizes": [1, 2, 1]}, a=(4,)))) == ["Split", "Concat", "Exp"]
