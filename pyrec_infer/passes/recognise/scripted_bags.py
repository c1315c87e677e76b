"""Embedding bags of TorchScript: an iteration for each bag stacks its row."""

from __future__ import annotations

from pyrec_infer.ir import Node
from pyrec_infer.passes.bags.loops import bag_of, bags_of, endless
from pyrec_infer.passes.bags.terms import Reader
from pyrec_infer.passes.common.rules import Rules, Site


def scripted_loop(node: Node, site: Site) -> str | None:
    """TorchScript: an iteration for each bag stacks its row."""
    if len(node.outputs) != 1 or len(node.bodies) != 1 or not node.inputs[0]:
        return None
    body, captures = node.bodies[0], int(node.attribute("captures", 0))
    if len(body.inputs) != captures + 2 or len(body.outputs) != 2 or not endless(node, body, site):
        return None
    reader = Reader(site, keepdims=0)
    given = dict(zip(body.inputs[2:], map(reader.outer, node.inputs[2:]), strict=True))
    given[body.inputs[0]] = ("index", 0)
    bags = reader.outer(node.inputs[0])
    bag = bag_of(reader.term(body.outputs[1], body, given), bags, 0, site)
    return None if bag is None else bags_of(bag, bags, site)


RULES: Rules = {"Loop": (scripted_loop,)}
