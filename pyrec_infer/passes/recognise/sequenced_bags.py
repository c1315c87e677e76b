"""Embedding bags of dynamo: an iteration for each bag inserts its row into a sequence."""

from __future__ import annotations

from collections.abc import Mapping

from pyrec_infer.ir import Graph, Node
from pyrec_infer.passes.bags.loops import bag_of, bags_of
from pyrec_infer.passes.bags.terms import Reader, Term
from pyrec_infer.passes.common.rules import Rules, Site


def _counted(node: Node, body: Graph, reader: Reader, given: Mapping[str, Term]) -> Term | None:
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
    reader = Reader(site, keepdims=1)
    for counter, sequence in ((2, 3), (3, 2)):
        given = dict(zip(body.inputs[4:], map(reader.outer, loop.inputs[4:]), strict=True))
        given[body.inputs[counter]], given[body.inputs[sequence]] = ("index", 0), ("sequence",)
        if loop.outputs[sequence - 2] != node.inputs[0] or loop.inputs[counter] == "":
            continue
        empty = site.source(loop.inputs[sequence], "SequenceEmpty")
        if reader.outer(loop.inputs[counter]) != ("number", 0) or empty is None:
            continue
        bags = _counted(loop, body, reader, given)
        step = reader.term(body.outputs[counter - 1], body, given)
        inserted = reader.term(body.outputs[sequence - 1], body, given)
        if bags is None or step != ("index", 1) or inserted[:2] != ("SequenceInsert", ("sequence",)):
            continue
        bag = bag_of(inserted[2], bags, 1, site) if len(inserted) == 3 else None
        return None if bag is None else bags_of(bag, bags, site)
    return None


RULES: Rules = {"ConcatFromSequence": (sequence_loop,)}
