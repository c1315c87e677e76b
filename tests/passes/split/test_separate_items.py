"""A graph in two: what is stored of an item, and what has to be there for a cut."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, N, graph_of, ops
from support.record_graphs import SIDES, through_records

from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS
from pyrec_infer.passes.split.separate_items import same_records, separate_items

pytestmark = pytest.mark.once

CONSTANTS: dict[str, Any] = {
    "w": np.arange(8, dtype=F32).reshape(4, 2),
    "table": np.arange(20, dtype=F32).reshape(5, 4),
    "axis": np.asarray(0),
    "one": np.asarray([1]),
}


def item_and_request(op: str = "Mul") -> Graph:
    nodes = [
        Node("pyrec.Dense", ("i", "w"), ("a",)),
        Node(op, ("a", "u"), ("m",)),
        Node("Add", ("m", "x"), ("y",)),
    ]
    return graph_of(nodes, CONSTANTS, i=(4,), u=(2,), x=(2,))


def test_an_item_is_stored_as_the_last_that_is_known_of_it() -> None:
    made = through_records(item_and_request())
    assert ops(made.items) == ["pyrec.Dense"]
    assert [field.value for field in made.fields] == ["a"]
    assert made.pairs.inputs == (RECORDS, ROWS, "u", "x")
    assert made.items.inputs == ("i",)


@pytest.mark.parametrize(
    ("nodes", "sizes"),
    [
        (
            [Node("Transpose", ("i",), ("t",), {"perm": (1, 0, 2)}), Node("Neg", ("t",), ("y",))],
            {"i": (3, 2)},
        ),
        ([Node("Add", ("i", "u"), ("y",))], {"i": (3, 2), "u": (3, 2)}),
        ([Node("Gather", ("table", "j"), ("g",)), Node("Mul", ("g", "u"), ("y",))], {"j": (), "u": (4,)}),
        ([Node("Neg", ("i",), ("y",))], {"i": (4,)}),
        ([Node("Neg", ("u",), ("y",))], {"u": (4,), "i": (4,)}),
    ],
    ids=["rows along another axis", "the input itself", "a row of a table", "an item alone", "no item"],
)
def test_what_is_stored_gives_what_it_gave(nodes: list[Node], sizes: dict[str, Any]) -> None:
    graph = graph_of(nodes, CONSTANTS, ids="j", **sizes)
    made = through_records(graph)
    assert not {"i", "j"} & set(made.pairs.inputs)
    assert bool(made.fields) == ("u" not in nodes[0].inputs or len(nodes[0].inputs) > 1)


def test_rows_that_depend_on_each_other_are_refused() -> None:
    nodes = [Node("CumSum", ("i", "axis"), ("c",)), Node("Add", ("c", "u"), ("y",))]
    graph = graph_of(nodes, CONSTANTS, i=(4,), u=(4,))
    with pytest.raises(UnsupportedModelError, match="CumSum"):
        separate_items(graph, SIDES)
    fixed = graph.with_(nodes=(Node("Add", ("i", "u"), ("y",)),), static_rows=4)
    with pytest.raises(UnsupportedModelError, match="fixes the batch to 4 rows"):
        separate_items(fixed, SIDES)


def test_strings_of_an_item_are_refused() -> None:
    text = Info(np.dtype("U4"), (N,), 0)
    graph = Graph(("i", "u"), ("y",), (Node("Equal", ("i", "u"), ("y",)),), {}, {"i": text, "u": text})
    with pytest.raises(UnsupportedModelError, match="strings 'i'"):
        separate_items(graph, SIDES)


def test_records_are_the_same_where_all_that_makes_them_is() -> None:
    first, again, other = (separate_items(item_and_request(op), SIDES) for op in ("Mul", "Mul", "Sub"))
    assert same_records(first, again)
    assert same_records(first, other)
    changed = item_and_request()
    changed = changed.with_(constants={**changed.constants, "w": changed.constants["w"] + 1})
    assert not same_records(first, separate_items(changed, SIDES))
    other_layer = Node("pyrec.Dense", ("i", "w"), ("a",), {"activation": "Relu"})
    changed = item_and_request()
    changed = changed.with_(nodes=(other_layer, *changed.nodes[1:]))
    assert not same_records(first, separate_items(changed, SIDES))
