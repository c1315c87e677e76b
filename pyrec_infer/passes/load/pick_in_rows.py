"""Take one element of each row by its place in the row, without the row's number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, same_size
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import integers

_ROWS = Dim.symbol(BATCH)


def counts_rows(node: Node | None, infos: Mapping[str, Info]) -> bool:
    """Whether a node makes 0, 1, ... up to the number of rows."""
    if node is None or node.op != "Range":
        return False
    bounds = [integers(infos[name]) for name in node.inputs]
    if any(bound is None or len(bound) != 1 for bound in bounds):
        return False
    first, end, step = (bound[0] for bound in bounds if bound is not None)
    return same_size(first, 0) and same_size(end, _ROWS) and same_size(step, 1)


def _column(name: str, graph: Graph, infos: Mapping[str, Info]) -> Node | None:
    """The producer of a vector that a node makes a column of, if `name` is such a column."""
    made = graph.producers.get(name)
    shape = infos[name].shape
    if made is None or made.op not in ("Unsqueeze", "Reshape") or shape is None or len(shape) != 2:
        return None
    before = infos[made.inputs[0]].shape
    if before is None or len(before) != 1 or not same_size(shape[1], 1):
        return None
    return graph.producers.get(made.inputs[0])


def pick_in_rows(graph: Graph) -> Graph:
    """``x[arange(N), i]`` reads inside each row: coordinates that begin with the row's own number.

    A `GatherND` whose first axis is a batch axis says the same without the numbers, so the rows do
    not depend on each other.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Graph, Info, Node
    >>> n, whole = Dim.symbol(BATCH), np.dtype(np.int64)
    >>> given = {"x": Info(whole, (n, 4), rows=0), "i": Info(whole, (n, 1), rows=0)}
    >>> constants = {"zero": np.asarray(0), "one": np.asarray(1), "axis": np.asarray([1])}
    >>> nodes = (Node("Shape", ("x",), ("s",)), Node("Gather", ("s", "zero"), ("n",)),
    ...          Node("Range", ("zero", "n", "one"), ("r",)), Node("Unsqueeze", ("r", "axis"), ("c",)),
    ...          Node("Concat", ("c", "i"), ("k",), {"axis": 1}), Node("GatherND", ("x", "k"), ("y",)))
    >>> pick_in_rows(Graph(("x", "i"), ("y",), nodes, constants, given)).nodes[-1].attributes["batch_dims"]
    1
    """
    infos = analyze(graph).infos
    nodes: list[Node] = []
    for node in graph.nodes:
        joined = graph.producers.get(node.inputs[1]) if node.op == "GatherND" else None
        nodes.append(node)
        if joined is None or joined.op != "Concat" or node.attribute("batch_dims", 0):
            continue
        data, places = infos[node.inputs[0]], infos[node.inputs[1]]
        rest = joined.inputs[1:]
        if data.rows != 0 or not data.shape or not same_size(data.shape[0], _ROWS) or places.rank != 2:
            continue
        if joined.attribute("axis", 0) % 2 != 1 or not rest or any(infos[name].rows != 0 for name in rest):
            continue
        if not counts_rows(_column(joined.inputs[0], graph, infos), infos):
            continue
        place = rest[0]
        if len(rest) > 1:
            place = f"{node.outputs[0]}/places"
            nodes.insert(-1, Node("Concat", rest, (place,), {"axis": 1}, name=node.name))
        nodes[-1] = replace(
            node, inputs=(node.inputs[0], place), attributes={**node.attributes, "batch_dims": 1}
        )
    return graph.with_(nodes=tuple(nodes))
