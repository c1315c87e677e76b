"""Read the parts of a concatenation where they lie, for layers that make few numbers of many."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from pyrec_infer.ir import Array, Graph, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.load.fuse_dense import has_constant_weights

_MOST_COLUMNS = 4
"""With more, starting a product from the one before costs more than copying its operands together."""


def split_concatenations(graph: Graph, sides: Sides) -> Graph:
    """``concat(a, b) W + c`` of few columns becomes ``b W_b + (a W_a + c)``, without the concatenation.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 3), 0)
    >>> nodes = (Node("Concat", ("x", "y"), ("z",), {"axis": 1}), Node("pyrec.Dense", ("z", "w"), ("s",)))
    >>> weights = {"w": np.ones((6, 1), np.float32)}
    >>> graph = Graph(("x", "y"), ("s",), nodes, weights, {"x": info, "y": info})
    >>> [node.inputs[0] for node in split_concatenations(graph, Sides(frozenset())).nodes]
    ['x', 'y']
    """
    infos = analyze(graph).infos
    constants: dict[str, Array] = dict(graph.constants)
    replaced: dict[str, list[Node]] = {}
    for node in graph.nodes:
        joined = graph.producers.get(node.inputs[0]) if has_constant_weights(node, graph) else None
        if joined is None or joined.op != "Concat" or len(joined.inputs) < 2:
            continue
        name = joined.outputs[0]
        weights = constants[node.inputs[1]]
        shapes = [infos[part].shape for part in (*joined.inputs, name)]
        widths = [shape[-1] for shape in shapes[:-1] if shape and isinstance(shape[-1], int)]
        if (
            weights.ndim != 2
            or weights.shape[1] > _MOST_COLUMNS
            or shapes[-1] is None
            or len(widths) != len(joined.inputs)
            or joined.attribute("axis", 0) % len(shapes[-1]) != len(shapes[-1]) - 1
            or name in graph.outputs
            or len(graph.consumers[name]) != 1
        ):
            continue
        result = node.outputs[0]
        bounds = np.cumsum([0, *widths]).tolist()
        total = node.inputs[2] if len(node.inputs) > 2 else ""
        made: list[Node] = []
        for place, (part, (begin, end)) in enumerate(zip(joined.inputs, pairwise(bounds), strict=True)):
            last = place + 1 == len(joined.inputs)
            sliced, output = f"{result}/joined{place}/weights", result if last else f"{result}/joined{place}"
            constants[sliced] = np.ascontiguousarray(weights[begin:end])
            inputs = (part, sliced, total) if total else (part, sliced)
            made.append(Node(node.op, inputs, (output,), node.attributes if last else {}, name=node.name))
            total = output
        replaced[result], replaced[name] = made, []
    nodes = [new for node in graph.nodes for new in replaced.get(node.outputs[0], [node])]
    return graph.with_(nodes=tuple(nodes), constants=constants)
