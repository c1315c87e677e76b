"""Bring numbers that a request makes zero for most candidates next to each other."""

from __future__ import annotations

from dataclasses import replace

from pyrec_infer.ir import Graph, Info, Node, Rate, Size
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.finish.choose_precision import precision_of
from pyrec_infer.passes.finish.hand_over_rows import handed_over
from pyrec_infer.passes.load.fuse_dense import is_matrix


def _start_of(node: Node) -> str:
    """What the sums of a lookup or a layer start from."""
    place = 0 if node.op == "pyrec.LookupSum" else 2
    return node.inputs[place] if len(node.inputs) > place else ""


def _last(info: Info) -> Size | None:
    return info.shape[-1] if info.shape else None


def order_neurons(graph: Graph, sides: Sides) -> Graph:
    """Let layers that skip zeros multiply in the order of the request's part of what a ReLU is taken of.

    A product can skip a few successive numbers only if all of them are zero, in a few rows at once. Where
    the request's part is far below zero the ReLU leaves zeros for most candidates, so that order brings
    zeros together. The layer's weights are laid out in it once for a request.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 32), 0)
    >>> nodes = (
    ...     Node("pyrec.DenseInt8", ("x", "w", "r"), ("a",), {"activation": "Relu"}),
    ...     Node("pyrec.DenseInt8", ("a", "w"), ("y",), {"skip_zeros": 1}),
    ... )
    >>> graph = Graph(("x", "r"), ("y",), nodes, {"w": np.eye(32, dtype=np.float32)}, {"x": info, "r": info})
    >>> [node.op for node in order_neurons(graph, Sides(frozenset("r"))).nodes]
    ['pyrec.DenseInt8', 'pyrec.PackInOrder', 'pyrec.DenseInt8']
    """
    rates = find_rates(graph, sides)
    infos = analyze(graph).infos
    ordered: dict[str, str] = {}
    for name in handed_over(graph, sides):
        source = graph.producers[name]
        start = _start_of(source)
        skips = all(
            node.attribute("skip_zeros", 0) and is_matrix(graph.constants.get(node.inputs[1]))
            for node in graph.consumers[name]
        )
        if not skips or source.attribute("activation", "") != "Relu":
            continue
        # A number for each of the neurons: others have no order to give.
        if start and rates[start] == Rate.REQUEST and _last(infos[start]) == _last(infos[name]):
            ordered[name] = start
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.outputs[0] in ordered:
            node = replace(node, attributes={**node.attributes, "ordered": 1})
        if node.inputs and node.inputs[0] in ordered:
            weights = node.inputs[1]
            packed = f"{node.outputs[0]}/ordered"
            nodes.append(
                Node(
                    "pyrec.PackInOrder",
                    (weights, ordered[node.inputs[0]]),
                    (packed,),
                    {"precision": str(precision_of(node))},
                    name=node.name,
                )
            )
            columns = graph.constants[weights].shape[1]
            node = replace(
                node,
                inputs=(node.inputs[0], packed, *node.inputs[2:]),
                attributes={**node.attributes, "columns": columns},
            )
        nodes.append(node)
    return graph.with_(nodes=tuple(nodes))
