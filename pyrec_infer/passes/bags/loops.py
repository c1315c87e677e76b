"""The bags that the iterations of a loop make."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pyrec_infer.ir import Dim, Graph, Node, Size, same_size
from pyrec_infer.passes.bags.parts import emptiness, ends_of_lengths, looked_up, summed_lengths
from pyrec_infer.passes.bags.rectangles import counts_bags, equal_bags, is_left_out, reduced_rows
from pyrec_infer.passes.bags.terms import MODES, SCALAR_VIEWS, Term, reduced
from pyrec_infer.passes.common.rules import Site


@dataclass(frozen=True)
class Bag:
    """One bag as a body makes it: its rows come from a table by ids, or are those of a matrix, ``ids``.

    Attributes
    ----------
    guarded : bool
        Whether the row of an empty bag is zeros.
    whole : bool
        Whether the last bag is taken to end with the ids.
    kept : tuple, optional
        The ids of which one is left out, that id, and what is added to negative ones before.
    """

    mode: str
    table: str
    ids: str
    weights: str
    start: Term
    end: Term
    guarded: bool
    whole: bool
    kept: tuple[str, int, int] | None = None


def _rows(term: Term) -> tuple[str, str, str, Term, Term] | None:
    """Table, ids, weights, start and end of the rows of a bag; without a table the ids are a matrix."""
    if term[0] == "take":
        return term[1], term[2][1], "", term[2][2], term[2][3]
    if term[0] == "rows":
        return "", term[1], "", term[2], term[3]
    if term[0] == "kept_rows":
        return "", term[1], "", *term[2][4:]
    if term[0] != "Mul":
        return None
    for rows, factor in (term[1:], term[:0:-1]):
        found = _rows(rows)
        column = factor[0] == "Unsqueeze" and factor[2] == ("number", 1) and factor[1][0] == "rows"
        if found is not None and column and not found[2] and factor[1][2:] == found[3:]:
            return found[0], found[1], factor[1][1], found[3], found[4]
    return None


def bag_of(term: Term, bags: Term, keepdims: int, site: Site) -> Bag | None:
    """The bag that a row of the result is, [1, D] or [D], where there are so many."""
    condition: Term | None = None
    last = ("Equal", ("index", 0), reduced(bags, ("number", 1)))
    whole = False
    if term[0] == "If" and _is_zeros(term[2], keepdims):
        _, condition, _, term = term
    if term[0] == "If" and term[1] == last:
        term, whole = _plain_mean(term, site), True
    if term[0] not in MODES:
        return None
    inner = term[1]
    if inner[0] == "If" and inner[1] == last:
        inner, whole = _last_to_end(inner, site), True
    found = _rows(inner)
    if found is None:
        return None
    table, ids, weights, start, end = found
    kept = inner[2] if inner[0] == "kept_rows" else None
    if condition is not None and condition not in _empty(start, end, kept):
        return None
    left_out = None if kept is None else kept[1:4]
    return Bag(MODES[term[0]], table, ids, weights, start, end, condition is not None, whole, left_out)


def _is_zeros(term: Term, keepdims: int) -> bool:
    """Whether a term is a row of zeros."""
    return term[0] == "zeros" and len(term[1]) == 1 + keepdims and term[1][:keepdims] in ((), (1,))


def _empty(start: Term, end: Term, kept: Term | None) -> tuple[Term, ...]:
    """The conditions that say that a bag is empty."""
    if kept is not None:
        return (("Equal", ("Size", kept), ("number", 0)),)
    return ("Equal", start, end), ("Equal", end, start)


def _ends(term: Term, name: str, site: Site) -> bool:
    """Whether a term is the size of a value's first axis."""
    shape = site.shape(name)
    return shape is not None and len(shape) > 0 and term == ("size", repr(shape[0]))


