"""Slices that read inside one part of a concatenation, and others."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import XZ, applied, graph_of

from pyrec_infer.ir import Node
from pyrec_infer.passes.load.take_from_parts import take_from_parts

pytestmark = pytest.mark.once


def test_take_from_parts() -> None:
    joined = Node("Concat", ("x", "z"), ("c",), {"axis": 1})
    constants = {"start": np.asarray([5]), "end": np.asarray([7]), "axis": np.asarray([1])}
    inside = graph_of([joined, Node("Slice", ("c", "start", "end", "axis"), ("y",))], constants, **XZ)
    assert applied(take_from_parts, inside).nodes[-1].inputs[0] == "z"
    across = graph_of(list(inside.nodes), {**constants, "start": np.asarray([3])}, **XZ)
    assert applied(take_from_parts, across).nodes[-1].inputs[0] == "c"
    other_axis = graph_of(list(inside.nodes), {**constants, "axis": np.asarray([0])}, **XZ)
    assert applied(take_from_parts, other_axis).nodes[-1].inputs[0] == "c"
