"""Take elements of each row out of rows laid end to end, without the place where a row begins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Size, same_size
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import integers, product, same_shape
from pyrec_infer.passes.common.writer import Writer
from pyrec_infer.passes.load.pick_in_rows import counts_rows

_ROWS = Dim.symbol(BATCH)


def _step(name: str, graph: Graph, infos: Mapping[str, Info]) -> Size | None:
    """The number m if a value holds n * m for row n and nothing else changes it."""
    step: Size = 1
    while True:
        node, info = graph.producers.get(name), infos[name]
        if node is None or not info.shape or not same_size(info.shape[0], _ROWS):
            return None
        if counts_rows(node, infos):
            return step
        name = node.inputs[0]
        if node.op in ("Unsqueeze", "Reshape", "Squeeze"):
            if not all(same_size(size, 1) for size in info.shape[1:]):
                return None
            continue
        if node.op != "Mul":
            return None
        numbers = [integers(infos[factor]) for factor in node.inputs]
        single = [place for place, found in enumerate(numbers) if found is not None and len(found) == 1]
        factors = numbers[single[0]] if single else None
        if factors is None:
            return None
        name, step = node.inputs[1 - single[0]], step * factors[0]


def _places(name: str, graph: Graph, infos: Mapping[str, Info], width: Size) -> str | None:
    """The places inside rows if a value holds their sums with the rows' beginnings."""
    node, info = graph.producers.get(name), infos[name]
    if node is None or node.op != "Add":
        return None
    for places, begins in (node.inputs, node.inputs[::-1]):
        step, place = _step(begins, graph, infos), infos[places]
        if step is None or not same_size(step, width) or place.rows != 0:
            continue
        if place.dtype is not None and place.dtype.kind == "i" and same_shape(place.shape, info.shape):
            return places
    return None


def _flattened(name: str, graph: Graph, infos: Mapping[str, Info]) -> tuple[str, bool] | None:
    """What a node laid end to end, row by row: [N, m, ...] as [N * m, ...], and whether a size 1 follows."""
    node, flat = graph.producers.get(name), infos[name].shape
    if node is None or node.op not in ("Reshape", "Flatten"):
        return None
    data = infos[node.inputs[0]]
    if data.rows != 0 or data.shape is None or len(data.shape) < 2 or flat is None:
        return None
    if not same_size(data.shape[0], _ROWS):
        return None
    expected = (product(data.shape[:2]), *data.shape[2:])
    if same_shape(flat, expected):
        return node.inputs[0], False
    return (node.inputs[0], True) if same_shape(flat, (*expected, 1)) else None


def pick_from_flat(graph: Graph) -> Graph:
    """``x.reshape(N * m, ...)[arange(N) * m + i]`` reads inside each row, as ``x[arange(N), i]`` does.

    So exporters write the latter, and people a lookup in the history of each row. The places must be in
    [0, m) then, which is checked: others would be elements of another row.

    Examples
    --------
    >>> from pyrec_infer.ir import Graph, Info, Node
    >>> n, whole = Dim.symbol(BATCH), np.dtype(np.int64)
    >>> given = {"x": Info(whole, (n, 4), rows=0), "i": Info(whole, (n,), rows=0)}
    >>> constants = {"zero": np.asarray(0), "one": np.asarray(1), "m": np.asarray(4), "all": np.asarray([-1])}
    >>> nodes = (Node("Shape", ("i",), ("s",)), Node("Reshape", ("s", "nothing"), ("n",)),
    ...          Node("Range", ("zero", "n", "one"), ("r",)), Node("Mul", ("r", "m"), ("b",)),
    ...          Node("Add", ("i", "b"), ("k",)), Node("Reshape", ("x", "all"), ("flat",)),
    ...          Node("Gather", ("flat", "k"), ("y",)))
    >>> constants["nothing"] = np.asarray([], np.int64)
    >>> [node.op for node in pick_from_flat(Graph(("x", "i"), ("y",), nodes, constants, given)).nodes[-3:]]
    ['pyrec.OffsetIds', 'Unsqueeze', 'GatherND']
    """
    if not any(node.op == "Range" for node in graph.nodes):
        return graph
    infos = analyze(graph).infos
    writer = Writer(taken=infos)
    for node in graph.nodes:
        flattened = _flattened(node.inputs[0], graph, infos) if node.op == "Gather" else None
        places = None
        if flattened is not None and not node.attribute("axis", 0):
            shape = infos[flattened[0]].shape or ()
            places = _places(node.inputs[1], graph, infos, shape[1])
        if flattened is None or places is None:
            writer.add(node)
            continue
        writer.begin(node.outputs[0], node.name)
        data, widened = flattened
        if widened:
            data = writer.node("Unsqueeze", data, writer.constant([infos[data].rank], np.int64))
        kept = writer.node("pyrec.OffsetIds", places, writer.constant(0, infos[places].dtype))
        last = writer.constant([infos[places].rank], np.int64)
        index = writer.node("Unsqueeze", kept, last)
        writer.add(Node("GatherND", (data, index), node.outputs, {"batch_dims": 1}, name=node.name))
    return graph.with_(nodes=tuple(writer.nodes), constants={**graph.constants, **writer.constants})