def _plain_mean(term: Term, site: Site) -> Term:
    """A mean whose last bag is divided by the number of ids after its start, as if it ended with them."""
    _, _, last, other = term
    if other[0] != "ReduceMean" or last[0] != "If":
        return ("unknown",)
    total = ("ReduceSum", other[1])
    _, positive, divided, plain = last
    if plain != total or positive[0] != "Greater" or positive[2] != ("number", 0):
        return ("unknown",)
    count = positive[1]
    if divided[0] != "Div" or divided[1] != total or divided[2] not in (count, ("Cast", count)):
        return ("unknown",)
    rows = _rows(other[1])
    ends = rows is not None and count[0] == "Sub" and count[2] == rows[3]
    return other if ends and rows is not None and _ends(count[1], rows[1], site) else ("unknown",)


def _last_to_end(term: Term, site: Site) -> Term:
    """Rows of which the last bag's go to the end of the ids."""
    _, _, last, other = term
    same = last[0] == other[0] == "rows" and last[1:3] == other[1:3] and _ends(last[3], last[1], site)
    return other if same else ("unknown",)


def bounds_of(bag: Bag, bags: Term, site: Site) -> str | None:
    """The bounds of bags that a vector of offsets gives, if there are as many bags as it tells."""
    start, end = bag.start, bag.end
    if start[0] != "at" or end[0] != "at" or start[2] != 0 or end != ("at", start[1], 1):
        return None
    offsets = start[1]
    shape, ids = site.shape(offsets), site.shape(bag.ids)
    if not ids or shape is None or len(shape) != 1:
        return None
    one_less = ("less", ("length", offsets), 1)
    whole = site.source(offsets, "Concat")
    if whole is not None and len(whole.inputs) >= 2:
        *firsts, total = whole.inputs
        contents = site.infos[total].contents
        known = contents is not None and contents.size == 1 and same_size(contents.reshape(-1)[0], ids[0])
        if known and (bags == one_less or _counts(bags, firsts, site)):
            first = site.concat(firsts, 0)
            plain = len(firsts) > 1 or _given(first, site) or summed_lengths(first, site) is not None
            return site.node("pyrec.BagBounds", first, bag.ids) if plain else None
    full = {"full": 1} if bag.whole else {}
    less = (one_less, ("less", ("size", repr(shape[0])), 1))
    lengths = ends_of_lengths(offsets, site)
    if lengths is not None and (bags in less or _counts(bags, [lengths], site)):
        return site.node("pyrec.BagBoundsOfLengths", lengths, bag.ids, **full)
    given = _ended_by_ids(offsets, ids[0], site)
    if given and (bags == ("less", ("length", given), 1) or bags in less):
        lengths = ends_of_lengths(given, site)
        if lengths is not None:
            return site.node("pyrec.BagBoundsOfLengths", lengths, bag.ids, full=1)
        if not _given(given, site):
            return None
        starts = site.node("Slice", given, *(site.constant([k], np.int64) for k in (0, -1, 0)))
        return site.node("pyrec.BagBounds", starts, bag.ids)
    if _given(offsets, site) and bags in less:
        return site.node("pyrec.BagBounds", offsets, bag.ids, last=1, **full)
    return None


def _ended_by_ids(name: str, total: Size, site: Site) -> str:
    """The offsets that a vector holds but for the last, which is the number of ids; else nothing."""
    node = site.source(name, "ScatterElements")
    if node is None or site.infos[name].rank != 1 or str(node.attribute("reduction", "none")) != "none":
        return ""
    contents = site.infos[node.inputs[2]].contents
    known = contents is not None and contents.size == 1 and same_size(contents.reshape(-1)[0], total)
    last = site.integers(node.inputs[1]) == (-1,)
    return node.inputs[0] if known and last else ""


def _given(name: str, site: Site) -> bool:
    """Whether a value is an input as it is given or a field of it, but for its element type and shape."""
    while (node := site.source(name, *SCALAR_VIEWS, "Gather")) is not None:
        if node.op == "Gather" and not _is_field(node, site):
            return False
        name = node.inputs[0]
    return site.source(name) is None


def _is_field(node: Node, site: Site) -> bool:
    """Whether a node takes one of a fixed number of vectors."""
    shape = site.shape(node.inputs[0])
    if shape is None or len(shape) != 2 or site.integers(node.inputs[1]) is None:
        return False
    axis = node.attribute("axis", 0) % 2
    return isinstance(shape[axis], int) and isinstance(shape[1 - axis], Dim)


