"""Rows that a list names for its values, reduced into bags, and rows that begin with something else."""

from __future__ import annotations

import pytest
from support.bag_graphs import operators
from support.bag_models import NEAR_MISSES

pytestmark = pytest.mark.once

SCATTERS = {"ScatterND", "ScatterElements"}


@pytest.mark.parametrize("how", sorted(SCATTERS))
@pytest.mark.parametrize("mode", ["", "-mean", "-max", "-min-begun"])
def test_values_reduced_into_rows_are_bags(how: str, mode: str) -> None:
    found = operators(f"pairs-{how}{mode}")
    assert {"pyrec.EmbeddingBag", "pyrec.BagsOfPairs"} <= set(found)
    assert not SCATTERS & set(found)


@pytest.mark.parametrize("miss", NEAR_MISSES["segments"], ids=lambda miss: "-".join(map(str, miss)))
def test_rows_that_begin_with_something_else_stay(miss: tuple[str, str, int, str]) -> None:
    assert SCATTERS & set(operators(*miss))
