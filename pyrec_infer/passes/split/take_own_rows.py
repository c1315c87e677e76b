"""Have a field read the end of a table that it shares with fields before it as a table of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.lookup_parts import LOOKUPS, LookupPart, lookup_parts

_BYTES = 1 << 20
"""Of a table of its own: only what counts as a small table becomes faster."""


class _Owner:
    """See `take_own_rows`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.infos: Mapping[str, Info] = analyze(graph).infos
        self.constants: dict[str, Array] = dict(graph.constants)

    def first_row(self, part: LookupPart) -> tuple[str, int] | None:
        """The ids of a part before the first row of its field was added, and that row."""
        node = self.graph.producers.get(part.source)
        if node is None or node.op != "pyrec.OffsetIds":
            return None
        ids, offsets = node.inputs
        before, after, added = self.infos[ids], self.infos[part.source], self.graph.constants.get(offsets)
        if added is None or added.dtype not in (np.int32, np.int64) or before.dtype != added.dtype:
            return None
        if after.shape is None or not same_shape(before.shape, after.shape):
            return None
        if added.size == 1:
            return ids, int(added.ravel()[0])
        if part.column < 0 or added.shape[-1] != added.size or part.column >= added.size:
            return None
        return ids, int(added.ravel()[part.column])

    def own(self, part: LookupPart) -> LookupPart:
        """The part with a table of its own, or as it is."""
        table, found = self.constants.get(part.table), self.first_row(part)
        if table is None or table.ndim != 2 or found is None:
            return part
        ids, first = found
        # A field whose ids do not begin at 0 has rows in front of the table.
        if not 0 < first < len(table) or table[first:].nbytes > _BYTES:
            return part
        name = f"{part.table}/from{first}"
        self.constants[name] = table[first:]
        return replace(part, source=ids, table=name)

    def node(self, node: Node) -> Node:
        if node.op not in LOOKUPS:
            return node
        before = lookup_parts(node)
        parts = [self.own(part) for part in before]
        if parts == before:
            return node
        operands = tuple(name for part in parts for name in (part.source, part.table))
        return replace(node, inputs=(*node.inputs[: LOOKUPS[node.op]], *operands))


def take_own_rows(graph: Graph) -> Graph:
    """Replace ``table[ids + first]`` by ``table[first:][ids]`` in lookups of ids that are not negative.

    So the same ids are refused: nothing else is known of where a field's rows end. The table's end is a
    view, no copy.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim
    >>> from pyrec_infer.ops.lookup_parts import make_lookup
    >>> ids = Info(np.dtype(np.int64), (Dim.symbol("N"), 2), 0)
    >>> parts = [LookupPart("rows", "table", column, 8) for column in range(2)]
    >>> nodes = (Node("pyrec.OffsetIds", ("ids", "firsts"), ("rows",)),
    ...          make_lookup("pyrec.Lookup", "y", parts))
    >>> constants = {"table": np.ones((99, 8), np.float32), "firsts": np.asarray([0, 90])}
    >>> made = take_own_rows(Graph(("ids",), ("y",), nodes, constants, {"ids": ids}))
    >>> made.nodes[1].inputs, len(made.constants["table/from90"])
    (('rows', 'table', 'ids', 'table/from90'), 9)
    """
    owner = _Owner(graph)
    nodes = tuple(owner.node(node) for node in graph.nodes)
    return graph.with_(nodes=nodes, constants=owner.constants)
