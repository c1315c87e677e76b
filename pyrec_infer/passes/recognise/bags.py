"""Embedding bags that exporters spell as a loop over the bags: TorchScript's and dynamo's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.ir import Graph, Node, same_size
from pyrec_infer.ops.registry import with_trait
from pyrec_infer.ops.traits import Trait
from pyrec_infer.passes.rules import Rules, Site

Term: TypeAlias = tuple[Any, ...]
"""What a value inside a loop's body stands for, as far as bags need it.

``("index", k)`` is the number of the bag plus k; ``("at", P, k)`` the element of the outer vector P at
that place; ``("rows", X, a, b)`` the part of the outer X from a to b; ``("outer", name)``, ``("size", n)``,
``("number", n)`` what they say. All else is its operator with the terms that it reads.
"""

_MODES = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max"}
_SCALAR_VIEWS = frozenset({*with_trait(Trait.VIEW), "Cast", "CastLike", "Identity"})
_SCALARS = frozenset({"index", "at", "size", "number", "less", "length"})
_MOST_TERMS = 400


@dataclass(frozen=True)
class _Bag:
    """One bag as a body makes it: its rows come from ``source``, a table by ids or a matrix."""

    mode: str
    table: str
    ids: str
    weights: str
    start: Term
    end: Term
    guarded: bool


class _Reader:
    """Reads the values of a loop's body as terms."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.left = _MOST_TERMS

    def outer(self, name: str) -> Term:
        """What a value outside the loop stands for."""
        known = self.site.known(name)
        if known is not None and known.size == 1 and known.dtype.kind in "iub":
            return ("number", int(known.reshape(-1)[0]))
        found = self.count(name)
        info = self.site.infos[name]
        if found is None and info.contents is not None and info.contents.size == 1:
            found = ("size", repr(info.contents.reshape(-1)[0]))
        return found or ("outer", name)

    def count(self, name: str) -> Term | None:
        """A number that is read off the size of a vector."""
        node = self.site.source(name, "Sub", "Shape", "Size", "Gather", *_SCALAR_VIEWS)
        if node is None:
            return None
        if node.op == "Sub":
            a, b = self.outer(node.inputs[0]), self.outer(node.inputs[1])
            return ("less", a, b[1]) if a[0] in ("size", "length") and b[0] == "number" else None
        if node.op in ("Size", "Shape") and self.site.infos[node.inputs[0]].rank == 1:
            base, skipped = self.vector(node.inputs[0])
            return ("less", ("length", base), skipped) if skipped else ("length", base)
        if node.op in _SCALAR_VIEWS or (node.op == "Gather" and self.outer(node.inputs[1]) == ("number", 0)):
            inner = self.outer(node.inputs[0])
            return inner if inner[0] in ("size", "less", "length") else None
        return None

    def vector(self, name: str) -> tuple[str, int]:
        """A vector as what is left of another after so many elements."""
        skipped = 0
        while (node := self.site.source(name, "Slice", "Identity", "Cast")) is not None:
            if node.op == "Slice":
                start = self.site.integers(node.inputs[1])
                end = self.site.integers(node.inputs[2])
                step = self.site.integers(node.inputs[4]) if len(node.inputs) > 4 else (1,)
                if start is None or end is None or len(start) != 1 or start[0] < 0 or step != (1,):
                    break
                if end[0] < 2**31 - 1:
                    break
                skipped += start[0]
            elif node.op == "Cast" and self.site.infos[name].dtype != self.site.infos[node.inputs[0]].dtype:
                break
            name = node.inputs[0]
        return name, skipped

    def term(self, name: str, body: Graph, given: Mapping[str, Term]) -> Term:
        """What a value of a body stands for; ``given`` are the body's inputs."""
        self.left -= 1
        if self.left < 0:
            return ("unknown",)
        if name in given:
            return given[name]
        if name in body.constants:
            value = body.constants[name]
            if value.size == 1 and value.dtype.kind in "iub":
                return ("number", int(value.reshape(-1)[0]))
            return ("zeros", value.shape) if not np.any(value) else ("constant", name)
        node = body.producers[name]
        terms = [self.term(item, body, given) if item else ("",) for item in node.inputs]
        if node.op == "If":
            inner = [dict(zip(branch.inputs, terms[1:], strict=True)) for branch in node.bodies]
            place = node.outputs.index(name)
            made = [
                self.term(branch.outputs[place], branch, known)
                for branch, known in zip(node.bodies, inner, strict=True)
            ]
            return made[0] if made[0] == made[1] else ("If", terms[0], *made)
        return self.node(node, terms)

    def node(self, node: Node, terms: list[Term]) -> Term:
        first = terms[0] if terms else ("",)
        if node.op in _SCALAR_VIEWS and first[0] in _SCALARS and not _to_float(node):
            return first
        if node.op == "Identity":
            return first
        if node.op == "Add" and first[0] == "index" and terms[1][0] == "number":
            return ("index", first[1] + terms[1][1])
        if node.op == "Sub" and first[0] == "size" and terms[1][0] == "number":
            return ("less", first, terms[1][1])
        if node.op == "Gather" and not node.attribute("axis", 0) and first[0] == "outer":
            if terms[1][0] == "index":
                return self.at(first[1], terms[1][1])
            if terms[1][0] == "rows":
                return ("take", first[1], terms[1])
        if node.op == "Slice" and first[0] == "outer" and _first_axis(terms):
            if terms[1][0] == "index" and terms[2] == ("index", terms[1][1] + 1):
                return self.at(first[1], terms[1][1])
            return ("rows", first[1], terms[1], terms[2])
        if node.op in ("Shape", "Size") and first[0] == "outer":
            shape = self.site.shape(first[1])
            whole = node.op == "Shape" and node.attribute("start", 0) == 0 and node.attribute("end") == 1
            if shape is not None and shape and (len(shape) == 1 or whole):
                return ("size", repr(shape[0]))
        if node.op in _MODES and first[0] not in _SCALARS:
            return (node.op, first) if self.over_bag(node, terms) else ("unknown",)
        return (node.op, *terms)

    def at(self, name: str, place: int) -> Term:
        base, skipped = self.vector(name)
        return ("at", base, place + skipped)

    @staticmethod
    def over_bag(node: Node, terms: list[Term]) -> bool:
        """Whether a reduction is over the ids alone."""
        axes = tuple(node.attribute("axes", ()))
        return axes == (0,) if len(terms) < 2 else terms[1] == ("number", 0)


