"""What the values inside a loop's body stand for, as far as bags need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.core.registry import with_trait
from pyrec_infer.ops.core.traits import Trait
from pyrec_infer.passes.bags.parts import filled_with
from pyrec_infer.passes.common.rules import Site

Term: TypeAlias = tuple[Any, ...]
"""What a value inside a loop's body stands for, as far as bags need it.

``("index", k)`` is the number of the bag plus k; ``("at", P, k)`` the element of the outer vector P at
that place; ``("rows", X, a, b)`` the part of the outer X from a to b; ``("kept", X, p, m, a, b)`` the
places from a to b where X is not p, negative numbers of X plus m; ``("less", t, k)`` t minus k;
``("outer", name)``, ``("size", n)``, ``("number", n)`` what they say. All else is its operator with the
terms that it reads. Numbers of int32 and int64 alone are followed: others may wrap around.
"""

MODES = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "max"}
SCALAR_VIEWS = frozenset({*with_trait(Trait.VIEW), "Cast", "CastLike", "Identity"})
_SCALARS = frozenset({"index", "place", "at", "size", "number", "less", "length"})
_WHOLE = (np.int32, np.int64)
_WHOLE_NAMES = ("int32", "int64")
_MOST_TERMS = 400


class Reader:
    """Reads the values of a loop's body as terms; a bag's row is reduced with these ``keepdims``."""

    def __init__(self, site: Site, keepdims: int) -> None:
        self.site = site
        self.keepdims = keepdims
        self.left = _MOST_TERMS

    def outer(self, name: str) -> Term:
        """What a value outside the loop stands for."""
        known = self.site.known(name)
        if known is not None and known.size == 0:
            return ("zeros", known.shape)
        info = self.site.infos[name]
        if info.dtype not in _WHOLE:
            return ("outer", name)
        if known is not None and known.size == 1:
            return ("number", int(known.reshape(-1)[0]))
        found = self.count(name)
        if found is None and info.contents is not None and info.contents.size == 1:
            found = ("size", repr(info.contents.reshape(-1)[0]))
        return found or ("outer", name)

    def count(self, name: str) -> Term | None:
        """A number that is read off the size of a vector."""
        node = self.site.source(name, "Sub", "Shape", "Size", "Gather", *SCALAR_VIEWS)
        if node is None:
            return None
        if node.op == "Sub":
            return reduced(*map(self.outer, node.inputs))
        if node.op in ("Size", "Shape") and self.site.infos[node.inputs[0]].rank == 1:
            base, skipped = self.vector(node.inputs[0])
            return reduced(("length", base), ("number", skipped))
        if node.op in SCALAR_VIEWS or (node.op == "Gather" and self.outer(node.inputs[1]) == ("number", 0)):
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
                if end[0] < 2**31 - 1 or self.site.infos[name].rank != 1:
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
            if value.size == 1 and value.dtype in _WHOLE:
                return ("number", int(value.reshape(-1)[0]))
            return ("zeros", value.shape) if not np.any(value) else ("constant", name)
        node = body.producers.get(name)
        if node is None:
            return ("unknown",)
        terms = [self.term(item, body, given) if item else ("",) for item in node.inputs]
        if node.op == "Loop":
            return self.inner_loop(name, node, terms)
        if node.op == "If":
            inner = [dict(zip(branch.inputs, terms[1:], strict=True)) for branch in node.bodies]
            place = node.outputs.index(name)
            made = [
                self.term(branch.outputs[place], branch, known)
                for branch, known in zip(node.bodies, inner, strict=True)
            ]
            return made[0] if made[0] == made[1] else ("If", terms[0], *made)
        return self.node(node, terms)

    def inner_loop(self, name: str, node: Node, terms: list[Term]) -> Term:
        """The places of a bag whose ids are not the padding, where a loop collects these."""
        body, carried = node.bodies[0], len(terms) - 2 - int(node.attribute("captures", 0))
        if carried != 2 or len(body.inputs) != len(terms) or len(body.outputs) != 3 or terms[0] != ("",):
            return ("unknown",)
        for places, counter in ((2, 3), (3, 2)):
            given = dict(zip(body.inputs, terms, strict=True))
            given.update(dict.fromkeys(body.inputs[:2], ("unknown",)))
            given[body.inputs[counter]], given[body.inputs[places]] = ("place",), ("places",)
            again, step, made = (
                self.term(body.outputs[k], body, given) for k in (0, counter - 1, places - 1)
            )
            start, end = terms[counter], again[2] if len(again) == 3 else ("unknown",)
            counted = step == ("Add", ("place",), ("number", 1)) and again == ("Less", step, end)
            begun = terms[1] == ("Less", start, end) and terms[places] == ("zeros", (0,))
            found = kept_ids(made)
            if node.outputs[places - 2] == name and counted and begun and found is not None:
                return ("kept", *found, start, end)
        return ("unknown",)

    def node(self, node: Node, terms: list[Term]) -> Term:
        first = terms[0] if terms else ("",)
        if node.op in SCALAR_VIEWS and first[0] in _SCALARS:
            return first if self.stays_whole(node, terms) else ("unknown",)
        if node.op == "Identity":
            return first
        if node.op == "Add" and first[0] == "index" and terms[1][0] == "number":
            return ("index", first[1] + terms[1][1])
        if node.op == "Sub" and (less := reduced(*terms)) is not None:
            return less
        if node.op == "Gather" and not node.attribute("axis", 0) and first[0] == "outer":
            if terms[1][0] == "index":
                return self.at(first[1], terms[1][1])
            if terms[1][0] == "rows":
                return ("take", first[1], terms[1])
            if terms[1][0] == "kept":
                return ("kept_rows", first[1], terms[1])
        if node.op == "Slice" and first[0] == "outer" and _first_axis(terms):
            if terms[1][0] == "index" and terms[2] == ("index", terms[1][1] + 1):
                return self.at(first[1], terms[1][1])
            return ("rows", first[1], terms[1], terms[2])
        if node.op in ("Shape", "Size") and first[0] == "outer":
            shape = self.site.shape(first[1])
            whole = node.op == "Shape" and node.attribute("start", 0) == 0 and node.attribute("end") == 1
            if shape is not None and shape and (len(shape) == 1 or whole):
                return ("size", repr(shape[0]))
        if node.op == "SequenceAt" and first[0] == "outer" and terms[1][0] == "index":
            vector = split_in_ones(first[1], self.site)
            return ("unknown",) if vector is None else self.at(vector, terms[1][1])
        if node.op == "ConstantOfShape":
            return ("filled", float(np.reshape(node.attribute("value", 0), -1)[0]), first)
        if node.op in MODES and first[0] not in _SCALARS:
            return (node.op, first) if self.over_bag(node, terms) else ("unknown",)
        return (node.op, *terms)

    def stays_whole(self, node: Node, terms: list[Term]) -> bool:
        """Whether a view of a number is of a type that holds it."""
        if node.op == "Cast":
            return node.attribute("to") in _WHOLE_NAMES
        return node.op != "CastLike" or self.is_whole(terms[1])

    def is_whole(self, term: Term) -> bool:
        """Whether a value is of int32 or int64."""
        if term[0] == "outer":
            return self.site.infos[term[1]].dtype in _WHOLE
        if term[0] in ("Add", "Sub"):
            return self.is_whole(term[1]) and self.is_whole(term[2])
        return term[0] in _SCALARS or term[0] == "Size" or (term[0] == "Gather" and self.is_whole(term[1]))

    def at(self, name: str, place: int) -> Term:
        base, skipped = self.vector(name)
        return ("at", base, place + skipped)

    def over_bag(self, node: Node, terms: list[Term]) -> bool:
        """Whether a reduction is over the ids alone, and gives a row as the loop takes it."""
        if int(node.attribute("keepdims", 1)) != self.keepdims:
            return False
        axes = tuple(node.attribute("axes", ()))
        return axes == (0,) if len(terms) < 2 else terms[1] == ("number", 0)


def reduced(term: Term, number: Term) -> Term | None:
    """A size or length minus a number."""
    if number[0] != "number" or term[0] not in ("size", "length", "less"):
        return None
    base, less = (term[1], term[2]) if term[0] == "less" else (term, 0)
    less += number[1]
    return ("less", base, less) if less else base


def split_in_ones(name: str, site: Site) -> str | None:
    """The vector that a sequence holds the elements of, one by one."""
    node = site.source(name, "SplitToSequence")
    if node is None or node.attribute("axis", 0) or len(node.inputs) < 2:
        return None
    info = site.infos[node.inputs[0]]
    alone = info.rank == 1 and info.dtype in _WHOLE and filled_with(node.inputs[1], 1, site)
    return node.inputs[0] if alone else None


def kept_ids(term: Term) -> tuple[str, int, int] | None:
    """The ids of which a term adds a place to the list of places unless it is the padding.

    The second and third are the padding and the number that is added to negative ids, or 0.
    """
    grown = ("Concat", ("places",), ("place",))
    if term[0] != "If" or term[2:] != (grown, ("places",)) or term[1][0] != "Not":
        return None
    compared = term[1][1]
    if compared[0] != "Equal" or compared[2][0] != "number":
        return None
    value, padding, added = compared[1], compared[2][1], 0
    if value[0] == "If":
        item = value[3]
        wrapped = value[1] == ("Less", item, ("number", 0)) and value[2][:2] == ("Add", item)
        if not wrapped or value[2][2][0] != "number":
            return None
        value, added = item, value[2][2][1]
        if not 0 <= padding < added:
            return None
    if value[0] != "Gather" or value[1][0] != "outer" or value[2] != ("place",):
        return None
    return value[1][1], padding, added


def _first_axis(terms: list[Term]) -> bool:
    axes = terms[3] if len(terms) > 3 else ("number", 0)
    steps = terms[4] if len(terms) > 4 else ("number", 1)
    return axes == ("number", 0) and steps == ("number", 1)
