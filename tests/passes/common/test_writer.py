"""Nodes under names that are free."""

from __future__ import annotations

import numpy as np
import pytest

from pyrec_infer.ir import Node
from pyrec_infer.passes.common.writer import Writer

pytestmark = pytest.mark.once


def test_names_that_are_taken_are_passed_over() -> None:
    taken = {"y/1", "y/3"}
    writer = Writer("y", "node 7", taken)
    assert writer.node("Neg", "x") == "y/2"
    assert writer.constant(2) == "y/4"
    taken.add("z/5")
    writer.begin("z", "node 8")
    assert writer.node("Mul", "y/2", "y/4", axis=1) == "z/6"
    assert [(node.outputs, node.name) for node in writer.nodes] == [
        (("y/2",), "node 7"),
        (("z/6",), "node 8"),
    ]
    assert writer.nodes[1].attributes == {"axis": 1}
    assert writer.add(Node("Split", ("x",), ("a", "b"))) == "a"


def test_constants_are_kept_as_they_are_or_in_the_type_asked_for() -> None:
    writer = Writer()
    whole = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.shares_memory(writer.constants[writer.constant(whole, np.float32)], whole)
    turned = writer.constants[writer.constant(whole.T, np.float64)]
    assert turned.flags.c_contiguous
    assert (turned.dtype, turned.shape) == (np.float64, (3, 2))
    # NumPy makes an array of one axis of a number that has none.
    assert writer.constants[writer.constant(3, np.int64)].shape == ()
