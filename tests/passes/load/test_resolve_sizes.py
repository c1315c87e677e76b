"""Sizes that inputs tell by name, and those that only a run knows."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, XZ, applied, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.load.resolve_sizes import resolve_sizes

pytestmark = pytest.mark.once


def test_resolve_sizes() -> None:
    nodes = [
        Node("Shape", ("x",), ("s",)),
        Node("Gather", ("s", "zero"), ("n",)),
        Node("Unsqueeze", ("n", "axis"), ("n1",)),
        Node("Concat", ("n1", "two"), ("target",), {"axis": 0}),
        Node("Expand", ("row", "target"), ("e",)),
        Node("Add", ("e", "one"), ("y",)),
    ]
    constants = {
        "zero": 0,
        "axis": np.asarray([0]),
        "two": np.asarray([2]),
        "row": np.ones((1, 2), F32),
        "one": F32.type(1),
    }
    found = applied(resolve_sizes, graph_of(nodes, constants, **XZ))
    assert ops(remove_dead(found)) == ["pyrec.DimValues", "Expand", "Add"]


def test_sizes_of_values_of_unknown_shape_are_read() -> None:
    nodes = [
        Node("NonZero", ("x",), ("p",)),
        Node("Shape", ("p",), ("s",)),
        Node("Cast", ("s",), ("y",), {"to": "float32"}),
    ]
    assert "Shape" in ops(applied(resolve_sizes, graph_of(nodes, **XZ)))
