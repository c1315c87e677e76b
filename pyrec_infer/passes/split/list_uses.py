"""Whether lists whose parts belong to rows are read part by part, beside the bags that are made of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Rows, Size
from pyrec_infer.ops.core.inference import analyze_node, constant_info

_OTHER = "rows"
"""What the batch is called while a list's length stands in its place."""


def _renamed(size: Size, symbol: str) -> Size:
    if not isinstance(size, Dim):
        return size
    names = {symbol: BATCH, BATCH: _OTHER}
    return Dim(size.coefficient, tuple(sorted(names.get(name, name) for name in size.symbols)))


def _along(info: Info, symbol: str) -> Info:
    """The same of a value whose rows are the parts of lists of that length."""
    if info.shape is None or info.constant is not None:
        return info
    shape = tuple(_renamed(size, symbol) for size in info.shape)
    axes = [axis for axis, size in enumerate(shape) if isinstance(size, Dim) and BATCH in size.symbols]
    return Info(info.dtype, shape, axes[0] if axes else Rows.INVARIANT)


def _positions(graph: Graph, name: str, orders: frozenset[str]) -> bool:
    """Whether numbers of places only say in which order bags take the rows of what is their own table."""
    for node in graph.consumers.get(name, ()):
        if node.op == "Gather" and node.inputs[0] == name and node.inputs[1] in orders:
            if not _positions(graph, node.outputs[0], orders):
                return False
        elif node.op != "pyrec.EmbeddingBag" or node.inputs[1] != name or name in node.inputs[2:]:
            return False
    return name not in graph.outputs


def joining_node(graph: Graph, symbol: str, orders: frozenset[str]) -> Node | None:
    """The first node that joins parts of lists of a length in another way than bags do.

    Parameters
    ----------
    graph : Graph
        With the bounds of its bags, and the orders of its pairs, among its inputs.
    symbol : str
        The length.
    orders : frozenset of str
        The inputs that are orders of pairs.

    Examples
    --------
    >>> import numpy as np
    >>> ids = Info(np.dtype(np.int64), (Dim.symbol("L"),))
    >>> bounds = Info(np.dtype(np.int64), (Dim.symbol(BATCH), 2), 0)
    >>> bag = Node("pyrec.EmbeddingBag", ("table", "ids", "b"), ("e",))
    >>> most = Node("ReduceMax", ("ids", "axes"), ("m",), {"keepdims": 0})
    >>> constants = {"table": np.ones((9, 2), np.float32), "axes": np.asarray([0])}
    >>> graphs = [Graph(("ids", "b"), ("e",), nodes, constants, {"ids": ids, "b": bounds})
    ...           for nodes in ((bag,), (bag, most))]
    >>> [found and found.op for graph in graphs for found in [joining_node(graph, "L", frozenset())]]
    [None, 'ReduceMax']
    """
    infos = {name: _along(graph.infos[name], symbol) for name in graph.inputs}
    infos.update((name, constant_info(value)) for name, value in graph.constants.items())
    places: set[str] = set()
    for node in graph.nodes:
        node_infos, coupled = analyze_node(_with_sizes(node, symbol), infos)
        found = list(node_infos)
        if node.op == "pyrec.EmbeddingBag":
            if (infos[node.inputs[0]].rows != Rows.INVARIANT) != (node.inputs[1] in places):
                return node
            found = [info.with_rows(Rows.INVARIANT) for info in found]
        elif node.op == "Gather" and node.inputs[1] in orders and not node.attribute("axis", 0):
            found = [infos[node.inputs[0]]]
            places.update(node.outputs if node.inputs[0] in places else ())
        elif coupled and node.op == "Range" and _positions(graph, node.outputs[0], orders):
            places.update(node.outputs)
            found = [Info(found[0].dtype, (Dim.symbol(BATCH),), 0)]
        elif coupled:
            return node
        infos.update(_named(node, found))
    return None


def _named(node: Node, found: list[Info]) -> Mapping[str, Info]:
    return {name: info for name, info in zip(node.outputs, found, strict=True) if name}


def _with_sizes(node: Node, symbol: str) -> Node:
    """A copy of a node that reads sizes by their names here."""
    if node.op != "pyrec.DimValues":
        return replace(node)
    renamed = tuple(_renamed(size, symbol) for size in node.attribute("sizes"))
    return replace(node, attributes={**node.attributes, "sizes": cast("tuple[Dim, ...]", renamed)})


__all__ = ["joining_node"]
