"""What a call asks for as the only output of a graph."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import XZ, graph_of, ops

from pyrec_infer.errors import InputError
from pyrec_infer.ir import Node
from pyrec_infer.passes.select.select_scores import Column, select_scores

pytestmark = pytest.mark.once


def test_logit_leaves_the_sigmoid_out() -> None:
    nodes = [
        Node("Neg", ("x",), ("a",)),
        Node("Sigmoid", ("a",), ("s",)),
        Node("Reshape", ("s", "flat"), ("y",)),
    ]
    constants = {"flat": np.asarray([-1])}
    assert "Sigmoid" not in ops(select_scores(graph_of(nodes, constants, **XZ), [Column("y", logit=True)]))
    nodes[2] = Node("Neg", ("s",), ("y",))
    with pytest.raises(InputError, match="does not end in a sigmoid"):
        select_scores(graph_of(nodes, constants, **XZ), [Column("y", logit=True)])