def _counts(bags: Term, vectors: list[str], site: Site) -> bool:
    """Whether a number is the size of all these vectors one after another."""
    if len(vectors) == 1:
        shape = site.shape(vectors[0])
        return bags == ("length", vectors[0]) or (shape is not None and bags == ("size", repr(shape[0])))
    node = site.source(bags[1], "Concat") if bags[0] == "length" else None
    return node is not None and list(node.inputs) == vectors


def _rectangle(bag: Bag, bags: Term, site: Site) -> str | None:
    """The bags, where all are as long and stand in a matrix of ids."""
    start, shape = bag.start, site.shape(bag.ids)
    if start[0] != "at" or start[2] != 0 or bag.end != ("at", start[1], 1) or not shape:
        return None
    found = equal_bags(start[1], shape[0], site)
    if found is None or not counts_bags(bags, start[1], found[2], found[0]):
        return None
    of = bag.weights or bag.ids if bag.kept is None else bag.kept[0]
    same = site.shape(of)
    if same is None or not same_size(same[0], shape[0]) or (bag.weights and bag.mode != "sum"):
        return None
    rows = bag.ids
    if bag.table:
        if site.infos[bag.table].rank != 2 or site.infos[rows].rank != 1:
            return None
        rows = site.node("Gather", bag.table, rows, axis=0)
    if site.infos[rows].dtype != np.float32:
        return None
    left_out = "" if bag.kept is None else is_left_out(*bag.kept, site)
    return reduced_rows(bag.mode, rows, found[:2], bag.weights, site, bag.guarded, left_out)


def bags_of(bag: Bag, bags: Term, site: Site) -> str | None:
    """The node that makes all bags, of which there are so many."""
    made = _rectangle(bag, bags, site)
    if made is not None:
        return made
    table, ids, weights = bag.table, bag.ids, bag.weights
    if not table:
        if site.infos[ids].dtype != np.float32 or site.infos[ids].rank != 2:
            return None
        table, ids, found = looked_up(ids, site, bag.mode == "sum" and not weights)
        weights = weights or found
    if weights and bag.mode != "sum":
        return None
    if site.infos[table].dtype != np.float32 or site.infos[table].rank != 2 or site.infos[ids].rank != 1:
        return None
    if bag.kept is not None and not _keeps_ids(bag, table, ids, site):
        return None
    # A matrix that is its own table says how many rows it has; that needs no list of their places.
    bounds = bounds_of(replace(bag, ids=bag.ids if table == bag.ids else ids), bags, site)
    if bounds is None:
        return None
    padding = {} if bag.kept is None else {"padding": bag.kept[1]}
    if bag.kept is not None and bag.kept[2]:
        padding["padding_wraps"] = 1
    inputs = (table, ids, bounds, weights) if weights else (table, ids, bounds)
    made = site.node("pyrec.EmbeddingBag", *inputs, mode=bag.mode, **padding)
    if bag.mode != "max" or bag.guarded:
        return made
    # The largest of no numbers.
    return site.node("Where", emptiness(bounds, site), site.constant(-np.inf, np.float32), made)


def _keeps_ids(bag: Bag, table: str, ids: str, site: Site) -> bool:
    """Whether a bag leaves ids of its own out, negative ones as what they count from the table's end."""
    if bag.kept is None or bag.kept[0] != ids or (bag.mode == "max" and not bag.guarded):
        return False
    shape = site.shape(table)
    return not bag.kept[2] or (shape is not None and same_size(shape[0], bag.kept[2]))


def endless(node: Node, body: Graph, site: Site) -> bool:
    """Whether the loop ends with its trip count only."""

    def is_true(value: np.ndarray[Any, Any] | None) -> bool:
        return value is not None and value.size == 1 and bool(value.reshape(-1)[0])

    started = not node.inputs[1] or is_true(site.known(node.inputs[1]))
    name = body.outputs[0]
    while (source := body.producers.get(name)) is not None and source.op in ("Cast", "Identity"):
        name = source.inputs[0]
    given = dict(zip(body.inputs, node.inputs, strict=True))
    if name == body.inputs[1]:
        return started
    outer = given.get(name, "")
    return started and (is_true(body.constants.get(name)) or bool(outer and is_true(site.known(outer))))
