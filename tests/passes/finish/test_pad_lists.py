"""Lists that end at their rows' counts, and choices that look like them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, applied, graph_of, ops

from pyrec_infer.extension import native
from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops import OPS
from pyrec_infer.passes.finish.pad_lists import pad_lists

pytestmark = pytest.mark.once

CHOICE = [
    Node("Unsqueeze", ("count", "axis"), ("column",)),
    Node("Less", ("places", "column"), ("there",)),
    Node("Where", ("there", "x", "padding"), ("y",)),
]
STORED: dict[str, Any] = {"axis": [1], "places": [2, 0, 1], "padding": F32.type(-1)}


def graph(nodes: list[Node] | None = None, **constants: Any) -> Graph:
    sizes: dict[str, tuple[int, ...]] = {"x": (3,), "count": ()}
    return graph_of(nodes or CHOICE, {**STORED, **constants}, ids=("count",), **sizes)


@pytest.mark.parametrize("places", [[0, 1, 2], [2, 1, 0], [2, 0, 1]])
def test_padding_is_one_step(places: list[int]) -> None:
    assert ops(applied(pad_lists, graph(places=places))) == ["pyrec.PadLists"]


def test_a_mask_that_is_a_result_stays_beside_it() -> None:
    made = applied(pad_lists, graph_of(CHOICE, STORED, ("y", "there"), ids=("count",), x=(3,), count=()))
    assert ops(made) == ["Unsqueeze", "Less", "pyrec.PadLists"]


@pytest.mark.parametrize(
    ("nodes", "constants"),
    [
        (None, {"padding": np.ones(3, F32)}),
        (None, {"places": np.arange(3, dtype=np.int64)[None]}),
        (None, {"places": np.asarray([1])}),
        (None, {"axis": [0]}),
        ([CHOICE[0], Node("Less", ("column", "places"), ("there",)), CHOICE[2]], {}),
        ([CHOICE[0], Node("Equal", ("places", "column"), ("there",)), CHOICE[2]], {}),
        ([*CHOICE[:2], Node("Where", ("there", "padding", "x"), ("y",))], {}),
    ],
    ids=["padding of a row", "places with an axis", "one place", "axis", "reversed", "equal", "swapped"],
)
def test_others_stay(nodes: list[Node] | None, constants: dict[str, Any]) -> None:
    assert "pyrec.PadLists" not in ops(pad_lists(graph(nodes, **constants)))


@pytest.mark.skipif(native is None, reason="compares with the extension")
@pytest.mark.parametrize("dtype", ["bool", "int8", "float16", "int32", "float64", "int64", "object"])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (4, 0), (4, 3)])
def test_the_native_form_is_the_reference(dtype: str, shape: tuple[int, int]) -> None:
    numbers = np.arange(1, shape[0] * shape[1] + 1).reshape(shape)
    values = numbers.astype(str).astype(object) if dtype == "object" else numbers.astype(dtype)
    padding = np.asarray("none", object) if dtype == "object" else np.asarray(0, dtype)
    counts = np.asarray([2, -1, 0, 9][: shape[0]], np.int64)
    given = [values, counts, np.arange(shape[1])[::-1].copy(), padding]
    node = Node("pyrec.PadLists", ("x", "count", "places", "padding"), ("y",))
    (expected,) = OPS[node.op].evaluate(node, given)
    (found,) = native.run_node("scalar", node.op, {}, given, 1)
    assert found.dtype == expected.dtype
    assert found.tolist() == expected.tolist()
