"""Offsets that are sums of lengths, and offsets that are made of lengths in another way."""

from __future__ import annotations

import pytest
from support.bag_graphs import operators

pytestmark = pytest.mark.once

SUMS = {"pyrec.BagBounds", "CumSum", "pyrec.LengthsOfOffsets"}


@pytest.mark.parametrize(
    "name", ["lengths-exclusive", "lengths-less", "lengths-joined", "padded-mean-lengths"]
)
def test_bags_are_told_by_their_lengths(name: str) -> None:
    found = operators(name)
    assert {"pyrec.EmbeddingBag", "pyrec.BagBoundsOfLengths"} <= set(found)
    assert not SUMS & set(found)


@pytest.mark.parametrize(
    "miss",
    [
        ("lengths-exclusive", "offsets", 0, "lengths"),
        ("lengths-less", "offsets", 1, "sums"),
        ("lengths-less", "offsets", 1, "zero1"),
        ("lengths-joined", "offsets", 0, "one1"),
        ("lengths-joined", "offsets", 0, "zeros2"),
        ("lengths-joined", "before", 1, "one1"),
        ("lengths-joined", "before", 2, "one1"),
        ("lengths-joined", "before", 0, "lengths"),
    ],
    ids=lambda miss: "-".join(map(str, miss)),
)
def test_other_offsets_stay(miss: tuple[str, str, int, str]) -> None:
    assert "pyrec.BagBoundsOfLengths" not in operators(*miss)
