"""Layers of flattened rows, whose rows are kept apart or can be told apart anyway."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, XZ, applied, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.load.unflatten_products import unflatten_products

pytestmark = pytest.mark.once


def test_unflatten_products_leaves_rows_that_can_be_told_apart() -> None:
    nodes = [
        Node("Reshape", ("x", "pairs"), ("p",)),
        Node("Gemm", ("p", "w"), ("g",)),
        Node("Reshape", ("g", "back"), ("y",)),
    ]
    constants = {"pairs": np.asarray([-1, 2]), "back": np.asarray([-1, 2, 3]), "w": np.ones((2, 3), F32)}
    assert "Gemm" in ops(applied(unflatten_products, graph_of(nodes, constants, **XZ)))
