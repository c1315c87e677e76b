"""Have the products of rows of large tables kept for ids that come again while items enter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Node
from pyrec_infer.ops.lookup_parts import LookupPart, lookup_parts, make_lookup
from pyrec_infer.passes.common.layer_parts import layer_of_rest, table_parts

_SHORTEST = 16
"""Shorter rows are multiplied faster than their product is looked up."""

_FEWEST_COLUMNS = 32
"""Of fewer, a product is no more work than finding it."""

_MOST_COLUMNS = 1024
"""Of more, so few products stay in a core's cache that few come again."""

_FEWEST_ITEMS = 256
"""Of fewer it cannot be told whether ids come again."""


def keep_products(graph: Graph, sample: Mapping[str, Array]) -> Graph:
    """Replace ``[e_1(i) | e_2(j) | x] W + b`` by ``x W_x + (b + e_1(i) W_1 + e_2(j) W_2)``, whose products
    are each a step of their own, so that a backend may keep them.

    Of the items of a shop, most share a brand, a seller or a category with many others. Where ``sample``,
    some items' inputs, shows that most ids of a table come once, its rows stay with the layer.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> ids = Info(np.dtype(np.int64), (Dim.symbol("N"), 2), 0)
    >>> x = Info(np.dtype(np.float32), (Dim.symbol("N"), 3), 0)
    >>> table, weights = np.ones((10**5, 16), np.float32), np.ones((19, 64), np.float32)
    >>> parts = [LookupPart("ids", "table", 0, 16), LookupPart.numbers("x", 3)]
    >>> nodes = (make_lookup("pyrec.Lookup", "both", parts), Node("pyrec.Dense", ("both", "w"), ("y",)))
    >>> constants = {"table": table, "w": weights}
    >>> graph = Graph(("ids", "x"), ("y",), nodes, constants, {"ids": ids, "x": x})
    >>> made = keep_products(graph, {}).nodes  # the lookup itself, which nothing reads any more, still first
    >>> [(node.op, node.inputs) for node in made[1:]]  # doctest: +NORMALIZE_WHITESPACE
    [('pyrec.ProductSum', ('', 'ids', 'table', 'y/kept/weights0')),
     ('pyrec.Dense', ('x', 'y/kept/weights', 'y/kept'))]
    """
    constants: dict[str, Array] = dict(graph.constants)
    made: dict[Node, list[Node]] = {}
    for node in graph.nodes:
        lookup = graph.producers.get(node.inputs[0]) if node.op == "pyrec.Dense" else None
        weights = graph.constants.get(node.inputs[1]) if lookup is not None else None
        if lookup is None or lookup.op != "pyrec.Lookup" or weights is None or weights.ndim != 2:
            continue
        parts = table_parts(lookup, graph)
        if parts is None or not _FEWEST_COLUMNS <= weights.shape[1] <= _MOST_COLUMNS:
            continue
        again = [_comes_again(part, sample) for part in parts]
        if any(again):
            made[node] = _kept(node, parts, again, graph, constants)
    nodes = (step for node in graph.nodes for step in made.get(node, [node]))
    return graph.with_(nodes=tuple(nodes), constants=constants)


def _comes_again(part: LookupPart, sample: Mapping[str, Array]) -> bool:
    """Whether a product is worth keeping for the items that share it."""
    if not part.table or part.width < _SHORTEST:
        return False
    ids = sample.get(part.source)
    if ids is None or len(ids) < _FEWEST_ITEMS:
        return True
    column = ids[:, part.column] if part.column >= 0 else ids.reshape(-1)
    return 2 * len(np.unique(column)) <= len(column)


def _summed(layer: Node, graph: Graph) -> tuple[str, list[LookupPart]]:
    """What a layer starts from: a bias, and rows that are added to it and that nothing else reads."""
    bias = layer.inputs[2] if len(layer.inputs) > 2 else ""
    total = graph.producers.get(bias)
    if total is None or total.op != "pyrec.LookupSum" or total.attribute("activation", ""):
        return bias, []
    if bias in graph.outputs or len(graph.consumers[bias]) > 1:
        return bias, []
    return total.inputs[0], lookup_parts(total)


def _kept(
    layer: Node,
    parts: Sequence[LookupPart],
    again: Sequence[bool],
    graph: Graph,
    constants: dict[str, Array],
) -> list[Node]:
    """A layer of parts, those of which come ``again`` multiplied by themselves."""
    weights, total = graph.constants[layer.inputs[1]], f"{layer.outputs[0]}/kept"
    ends = np.cumsum([part.width for part in parts])
    bias, summed = _summed(layer, graph)
    kept: list[tuple[LookupPart, Array]] = []
    others: list[tuple[LookupPart, Array]] = []
    for comes_again, part, own in zip(again, parts, np.split(weights, ends[:-1]), strict=True):
        (kept if comes_again else others).append((part, own))
    names = [f"{total}/weights{i}" for i in range(len(kept))]
    constants.update((name, np.ascontiguousarray(own)) for name, (_, own) in zip(names, kept, strict=True))
    made = make_lookup(
        "pyrec.ProductSum", total, [*summed, *(part for part, _ in kept)], bias=bias, label=layer.name
    )
    attributes = {
        **made.attributes,
        "multiplied": tuple(range(len(summed), len(summed) + len(kept))),
        "width": int(weights.shape[1]),
    }
    made = replace(made, inputs=(*made.inputs, *names), attributes=attributes)
    if others:
        left, rows = zip(*others, strict=True)
        return [made, *layer_of_rest(layer, left, rows, total, constants)]
    return [replace(made, outputs=layer.outputs, attributes={**attributes, **layer.attributes})]


__all__ = ["keep_products"]
