"""Embedding bags that are spelt as sums or extremes of the rows that a list names for its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pyrec_infer.ir import BATCH, Dim, Node, Rows, Size, has_symbol, same_size
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.bags.lengths import lengths_repeated
from pyrec_infer.passes.bags.parts import column_of, emptiness, filled_with, filling, looked_up
from pyrec_infer.passes.common.rules import Rules, Site, for_ops
from pyrec_infer.passes.recognise.broadcasts import unrepeated

_PUT: Mapping[str, Callable[[float, float], float]] = {"none": lambda _, put: put, "max": max, "min": min}


def _rows_named(node: Node, site: Site) -> str | None:
    """The list that names a row for each row of the updates."""
    data, indices, updates = node.inputs
    shape = site.shape(indices)
    if shape is None or site.infos[data].rank not in (1, 2):
        return None
    if node.op == "ScatterND":
        return column_of(indices, site)
    if node.attribute("axis", 0) or len(shape) != site.infos[updates].rank:
        return None
    return indices if len(shape) == 1 else column_of(unrepeated(indices, site), site)


def _uncut(node: Node, site: Site) -> str:
    """The updates before they are cut to as many as there are rows by lengths, which have to be all."""
    _, indices, updates = node.inputs
    cut = site.source(updates, "Slice")
    size = None if cut is None or len(cut.inputs) != 3 else site.source(cut.inputs[2], "Shape")
    if (
        cut is None
        or size is None
        or size.inputs[0] != indices
        or size.attributes.get("start")
        or "end" in size.attributes
    ):
        return updates
    rows = _rows_named(node, site)
    starts = site.integers(cut.inputs[1])
    whole = rows is not None and lengths_repeated(rows, site) is not None and starts is not None
    return cut.inputs[0] if whole and not any(starts or ()) else updates


def _bounds(rows: str, updates: str, site: Site) -> tuple[str, str] | None:
    """The bounds of the rows' bags, and the order that brings the updates into them, or nothing."""
    lengths = lengths_repeated(rows, site)
    if lengths is not None:
        # There is a row for each update.
        return site.node("pyrec.BagBoundsOfLengths", lengths, updates, full=1), ""
    info = site.infos[rows]
    if info.rows != Rows.INVARIANT or info.dtype != np.int64 or info.rank != 1:
        return None
    count = site.node("pyrec.DimValues", sizes=(Dim.symbol(BATCH),), scalar=1)
    order = site.node("pyrec.OrderOfPairs", rows, count)
    return site.node("pyrec.BagsOfPairs", rows, count), order


def _of_rows(size: Size, rows: str, site: Site) -> bool:
    """Whether so many rows are those of the batch, or those whose lengths tell which a list names."""
    lengths = lengths_repeated(rows, site)
    shape = None if lengths is None else site.shape(lengths)
    own = shape is not None and len(shape) == 1 and same_size(size, shape[0])
    return own or (has_symbol(size) and same_size(size, Dim.symbol(BATCH)))


def _begun(name: str, rows: str, site: Site) -> tuple[float, float] | None:
    """The numbers that rows begin with: those that a list names no value for, and those that it does.

    Exporters first put a number in the rows of the list, which is of no account for the result.
    """
    node = site.source(name, "ScatterND", "ScatterElements")
    if node is None:
        number = filling(name, site)
        return None if number is None else (number, number)
    number, put = filling(node.inputs[0], site), filling(node.inputs[2], site)
    reduction = _PUT.get(str(node.attribute("reduction", "none")))
    whole = same_shape(site.shape(node.inputs[0]), site.shape(name)) and _rows_named(node, site) == rows
    if number is None or put is None or reduction is None or not whole:
        return None
    return number, reduction(number, put)


def reduced_rows(node: Node, site: Site) -> str | None:
    """Rows reduced into rows of the batch that are all one number, at the rows that a list names."""
    data, updates = node.inputs[0], _uncut(node, site)
    shape, added = site.shape(data), site.infos[updates]
    reduction = str(node.attribute("reduction", "none"))
    if reduction not in ("add", "max", "min") or not shape or added.shape is None:
        return None
    if len(added.shape) != len(shape):
        return None
    if added.rows != Rows.INVARIANT or added.dtype != np.float32:
        return None
    if len(shape) == 2 and not same_size(shape[1], added.shape[1]):
        return None
    if reduction != "add" and filling(updates, site) is not None:
        return None  # that is what rows begin with
    rows = _rows_named(node, site)
    if rows is None or not _of_rows(shape[0], rows, site):
        return None
    begun = _begun(data, rows, site)
    if begun is None or (reduction == "add" and begun != (0, 0)):
        return None
    found = _bounds(rows, updates, site)
    if found is None:
        return None
    bounds, order = found
    if reduction == "add" and filled_with(updates, 1, site) and len(shape) == 1:
        ends = site.node("Gather", bounds, site.constant(1, np.int64), axis=1)
        starts = site.node("Gather", bounds, site.constant(0, np.int64), axis=1)
        return site.node("Cast", site.node("Sub", ends, starts), to=1)
    matrix = updates if len(shape) == 2 else site.node("Unsqueeze", updates, site.constant([1], np.int64))
    if reduction == "add":
        bags = _bags(matrix, bounds, order, "sum", site)
    else:
        bags = _extremes(matrix, bounds, order, begun, reduction == "min", site)
    return bags if len(shape) == 2 else site.node("Squeeze", bags, site.constant([1], np.int64))


def _bags(matrix: str, bounds: str, order: str, mode: str, site: Site, turned: bool = False) -> str:
    """The bags of a matrix with a row for each id; of its negative, where it is turned."""
    table, ids, weights = looked_up(matrix, site, mode == "sum")
    if order:
        ids, weights = (name and site.node("Gather", name, order, axis=0) for name in (ids, weights))
    table = site.node("Neg", table) if turned else table
    return site.node("pyrec.EmbeddingBag", table, ids, bounds, *([weights] if weights else []), mode=mode)


def _extremes(
    matrix: str, bounds: str, order: str, begun: tuple[float, float], least: bool, site: Site
) -> str:
    """The largest or least number of each bag and of what its row begins with."""
    none, some = (site.constant(number, np.float32) for number in begun)
    bags = _bags(matrix, bounds, order, "max", site, least)
    if least:
        bags = site.node("Neg", bags)
    bags = site.node("Min" if least else "Max", bags, some)
    return site.node("Where", emptiness(bounds, site), none, bags)


RULES: Rules = for_ops(("ScatterND", "ScatterElements"), reduced_rows)
