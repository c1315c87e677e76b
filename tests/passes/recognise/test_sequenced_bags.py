"""Loops of dynamo that insert a bag into a sequence, and loops that do something else."""

from __future__ import annotations

import pytest
from support.bag_graphs import operators
from support.bag_models import NEAR_MISSES

pytestmark = pytest.mark.once


SPELLINGS = (
    "sequenced-sum-first",
    "sequenced-max-last",
    "sequenced-weighted",
    "padded-sum-first",
    "ended-mean-last",
)


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_loop_over_bags_is_one_operator(name: str) -> None:
    found = operators(name)
    assert "pyrec.EmbeddingBag" in found
    assert "Loop" not in found


@pytest.mark.parametrize("miss", NEAR_MISSES["sequenced_bags"], ids=lambda miss: "-".join(map(str, miss)))
def test_other_loops_stay(miss: tuple[str, str, int, str]) -> None:
    found = operators(*miss)
    assert "Loop" in found
    assert "pyrec.EmbeddingBag" not in found
