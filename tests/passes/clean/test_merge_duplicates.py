"""Equal values that are computed once, and those that differ a little."""

from __future__ import annotations

import pytest
from support.graphs import XZ, applied, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.clean.merge_duplicates import merge_duplicates

pytestmark = pytest.mark.once


def test_merge_duplicates() -> None:
    nodes = [
        Node("LeakyRelu", ("x",), ("a",), {"alpha": 0.5}),
        Node("LeakyRelu", ("x",), ("b",), {"alpha": 0.5}),
        Node("Add", ("a", "b"), ("y",)),
    ]
    assert ops(applied(merge_duplicates, graph_of(nodes, **XZ))) == ["LeakyRelu", "Add"]
    nodes[1] = Node("LeakyRelu", ("x",), ("b",), {"alpha": 0.25})
    assert ops(applied(merge_duplicates, graph_of(nodes, **XZ))) == ["LeakyRelu", "LeakyRelu", "Add"]
