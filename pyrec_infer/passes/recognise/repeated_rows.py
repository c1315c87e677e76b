"""Rows' numbers that a loop repeats as often as each row's list is long."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Node
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.bags.lengths import counts_up
from pyrec_infer.passes.bags.loops import endless
from pyrec_infer.passes.bags.terms import Reader, Term
from pyrec_infer.passes.common.rules import Rules, Site


def _repeated(term: Term) -> tuple[str, str] | None:
    """The numbers and the lengths of which an iteration takes one each, and repeats it so often."""
    if term[0] != "Reshape" or term[2:] != (("number", -1),) or term[1][0] != "Expand":
        return None
    number, sizes = term[1][1:]
    if number[0] != "at" or number[2] != 0 or sizes[0] != "Where":
        return None
    shape = sizes[3]
    if shape[:2] != ("Concat", ("number", 1)) or shape[3:] not in ((), (("zeros", (0,)),)):
        return None
    ones = ("filled", 1.0, ("Shape", shape))
    # An expansion to -1 keeps the size, which is 1.
    kept = ("Equal", shape, ("Mul", ones, ("number", -1)))
    length = shape[2]
    if sizes != ("Where", kept, ones, shape) or length[0] != "at" or length[2] != 0:
        return None
    return number[1], length[1]


def repeating_loop(node: Node, site: Site) -> str | None:
    """TorchScript: an iteration for each row inserts its number, repeated, into a sequence."""
    loop = None if node.attribute("axis", 0) else site.source(node.inputs[0], "Loop")
    if loop is None or node.attribute("new_axis", 0) or len(loop.bodies) != 1:
        return None
    body, captures = loop.bodies[0], int(loop.attribute("captures", 0))
    if len(body.inputs) != captures + 3 or len(body.outputs) != 2 or not endless(loop, body, site):
        return None
    if site.source(loop.inputs[2], "SequenceEmpty") is None or not loop.inputs[0]:
        return None
    reader = Reader(site, keepdims=0)
    given = dict(zip(body.inputs[3:], map(reader.outer, loop.inputs[3:]), strict=True))
    given[body.inputs[0]], given[body.inputs[2]] = ("index", 0), ("sequence",)
    inserted = reader.term(body.outputs[1], body, given)
    found = _repeated(inserted[2]) if inserted[:2] == ("SequenceInsert", ("sequence",)) else None
    if found is None or len(inserted) != 3:
        return None
    numbers, lengths = found[0], _chosen(found[1], site)
    shape = site.shape(lengths)
    if shape is None or len(shape) != 1 or not same_shape(shape, site.shape(numbers)):
        return None
    all_rows = reader.outer(loop.inputs[0]) == ("size", repr(shape[0])) and counts_up(numbers, site)
    whole = site.infos[numbers].dtype == np.int64
    return site.node("pyrec.RowsOfLengths", lengths) if all_rows and whole else None


def _chosen(name: str, site: Site) -> str:
    """A value that both sides of a choice are is that value."""
    node = site.source(name, "Where")
    alike = node is not None and node.inputs[1] == node.inputs[2]
    same = alike and node is not None and same_shape(site.shape(name), site.shape(node.inputs[1]))
    return node.inputs[1] if node is not None and same else name


RULES: Rules = {"ConcatFromSequence": (repeating_loop,)}
