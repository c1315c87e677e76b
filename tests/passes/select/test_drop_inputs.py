"""Inputs that no run needs, and those whose sizes alone are read."""

from __future__ import annotations

import pytest
from support.graphs import graph_of

from pyrec_infer.ir import Dim, Graph, Node
from pyrec_infer.passes.select.drop_inputs import drop_inputs

pytestmark = pytest.mark.once

LENGTHS = Dim.symbol("L")
SIZES = Node("pyrec.DimValues", (), ("n",), {"sizes": (LENGTHS,), "scalar": 1})


def reading_sizes(**inputs: tuple[object, ...]) -> Graph:
    cast = Node("Cast", ("n",), ("f",), {"to": "float32"})
    return graph_of([SIZES, cast, Node("Mul", ("x", "f"), ("y",))], **inputs)


def test_inputs_that_nobody_reads_go() -> None:
    graph = graph_of([Node("Neg", ("x",), ("y",))], x=(4,), z=(4,))
    assert drop_inputs(graph).inputs == ("x",)
    given = graph_of([Node("Neg", ("x",), ("y",))], outputs=("y", "z"), x=(4,), z=(4,))
    assert drop_inputs(given).inputs == ("x", "z")


def test_an_input_stays_for_a_size_that_no_other_tells() -> None:
    assert drop_inputs(reading_sizes(x=(4,), z=(LENGTHS,))).inputs == ("x", "z")
    assert drop_inputs(reading_sizes(x=(LENGTHS,), z=(LENGTHS,))).inputs == ("x",)
    assert drop_inputs(reading_sizes(z=(LENGTHS,), x=(LENGTHS,))).inputs == ("x",)
    assert drop_inputs(reading_sizes(x=(4,), z=(LENGTHS,), w=(LENGTHS,), v=(4,))).inputs == ("x", "z")
