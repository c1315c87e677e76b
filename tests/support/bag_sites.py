"""What rules see of graphs with lists and lengths."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrec_infer.ir import Dim, Graph, Info, Node, verify
from pyrec_infer.passes.common.rules import Site
from support.graphs import AXES, F32, I64, N, site_of

LIST = Dim.symbol("L")
INFOS = {
    "ids": Info(I64, (LIST,)),
    "rows": Info(I64, (LIST,)),
    "weights": Info(F32, (LIST,)),
    "values": Info(F32, (LIST, 2)),
    "lengths": Info(I64, (N,), 0),
    "offsets": Info(I64, (Dim.symbol("K"),)),
    "x": Info(F32, (N, 2), 0),
}
CONSTANTS: dict[str, Any] = {
    **AXES,
    "table": np.arange(18, dtype=F32).reshape(9, 2),
    "tables": np.arange(36, dtype=F32).reshape(2, 9, 2),
    "number0": np.asarray(0),
    "number1": np.asarray(1),
    "number2": np.asarray(2),
    "minus1": np.asarray([-1]),
    "end": np.asarray([2**63 - 1]),
    "none": np.zeros((0, 4), F32),
    "filled": np.full((3, 2), 7, F32),
    "mixed": np.asarray([1, 2], F32),
    "ones": np.ones((4, 1), F32),
}


def graph_of_lists(*nodes: Node) -> Graph:
    graph = Graph(tuple(INFOS), nodes[-1].outputs[:1], nodes, CONSTANTS, INFOS)
    verify(graph, "the test")
    return graph


def site_of_lists(*nodes: Node) -> Site:
    return site_of(graph_of_lists(*nodes or (Node("Identity", ("ids",), ("same",)),)))
