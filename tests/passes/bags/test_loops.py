"""Bags that the iterations of a loop make, and iterations that make something else."""

from __future__ import annotations

import numpy as np
import pytest
from support.bag_sites import site_of_lists

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.passes.bags.loops import Bag, bag_of, bags_of, bounds_of, endless
from pyrec_infer.passes.bags.terms import Term

pytestmark = pytest.mark.once

START: Term = ("at", "offsets", 0)
END: Term = ("at", "offsets", 1)
FOUND: Term = ("take", "table", ("rows", "ids", START, END))
COUNT: Term = ("less", ("length", "offsets"), 1)
PLAIN = Bag("sum", "table", "ids", "", START, END, guarded=False, whole=False)


def made(term: Term) -> Bag | None:
    return bag_of(term, COUNT, 0, site_of_lists())


def test_a_reduction_of_found_rows_is_a_bag() -> None:
    assert made(("ReduceSum", FOUND)) == PLAIN
    empty: Term = ("If", ("Equal", END, START), ("zeros", (4,)), ("ReduceMax", FOUND))
    guarded = made(empty)
    assert guarded is not None
    assert (guarded.mode, guarded.guarded) == ("max", True)


@pytest.mark.parametrize(
    "term",
    [
        ("ReduceMin", FOUND),
        ("ReduceSum", ("outer", "table")),
        ("If", ("Equal", START, START), ("zeros", (4,)), ("ReduceMax", FOUND)),
        ("If", ("Equal", END, START), ("zeros", (1, 4)), ("ReduceMax", FOUND)),
        ("If", ("Equal", END, START), ("constant", "c"), ("ReduceMax", FOUND)),
    ],
    ids=["another reduction", "no rows", "another condition", "another shape", "no zeros"],
)
def test_other_rows_are_no_bags(term: Term) -> None:
    assert made(term) is None


def test_bounds_need_the_offsets_of_as_many_bags() -> None:
    assert bounds_of(PLAIN, COUNT, site_of_lists()) is not None
    for count in (("length", "offsets"), ("less", ("length", "offsets"), 2), ("number", 3)):
        assert bounds_of(PLAIN, count, site_of_lists()) is None
    for start, end in ((START, START), (END, START), (START, ("at", "rows", 1)), (("at", "offsets", 1), END)):
        other = Bag("sum", "table", "ids", "", start, end, guarded=False, whole=False)
        assert bounds_of(other, COUNT, site_of_lists()) is None


def test_offsets_that_were_worked_out_are_no_bounds() -> None:
    site = site_of_lists(Node("Abs", ("offsets",), ("worked_out",)))
    start, end = ("at", "worked_out", 0), ("at", "worked_out", 1)
    bag = Bag("sum", "table", "ids", "", start, end, guarded=False, whole=False)
    assert bounds_of(bag, ("less", ("length", "worked_out"), 1), site) is None


def test_weights_belong_to_sums() -> None:
    for mode, fits in (("sum", True), ("mean", False), ("max", False)):
        bag = Bag(mode, "table", "ids", "weights", START, END, guarded=True, whole=False)
        assert (bags_of(bag, COUNT, site_of_lists()) is not None) == fits


def test_the_largest_of_no_numbers_is_none_of_them() -> None:
    for guarded, last in ((True, "pyrec.EmbeddingBag"), (False, "Where")):
        site = site_of_lists()
        bag = Bag("max", "table", "ids", "", START, END, guarded=guarded, whole=False)
        assert bags_of(bag, COUNT, site) == site.nodes[-1].outputs[0]
        assert site.nodes[-1].op == last


def loop(condition: str, again: str, *nodes: Node) -> bool:
    """Whether a loop with a condition at the start and one of its body is endless."""
    unknown = Info(None, None)
    constants = {"yes": np.asarray(True), "no": np.asarray(False)}
    inner = Graph(("i", "c"), (again, "i"), nodes, constants, {"i": unknown, "c": unknown})
    node = Node("Loop", ("n", condition), ("y",), {}, (inner,))
    site = site_of_lists(
        Node("Cast", ("number1",), ("true",), {"to": "bool"}),
        Node("Cast", ("number0",), ("false",), {"to": "bool"}),
    )
    return endless(node, inner, site)


def test_loops_that_end_with_their_count_alone() -> None:
    assert loop("", "c")
    assert loop("true", "c")
    assert loop("", "yes")
    assert loop("", "kept", Node("Identity", ("c",), ("kept",)))
    assert not loop("false", "c")
    assert not loop("", "no")
    assert not loop("lengths", "yes")
    assert not loop("", "turned", Node("Not", ("c",), ("turned",)))
