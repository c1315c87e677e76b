"""Put numbers in the place of symbolic sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pyrec_infer.ir import Dim, Graph, Info, Node, Size


def _bound(size: Size, sizes: Mapping[str, int]) -> Size:
    if isinstance(size, int) or not any(name in sizes for name in size.symbols):
        return size
    factor, left = size.coefficient, []
    for name in size.symbols:
        if name in sizes:
            factor *= sizes[name]
        else:
            left.append(name)
    return Dim(factor, tuple(left)) if left and factor else factor


def _bound_info(info: Info, sizes: Mapping[str, int]) -> Info:
    shape = None if info.shape is None else tuple(_bound(size, sizes) for size in info.shape)
    return replace(info, shape=shape)


def _bound_node(node: Node, sizes: Mapping[str, int]) -> Node:
    if node.op != "pyrec.DimValues":
        return node
    products = [_bound(size, sizes) for size in node.attribute("sizes")]
    bound = tuple(Dim(size, ()) if isinstance(size, int) else size for size in products)
    return replace(node, attributes={**node.attributes, "sizes": bound})


def bind_sizes(graph: Graph, sizes: Mapping[str, int]) -> Graph:
    """The graph for certain values of some symbolic sizes.

    Examples
    --------
    >>> import numpy as np
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), Dim(2, ("L",))), 0)
    >>> graph = Graph(("x",), ("x",), (), {}, {"x": info})
    >>> bind_sizes(graph, {"L": 5}).infos["x"].shape
    (N, 10)
    """
    if not sizes:
        return graph
    infos = {name: _bound_info(info, sizes) for name, info in graph.infos.items()}
    return graph.with_(nodes=tuple(_bound_node(node, sizes) for node in graph.nodes), infos=infos)
