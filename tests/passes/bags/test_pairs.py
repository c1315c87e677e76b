"""Bags of lists of rows: sums and extremes by the list, against loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.bag_sites import CONSTANTS, INFOS, graph_of_lists, site_of_lists
from support.graphs import N, site_of
from support.random_graphs import evaluate

from pyrec_infer.ir import Graph, Info, Node, Rows, verify
from pyrec_infer.passes.bags.pairs import Bags, bags_of_rows, extremes, lengths_of, of_rows, sums

pytestmark = pytest.mark.once

ROWS = 4
GIVEN: dict[str, Any] = {
    "ids": np.asarray([3, 8, 0, 3, 5]),
    "rows": np.asarray([2, 0, 2, 2, 3]),
    "weights": np.asarray([1, -2, 0.5, 3, -1], np.float32),
    "values": np.asarray([[1, -1], [-2, 5], [0.5, 7], [-3, 2], [4, 4]], np.float32),
    "lengths": np.asarray([1, 0, 3, 1]),
    "offsets": np.asarray([0, 1, 1, 4]),
    "x": np.zeros((ROWS, 2), np.float32),
}


def reduced(updates: str, how: str, *nodes: Node) -> Any:
    """The bags of the list's rows, by the nodes that are written for them."""
    graph = graph_of_lists(*nodes, Node("Identity", ("x",), ("unused",)))
    site = site_of(graph)
    bags = bags_of_rows("rows", updates, site)
    assert bags is not None
    assert bags.order
    made = sums(updates, bags, site) if how == "sum" else extremes(updates, bags, how == "min", (9, -1), site)
    whole = Graph(graph.inputs, (made,), (*graph.nodes, *site.nodes), site.constants, INFOS)
    verify(whole, "the bags")
    return evaluate(whole, GIVEN, ROWS)[made]


def by_hand(values: Any, how: str) -> Any:
    one = values.shape[1:]
    parts = [values[GIVEN["rows"] == row] for row in range(ROWS)]
    if how == "sum":
        return np.stack([part.sum(axis=0) for part in parts])
    best = np.max if how == "max" else np.min
    found = [best(np.concatenate([part, np.full((1, *one), -1)]), axis=0) for part in parts]
    return np.stack(
        [np.full(one, 9) if not len(part) else item for part, item in zip(parts, found, strict=True)]
    )


@pytest.mark.parametrize("how", ["sum", "max", "min"])
@pytest.mark.parametrize("updates", ["values", "weights"])
def test_values_of_a_list(updates: str, how: str) -> None:
    np.testing.assert_allclose(reduced(updates, how), by_hand(GIVEN[updates], how))


@pytest.mark.parametrize("how", ["sum", "max", "min"])
def test_rows_of_a_table_with_weights(how: str) -> None:
    nodes = [
        Node("Gather", ("table", "ids"), ("found",)),
        Node("Unsqueeze", ("weights", "one"), ("column",)),
        Node("Mul", ("found", "column"), ("weighed",)),
    ]
    weighed = CONSTANTS["table"][GIVEN["ids"]] * GIVEN["weights"][:, None]
    np.testing.assert_allclose(reduced("weighed", how, *nodes), by_hand(weighed, how))


def test_rows_are_counted_by_sums_of_ones() -> None:
    nodes = [Node("Shape", ("ids",), ("n",)), Node("Expand", ("f1", "n"), ("each",))]
    one = Node("Cast", ("number1",), ("f1",), {"to": "float32"})
    np.testing.assert_array_equal(reduced("each", "sum", one, *nodes), [1, 0, 3, 1])


def test_a_list_that_has_rows_itself_names_none() -> None:
    site = site_of_lists()
    assert site.infos["rows"].rows == Rows.INVARIANT
    assert bags_of_rows("rows", "values", site) is not None
    assert bags_of_rows("lengths", "values", site) is None
    site.infos["rows"] = Info(np.dtype(np.int32), site.infos["rows"].shape)
    assert bags_of_rows("rows", "values", site) is None


def test_rows_by_lengths_need_no_order() -> None:
    site = site_of_lists(Node("pyrec.RowsOfLengths", ("lengths",), ("by_length",)))
    bags = bags_of_rows("by_length", "values", site)
    assert bags == Bags(site.nodes[-1].outputs[0])
    assert site.nodes[-1].op == "pyrec.BagBoundsOfLengths"
    assert site.shape(lengths_of(bags, site)) == (N,)


def test_rows_of_the_batch_or_of_lengths() -> None:
    site = site_of_lists(Node("pyrec.RowsOfLengths", ("offsets",), ("by_offset",)))
    offsets = (site.shape("offsets") or ())[0]
    assert of_rows(N, "rows", site)
    assert not of_rows(offsets, "rows", site)
    assert of_rows(offsets, "by_offset", site)
    assert not of_rows(7, "rows", site)
