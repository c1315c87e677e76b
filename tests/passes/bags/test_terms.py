"""What values of loops stand for, and values that stand for nothing that bags need."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.bag_sites import site_of_lists

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.passes.bags.terms import Reader, Term, kept_ids, reduced, split_in_ones

pytestmark = pytest.mark.once

OUTER = [
    Node("Slice", ("offsets", "one", "end"), ("rest",)),
    Node("Slice", ("offsets", "one", "two"), ("part",)),
    Node("Size", ("offsets",), ("n",)),
    Node("Size", ("rest",), ("m",)),
    Node("Size", ("part",), ("p",)),
    Node("Sub", ("n", "number1"), ("less",)),
    Node("Cast", ("less",), ("narrow",), {"to": "int16"}),
]


def reader(*nodes: Node, keepdims: int = 0) -> Reader:
    return Reader(site_of_lists(*nodes), keepdims)


def test_values_outside_a_loop() -> None:
    made = reader(*OUTER)
    assert made.outer("number2") == ("number", 2)
    assert made.outer("none") == ("zeros", (0, 4))
    assert made.outer("mixed") == ("outer", "mixed")
    assert made.outer("n") == ("length", "offsets")
    assert made.outer("less") == ("less", ("length", "offsets"), 1)
    assert made.outer("m") == ("less", ("length", "offsets"), 1)
    assert made.outer("p") == ("length", "part")
    # A type that may wrap around.
    assert made.outer("narrow") == ("outer", "narrow")


def test_vectors_are_what_is_left_of_others() -> None:
    made = reader(*OUTER)
    assert made.vector("rest") == ("offsets", 1)
    assert made.vector("part") == ("part", 0)
    assert made.vector("offsets") == ("offsets", 0)


def body(*nodes: Node) -> Graph:
    constants = {"one": np.asarray([1]), "zero": np.asarray([0]), "step": np.asarray(1), "wide": np.zeros(3)}
    unknown = dict.fromkeys(("i", "offsets", "ids", "table"), Info(None, None))
    return Graph(tuple(unknown), nodes[-1].outputs, nodes, constants, unknown)


GIVEN: dict[str, Term] = {
    "i": ("index", 0),
    "offsets": ("outer", "offsets"),
    "ids": ("outer", "ids"),
    "table": ("outer", "table"),
}
NEXT = Node("Add", ("i", "step"), ("next",))
START = Node("Gather", ("offsets", "i"), ("start",))
END = Node("Gather", ("offsets", "next"), ("end",))
IDS = Node("Slice", ("ids", "start", "end", "zero"), ("own",))
ROWS = Node("Gather", ("table", "own"), ("found",))
SPAN: Term = ("rows", "ids", ("at", "offsets", 0), ("at", "offsets", 1))


def term(*nodes: Node, keepdims: int = 0) -> Term:
    inner = body(*nodes)
    return reader(keepdims=keepdims).term(inner.outputs[0], inner, GIVEN)


def test_values_of_a_body() -> None:
    assert term(NEXT) == ("index", 1)
    assert term(NEXT, START, END) == ("at", "offsets", 1)
    assert term(NEXT, START, END, IDS) == SPAN
    assert term(NEXT, START, END, IDS, ROWS) == ("take", "table", SPAN)
    total = Node("ReduceSum", ("found", "zero"), ("sum",), {"keepdims": 0})
    assert term(NEXT, START, END, IDS, ROWS, total) == ("ReduceSum", ("take", "table", SPAN))


@pytest.mark.parametrize(
    ("nodes", "keepdims"),
    [
        ([Node("ReduceSum", ("found", "zero"), ("sum",), {"keepdims": 0})], 1),
        ([Node("ReduceSum", ("found", "one"), ("sum",), {"keepdims": 0})], 0),
        ([Node("Cast", ("next",), ("n16",), {"to": "int16"})], 0),
    ],
    ids=["keeps its axis", "along the columns", "a type that wraps around"],
)
def test_other_values_of_a_body_are_unknown(nodes: list[Node], keepdims: int) -> None:
    assert term(NEXT, START, END, IDS, ROWS, *nodes, keepdims=keepdims) == ("unknown",)


def test_slices_along_another_axis_or_with_steps_are_no_rows() -> None:
    for more in (("one",), ("zero", "two")):
        other = Node("Slice", ("ids", "start", "end", *more), ("own",))
        assert term(NEXT, START, END, other)[0] != "rows"


def test_numbers_less_numbers() -> None:
    size: Term = ("size", "K")
    assert reduced(size, ("number", 2)) == ("less", size, 2)
    assert reduced(("less", size, 1), ("number", 2)) == ("less", size, 3)
    assert reduced(("less", size, 1), ("number", -1)) == size
    assert reduced(size, size) is None
    assert reduced(("number", 3), ("number", 2)) is None


def test_a_sequence_of_the_elements_of_a_vector() -> None:
    made = [
        Node("Size", ("ids",), ("n",)),
        Node("Unsqueeze", ("n", "zero"), ("n1",)),
        Node("Expand", ("one", "n1"), ("ones_of_ids",)),
        Node("Expand", ("two", "n1"), ("twos_of_ids",)),
        Node("SplitToSequence", ("ids", "ones_of_ids"), ("elements",)),
        Node("SplitToSequence", ("ids", "twos_of_ids"), ("pairs",)),
        Node("SplitToSequence", ("weights", "ones_of_ids"), ("floats",)),
    ]
    site = site_of_lists(*made)
    assert [split_in_ones(name, site) for name in ("elements", "pairs", "floats", "ids")] == [
        "ids",
        None,
        None,
        None,
    ]


ID: Term = ("Gather", ("outer", "ids"), ("place",))
WRAPPED: Term = ("If", ("Less", ID, ("number", 0)), ("Add", ID, ("number", 20)), ID)


def growing(item: Term, padding: Any = 3, grown: Term = ("Concat", ("places",), ("place",))) -> Term:
    return ("If", ("Not", ("Equal", item, ("number", padding))), grown, ("places",))


def test_ids_that_are_not_the_padding() -> None:
    assert kept_ids(growing(ID)) == ("ids", 3, 0)
    assert kept_ids(growing(WRAPPED)) == ("ids", 3, 20)
    assert kept_ids(growing(WRAPPED, 20)) is None
    assert kept_ids(growing(WRAPPED, -1)) is None
    assert kept_ids(growing(ID, grown=("Concat", ("place",), ("places",)))) is None
    assert kept_ids(growing(("Gather", ("outer", "ids"), ("index", 0)))) is None