def _to_float(node: Node) -> bool:
    return node.op == "Cast" and node.attribute("to") in (1, 10, 11)


def _first_axis(terms: list[Term]) -> bool:
    axes = terms[3] if len(terms) > 3 else ("number", 0)
    steps = terms[4] if len(terms) > 4 else ("number", 1)
    return axes == ("number", 0) and steps == ("number", 1)


def _rows(term: Term) -> tuple[str, str, str, Term, Term] | None:
    """Table, ids, weights, start and end of the rows of a bag; without a table the ids are a matrix."""
    if term[0] == "take":
        return term[1], term[2][1], "", term[2][2], term[2][3]
    if term[0] == "rows":
        return "", term[1], "", term[2], term[3]
    if term[0] != "Mul":
        return None
    for rows, factor in (term[1:], term[:0:-1]):
        found = _rows(rows)
        column = factor[0] == "Unsqueeze" and factor[2] == ("number", 1) and factor[1][0] == "rows"
        if found is not None and column and not found[2] and factor[1][2:] == found[3:]:
            return found[0], found[1], factor[1][1], found[3], found[4]
    return None


def _bag(term: Term) -> _Bag | None:
    """The bag that a row of the result is."""
    guarded = False
    if term[0] == "If":
        term, guarded = _filled(term), True
    if term[0] == "If":
        term = _plain_mean(term)
    if term[0] not in _MODES:
        return None
    inner = term[1]
    if inner[0] == "If" and term[0] == "ReduceMax":
        inner = _last_to_end(inner)
    found = _rows(inner)
    if found is None:
        return None
    table, ids, weights, start, end = found
    return _Bag(_MODES[term[0]], table, ids, weights, start, end, guarded)


def _filled(term: Term) -> Term:
    """The row of a bag that is not empty, where the row of an empty one is zeros."""
    _, condition, empty, filled = term
    if condition[0] != "Equal" or empty[0] != "zeros" or {condition[1][0], condition[2][0]} != {"at"}:
        return ("unknown",)
    return filled  # type: ignore[no-any-return]


def _plain_mean(term: Term) -> Term:
    """A mean whose last bag is divided by the number of ids after its start, which is its length."""
    _, condition, last, other = term
    if condition[0] != "Equal" or condition[1] != ("index", 0) or other[0] != "ReduceMean" or last[0] != "If":
        return ("unknown",)
    total = ("ReduceSum", other[1])
    _, positive, divided, plain = last
    if plain != total or positive[0] != "Greater" or positive[2] != ("number", 0):
        return ("unknown",)
    count = positive[1]
    if divided[0] != "Div" or divided[1] != total or divided[2] not in (count, ("Cast", count)):
        return ("unknown",)
    rows = _rows(other[1])
    ends = rows is not None and count[0] == "Sub" and count[1][0] == "size" and count[2] == rows[3]
    return other if ends else ("unknown",)


def _last_to_end(term: Term) -> Term:
    """Rows of which the last bag's go to the end of the ids."""
    _, condition, last, other = term
    same = last[0] == other[0] == "rows" and last[1:3] == other[1:3] and last[3][0] == "size"
    return other if same and condition[0] == "Equal" and condition[1] == ("index", 0) else ("unknown",)


