"""Bags whose offsets are sums of their lengths."""

from __future__ import annotations

from pyrec_infer.ir import Node
from pyrec_infer.passes.bags.parts import ends_of_lengths, summed_lengths
from pyrec_infer.passes.common.rules import Rules, Site


def bounds_of_sums(node: Node, site: Site) -> str | None:
    """Offsets that are the sums of the lengths before, in any of three spellings."""
    if node.attribute("last", 0):
        return None
    lengths = summed_lengths(node.inputs[0], site)
    return None if lengths is None else site.node("pyrec.BagBoundsOfLengths", lengths, node.inputs[1])


def lengths_of_ends(node: Node, site: Site) -> str | None:
    """Lengths that are the differences of their own sums, or the numbers of pairs that rows have."""
    found = site.source(node.inputs[0], "pyrec.LengthsOfOffsets")
    if found is not None:
        lengths = ends_of_lengths(found.inputs[0], site)
        if lengths is None:
            return None
        return site.node("pyrec.BagBoundsOfLengths", lengths, *node.inputs[1:], **node.attributes)
    return None


RULES: Rules = {"pyrec.BagBounds": (bounds_of_sums,), "pyrec.BagBoundsOfLengths": (lengths_of_ends,)}
