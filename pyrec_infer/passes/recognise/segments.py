"""Embedding bags that are spelt as sums or extremes of the rows that a list names for its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from pyrec_infer.ir import Node, Rows, same_size
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.bags.lengths import lengths_repeated
from pyrec_infer.passes.bags.pairs import bags_of_rows, extremes, of_rows, sums
from pyrec_infer.passes.bags.parts import column_of, filling
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
    if rows is None or not of_rows(shape[0], rows, site):
        return None
    begun = _begun(data, rows, site)
    if begun is None or (reduction == "add" and begun != (0, 0)):
        return None
    bags = bags_of_rows(rows, updates, site)
    if bags is None:
        return None
    if reduction == "add":
        return sums(updates, bags, site)
    return extremes(updates, bags, reduction == "min", begun, site)


RULES: Rules = for_ops(("ScatterND", "ScatterElements"), reduced_rows)
