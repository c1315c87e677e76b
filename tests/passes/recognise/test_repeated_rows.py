"""Loops that repeat a row's number as often as its list is long, and loops that do something else."""

from __future__ import annotations

import pytest
from support.bag_graphs import operators
from support.bag_models import NEAR_MISSES

pytestmark = pytest.mark.once


def test_rows_repeated_by_lengths_are_bounds() -> None:
    found = operators("lengths-repeated")
    assert "pyrec.BagBoundsOfLengths" in found
    assert not {"Loop", "pyrec.RowsOfLengths"} & set(found)


@pytest.mark.parametrize("miss", NEAR_MISSES["repeated_rows"], ids=lambda miss: "-".join(map(str, miss)))
def test_what_repeats_something_else_stays(miss: tuple[str, str, int, str]) -> None:
    # What reads the rows is another pattern, which a part of the updates does not fit.
    loops = "Loop" in operators(*miss)
    assert loops == (miss[1] != "updates")
