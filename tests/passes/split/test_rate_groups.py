"""The rates of a value's positions, and what some of them need."""

from __future__ import annotations

import pytest
from support.graphs import N, graph_of, site_of
from support.split_graphs import FIELD, FIELDS, ROWS, WITH_ITEMS

from pyrec_infer.ir import Node, Rate
from pyrec_infer.passes.split.rate_groups import position_rates, restricted

pytestmark = pytest.mark.once


def test_restriction_to_positions() -> None:
    graph = graph_of([*FIELDS, Node("Relu", ("e",), ("y",))], FIELD, **ROWS)
    site = site_of(graph, WITH_ITEMS)
    rates = position_rates("y", 1, site)
    assert rates == [Rate.REQUEST, Rate.ITEM, Rate.REQUEST, Rate.ITEM]
    chosen = restricted("y", 1, [0, 2], site)
    assert chosen is not None
    assert site.rate(chosen) == Rate.REQUEST
    assert site.shape(chosen) == (N, 2, 3)
    assert position_rates("y", 0, site) == []
