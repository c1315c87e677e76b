"""Do a multiplication and the addition after it in one walk over memory."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.sides import Sides, find_rates


def fuse_multiply_add(graph: Graph, sides: Sides) -> Graph:
    """An Add whose addend is a product of its own shape and rate, read by nothing else, does both.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 3), 0)
    >>> nodes = (Node("Mul", ("x", "y"), ("m",)), Node("Add", ("x", "m"), ("z",)))
    >>> graph = Graph(("x", "y"), ("z",), nodes, {}, {"x": info, "y": info})
    >>> [(node.op, node.inputs) for node in fuse_multiply_add(graph, Sides(frozenset())).nodes]
    [('pyrec.MultiplyAdd', ('x', 'y', 'x'))]
    """
    infos = analyze(graph).infos
    rates = find_rates(graph, sides)
    made: dict[str, Node] = {}
    fused: set[str] = set()
    for node in graph.nodes:
        total = node.outputs[0]
        if node.op != "Add" or infos[total].dtype != np.float32:
            continue
        for product, addend in (node.inputs, node.inputs[::-1]):
            source = graph.producers.get(product)
            if (
                source is not None
                and source.op == "Mul"
                and product not in graph.outputs
                and len(graph.consumers[product]) == 1
                and addend != product
                and rates[product] == rates[total]
                and same_shape(infos[product].shape, infos[total].shape)
            ):
                made[total] = Node(
                    "pyrec.MultiplyAdd", (*source.inputs, addend), node.outputs, name=node.name
                )
                fused.add(product)
                break
    nodes = (made.get(node.outputs[0], node) for node in graph.nodes if node.outputs[0] not in fused)
    return graph.with_(nodes=tuple(nodes))
