"""Find out whether bags that no batch is named for are the batch's rows."""

from __future__ import annotations

from dataclasses import replace

from pyrec_infer.ir import Graph, Node, Rows
from pyrec_infer.ops.bags import BOUNDS
from pyrec_infer.ops.core.inference import Analysis, analyze


def _loose(graph: Graph, analysis: Analysis) -> list[Node]:
    """The nodes that make bounds of which nothing says that they are rows."""
    return [
        node
        for node in graph.nodes
        if node.op in BOUNDS - {"pyrec.OrderOfPairs"}
        and analysis.infos[node.outputs[0]].rows == Rows.INVARIANT
    ]


def unfit(graph: Graph) -> tuple[int, int]:
    """How many outputs are not by row, and how many nodes couple rows."""
    analysis = analyze(graph)
    outputs = sum(analysis.infos[name].rows < 0 for name in graph.outputs)
    return outputs, sum(node.op not in BOUNDS for node in analysis.coupled)


def _placed(graph: Graph, chosen: list[Node]) -> Graph:
    nodes = tuple(
        replace(node, attributes={**node.attributes, "by_row": 1}) if node in chosen else node
        for node in graph.nodes
    )
    return graph.with_(nodes=nodes)


def place_bags(graph: Graph) -> Graph:
    """Take bags for rows where that keeps rows apart that would be tied together otherwise.

    Offsets with the last bag's end are one more than the rows, and other offsets may bear a name of
    their own. Bags that meet values of the batch row by row can only be its rows, or the model fails. A
    call whose numbers of bags and rows differ is refused.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import BATCH, Dim, Info
    >>> i64, f32 = np.dtype(np.int64), np.dtype(np.float32)
    >>> given = {"ids": Info(i64, (Dim.symbol("L"),)), "offsets": Info(i64, (Dim.symbol("K"),)),
    ...          "x": Info(f32, (Dim.symbol(BATCH), 2), 0)}
    >>> nodes = (Node("pyrec.BagBounds", ("offsets", "ids"), ("b",), {"last": 1}),
    ...          Node("pyrec.EmbeddingBag", ("table", "ids", "b"), ("e",)), Node("Add", ("e", "x"), ("y",)))
    >>> graph = Graph(tuple(given), ("y",), nodes, {"table": np.ones((9, 2), np.float32)}, given)
    >>> len(analyze(graph).coupled), [node.op for node in analyze(place_bags(graph)).coupled]
    (1, ['pyrec.BagBounds'])
    """
    if graph.static_rows or not any(node.op in BOUNDS for node in graph.nodes):
        return graph
    analysis = analyze(graph)
    loose = _loose(graph, analysis)
    if not loose:
        return graph
    best, least = graph, unfit(graph)
    for chosen in (loose, *([node] for node in loose)):
        trial = _placed(graph, chosen)
        found = unfit(trial)
        if found < least:
            best, least = trial, found
    return best
