"""What tells ids that are none from positions that a model works out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.graphs import F32, alike, graph_of, ops
from support.random_graphs import evaluate

from pyrec_infer.errors import PyrecError
from pyrec_infer.ir import Graph, Node
from pyrec_infer.passes.select.check_ids import check_ids, require_ids

pytestmark = pytest.mark.once

CONSTANTS: dict[str, Any] = {
    "table": np.arange(20, dtype=F32).reshape(10, 2),
    "other": np.arange(8, dtype=F32).reshape(4, 2),
    "first": np.asarray([0, 5]),
    "far": np.asarray(5),
    "one": np.asarray(1),
    "axis": np.asarray([1]),
    "minus": np.asarray(-1),
}


def marked(graph: Graph, mark: str, step: Any = check_ids) -> list[str]:
    """The nodes with a mark, of a graph that means the same for ids that are ids."""
    return [node.outputs[0] for node in alike(graph, step(graph)).nodes if node.attribute(mark, 0)]


def test_casts_of_what_is_looked_up_take_whole_numbers_alone() -> None:
    cast = Node("Cast", ("x",), ("i",), {"to": "int64"})
    read = [cast, Node("Gather", ("table", "i"), ("y",))]
    graph = graph_of(read, CONSTANTS, x=(2,))
    found = check_ids(graph)
    assert [node.attribute("require_integral", 0) for node in found.nodes] == [1, 0]
    given = {"x": np.asarray([[1, 2], [0, 9]], F32)}
    np.testing.assert_array_equal(evaluate(found, given, 2)["y"], evaluate(graph, given, 2)["y"])
    with pytest.raises(PyrecError):
        evaluate(found, {"x": np.asarray([[1.5, 2], [0, 9]], F32)}, 2)


@pytest.mark.parametrize(
    "nodes",
    [
        [Node("Cast", ("x",), ("i",), {"to": "int64"}), Node("Abs", ("i",), ("y",))],
        [
            Node("Abs", ("x",), ("a",)),
            Node("Cast", ("a",), ("i",), {"to": "int64"}),
            Node("Gather", ("table", "i"), ("y",)),
        ],
    ],
    ids=["no lookup", "a number that was worked out"],
)
def test_other_casts_round_as_they_did(nodes: list[Node]) -> None:
    assert marked(graph_of(nodes, CONSTANTS, x=(2,)), "require_integral") == []


def test_positions_that_were_worked_out_may_count_from_the_end() -> None:
    worked_out = [Node("Neg", ("i",), ("p",)), Node("Gather", ("x", "p"), ("y",), {"axis": 1})]
    graph = graph_of(worked_out, CONSTANTS, ids="i", x=(6,), i=())
    assert marked(graph, "wraps") == ["y"]
    assert marked(check_ids(graph), "strict", require_ids) == []
    given = graph_of([Node("Gather", ("x", "i"), ("y",), {"axis": 1})], ids="i", x=(6,), i=())
    assert marked(given, "wraps") == []
    assert marked(given, "strict", require_ids) == ["y"]


def test_lookups_refuse_negative_ids_and_not_the_models_own_numbers() -> None:
    graph = graph_of([Node("Gather", ("table", "i"), ("y",))], CONSTANTS, ids="i", i=())
    assert marked(graph, "strict", require_ids) == ["y"]
    with pytest.raises(PyrecError):
        evaluate(require_ids(graph), {"i": np.asarray([-1])}, 1)
    own = graph_of([Node("Gather", ("x", "minus"), ("y",), {"axis": 1})], CONSTANTS, x=(6,))
    assert marked(own, "strict", require_ids) == []


def fields(*more: Node, shift: str = "first") -> Graph:
    """Two fields of ids whose rows lie one after the other in one table."""
    nodes = [Node("Add", ("i", shift), ("s",)), Node("Gather", ("table", "s"), ("y",)), *more]
    return graph_of(nodes, CONSTANTS, ids="i", i=(2,))


def test_ids_of_fields_in_one_table_are_refused_before_their_field() -> None:
    found = alike(fields(), check_ids(fields()))
    assert ops(found) == ["pyrec.OffsetIds", "Gather"]
    with pytest.raises(PyrecError):
        evaluate(found, {"i": np.asarray([[1, -2]])}, 1)


@pytest.mark.parametrize("shift", ["one", "far"])
def test_one_number_for_all_columns_is_no_field(shift: str) -> None:
    assert ops(check_ids(fields(shift=shift))) == ["Add", "Gather"]
    # Where the table is read without it too, what is far behind is another field.
    both = Node("Gather", ("table", "i"), ("z",))
    found = check_ids(fields(both, shift=shift))
    assert (ops(found)[0] == "pyrec.OffsetIds") == (shift == "far")
