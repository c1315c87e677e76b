"""Mark dense layers whose inputs are mostly zeros."""

from __future__ import annotations

from dataclasses import replace

from pyrec_infer.ir import Graph
from pyrec_infer.passes.load.fuse_dense import has_constant_weights


def skip_zeros(graph: Graph) -> Graph:
    """Let a layer that reads what a ReLU made skip the zeros in it, which changes no result.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Info, Node
    >>> nodes = (Node("Relu", ("x",), ("h",)), Node("pyrec.Dense", ("h", "w"), ("y",)))
    >>> info = Info(np.dtype(np.float32), (4, 2))
    >>> graph = Graph(("x",), ("y",), nodes, {"w": np.ones((2, 3), np.float32)}, {"x": info})
    >>> skip_zeros(graph).nodes[1].attributes
    {'skip_zeros': 1}
    """
    nodes = []
    for node in graph.nodes:
        source = graph.producers.get(node.inputs[0]) if has_constant_weights(node, graph) else None
        while source is not None and source.op == "Reshape":
            source = graph.producers.get(source.inputs[0])
        if source is not None and "Relu" in (source.op, source.attribute("activation", "")):
            node = replace(node, attributes={**node.attributes, "skip_zeros": 1})
        nodes.append(node)
    return graph.with_(nodes=tuple(nodes))
