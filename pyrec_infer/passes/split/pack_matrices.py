"""Lay matrices that belong to the request out for fast products once, not for every tile of candidates."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.common.sides import Sides, find_rates


def pack_matrices(graph: Graph, sides: Sides) -> Graph:
    """A MatMul of a candidate's rows with a matrix of the request becomes a layer that reads it packed.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> n, kind = Dim.symbol("N"), np.dtype(np.float32)
    >>> infos = {"x": Info(kind, (n, 1, 4), 0), "m": Info(kind, (n, 4, 3), 0)}
    >>> graph = Graph(("x", "m"), ("y",), (Node("MatMul", ("x", "m"), ("y",)),), {}, infos)
    >>> [node.op for node in pack_matrices(graph, Sides(frozenset("m"))).nodes]
    ['pyrec.Pack', 'pyrec.Dense']
    """
    infos = analyze(graph).infos
    rates = find_rates(graph, sides)
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.append(node)
        if node.op != "MatMul" or rates[node.inputs[0]] != Rate.PAIR or rates[node.inputs[1]] != Rate.REQUEST:
            continue
        x, matrix = infos[node.inputs[0]], infos[node.inputs[1]]
        shape = matrix.shape
        if x.dtype != np.float32 or x.rank is None or x.rank < 2 or shape is None or len(shape) != x.rank:
            continue
        if not isinstance(shape[-1], int) or not isinstance(shape[-2], int) or matrix.rows != 0:
            continue
        packed = f"{node.outputs[0]}/packed"
        nodes[-1:] = [
            Node("pyrec.Pack", (node.inputs[1],), (packed,), name=node.name),
            Node(
                "pyrec.Dense", (node.inputs[0], packed), node.outputs, {"columns": shape[-1]}, name=node.name
            ),
        ]
    return graph.with_(nodes=tuple(nodes))
