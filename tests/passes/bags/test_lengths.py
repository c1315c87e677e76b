"""Numbers of rows that are repeated by lengths, and values that only count."""

from __future__ import annotations

import pytest
from support.bag_sites import site_of_lists

from pyrec_infer.ir import Node
from pyrec_infer.passes.bags.lengths import counts_up, is_one_less, lengths_repeated

pytestmark = pytest.mark.once

COUNT = [
    Node("Size", ("ids",), ("n",)),
    Node("Range", ("number0", "n", "number1"), ("up",)),
    Node("Range", ("number1", "n", "number1"), ("late",)),
    Node("Range", ("number0", "n", "number2"), ("twos",)),
    Node("Unsqueeze", ("up", "one"), ("column",)),
]


def test_what_counts_up() -> None:
    site = site_of_lists(*COUNT)
    assert {name for name in ("up", "late", "twos", "column", "ids") if counts_up(name, site)} == {
        "up",
        "column",
    }


def repeated(reader: str) -> str | None:
    """The lengths by which a list of rows is repeated, read through positions or not."""
    nodes = [
        *COUNT,
        Node("pyrec.RowsOfLengths", ("lengths",), ("repeated",)),
        Node("Gather", ("up", "repeated"), ("through",)),
        Node("Gather", ("twos", "repeated"), ("doubled",)),
        Node("Unsqueeze", ("through", "one"), ("seen",)),
        Node("Neg", ("repeated",), ("negative",)),
    ]
    return lengths_repeated(reader, site_of_lists(*nodes))


def test_rows_are_seen_through_positions_that_are_themselves() -> None:
    assert [repeated(name) for name in ("repeated", "through", "seen")] == ["lengths"] * 3
    assert [repeated(name) for name in ("doubled", "negative", "rows")] == [None] * 3


def ended(compared: str = "Less", ends: str = "sums", axis: str = "zero") -> str | None:
    """``N - sum(place < ends)``, as dynamo has it."""
    nodes = [
        *COUNT,
        Node("CumSum", ("lengths", "number0"), ("sums",)),
        Node("Unsqueeze", (ends, "one"), ("column_of_ends",)),
        Node(compared, ("up", "column_of_ends"), ("before",)),
        Node("Cast", ("before",), ("counted",), {"to": "int64"}),
        Node("ReduceSum", ("counted", axis), ("later",), {"keepdims": 0}),
        Node("Size", ("lengths",), ("all",)),
        Node("Sub", ("all", "later"), ("row",)),
    ]
    return lengths_repeated("row", site_of_lists(*nodes))


def test_rows_less_those_that_end_later() -> None:
    assert ended() == "lengths"


@pytest.mark.parametrize(
    "miss",
    [{"compared": "LessOrEqual"}, {"ends": "lengths"}, {"axis": "one"}],
    ids=["or equal", "no ends", "of the other axis"],
)
def test_other_numbers_are_no_rows(miss: dict[str, str]) -> None:
    assert ended(**miss) is None


def test_one_less_than_the_number_of_offsets() -> None:
    site = site_of_lists()
    assert is_one_less(("less", ("size", "K"), 1), "offsets", site)
    assert is_one_less(("less", ("length", "offsets"), 1), "offsets", site)
    assert not is_one_less(("less", ("size", "K"), 2), "offsets", site)
    assert not is_one_less(("less", ("length", "ids"), 1), "offsets", site)
