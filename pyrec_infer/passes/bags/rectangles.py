"""Bags that are the rows of a matrix: what a layer of bags makes of ids that have two axes."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Size, same_size
from pyrec_infer.ops.core.shapes import product, same_shape
from pyrec_infer.passes.bags.parts import filled_with
from pyrec_infer.passes.bags.terms import Term
from pyrec_infer.passes.common.rules import Site

_REDUCE = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax"}


def equal_bags(offsets: str, total: Size, site: Site) -> tuple[Size, int, str] | None:
    """How many bags of how many ids each there are, where bounds are 0, L, 2 L ... up to the number of all
    ids; and the vector of their begins."""
    whole = site.source(offsets, "Concat")
    if whole is None or len(whole.inputs) != 2:
        return None
    begins, last = whole.inputs
    contents, shape = site.infos[last].contents, site.shape(begins)
    steps = site.source(begins, "Range")
    if steps is None or not shape or contents is None or contents.size != 1:
        return None
    first, step = (site.integers(steps.inputs[place]) for place in (0, 2))
    if first != (0,) or step is None or step[0] < 1:
        return None
    fits = same_size(product((shape[0], step[0])), total) and same_size(contents.reshape(-1)[0], total)
    return (shape[0], step[0], begins) if fits else None


def reduced_rows(
    mode: str, rows: str, bags: tuple[Size, int], weights: str, site: Site, guarded: bool, left_out: str = ""
) -> str | None:
    """The bags of the rows of a matrix [N L, D], without those that a vector of booleans leaves out.

    Parameters
    ----------
    guarded : bool
        Whether a bag of which all is left out is zeros.
    """
    count, length = bags
    rows = _without_ones(rows, site)
    shape = site.shape(rows)
    if shape is None or len(shape) != 2:
        return None
    made = site.reshape(rows, (count, length, shape[1]))
    if weights and made is not None:
        column = site.reshape(weights, (count, length, 1))
        made = None if column is None else site.node("Mul", made, column)
    axis = site.constant([1], np.int64)
    if made is None or not left_out:
        return None if made is None else site.node(_REDUCE[mode], made, axis, keepdims=0)
    gone = site.reshape(left_out, (count, length, 1))
    if gone is None:
        return None
    blank = site.constant(-np.inf if mode == "max" else 0, np.float32)
    made = site.node("Where", gone, blank, made)
    there = site.node("Cast", site.node("Not", gone), to="float32")
    number = site.node("ReduceSum", there, axis, keepdims=0)
    zero, one = (site.constant(value, np.float32) for value in (0, 1))
    if mode == "max":
        most = site.node("ReduceMax", made, axis, keepdims=0)
        return site.node("Where", site.node("Equal", number, zero), zero, most) if guarded else None
    total = site.node("ReduceSum", made, axis, keepdims=0)
    if mode == "sum":
        return total
    return site.node("Div", total, site.node("Max", number, one) if guarded else number)


def _without_ones(rows: str, site: Site) -> str:
    """What is multiplied by ones, which stand where no weights are given."""
    node = site.source(rows, "Mul")
    for inner, factor in () if node is None else (node.inputs, node.inputs[::-1]):
        if filled_with(factor, 1, site) and same_shape(site.shape(inner), site.shape(rows)):
            return inner
    return rows


def is_left_out(ids: str, padding: int, added: int, site: Site) -> str:
    """Which ids are the padding, negative ones with a number added."""
    kind = site.infos[ids].dtype
    if added:
        negative = site.node("Less", ids, site.constant(0, kind))
        wrapped = site.node("Add", ids, site.constant(added, kind))
        ids = site.node("Where", negative, wrapped, ids)
    return site.node("Equal", ids, site.constant(padding, kind))


def counts_bags(bags: Term, offsets: str, begins: str, count: Size) -> bool:
    """Whether a number is that of the bags."""
    sizes = ("length", begins), ("size", repr(count)), ("less", ("length", offsets), 1)
    return bags in sizes


__all__ = ["counts_bags", "equal_bags", "is_left_out", "reduced_rows"]
