"""What gives back what it reads, and what only seems to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, XZ, applied, graph_of, ops

from pyrec_infer.ir import Node
from pyrec_infer.passes.clean.remove_identities import remove_identities

pytestmark = pytest.mark.once


def test_remove_identities() -> None:
    nodes = [
        Node("Identity", ("x",), ("a",)),
        Node("Mul", ("a", "one"), ("b",)),
        Node("Reshape", ("b", "same"), ("c",)),
        Node("Neg", ("c",), ("y",)),
    ]
    constants = {"one": F32.type(1), "same": np.asarray([-1, 4])}
    assert ops(applied(remove_identities, graph_of(nodes, constants, **XZ))) == ["Neg"]


@pytest.mark.parametrize(
    ("node", "constant"),
    [
        (Node("Add", ("x", "k"), ("a",)), F32.type(0)),  # -0.0 + 0.0 is 0.0
        (Node("Mul", ("x", "k"), ("a",)), np.ones((1, 1, 1), F32)),  # a higher rank
        (Node("Sub", ("k", "x"), ("a",)), F32.type(0)),
        (Node("Transpose", ("x",), ("a",)), F32.type(0)),
        (Node("Reshape", ("x", "k"), ("a",)), np.asarray([-1, 2])),
        (Node("Cast", ("x",), ("a",), {"to": "float64"}), F32.type(0)),
    ],
)
def test_what_is_no_identity_stays(node: Node, constant: Any) -> None:
    graph = graph_of([node, Node("Neg", ("a",), ("y",))], {"k": constant}, **XZ)
    assert len(applied(remove_identities, graph).nodes) == 2


def test_an_input_that_is_an_output_keeps_its_name() -> None:
    graph = graph_of([Node("Identity", ("x",), ("y",))], **XZ)
    assert applied(remove_identities, graph).outputs == ("y",)
