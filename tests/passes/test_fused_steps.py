"""Passes that save walks over memory: examples that change, near misses that do not, the same values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from support.field_graphs import field_inputs
from support.random_graphs import equal, evaluate

from pyrec_infer.ir import BATCH, Array, Dim, Graph, Info, Node, verify
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.fuse_multiply_add import fuse_multiply_add
from pyrec_infer.passes.split.share_lookups import share_lookups
from pyrec_infer.passes.split.split_concatenations import split_concatenations

pytestmark = pytest.mark.once

N = Dim.symbol(BATCH)
F32 = np.dtype(np.float32)
REQUEST = Sides(frozenset("u"))
WITH_ITEMS = Sides(frozenset("u"), frozenset("i"))

Pass = Callable[[Graph, Sides], Graph]


def graph_of(
    nodes: Sequence[Node],
    constants: Mapping[str, Any] | None = None,
    outputs: tuple[str, ...] = ("y",),
    **sizes: tuple[int, ...],
) -> Graph:
    """A graph of float32 inputs with the given sizes after the rows."""
    infos = {name: Info(F32, (N, *size), 0) for name, size in sizes.items()}
    stored = {name: np.asarray(value) for name, value in (constants or {}).items()}
    graph = Graph(tuple(sizes), outputs, tuple(nodes), stored, infos)
    verify(graph, "the test")
    return graph


def ops_after(
    step: Pass, graph: Graph, sides: Sides = REQUEST, inputs: Mapping[str, Array] | None = None
) -> list[str]:
    """The operators after a pass, once the graph is known to mean the same."""
    after = step(graph, sides)
    verify(after, step.__name__)
    rows = 5
    given = dict(inputs) if inputs is not None else field_inputs(graph, rows)
    before, now = evaluate(graph, given, rows), evaluate(after, given, rows)
    assert all(equal(now[name], before[name]) for name in graph.outputs)
    return [node.op for node in after.nodes]


MUL = Node("Mul", ("x", "z"), ("m",))


@pytest.mark.parametrize("inputs", [("m", "z"), ("z", "m"), ("m", "x")])
def test_a_product_and_the_addition_after_it_are_one_step(inputs: tuple[str, str]) -> None:
    graph = graph_of([MUL, Node("Add", inputs, ("y",))], x=(4,), z=(4,))
    assert ops_after(fuse_multiply_add, graph) == ["pyrec.MultiplyAdd"]


def test_a_product_with_a_constant_row_too() -> None:
    nodes = [Node("Mul", ("x", "row"), ("m",)), Node("Add", ("m", "x"), ("y",))]
    graph = graph_of(nodes, {"row": np.arange(4, dtype=F32)}, x=(4,))
    assert ops_after(fuse_multiply_add, graph) == ["pyrec.MultiplyAdd"]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        ([MUL, Node("Add", ("m", "x"), ("s",)), Node("Mul", ("m", "s"), ("y",))], ("y",)),
        ([MUL, Node("Add", ("m", "x"), ("y",))], ("y", "m")),
        ([MUL, Node("Add", ("m", "m"), ("y",))], ("y",)),
        ([MUL, Node("Sub", ("x", "m"), ("y",))], ("y",)),
    ],
    ids=["read twice", "an output", "added to itself", "subtracted"],
)
def test_other_products_stay_steps_of_their_own(nodes: list[Node], outputs: tuple[str, ...]) -> None:
    graph = graph_of(nodes, outputs=outputs, x=(4,), z=(4,))
    assert "pyrec.MultiplyAdd" not in ops_after(fuse_multiply_add, graph)


def test_a_product_that_is_smaller_than_the_sum_or_known_earlier_stays() -> None:
    narrow = graph_of([MUL, Node("Add", ("m", "w"), ("y",))], x=(1,), z=(1,), w=(4,))
    assert ops_after(fuse_multiply_add, narrow) == ["Mul", "Add"]
    early = graph_of([Node("Mul", ("u", "u"), ("m",)), Node("Add", ("m", "x"), ("y",))], u=(4,), x=(4,))
    assert ops_after(fuse_multiply_add, early) == ["Mul", "Add"]


CONCAT = Node("Concat", ("x", "z"), ("c",), {"axis": 1})
WEIGHTS = {"w": np.linspace(-1, 1, 14, dtype=F32).reshape(7, 2), "b": np.asarray([0.5, -2], F32)}


def test_a_narrow_layer_reads_the_parts_of_a_concatenation() -> None:
    layer = Node("pyrec.Dense", ("c", "w", "b"), ("y",), {"activation": "Sigmoid"})
    graph = graph_of([CONCAT, layer], WEIGHTS, x=(3,), z=(4,))
    assert ops_after(split_concatenations, graph) == ["pyrec.Dense", "pyrec.Dense"]
    bare = graph_of([CONCAT, Node("pyrec.Dense", ("c", "w"), ("y",))], WEIGHTS, x=(3,), z=(4,))
    assert ops_after(split_concatenations, bare) == ["pyrec.Dense", "pyrec.Dense"]


def test_a_concatenation_in_the_middle_of_a_shape_is_read_by_part_along_the_last_axis_only() -> None:
    layer = Node("pyrec.Dense", ("c", "w"), ("y",))
    last = [Node("Concat", ("x", "z"), ("c",), {"axis": -1}), layer]
    assert ops_after(split_concatenations, graph_of(last, WEIGHTS, x=(5, 3), z=(5, 4))) == ["pyrec.Dense"] * 2
    middle = [Node("Concat", ("x", "z"), ("c",), {"axis": 1}), layer]
    graph = graph_of(middle, WEIGHTS, x=(2, 7), z=(3, 7))
    assert ops_after(split_concatenations, graph) == ["Concat", "pyrec.Dense"]


def test_wide_layers_and_shared_concatenations_stay() -> None:
    wide = {"w": np.ones((7, 5), F32)}
    graph = graph_of([CONCAT, Node("pyrec.Dense", ("c", "w"), ("y",))], wide, x=(3,), z=(4,))
    assert ops_after(split_concatenations, graph) == ["Concat", "pyrec.Dense"]
    nodes = [CONCAT, Node("pyrec.Dense", ("c", "w"), ("s",)), Node("Identity", ("c",), ("y",))]
    shared = graph_of(nodes, WEIGHTS, ("y", "s"), x=(3,), z=(4,))
    assert ops_after(split_concatenations, shared) == ["Concat", "pyrec.Dense", "Identity"]


TABLE = {"t": np.arange(36, dtype=F32).reshape(9, 4), "s": np.arange(9, dtype=F32).reshape(9, 1)}


def lookup(output: str, *operands: str, offset: int = 0) -> Node:
    widths = tuple(1 if table == "s" else 4 - offset // 4 for table in operands[1::2])
    count = len(widths)
    parts = {
        "columns": (-1,) * count,
        "offsets": (offset,) * count,
        "widths": widths,
        "codecs": ("f32",) * count,
    }
    return Node("pyrec.Lookup", operands, (output,), parts)


def graph_of_lookups(*nodes: Node) -> Graph:
    ids = Info(np.dtype(np.int64), (N,), 0)
    outputs = tuple(node.outputs[0] for node in nodes)
    graph = Graph(("u", "i", "j"), outputs, nodes, TABLE, {"u": ids, "i": ids, "j": ids})
    verify(graph, "the test")
    return graph


IDS = {
    name: np.asarray(values)
    for name, values in (("u", [3] * 5), ("i", [0, 8, 1, 1, 5]), ("j", [2, 7, 0, 4, 4]))
}
WHOLE = lookup("a", "i", "t", "j", "s", "j", "t")


@pytest.mark.parametrize(
    "piece",
    [lookup("b", "j", "s", "j", "t"), lookup("b", "i", "t"), lookup("b", "i", "t", "j", "s", "j", "t")],
    ids=["end", "begin", "all"],
)
def test_a_lookup_within_another_is_a_slice_of_it(piece: Node) -> None:
    graph = graph_of_lookups(WHOLE, piece)
    assert ops_after(share_lookups, graph, inputs=IDS) == ["pyrec.Lookup", "Slice"]


@pytest.mark.parametrize(
    "piece",
    [
        lookup("b", "i", "t", "j", "t"),
        lookup("b", "j", "t", "j", "s"),
        lookup("b", "i", "s"),
        lookup("b", "i", "t", offset=4),
    ],
    ids=["a gap", "another order", "another table", "another piece of the row"],
)
def test_other_lookups_stay(piece: Node) -> None:
    assert ops_after(share_lookups, graph_of_lookups(WHOLE, piece), inputs=IDS) == ["pyrec.Lookup"] * 2


def test_what_an_item_alone_tells_stays_apart_from_what_a_pair_tells() -> None:
    graph = graph_of_lookups(lookup("a", "u", "t", "i", "t"), lookup("b", "i", "t"))
    assert ops_after(share_lookups, graph, WITH_ITEMS, IDS) == ["pyrec.Lookup"] * 2
    assert ops_after(share_lookups, graph, REQUEST, IDS) == ["pyrec.Lookup", "Slice"]
