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


def test_of_several_each_meets_its_equal() -> None:
    alphas = (0.5, 0.25, 0.25, 0.5, 1, 1.0)
    nodes = [Node("LeakyRelu", ("x",), (f"a{i}",), {"alpha": alpha}) for i, alpha in enumerate(alphas)]
    nodes.append(Node("Sum", tuple(f"a{i}" for i in range(len(alphas))), ("y",)))
    made = applied(merge_duplicates, graph_of(nodes, **XZ))
    assert [node.attribute("alpha") for node in made.nodes[:-1]] == [0.5, 0.25, 1, 1.0]
    assert made.nodes[-1].inputs == ("a0", "a1", "a1", "a0", "a4", "a5")
