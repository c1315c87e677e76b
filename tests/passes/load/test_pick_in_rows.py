"""Elements of each row by their place in it, and reads that go to other rows."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import applied, graph_of, ops

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.load.pick_in_rows import pick_in_rows

pytestmark = pytest.mark.once

CONSTANTS = {"zero": np.asarray(0), "one": np.asarray(1), "axis": np.asarray([1]), "two": np.asarray(2)}


def reading(numbers: list[Node], *coordinates: str) -> Graph:
    """``x[rows, i]`` of rows 0, 1, ... or of others."""
    nodes = [
        Node("Shape", ("x",), ("s",)),
        Node("Gather", ("s", "zero"), ("n",)),
        *numbers,
        Node("Unsqueeze", ("r", "axis"), ("c",)),
        Node("Concat", coordinates or ("c", "i"), ("k",), {"axis": 1}),
        Node("GatherND", ("x", "k"), ("y",)),
    ]
    return graph_of(nodes, CONSTANTS, ids="ij", x=(5, 6), i=(1,), j=(1,))


COUNTED = [Node("Range", ("zero", "n", "one"), ("r",))]


@pytest.mark.parametrize("coordinates", [("c", "i"), ("c", "i", "j")])
def test_a_rows_own_number_is_left_out(coordinates: tuple[str, ...]) -> None:
    graph = reading(COUNTED, *coordinates)
    assert analyze(graph).coupled
    found = applied(pick_in_rows, graph)
    assert found.nodes[-1].attributes == {"batch_dims": 1}
    assert found.nodes[-1] not in analyze(found).coupled


@pytest.mark.parametrize(
    ("numbers", "coordinates"),
    [
        ([Node("Range", ("zero", "n", "one"), ("a",)), Node("Abs", ("a",), ("r",))], ("c", "i")),
        (
            [
                Node("Sub", ("n", "one"), ("last",)),
                Node("Neg", ("one",), ("down",)),
                Node("Range", ("last", "down", "down"), ("r",)),
            ],
            ("c", "i"),
        ),
        (COUNTED, ("i", "c")),
    ],
    ids=["computed numbers", "from the end", "in the other place"],
)
def test_other_coordinates_stay(numbers: list[Node], coordinates: tuple[str, ...]) -> None:
    graph = reading(numbers, *coordinates)
    found = applied(pick_in_rows, graph)
    assert "batch_dims" not in found.nodes[-1].attributes
    assert ops(found) == ops(graph)
