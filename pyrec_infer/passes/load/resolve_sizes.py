"""Replace shape arithmetic by the sizes it computes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from pyrec_infer.ir import Array, Dim, Graph, Node
from pyrec_infer.ops.core.inference import analyze

MAX_FACTORS = 4
"""Named sizes that one element of a ``pyrec.DimValues`` may multiply, as the native operator has it."""


def input_symbols(graph: Graph) -> Callable[[Iterable[object]], bool]:
    """A test whether sizes only name symbols that the graph's inputs bind at run time."""
    bound = {
        name
        for value in graph.inputs
        for size in graph.infos[value].shape or ()
        if isinstance(size, Dim)
        for name in size.symbols
    }

    def computable(sizes: Iterable[object]) -> bool:
        products = [size.symbols for size in sizes if isinstance(size, Dim)]
        return all(len(names) <= MAX_FACTORS and bound.issuperset(names) for names in products)

    return computable


def sizes_node(contents: Array, output: str, name: str) -> Node:
    """The node that makes an integer tensor of these sizes."""
    items = [item if isinstance(item, Dim) else Dim(int(item), ()) for item in contents.reshape(-1)]
    return Node(
        "pyrec.DimValues",
        (),
        (output,),
        {
            "sizes": tuple(items),
            "scalar": int(contents.ndim == 0),
        },
        name=name,
    )


def named_sizes(node: Node) -> frozenset[str]:
    """The named sizes that a node makes numbers of."""
    if node.op != "pyrec.DimValues":
        return frozenset()
    return frozenset(symbol for size in node.attribute("sizes") for symbol in size.symbols)


def resolve_sizes(graph: Graph) -> Graph:
    """Exporters read sizes at run time (Shape, Gather, Concat, ...); the analysis knows most of them.

    A value all of whose elements are products of the inputs' sizes is made by one
    ``pyrec.DimValues`` node, which does not read the tensor that the shape was taken from: on the
    request's side that tensor has one row, while the sizes are meant for all candidates.
    """
    infos = analyze(graph).infos
    bound = input_symbols(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        info = infos[node.outputs[0]] if len(node.outputs) == 1 else None
        contents = None if info is None else info.contents
        if info is None or contents is None or contents.ndim > 1 or node.op == "pyrec.DimValues":
            nodes.append(node)
            continue
        if not bound(contents.reshape(-1)):
            nodes.append(node)
        elif info.dtype == np.int64:
            nodes.append(sizes_node(contents, node.outputs[0], node.name))
        elif info.dtype is not None and info.dtype.kind == "i":
            wide = f"{node.outputs[0]}/int64"
            nodes.append(sizes_node(contents, wide, node.name))
            nodes.append(Node("Cast", (wide,), node.outputs, {"to": info.dtype.name}, name=node.name))
        else:
            nodes.append(node)
    return graph.with_(nodes=tuple(nodes))
