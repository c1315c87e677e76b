"""Where an item's values lie in its record, and which of them are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, graph_of
from support.record_graphs import SIDES, through_records

from pyrec_infer.codecs import codec_of
from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.ir import Dim, Node
from pyrec_infer.passes.split.record_layout import ItemCut
from pyrec_infer.passes.split.separate_items import separate_items

pytestmark = pytest.mark.once

CONSTANTS: dict[str, Any] = {
    "shape": np.asarray([1, 8, 1]),
    "ones": np.asarray([0, 3, 1]),
    "one": np.asarray([1]),
    "half": F32.type(0.5),
}


EXP = Node("Exp", ("i",), ("e",))


def stored(nodes: list[Node], **sizes: tuple[object, ...]) -> list[str]:
    made = through_records(graph_of(nodes, CONSTANTS, **sizes))
    return [field.value for field in made.fields]


def test_what_a_value_is_cheaply_made_of_is_stored_in_its_place() -> None:
    wide = [
        Node("Exp", ("i",), ("e",)),
        Node("Expand", ("e", "shape"), ("w",)),
        Node("Mul", ("w", "u"), ("y",)),
    ]
    assert stored(wide, i=(1, 4), u=(8, 4)) == ["e"]
    view = [
        Node("Exp", ("i",), ("e",)),
        Node("Unsqueeze", ("e", "one"), ("w",)),
        Node("Mul", ("w", "u"), ("y",)),
    ]
    assert stored(view, i=(4,), u=(3, 4)) == ["e"]
    fewer = [Node("Gather", ("i", "ones"), ("g",), {"axis": 1}), Node("Mul", ("g", "u"), ("y",))]
    assert stored(fewer, i=(8,), u=(3,)) == ["g"]


def test_what_costs_work_is_stored_itself() -> None:
    nodes = [EXP, Node("Mul", ("e", "u"), ("y",))]
    assert stored(nodes, i=(1,), u=(4,)) == ["e"]
    cut = ItemCut(graph_of(nodes, i=(1,), u=(4,)), SIDES)
    assert list(cut.frontier) == ["e"]


def test_an_outer_product_is_made_again_of_its_factors() -> None:
    factors = [Node("Exp", (name,), (f"{name}e",)) for name in "ij"]
    product = [Node("Mul", ("ie", "je"), ("m",)), Node("Mul", ("m", "u"), ("y",))]
    assert stored([*factors, *product], i=(6, 1), j=(1, 5), u=(6, 5)) == ["ie", "je"]
    # Less than twice the room of both.
    assert stored([*factors, *product], i=(6, 1), j=(6, 5), u=(6, 5)) == ["m"]
    # What is no product, and an operator without its middle input.
    clipped = [factors[0], Node("Clip", ("ie", "", "half"), ("c",)), Node("Mul", ("c", "u"), ("y",))]
    assert len(stored(clipped, i=(4,), u=(4,))) == 1


def test_fields_lie_apart_and_aligned_large_ones_first() -> None:
    nodes = [
        Node("Cast", ("x",), ("f",), {"to": "float32"}),
        *(Node("Exp", (name,), (f"{name}e",)) for name in "ij"),
        Node("Concat", ("ie", "je", "f", "u"), ("y",), {"axis": 1}),
    ]
    graph = graph_of(nodes, i=(3,), j=(20,), x=(1,), u=(1,))
    made = through_records(graph)
    assert [(field.value, field.offset, field.size) for field in made.fields] == [
        ("je", 0, 80),
        ("ie", 80, 12),
    ]
    assert made.stride == 128


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_values_that_decide_are_stored_exactly(precision: str) -> None:
    nodes = [
        *(Node("Exp", (name,), (f"{name}e",)) for name in "ij"),
        Node("Greater", ("ie", "u"), ("g",)),
        Node("Where", ("g", "je", "u"), ("y",)),
    ]
    made = separate_items(graph_of(nodes, i=(32,), j=(32,), u=(32,)), SIDES, precision)
    codecs = {field.value: field.codec for field in made.fields}
    assert codecs == {"ie": "f32", "je": codec_of(precision).name}
    short = separate_items(graph_of(nodes, i=(15,), j=(15,), u=(15,)), SIDES, precision)
    assert {field.codec for field in short.fields} == {"f32"}


def test_values_of_unknown_size_are_refused() -> None:
    graph = graph_of([Node("Add", ("i", "u"), ("y",))], i=(Dim.symbol("L"),), u=(Dim.symbol("L"),))
    with pytest.raises(UnsupportedModelError, match="its size for each item is not known"):
        separate_items(graph, SIDES)