def _bounds(bag: _Bag, bags: Term, site: Site) -> str | None:
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
            plain = len(firsts) > 1 or _given(first, site) or _summed_lengths(first, site) is not None
            return site.node("pyrec.BagBounds", first, bag.ids) if plain else None
    if _given(offsets, site) and bags in (one_less, ("less", ("size", repr(shape[0])), 1)):
        return site.node("pyrec.BagBounds", offsets, bag.ids, last=1)
    return None


def _given(name: str, site: Site) -> bool:
    """Whether a value is an input as it is given, but for its element type and shape."""
    while (node := site.source(name, *_SCALAR_VIEWS)) is not None:
        name = node.inputs[0]
    return site.source(name) is None


def _counts(bags: Term, vectors: list[str], site: Site) -> bool:
    """Whether a number is the size of all these vectors one after another."""
    if len(vectors) == 1:
        shape = site.shape(vectors[0])
        return bags == ("length", vectors[0]) or (shape is not None and bags == ("size", repr(shape[0])))
    node = site.source(bags[1], "Concat") if bags[0] == "length" else None
    return node is not None and list(node.inputs) == vectors


def filled_with(name: str, number: float, site: Site) -> bool:
    """Whether a value is made of nothing but a number."""
    while (node := site.source(name, "Expand", "Unsqueeze", "Reshape")) is not None:
        name = node.inputs[0]
    node = site.source(name, "ConstantOfShape")
    if node is not None:
        return bool(np.all(np.asarray(node.attribute("value", np.zeros(1))) == number))
    value = site.known(name)
    return value is not None and value.size > 0 and bool(np.all(value == number))


def column_of(column: str, site: Site) -> str | None:
    """The vector [M] that a column [M, 1] is."""
    node = site.source(column, "Unsqueeze", "Reshape")
    while node is not None and site.infos[node.inputs[0]].rank != 1:
        node = site.source(node.inputs[0], "Unsqueeze", "Reshape")
    shape = site.shape(column)
    column_shaped = shape is not None and len(shape) == 2 and same_size(shape[1], 1)
    return node.inputs[0] if node is not None and column_shaped else None


def looked_up(matrix: str, site: Site) -> tuple[str, str, str]:
    """Table, ids and weights (or nothing) of a matrix with a row for each id; any matrix is its own table."""
    node, weights = site.source(matrix, "Gather", "Mul"), ""
    if node is not None and node.op == "Mul":
        for inner, factor in (node.inputs, node.inputs[::-1]):
            source = site.source(inner, "Gather")
            vector, plain = column_of(factor, site), filled_with(factor, 1, site)
            if source is not None and (plain or vector is not None):
                weights = "" if plain else vector or ""
                node = source
                break
    if node is not None and node.op == "Gather" and not node.attribute("axis", 0):
        table, ids = site.infos[node.inputs[0]], site.infos[node.inputs[1]]
        if table.rank == 2 and ids.rank == 1 and table.dtype == np.float32:
            return node.inputs[0], node.inputs[1], weights
    numbers = site.node("Slice", site.node("Shape", matrix), *(site.constant([k], np.int64) for k in (0, 1)))
    count = site.node("Squeeze", numbers, site.constant([0], np.int64))
    places = site.node("Range", *(site.constant(0, np.int64), count, site.constant(1, np.int64)))
    return matrix, places, ""


def combined(bag: _Bag, bounds: str, site: Site) -> str | None:
    """The node that makes all bags."""
    table, ids, weights = bag.table, bag.ids, bag.weights
    if not table:
        if site.infos[ids].dtype != np.float32 or site.infos[ids].rank != 2:
            return None
        table, ids, found = looked_up(ids, site)
        if found and weights:
            return None
        weights = weights or found
    if weights and bag.mode != "sum":
        return None
    if site.infos[table].dtype != np.float32 or site.infos[table].rank != 2 or site.infos[ids].rank != 1:
        return None
    inputs = (table, ids, bounds, weights) if weights else (table, ids, bounds)
    made = site.node("pyrec.EmbeddingBag", *inputs, mode=bag.mode)
    if bag.mode != "max" or bag.guarded:
        return made
    # The largest of no numbers.
    first, last = (
        site.node("Slice", bounds, *(site.constant([k], np.int64) for k in (place, place + 1, 1)))
        for place in (0, 1)
    )
    empty = site.node("Equal", first, last)
    return site.node("Where", empty, site.constant(-np.inf, np.float32), made)


