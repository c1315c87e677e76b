"""Layers of rows of tables, taken apart."""

from __future__ import annotations

import numpy as np
import pytest

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.lookup_parts import LookupPart, lookup_parts, make_lookup
from pyrec_infer.passes.common.layer_parts import layer_of_rest, table_parts

pytestmark = pytest.mark.once

LAYER = Node("pyrec.Dense", ("rows", "w"), ("y",), {"activation": "Relu"}, name="layer")
NUMBERS = LookupPart.numbers("x", 2)
ROWS = LookupPart("ids", "table", 0, 4)


def weights(count: int) -> np.ndarray:
    return np.arange(count * 3, dtype=np.float32).reshape(count, 3)


@pytest.mark.parametrize(
    ("part", "known"),
    [
        (ROWS, True),
        (NUMBERS, True),
        (LookupPart("ids", "given", 0, 4), False),
        (LookupPart("ids", "table", 0, 2, offset=8), False),
        (LookupPart("ids", "table", 0, 4, codec="bf16"), False),
    ],
)
def test_parts_in_constant_float32_tables_are_known(part: LookupPart, known: bool) -> None:
    node = make_lookup("pyrec.Lookup", "rows", [part, ROWS])
    graph = Graph(("ids", "x", "given"), ("rows",), (node,), {"table": weights(4)}, {})
    assert (table_parts(node, graph) == lookup_parts(node)) == known


@pytest.mark.parametrize(
    ("parts", "ops", "first"),
    [
        ([NUMBERS], ["pyrec.Dense"], "x"),
        ([NUMBERS, LookupPart.numbers("z", 1)], ["Concat", "pyrec.Dense"], "total/rest"),
        ([NUMBERS, ROWS], ["pyrec.Lookup", "pyrec.Dense"], "total/rest"),
    ],
)
def test_the_rest_of_a_layer_starts_from_the_sum(parts: list[LookupPart], ops: list[str], first: str) -> None:
    constants: dict = {}
    made = layer_of_rest(LAYER, parts, [weights(part.width) for part in parts], "total", constants)
    assert [node.op for node in made] == ops
    assert made[-1].inputs == (first, "total/weights", "total")
    assert (made[-1].outputs, made[-1].attributes) == (LAYER.outputs, LAYER.attributes)
    np.testing.assert_array_equal(
        constants["total/weights"], np.concatenate([weights(part.width) for part in parts])
    )
