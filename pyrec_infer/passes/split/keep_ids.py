"""Let records hold an item's ids where rows of small tables are better looked up with each request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from itertools import groupby

import numpy as np

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.lookup_parts import LookupPart, lookup_parts, make_lookup
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.fold_dots import fold_dots
from pyrec_infer.passes.split.record_layout import NEAR

MOST_ROWS = 512
"""Of a small table: its rows stay in a core's cache, and so do their products with a request's matrix."""

LEAST_WIDTH = 8
"""Of a small table: shorter rows are multiplied faster than their products are read."""


def is_small(part: LookupPart, graph: Graph) -> bool:
    """Whether a part is all of the rows of a small constant table in float32."""
    table = graph.constants.get(part.table)
    return (
        table is not None
        and table.dtype == np.float32
        and table.ndim == 2
        and part.offset == 0
        and part.codec == "f32"
        and part.width == table.shape[1] >= LEAST_WIDTH
        and len(table) <= MOST_ROWS
    )


class _Keeper:
    """See `keep_ids`."""

    def __init__(self, graph: Graph, sides: Sides) -> None:
        self.graph = graph
        self.sides = sides
        self.rates = find_rates(graph, sides)
        self.infos = analyze(graph).infos

    @cached_property
    def folded(self) -> tuple[Graph, Mapping[str, Rate]]:
        """The graph for many candidates, and its rates: that for few has to store the same."""
        made = fold_dots(self.graph, self.sides)
        return made, find_rates(made, self.sides)

    def is_multiplied(self, name: str) -> bool:
        """Whether a product with a request's matrix reads a value, or a view of it."""
        folded, rates = self.folded
        for node in folded.consumers.get(name, ()):
            if has(node, Trait.VIEW) and self.is_multiplied(node.outputs[0]):
                return True
            by_matrix = node.op == "pyrec.Dense" and "columns" in node.attributes and node.inputs[0] == name
            if by_matrix and rates[node.inputs[1]] == Rate.REQUEST:
                return True
        return False

    def id_bytes(self, source: str) -> float:
        """Of an item's ids, or infinity."""
        info = self.infos[source]
        if info.dtype is None or info.dtype.kind != "i" or info.rows != 0 or not info.shape:
            return float("inf")
        sizes = [size for size in info.shape[1:] if isinstance(size, int)]
        return (
            info.dtype.itemsize * float(np.prod(sizes)) if len(sizes) == len(info.shape) - 1 else float("inf")
        )

    def parts(self, node: Node) -> list[tuple[bool, list[LookupPart]]]:
        """The parts of a lookup in runs, those in small tables apart, where a record is smaller by that."""
        parts = lookup_parts(node)
        small = [is_small(part, self.graph) for part in parts]
        chosen = [part for part, own in zip(parts, small, strict=True) if own]
        ids = sum(self.id_bytes(source) for source in {part.source for part in chosen})
        if not chosen or ids >= 4 * sum(part.width for part in chosen):
            return []
        runs = groupby(zip(small, parts, strict=True), key=lambda item: item[0])
        return [(own, [part for _, part in run]) for own, run in runs]

    def kept(self, node: Node) -> list[Node]:
        name = node.outputs[0]
        if node.op != "pyrec.Lookup" or self.rates[name] != Rate.ITEM:
            return [node]
        made = []
        runs = self.parts(node)
        if not runs or not self.is_multiplied(name):
            return [node]
        for place, (own, run) in enumerate(runs):
            output = f"{name}/part{place}" if len(runs) > 1 else name
            part = make_lookup(node.op, output, run, label=node.name)
            marks = {**node.attributes, **part.attributes, **({NEAR: 1} if own else {})}
            made.append(replace(part, attributes=marks))
        if len(runs) > 1:
            names = tuple(part.outputs[0] for part in made)
            made.append(Node("Concat", names, node.outputs, {"axis": 1}, name=node.name))
        return made


def keep_ids(graph: Graph, sides: Sides) -> Graph:
    """Split lookups of an item that a request's matrix multiplies: rows of small tables apart.

    These are marked: a record holds their ids instead, which is smaller, and each score looks them up. The
    graph for few candidates, in which no matrix is made, is split as that for many is.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> n, kind = Dim.symbol("N"), np.dtype(np.float32)
    >>> infos = {"i": Info(np.dtype(np.int64), (n, 2), 0), "m": Info(kind, (n, 32, 64), 0)}
    >>> parts = [LookupPart("i", table, column, 16) for column, table in enumerate(("large", "small"))]
    >>> nodes = (make_lookup("pyrec.Lookup", "x", parts), Node("Reshape", ("x", "shape"), ("v",)),
    ...          Node("pyrec.Dense", ("v", "m"), ("y",), {"columns": 64}))
    >>> constants = {"large": np.ones((9999, 16), np.float32), "small": np.ones((9, 16), np.float32),
    ...              "shape": np.asarray([-1, 1, 32])}
    >>> graph = Graph(("i", "m"), ("y",), nodes, constants, infos)
    >>> made = keep_ids(graph, Sides(frozenset("m"), frozenset("i")))
    >>> [node.op for node in made.nodes]
    ['pyrec.Lookup', 'pyrec.Lookup', 'Concat', 'Reshape', 'pyrec.Dense']
    """
    keeper = _Keeper(graph, sides)
    nodes = [made for node in graph.nodes for made in keeper.kept(node)]
    return graph.with_(nodes=tuple(nodes))
