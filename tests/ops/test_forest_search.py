"""Forests of trees of every size and form: trees searched and trees walked give the reference's votes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.random_forests import COLUMNS, ORDERED, Grower, rows

from pyrec_infer.backends.select import make_executor, make_pool, select_backend
from pyrec_infer.execution.planning import plan_graph
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import AGGREGATES, BATCH, Array, Comparison, Dim, Forest, Graph, Info, Node
from pyrec_infer.limits import default_max_bytes
from pyrec_infer.ops import OPS
from pyrec_infer.passes import Context

SIZES = (1, 2, 3, 8, 9, 16, 17, 63, 64, 65, 200, 256, 257, 300)


def run(forest: Forest, x: Array) -> tuple[Array, Array]:
    """What the backend and the reference make of rows."""
    node = Node("pyrec.Forest", ("x",), ("y",), {"forest": forest})
    info = Info(x.dtype, (Dim.symbol(BATCH), x.shape[1]), 0)
    plan = plan_graph(Graph(("x",), ("y",), (node,), {}, {"x": info}), Context())
    backend = select_backend()
    executor = make_executor(plan, backend, make_pool(backend, 1), {}, default_max_bytes())
    found = ReadyPlan(plan, executor).run({"x": x}, (), len(x))["y"]
    return found, OPS["pyrec.Forest"].evaluate(node, [x])[0]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(12))
def test_votes_are_those_of_the_reference(seed: int, kind: Any) -> None:
    rng = np.random.default_rng(seed)
    # More thresholds of a feature than a byte numbers, in half of the cases.
    values = rng.standard_normal(2000 if seed % 2 else 6).astype(kind)
    values[:3] = 0.0, np.inf, -0.0
    choices = [ORDERED, ORDERED[:1], ORDERED[1:2], ORDERED[2:], [*ORDERED, Comparison.EQUAL]][seed % 5]
    grower = Grower(rng, values, choices)
    for size in rng.permutation(SIZES)[: 6 + seed % 5]:
        grower.tree(int(size), float(rng.choice([0.01, 0.2, 0.5])))
    aggregate = AGGREGATES[seed % 4] if seed < 8 else "SUM"
    targets, votes = (1, 3)[seed % 3 == 0], ("one", "some")[seed % 4 == 1]
    forest = grower.forest(kind, targets, aggregate, votes)
    for count in (0, 1, 2, 3, 5, 8, 17, 33, 63, 64, 65, 200):
        found, expected = run(forest, rows(rng, count, kind, values))
        np.testing.assert_array_equal(found, expected)
    found, expected = run(forest, rows(rng, 70, kind, values).astype(np.float64))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(6))
def test_trees_of_few_tests_are_decided_by_their_answers(seed: int, kind: Any) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(2000 if seed % 2 else 3).astype(kind)
    grower = Grower(rng, values, [ORDERED, ORDERED[:1]][seed % 2])
    for depth in (1, 3, 4, 5, 6, 7, 8, 9):
        grower.levels(depth, (0.0, 0.0, 0.1)[seed % 3])
    targets, votes = ((1, "one"), (3, "all"), (20, "all"), (2, "some"))[seed % 4]
    forest = grower.forest(kind, targets, AGGREGATES[seed % 2], votes)
    for count in (1, 7, 64, 100):
        found, expected = run(forest, rows(rng, count, kind, values))
        np.testing.assert_array_equal(found, expected)


def test_paths_that_meet_are_many_leaves() -> None:
    """A ladder of 40 rungs has 2^40 paths to one of two leaves."""
    rungs, rng = 40, np.random.default_rng(0)
    count = 2 * rungs + 1
    # Two nodes a rung behind the root, each of which leads to both of the next rung; the last are leaves.
    following = 2 * ((np.arange(count) + 1) // 2) + 1
    forest = Forest(
        np.asarray([Comparison.LESS_EQUAL] * (count - 2) + [Comparison.LEAF] * 2),
        rng.integers(0, COLUMNS, count),
        rng.standard_normal(count),
        np.minimum(following, count - 2),
        np.minimum(following + 1, count - 1),
        np.zeros(count, bool),
        np.asarray([0]),
        np.concatenate([np.zeros(count - 1, np.int64), [1, 2]]),
        np.zeros(2, np.int64),
        np.asarray([1.0, 2.0]),
    )
    found, expected = run(forest, rng.standard_normal((100, COLUMNS)))
    assert set(np.unique(expected)) == {1.0, 2.0}
    np.testing.assert_array_equal(found, expected)
