"""Bags whose offsets are sums of their lengths."""

from __future__ import annotations

from pyrec_infer.ir import Node
from pyrec_infer.passes.bags.parts import summed_lengths
from pyrec_infer.passes.common.rules import Rules, Site


def bounds_of_sums(node: Node, site: Site) -> str | None:
    """Offsets that are the sums of the lengths before, in any of three spellings."""
    if node.attribute("last", 0):
        return None
    lengths = summed_lengths(node.inputs[0], site)
    return None if lengths is None else site.node("pyrec.BagBoundsOfLengths", lengths, node.inputs[1])


RULES: Rules = {"pyrec.BagBounds": (bounds_of_sums,)}