def scripted_loop(node: Node, site: Site) -> str | None:
    """TorchScript: an iteration for each bag stacks its row."""
    if len(node.outputs) != 1 or len(node.bodies) != 1 or not node.inputs[0]:
        return None
    body, captures = node.bodies[0], int(node.attribute("captures", 0))
    if len(body.inputs) != captures + 2 or len(body.outputs) != 2 or not _endless(node, body, site):
        return None
    reader = _Reader(site)
    given = dict(zip(body.inputs[2:], map(reader.outer, node.inputs[2:]), strict=True))
    given[body.inputs[0]] = ("index", 0)
    bag = _bag(reader.term(body.outputs[1], body, given))
    if bag is None:
        return None
    bounds = _bounds(bag, reader.outer(node.inputs[0]), site)
    return None if bounds is None else combined(bag, bounds, site)


def _endless(node: Node, body: Graph, site: Site) -> bool:
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


def _counted(node: Node, body: Graph, reader: _Reader, given: Mapping[str, Term]) -> Term | None:
    """The number of iterations of a loop while its own counter is less than a number."""
    condition = reader.site.source(node.inputs[1], "Less")
    if node.inputs[0] or condition is None:
        return None
    begin, bags = (reader.outer(name) for name in condition.inputs)
    again = reader.term(body.outputs[0], body, given)
    return bags if begin == ("number", 0) and again == ("Less", ("index", 1), bags) else None


def sequence_loop(node: Node, site: Site) -> str | None:
    """Dynamo: an iteration for each bag inserts its row into a sequence, which is joined afterwards."""
    loop = site.source(node.inputs[0], "Loop") if not node.attribute("axis", 0) else None
    if loop is None or node.attribute("new_axis", 0) or len(loop.bodies) != 1:
        return None
    body, captures = loop.bodies[0], int(loop.attribute("captures", 0))
    if len(body.inputs) != captures + 4 or len(body.outputs) != 3 or len(loop.outputs) != 2:
        return None
    reader = _Reader(site)
    for counter, sequence in ((2, 3), (3, 2)):
        given = dict(zip(body.inputs[4:], map(reader.outer, loop.inputs[4:]), strict=True))
        given[body.inputs[counter]], given[body.inputs[sequence]] = ("index", 0), ("sequence",)
        if loop.outputs[sequence - 2] != node.inputs[0] or loop.inputs[counter] == "":
            continue
        begun = site.known(loop.inputs[counter])
        empty = site.source(loop.inputs[sequence], "SequenceEmpty")
        if begun is None or begun.size != 1 or int(begun.reshape(-1)[0]) or empty is None:
            continue
        bags = _counted(loop, body, reader, given)
        step = reader.term(body.outputs[counter - 1], body, given)
        inserted = reader.term(body.outputs[sequence - 1], body, given)
        if bags is None or step != ("index", 1) or inserted[:2] != ("SequenceInsert", ("sequence",)):
            continue
        bag = _bag(inserted[2]) if len(inserted) == 3 else None
        bounds = None if bag is None else _bounds(bag, bags, site)
        return None if bag is None or bounds is None else combined(bag, bounds, site)
    return None


def bounds_of_sums(node: Node, site: Site) -> str | None:
    """Offsets that are the sums of the lengths before, in any of three spellings."""
    if node.attribute("last", 0):
        return None
    lengths = _summed_lengths(node.inputs[0], site)
    return None if lengths is None else site.node("pyrec.BagBoundsOfLengths", lengths, node.inputs[1])


def cumulated(name: str, site: Site, exclusive: int) -> str | None:
    """The vector of which another holds the sums from the start."""
    node = site.source(name, "CumSum")
    while node is None and (cast := site.source(name, "Cast")) is not None:
        name = cast.inputs[0]
        node = site.source(name, "CumSum")
    if node is None or node.attribute("reverse", 0) or node.attribute("exclusive", 0) != exclusive:
        return None
    return node.inputs[0] if site.infos[node.inputs[0]].rank == 1 else None


def _summed_lengths(name: str, site: Site) -> str | None:
    """The lengths of which a vector holds the exclusive sums."""
    node = site.source(name, "CumSum", "Sub", "Concat")
    if node is None:
        return None
    if node.op == "CumSum":
        return cumulated(name, site, 1)
    if node.op == "Sub":
        lengths = cumulated(node.inputs[0], site, 0)
        return lengths if lengths == node.inputs[1] else None
    zero = site.known(node.inputs[0]) if len(node.inputs) == 2 else None
    rest = (
        None if zero is None or zero.shape != (1,) or np.any(zero) else site.source(node.inputs[1], "Slice")
    )
    if rest is None or [site.integers(item) for item in rest.inputs[1:3]] != [(0,), (-1,)]:
        return None
    return cumulated(rest.inputs[0], site, 0)


RULES: Rules = {
    "Loop": (scripted_loop,),
    "ConcatFromSequence": (sequence_loop,),
    "pyrec.BagBounds": (bounds_of_sums,),
}
