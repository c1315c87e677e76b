"""Embedding bags that are spelt as sums or extremes of the rows that a list names for its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pyrec_infer.ir import BATCH, Dim, Node, Rows, has_symbol, same_size
from pyrec_infer.ops.registry import with_trait
from pyrec_infer.ops.shapes import same_shape
from pyrec_infer.ops.traits import Trait
from pyrec_infer.passes.bags.parts import column_of, cumulated, emptiness, filled_with, filling, looked_up
from pyrec_infer.passes.recognise.broadcasts import unrepeated
from pyrec_infer.passes.rules import Rules, Site, for_ops

_VIEWS = with_trait(Trait.VIEW)
_PUT: Mapping[str, Callable[[float, float], float]] = {"none": lambda _, put: put, "max": max, "min": min}


def _counts_up(name: str, site: Site) -> bool:
    """Whether a value is 0, 1, 2, ..., in any shape."""
    while (node := site.source(name, *_VIEWS)) is not None:
        name = node.inputs[0]
    node = site.source(name, "Range")
    if node is None:
        return False
    start, step = site.known(node.inputs[0]), site.known(node.inputs[2])
    return start is not None and step is not None and int(start) == 0 and int(step) == 1


def _own_place(name: str, site: Site) -> str:
    """What stands for a position by itself: elements of 0, 1, 2, ... at it are the position."""
    while (node := site.source(name, *_VIEWS, "Gather", "GatherND")) is not None:
        if node.op in ("Gather", "GatherND") and not _counts_up(node.inputs[0], site):
            break
        name = node.inputs[1] if node.op in ("Gather", "GatherND") else node.inputs[0]
    return name


def _lengths_repeated(name: str, site: Site) -> str | None:
    """The lengths of rows whose numbers a list repeats as often as each is long.

    Spelt as the number of rows less those that end after a place: ``N - sum(place < ends)``.
    """
    node = site.source(_own_place(name, site), "Sub")
    total = None if node is None else site.infos[node.inputs[0]].contents
    counted = None if node is None else site.source(node.inputs[1], "ReduceSum")
    if node is None or counted is None or total is None or total.size != 1:
        return None
    if site.integers(counted.inputs[1]) != (0,):
        return None
    cast = site.source(counted.inputs[0], "Cast")
    less = None if cast is None else site.source(cast.inputs[0], "Less")
    if less is None or not _counts_up(less.inputs[0], site):
        return None
    ends = column_of(less.inputs[1], site)
    lengths = None if ends is None else cumulated(ends, site, 0)
    shape = None if lengths is None else site.shape(lengths)
    fits = shape is not None and same_size(shape[0], total.reshape(-1)[0])
    return lengths if fits else None


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


def _bounds(rows: str, updates: str, site: Site) -> tuple[str, str] | None:
    """The bounds of the rows' bags, and the order that brings the updates into them, or nothing."""
    lengths = _lengths_repeated(rows, site)
    if lengths is not None:
        return site.node("pyrec.BagBoundsOfLengths", lengths, updates), ""
    info = site.infos[rows]
    if info.rows != Rows.INVARIANT or info.dtype != np.int64 or info.rank != 1:
        return None
    count = site.node("pyrec.DimValues", sizes=(Dim.symbol(BATCH),), scalar=1)
    order = site.node("pyrec.OrderOfPairs", rows, count)
    return site.node("pyrec.BagsOfPairs", rows, count), order


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
    data, _, updates = node.inputs
    shape, added = site.shape(data), site.infos[updates]
    reduction = str(node.attribute("reduction", "none"))
    if reduction not in ("add", "max", "min") or not shape or added.shape is None:
        return None
    whole = has_symbol(shape[0]) and same_size(shape[0], Dim.symbol(BATCH))
    if not whole or len(added.shape) != len(shape):
        return None
    if added.rows != Rows.INVARIANT or added.dtype != np.float32:
        return None
    if len(shape) == 2 and not same_size(shape[1], added.shape[1]):
        return None
    if reduction != "add" and filling(updates, site) is not None:
        return None  # that is what rows begin with
    rows = _rows_named(node, site)
    begun = None if rows is None else _begun(data, rows, site)
    if rows is None or begun is None or (reduction == "add" and begun != (0, 0)):
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
