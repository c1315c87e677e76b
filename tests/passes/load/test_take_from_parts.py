"""Slices that read inside one part of a concatenation, and others."""

from __future__ import annotations

import numpy as np
import pytest
from support.graphs import F32, I64, XZ, N, applied, graph_of

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.passes.load.take_from_parts import take_from_parts

pytestmark = pytest.mark.once


def test_take_from_parts() -> None:
    joined = Node("Concat", ("x", "z"), ("c",), {"axis": 1})
    constants = {"start": np.asarray([5]), "end": np.asarray([7]), "axis": np.asarray([1])}
    inside = graph_of([joined, Node("Slice", ("c", "start", "end", "axis"), ("y",))], constants, **XZ)
    assert applied(take_from_parts, inside).nodes[-1].inputs[0] == "z"
    across = graph_of(list(inside.nodes), {**constants, "start": np.asarray([3])}, **XZ)
    assert applied(take_from_parts, across).nodes[-1].inputs[0] == "c"
    other_axis = graph_of(list(inside.nodes), {**constants, "axis": np.asarray([0])}, **XZ)
    assert applied(take_from_parts, other_axis).nodes[-1].inputs[0] == "c"


@pytest.mark.parametrize(("place", "given"), [(2, [1]), (3, [2])], ids=["axes", "steps"])
def test_what_only_a_run_knows_stays(place: int, given: list[int]) -> None:
    infos = {"x": Info(F32, (N, 4), 0), "z": Info(F32, (N, 4), 0), "late": Info(I64, (1,))}
    names = ["start", "end", "axis", "step"]
    names[place] = "late"
    nodes = (Node("Concat", ("x", "z"), ("c",), {"axis": 1}), Node("Slice", ("c", *names), ("y",)))
    constants = {name: np.asarray([value]) for name, value in zip(names, (0, 4, 1, 1), strict=True)}
    del constants["late"]
    graph = Graph(tuple(infos), ("y",), nodes, constants, infos)
    assert take_from_parts(graph).nodes == graph.nodes
    assert applied(take_from_parts, graph, late=np.asarray(given)).nodes[-1].inputs[0] == "c"
