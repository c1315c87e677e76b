"""Tables of the places where a list names each row, as TensorFlow's segments are exported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrec_infer.ir import Node, has_symbol, same_size
from pyrec_infer.ops.core.shapes import integers, same_shape
from pyrec_infer.passes.bags.lengths import counts_up, is_one_less, lengths_repeated
from pyrec_infer.passes.bags.pairs import Bags, bags_of_rows, of_rows
from pyrec_infer.passes.bags.parts import column_of, filled_with
from pyrec_infer.passes.bags.terms import Reader
from pyrec_infer.passes.common.rules import Site


@dataclass(frozen=True)
class Named:
    """The rows that a list names.

    Attributes
    ----------
    rows : str
    count : str
        Of one element: how many rows there are.
    """

    rows: str
    count: str


def table_of_places(name: str, site: Site) -> Named | None:
    """The rows whose places in a list a matrix holds, each row's in any order and followed by -1.

    Rows in order, and the numbers from 0 on modulo each row's count, give each place of a row a column.
    """
    node = site.source(name, "ScatterND")
    if node is None or str(node.attribute("reduction", "none")) != "none":
        return None
    data, indices, places = node.inputs
    shape = site.source(data, "ConstantOfShape")
    sizes = None if shape is None else site.source(shape.inputs[0], "Concat")
    corners = site.source(indices, "Concat")
    if sizes is None or corners is None or not filled_with(data, -1, site):
        return None
    if len(sizes.inputs) != 2 or len(corners.inputs) != 2 or corners.attribute("axis") not in (1, -1):
        return None
    ordered, numbers = (column_of(column, site) for column in corners.inputs)
    sort = None if ordered is None else site.source(ordered, "TopK")
    if sort is None or ordered != sort.outputs[0] or places != sort.outputs[1]:
        return None
    rows = _sorted_whole(sort, site)
    unique = None if rows is None or numbers is None else _counted_off(numbers, ordered, site)
    most = site.source(sizes.inputs[1], "ReduceMax")
    if rows is None or unique is None or most is None or not most.attribute("keepdims", 1):
        return None
    if most.inputs[0] != unique.outputs[3] or site.infos[sizes.inputs[1]].rank != 1:
        return None
    return Named(rows, sizes.inputs[0])


def _sorted_whole(sort: Node, site: Site) -> str | None:
    """The vector of whole numbers that a TopK puts in order, smallest first."""
    rows = sort.inputs[0]
    shape, count = site.shape(rows), integers(site.infos[sort.inputs[1]])
    if shape is None or len(shape) != 1 or site.infos[rows].dtype != np.int64 or not count:
        return None
    in_order = sort.attribute("sorted", 1) and not sort.attribute("largest", 1)
    return rows if in_order and same_size(count[0], shape[0]) else None


def _counted_off(numbers: str, ordered: str, site: Site) -> Node | None:
    """The node that counts each of the ordered rows, where places are numbered by these counts."""
    node = site.source(numbers, "Mod")
    if node is None or node.attribute("fmod", 0) or not counts_up(node.inputs[0], site):
        return None
    if not same_shape(site.shape(node.inputs[0]), site.shape(ordered)):
        return None
    counts = site.source(node.inputs[1], "Gather")
    unique = None if counts is None else site.source(counts.inputs[0], "Unique")
    if counts is None or unique is None or len(unique.outputs) != 4 or unique.inputs[0] != ordered:
        return None
    return unique if tuple(counts.inputs) == (unique.outputs[3], unique.outputs[2]) else None


def counts_of_rows(node: Node, site: Site) -> Named | None:
    """The rows of which a scattered vector holds how often a list names each."""
    if str(node.attribute("reduction", "none")) != "none" or node.attribute("axis", 0):
        return None
    data, indices, counts = node.inputs
    if site.infos[data].rank != 1 or not filled_with(data, 0, site):
        return None
    values = indices if node.op == "ScatterElements" else column_of(indices, site)
    values, counts = _within(values or "", counts, site)
    unique = site.source(counts, "Unique")
    shape = site.source(data, "ConstantOfShape")
    if unique is None or len(unique.outputs) != 4 or shape is None:
        return None
    if (values, counts) != (unique.outputs[0], unique.outputs[3]):
        return None
    rows = unique.inputs[0]
    sort = site.source(rows, "TopK")
    if sort is not None and rows == sort.outputs[0]:
        rows = _sorted_whole(sort, site) or rows
    return Named(rows, shape.inputs[0])


def _within(values: str, counts: str, site: Site) -> tuple[str, str]:
    """Values and counts before both are cut down to the rows that there are."""
    parts = [site.source(name, "Compress") for name in (values, counts)]
    if None in parts or parts[0] is None or parts[1] is None or parts[0].inputs[1] != parts[1].inputs[1]:
        return values, counts
    cut = site.source(parts[0].inputs[1], "And")
    for above, below in () if cut is None else (cut.inputs, cut.inputs[::-1]):
        least, most = site.source(above, "Greater", "GreaterOrEqual"), site.source(below, "Less")
        if least is None or most is None or least.inputs[0] != most.inputs[0]:
            continue
        first = -1 if least.op == "Greater" else 0
        count = integers(site.infos[most.inputs[1]]) or ()
        every = site.integers(least.inputs[1]) == (first,) and len(count) == 1 and has_symbol(count[0])
        if every and least.inputs[0] == parts[0].inputs[0]:
            return parts[0].inputs[0], parts[1].inputs[0]
    return values, counts


def bags_named(named: Named, updates: str, site: Site) -> Bags | None:
    """The bags of the rows that a list names for updates, if it is known how many rows there are."""
    count = integers(site.infos[named.count])
    if count is not None and len(count) == 1 and of_rows(count[0], named.rows, site):
        return bags_of_rows(named.rows, updates, site, strict=True)
    lengths = lengths_repeated(named.rows, site)
    offsets = None if lengths is None else site.source(lengths, "pyrec.LengthsOfOffsets")
    if offsets is not None and is_one_less(Reader(site, 0).outer(named.count), offsets.inputs[0], site):
        return bags_of_rows(named.rows, updates, site)
    if _one_after_last(named.count, named.rows, site):
        return bags_of_rows(named.rows, updates, site, counted=False, strict=True)
    return None


def _one_after_last(name: str, rows: str, site: Site) -> bool:
    """Whether a number is that of the last row which a list names, and one."""
    while (node := site.source(name, "Unsqueeze", "Reshape", "Squeeze")) is not None:
        name = node.inputs[0]
    node = site.source(name, "Add")
    for last, one in () if node is None else (node.inputs, node.inputs[::-1]):
        largest = site.source(last, "ReduceMax")
        if largest is not None and largest.inputs[0] == rows and site.integers(one) == (1,):
            return site.infos[rows].rank == 1
    return False
