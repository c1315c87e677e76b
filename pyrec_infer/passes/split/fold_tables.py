"""Multiply small embedding tables with the weights of the layer that reads them, once at load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.ir import Array, Graph, Node, Rate
from pyrec_infer.memory import allocate
from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
from pyrec_infer.passes.common.layer_parts import layer_of_rest, table_parts
from pyrec_infer.passes.common.sides import Sides, find_rates

_BYTES: Mapping[Rate, int] = {Rate.REQUEST: 32 << 20, Rate.ITEM: 8 << 20, Rate.PAIR: 512 << 10}
"""What the folded tables of one layer may take. A candidate's are read for every row, so they have to
stay in a core's cache together with the weights; an item's come out of the cache that cores share while items
enter; a request's are read once for each request."""

_SHORTEST: Mapping[Rate, int] = {Rate.REQUEST: 2, Rate.ITEM: 8, Rate.PAIR: 8}
"""Shorter rows are multiplied faster than their product is read."""


def _chosen(
    parts: Sequence[LookupPart], constants: Mapping[str, Array], columns: int, rate: Rate
) -> set[int]:
    """Positions of the parts to fold: the smallest tables first, as far as the bytes last."""
    sizes = {
        i: constants[part.table].shape[0] * columns * 4
        for i, part in enumerate(parts)
        if part.table and part.width >= _SHORTEST[rate]
    }
    found: set[int] = set()
    left = _BYTES[rate]
    for i in sorted(sizes, key=lambda i: sizes[i]):
        left -= sizes[i]
        if left < 0:
            break
        found.add(i)
    return found


def _room(rows: Mapping[int, int], columns: int) -> dict[int, NDArray[np.float32]]:
    """Matrices of so many rows, side by side: together they may fill huge pages, which matter to rows that
    are read in no order."""
    ends = np.cumsum([0, *rows.values()]) * columns
    memory = allocate(4 * int(ends[-1])).view(np.float32)
    return {
        i: memory[begin:end].reshape(count, columns)
        for (i, count), begin, end in zip(rows.items(), ends, ends[1:], strict=False)
    }


def fold_tables(graph: Graph, sides: Sides) -> Graph:
    """Replace ``[e_1(i) | e_2(j) | x] W + b`` by ``x W_x + (E_1(i) + (e_2(j) W_2) + b)``, ``E = e W_1``.

    The folded table has the layer's width, and one of its rows stands for a row of the table times its
    part of the weights. Tables are folded as far as they stay small; see `_BYTES`.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> ids = Info(np.dtype(np.int64), (Dim.symbol("N"), 2), 0)
    >>> tables = {"small": np.ones((9, 8), np.float32), "large": np.ones((10**6, 8), np.float32)}
    >>> from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
    >>> parts = [LookupPart("ids", "small", 0, 8), LookupPart("ids", "large", 1, 8)]
    >>> nodes = (make_lookup("pyrec.Lookup", "x", parts),
    ...          Node("pyrec.Dense", ("x", "w"), ("y",)))
    >>> graph = Graph(("ids",), ("y",), nodes, {**tables, "w": np.ones((16, 64), np.float32)}, {"ids": ids})
    >>> folded = fold_tables(graph, Sides(frozenset()))
    >>> [(node.op, node.attribute("columns")) for node in folded.nodes if node.outputs != ("x",)]
    [('pyrec.LookupSum', (0,)), ('pyrec.Lookup', (1,)), ('pyrec.Dense', None)]
    """
    rates = find_rates(graph, sides)
    constants: dict[str, Array] = dict(graph.constants)
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.append(node)
        lookup = graph.producers.get(node.inputs[0]) if node.op == "pyrec.Dense" else None
        weights = graph.constants.get(node.inputs[1]) if lookup is not None else None
        if lookup is None or lookup.op != "pyrec.Lookup" or weights is None or weights.ndim != 2:
            continue
        rate, parts = rates[lookup.outputs[0]], table_parts(lookup, graph)
        if parts is None or rate not in _BYTES:
            continue
        chosen = _chosen(parts, graph.constants, weights.shape[1], rate)
        if chosen:
            nodes[-1:] = _folded(node, parts, chosen, weights, constants)
    return graph.with_(nodes=tuple(nodes), constants=constants)


def _folded(
    layer: Node, parts: Sequence[LookupPart], chosen: set[int], weights: Array, constants: dict[str, Array]
) -> list[Node]:
    base, columns = layer.outputs[0], weights.shape[1]
    bounds = np.cumsum([0, *(part.width for part in parts)])
    folded, kept, rows = [], [], []
    products = _room({i: constants[parts[i].table].shape[0] for i in sorted(chosen)}, columns)
    for i, part in enumerate(parts):
        own = weights[bounds[i] : bounds[i + 1]]
        if i in chosen:
            name = f"{base}/{part.table}/folded{i}"
            products[i][...] = constants[part.table].astype(np.float64) @ own.astype(np.float64)
            constants[name] = products[i]
            folded.append(LookupPart(part.source, name, part.column, columns))
        else:
            kept.append(part)
            rows.append(own)
    bias = layer.inputs[2] if len(layer.inputs) > 2 else ""
    if not kept:
        activation = layer.attribute("activation", "")
        return [
            make_lookup("pyrec.LookupSum", base, folded, bias=bias, activation=activation, label=layer.name)
        ]
    total = f"{base}/folded"
    made = make_lookup("pyrec.LookupSum", total, folded, bias=bias, label=layer.name)
    return [made, *layer_of_rest(layer, kept, rows, total, constants)]
