"""The rates of a value's positions, and what some of them need."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, N, graph_of, inputs_for, site_of
from support.random_graphs import evaluate
from support.split_graphs import FIELD, FIELDS, ROWS, WITH_ITEMS

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.passes.common.sides import Sides
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


def test_positions_through_layers_transpositions_and_fixed_places() -> None:
    layer = [
        Node("pyrec.Dense", ("e", "w", "b"), ("h",)),
        Node("Gather", ("h", "chosen"), ("g",), {"axis": 1}),
        Node("Transpose", ("g",), ("y",), {"perm": (0, 2, 1)}),
    ]
    chosen = np.asarray([3, -2, 0, 2, 0])
    constants = {**FIELD, "w": np.eye(3, 2, dtype=np.float32), "b": np.ones(2, np.float32), "chosen": chosen}
    graph = graph_of([*FIELDS, *layer], constants, **ROWS)
    site = site_of(graph, WITH_ITEMS)
    assert position_rates("y", 2, site) == [Rate.ITEM, *[Rate.REQUEST] * 4]
    assert position_rates("y", 1, site) == [Rate.PAIR] * 2
    for places in ([2, 3, 1], [1, 2, 3, 4]):
        part = restricted("y", 2, places, site)
        assert part is not None
        assert site.rate(part) == Rate.REQUEST
        assert site.shape(part) == (N, 2, len(places))


def test_places_outside_and_layers_that_others_read_are_taken_as_a_whole() -> None:
    nodes = [
        Node("Gather", ("e", "chosen"), ("g",), {"axis": 1}),
        Node("pyrec.Dense", ("e", "w"), ("h",)),
        Node("Relu", ("h",), ("y",)),
        Node("Neg", ("h",), ("z",)),
    ]
    constants = {**FIELD, "w": np.eye(3, 2, dtype=np.float32), "chosen": np.asarray([0, 4])}
    site = site_of(graph_of([*FIELDS, *nodes], constants, **ROWS), WITH_ITEMS)
    assert position_rates("g", 1, site) == [Rate.PAIR] * 2
    assert position_rates("y", 1, site) == [Rate.PAIR] * 4


def looked_up(rng: np.random.Generator) -> Graph:
    """Vectors of a request's and an item's ids side by side, in views and elementwise steps by chance."""
    counts, width = rng.integers(1, 5, 2), 4
    total = int(counts.sum())
    constants = {
        "t": rng.integers(-4, 5, (5, width)).astype(F32),
        "at": np.asarray(rng.integers(0, 2)),
        "w": rng.integers(-4, 5, (width, width)).astype(F32),
        "flat": [-1, total * width],
        "square": [-1, total, width],
        "chosen": rng.permutation([0, total - 1, *rng.integers(0, total, 4)]),
        "halves": [-1, total * 2, width // 2],
        "last": [-1, 6 * width],
        "own_u": [-1, int(counts[0]) * width],
        "own_i": [-1, int(counts[1]) * width],
    }
    nodes = [
        Node("Add", ("u", "at"), ("u1",)),
        *(Node("Gather", ("t", name), (f"v_{name[0]}",), {"axis": 0}) for name in ("u1", "i")),
        *(Node("Reshape", (f"v_{side}", f"own_{side}"), (f"f_{side}",)) for side in "ui"),
        Node("Concat", ("f_u", "f_i"), ("c",), {"axis": 1}),
        Node("Reshape", ("c", "square"), ("e",)),
        Node("pyrec.Dense", ("e", "w"), ("h",)),
        Node("Gather", ("h", "chosen"), ("g",), {"axis": 1}),
        Node("Relu", ("g",), ("r",)),
        Node("Reshape", ("r", "last"), ("y",)),
        Node("Reshape", ("c", "halves"), ("z",)),
    ]
    ids = {"u": (int(counts[0]),), "i": (int(counts[1]),)}
    return graph_of(nodes, constants, outputs=("y", "z"), ids=("u", "i"), **ids)


@pytest.mark.parametrize("seed", range(30))
def test_positions_of_what_is_looked_up(seed: int) -> None:
    """Through views that join axes and the ids of tables: the same numbers, of the rate that was told."""
    rng = np.random.default_rng(seed)
    graph = looked_up(rng)
    sides = Sides(frozenset("u"), frozenset("i")) if seed % 2 else Sides(frozenset("u"))
    site = site_of(graph, sides)
    given = {name: value % 4 for name, value in inputs_for(graph, 3, seed).items()}
    for name, whole in evaluate(graph, given, 3).items():
        rates = position_rates(name, 1, site)
        assert set(rates) == {Rate.REQUEST, Rate.ITEM if seed % 2 else Rate.PAIR}
        for rate in set(rates):
            alike = [place for place, other in enumerate(rates) if other == rate]
            part = sorted(rng.choice(alike, rng.integers(1, len(alike) + 1), replace=False).tolist())
            made = restricted(name, 1, part, site)
            assert made is not None
            assert site.rate(made) == rate
            after = graph.with_(
                nodes=(*graph.nodes, *site.nodes),
                constants={**graph.constants, **site.constants},
                outputs=(made,),
            )
            np.testing.assert_array_equal(evaluate(after, given, 3)[made], whole[:, part])
