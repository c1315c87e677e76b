"""What bags are made of, read off graphs: numbers that fill, columns, lookups and sums of lengths."""

from __future__ import annotations

import numpy as np
import pytest
from support.bag_sites import site_of_lists

from pyrec_infer.ir import Node
from pyrec_infer.passes.bags.parts import (
    column_of,
    cumulated,
    ends_of_lengths,
    filled_with,
    filling,
    looked_up,
    summed_lengths,
)

pytestmark = pytest.mark.once


def test_a_number_that_fills_a_value_is_seen_through_repetitions() -> None:
    made = Node("ConstantOfShape", ("two",), ("a",), {"value": np.asarray([3], np.float32)})
    site = site_of_lists(made, Node("Unsqueeze", ("a", "one"), ("b",)), Node("Expand", ("b", "two"), ("c",)))
    assert [filling(name, site) for name in ("c", "filled", "mixed", "x")] == [3, 7, None, None]
    assert filled_with("filled", 7, site)
    assert not filled_with("filled", 6, site)
    nothing = site_of_lists(Node("ConstantOfShape", ("two",), ("a",)))
    assert filling("a", nothing) == 0


def test_columns_are_vectors_with_one_more_axis() -> None:
    nodes = [
        Node("Unsqueeze", ("lengths", "one"), ("column",)),
        Node("Unsqueeze", ("lengths", "zero"), ("row",)),
        Node("Unsqueeze", ("column", "two"), ("deeper",)),
        Node("Reshape", ("deeper", "back"), ("again",)),
    ]
    site = site_of_lists(Node("Concat", ("minus1", "one"), ("back",), {"axis": 0}), *nodes)
    assert [column_of(name, site) for name in ("column", "row", "deeper", "again", "lengths")] == [
        "lengths",
        None,
        None,
        "lengths",
        None,
    ]


def test_sums_of_lengths_in_every_spelling() -> None:
    nodes = [
        Node("CumSum", ("lengths", "number0"), ("sums",)),
        Node("CumSum", ("lengths", "number0"), ("exclusive",), {"exclusive": 1}),
        Node("CumSum", ("lengths", "number0"), ("reverse",), {"exclusive": 1, "reverse": 1}),
        Node("Sub", ("sums", "lengths"), ("less",)),
        Node("Sub", ("sums", "number1"), ("less_one",)),
        Node("Slice", ("sums", "zero", "minus1"), ("cut",)),
        Node("Slice", ("sums", "one", "minus1"), ("late",)),
        *(
            Node("Concat", parts, ("_".join(parts),), {"axis": 0})
            for parts in (
                ("zero", "cut"),
                ("one", "cut"),
                ("zero", "late"),
                ("zero", "sums"),
                ("one", "sums"),
            )
        ),
    ]
    site = site_of_lists(*nodes)
    found = {name for name in site.producers if summed_lengths(name, site) == "lengths"}
    assert found == {"exclusive", "less", "zero_cut"}
    assert {name for name in site.producers if ends_of_lengths(name, site) == "lengths"} == {"zero_sums"}
    assert cumulated("sums", site, 0) == "lengths"
    assert cumulated("sums", site, 1) is None


def test_rows_of_a_table_and_their_weights() -> None:
    nodes = [
        Node("Gather", ("table", "ids"), ("plain",)),
        Node("Unsqueeze", ("weights", "one"), ("column",)),
        Node("Mul", ("column", "plain"), ("weighed",)),
        Node("Mul", ("plain", "one_column"), ("by_one",)),
        Node("Mul", ("plain", "mixed"), ("by_column",)),
        Node("Gather", ("tables", "ids"), ("matrices",), {"axis": 1}),
    ]
    ones = Node("ConstantOfShape", ("one",), ("one_number",), {"value": np.ones(1, np.float32)})
    site = site_of_lists(ones, Node("Unsqueeze", ("one_number", "one"), ("one_column",)), *nodes)
    assert looked_up("plain", site) == ("table", "ids", "")
    assert looked_up("weighed", site) == ("table", "ids", "weights")
    assert looked_up("by_one", site) == ("table", "ids", "")
    for name in ("by_column", "values"):
        matrix, places, weights = looked_up(name, site)
        assert (matrix, weights) == (name, "")
        assert site.nodes[-1].outputs == (places,)
        assert site.nodes[-1].op == "Range"
    assert looked_up("weighed", site, weighted=False)[0] == "weighed"
