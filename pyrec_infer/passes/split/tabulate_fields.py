"""Multiply small embedding tables with a request's matrix once, instead of with each candidate's rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyrec_infer.ir import Graph, Node, Rate, Rows
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.fused import F32
from pyrec_infer.ops.lookup_parts import LookupPart, lookup_parts, make_lookup
from pyrec_infer.passes.common.rules import Site, apply_rules
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.recognise.concatenations import axis_of_concat, widths
from pyrec_infer.passes.recognise.views import viewed
from pyrec_infer.passes.split.keep_ids import is_small
from pyrec_infer.passes.split.record_layout import NEAR

_BYTES = 2 << 20
"""What the products of one layer's tables may take: each candidate reads rows of them."""


@dataclass(frozen=True)
class _Piece:
    """Some of a layer's inputs: a value, or a part of a lookup that may be taken out of it."""

    begin: int
    size: int
    value: str = ""
    part: LookupPart | None = None


class _Tabulator:
    """See `tabulate_fields`."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def pieces(self, name: str, begin: int, size: int, site: Site) -> list[_Piece]:
        """What a value [N, size] is put together from."""
        whole = [_Piece(begin, size, name)]
        node = site.source(name, "Concat", "pyrec.Lookup")
        if node is None:
            return whole
        if node.op == "Concat":
            sizes = widths(node, 1, site) if axis_of_concat(node, site) == 1 else None
            if sizes is None:
                return whole
            begins = begin + np.cumsum([0, *sizes])
            return [
                piece
                for source, first, own in zip(node.inputs, begins, sizes, strict=False)
                for piece in self.pieces(source, int(first), own, site)
            ]
        if site.rate(name) == Rate.ITEM and not node.attribute(NEAR):
            return whole
        found, parts = [], lookup_parts(node)
        for first, part in zip(np.cumsum([0, *(part.width for part in parts)]), parts, strict=False):
            found.append(_Piece(begin + int(first), part.width, part=part))
        return found

    def chosen(self, pieces: Sequence[_Piece], columns: int) -> set[int]:
        """The places of the parts whose tables are multiplied, the smallest first."""
        rows = {
            place: len(self.graph.constants[piece.part.table])
            for place, piece in enumerate(pieces)
            if piece.part is not None and is_small(piece.part, self.graph)
        }
        found: set[int] = set()
        left = _BYTES
        for place in sorted(rows, key=lambda place: rows[place]):
            left -= rows[place] * columns * 4
            if left < 0:
                break
            found.add(place)
        return found

    def rest(self, pieces: Sequence[_Piece], label: str, site: Site) -> list[str]:
        """What is left of a layer's inputs."""
        values: list[str] = []
        run: list[LookupPart] = []
        for piece in (*pieces, None):
            if piece is not None and piece.part is not None:
                run.append(piece.part)
                continue
            if run:
                values.append(site.add(make_lookup("pyrec.Lookup", site.fresh(), run, label=label)))
                run = []
            if piece is not None:
                values.append(piece.value)
        return values

    def layer(self, node: Node, site: Site) -> str | None:
        """The layer with less to multiply, and rows of the request's tables added to its bias."""
        if "columns" not in node.attributes or len(node.inputs) > 3 or not site.alone(node.inputs[1]):
            return None
        pack, shape = site.source(node.inputs[1], "pyrec.Pack"), site.shape(node.outputs[0])
        matrix = pack.inputs[0] if pack is not None else ""
        sizes = site.sizes(matrix) if matrix else None
        x = viewed(node.inputs[0], site)
        if sizes is None or len(sizes) != 2 or site.rate(matrix) != Rate.REQUEST or shape is None:
            return None
        features, columns = sizes
        if site.sizes(node.inputs[0]) != (1, features) or site.sizes(x) != (features,):
            return None
        if site.sizes(node.outputs[0]) != (1, columns):
            return None
        pieces = self.pieces(x, 0, features, site)
        chosen = self.chosen(pieces, columns)
        bias = _as_rows(node.inputs[2], columns, site) if len(node.inputs) > 2 else ""
        if not chosen or bias is None:
            return None
        taken = [pieces[place] for place in sorted(chosen)]
        parts = [piece.part for piece in taken if piece.part is not None]
        tables = self.tables(matrix, taken, parts, site)
        summed = [
            LookupPart(part.source, table, part.column, columns)
            for part, table in zip(parts, tables, strict=True)
        ]
        kept = [piece for place, piece in enumerate(pieces) if place not in chosen]
        activation = "" if kept else node.attribute("activation", "")
        total = site.add(
            make_lookup(
                "pyrec.LookupSum", site.fresh(), summed, bias=bias, activation=activation, label=node.name
            )
        )
        lifted = site.reshape(total, (shape[0], 1, columns))
        if lifted is None or not kept:
            return lifted
        size = sum(piece.size for piece in kept)
        places = np.concatenate([np.arange(piece.begin, piece.begin + piece.size) for piece in kept])
        rows = site.node("Gather", matrix, site.constant(places, np.int64), axis=1)
        joined = site.concat(self.rest(kept, node.name, site), 1)
        left = site.reshape(joined, (shape[0], 1, size))
        if left is None:
            return None
        return site.node("pyrec.Dense", left, site.node("pyrec.Pack", rows), lifted, **node.attributes)

    def tables(
        self, matrix: str, taken: Sequence[_Piece], parts: Sequence[LookupPart], site: Site
    ) -> tuple[str, ...]:
        """The products of tables with the rows of a request's matrix that belong to them."""
        made = Node(
            "pyrec.FieldTables",
            (matrix, *(part.table for part in parts)),
            tuple(site.fresh() for _ in parts),
            {"firsts": tuple(piece.begin for piece in taken)},
        )
        site.add(made)
        return made.outputs


