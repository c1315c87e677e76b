"""Rows that are made of a layer by gates and sums, and what is measured of them."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, graph_of
from support.random_graphs import evaluate
from support.towers import normal

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.common.writer import Writer
from pyrec_infer.passes.finish.follow_gates import Gates, follow_gates, measure_gates

pytestmark = pytest.mark.once

WIDTH = 6


def graph(*nodes: tuple[str, str, str]) -> Graph:
    """Operators with their operands and results, from h, a, b and c to y, which is summed."""
    made = [Node(op, tuple(operands.split()), (result,)) for op, operands, result in nodes]
    made.append(Node("pyrec.Dense", ("y", "w"), ("z",)))
    rows = dict.fromkeys("habc", (WIDTH,))
    used = {name for node in made for name in node.inputs}
    given = {name: size for name, size in rows.items() if name in used}
    return graph_of(made, {"w": normal(WIDTH, 1)}, **given).with_(outputs=("z",))


def followed(made: Graph) -> Gates | None:
    return follow_gates(made, analyze(made).infos, "y", frozenset("h"))


CROSS = graph(("pyrec.MultiplyAdd", "a h b", "m"), ("Mul", "m c", "y"))


def test_a_gate_behind_a_cross_layer() -> None:
    found = followed(CROSS)
    assert found is not None
    assert found.steps == (("Mul", ("c",)), ("Add", ("b",)), ("Mul", ("a",)))


@pytest.mark.parametrize("made", [CROSS, graph(("pyrec.MultiplyAdd", "a b h", "m"), ("Mul", "m c", "y"))])
def test_measures_bound_what_the_row_does_to_the_sum(made: Graph) -> None:
    found = followed(made)
    assert found is not None
    weights = made.constants["w"].reshape(1, -1)
    writer = Writer("measured", taken=analyze(made).infos)
    name = measure_gates(found, writer.constant(weights), "gates", writer)
    whole = made.with_(
        nodes=(*made.nodes, *writer.nodes),
        constants={**made.constants, **writer.constants},
        outputs=("z", name),
    )
    rows = {each: normal(40, WIDTH) for each in "habc"}
    zero = {**rows, "h": np.zeros((40, WIDTH), F32)}
    plain, empty = evaluate(whole, rows, 40), evaluate(whole, zero, 40)
    reach, others, lengths = plain["gates"].T
    moved = np.abs(plain["z"] - empty["z"])[:, 0]
    assert (moved <= reach * np.linalg.norm(rows["h"], axis=1) * 1.0001).all()
    assert (np.abs(empty["z"][:, 0]) <= others * 1.0001).all()
    assert (lengths > np.linalg.norm(rows["c"], axis=1)).all()
    np.testing.assert_array_equal(plain["gates"], empty["gates"])


@pytest.mark.parametrize(
    "made",
    [
        graph(("Add", "h a", "y")),
        graph(("Mul", "h h", "y")),
        graph(("Mul", "h a", "m"), ("Mul", "m m", "y")),
        graph(("Mul", "h a", "m"), ("Add", "m h", "y")),
        graph(("Abs", "h", "m"), ("Mul", "m a", "y")),
        graph(("Mul", "h a", "m"), ("Mul", "m b", "n"), ("Mul", "n c", "o"), ("Mul", "o a", "y")),
    ],
)
def test_other_rows_are_not_followed(made: Graph) -> None:
    """No gate, the row twice, another operator, and more gates than are bounded."""
    assert followed(made) is None