def _as_rows(bias: str, columns: int, site: Site) -> str | None:
    """What is added to [N, 1, H], in a form that is added to rows [N, H]."""
    info = site.infos[bias]
    if info.dtype != F32 or info.shape is None:
        return None
    if info.rows == Rows.INVARIANT:
        row = any(same_shape(info.shape, shape) for shape in ((columns,), (1, columns)))
        return bias if row else None
    root = viewed(bias, site)
    if site.sizes(root) == (columns,):
        return root
    return site.reshape(bias, (info.shape[0], columns)) if site.sizes(bias) == (1, columns) else None


def tabulate_fields(graph: Graph, sides: Sides) -> Graph:
    """Replace ``[e_1(i) | x] M`` by ``x M_x + T(i)``, ``T = e_1 M_1``, for a request's matrix M.

    A row of T stands for the product of a table's row with its rows of the matrix. It is as wide as the
    layer, so tables are small; see `is_small` and `_BYTES`.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> n = Dim.symbol("N")
    >>> infos = {"i": Info(np.dtype(np.int64), (n, 2), 0), "m": Info(F32, (n, 32, 64), 0)}
    >>> parts = [LookupPart("i", table, column, 16) for column, table in enumerate(("large", "small"))]
    >>> nodes = (make_lookup("pyrec.Lookup", "x", parts), Node("Reshape", ("x", "shape"), ("v",)),
    ...          Node("pyrec.Pack", ("m",), ("p",)), Node("pyrec.Dense", ("v", "p"), ("y",), {"columns": 64}))
    >>> constants = {"large": np.ones((9999, 16), np.float32), "small": np.ones((9, 16), np.float32),
    ...              "shape": np.asarray([-1, 1, 32])}
    >>> made = tabulate_fields(Graph(("i", "m"), ("y",), nodes, constants, infos), Sides(frozenset("m")))
    >>> [node.op.removeprefix("pyrec.") for node in made.nodes if node.op != "Reshape"]
    ['FieldTables', 'LookupSum', 'Gather', 'Lookup', 'Pack', 'Dense']
    """
    return apply_rules(graph, {"pyrec.Dense": (_Tabulator(graph).layer,)}, sides)
