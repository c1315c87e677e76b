"""Bags whose offsets are sums of their lengths."""

from __future__ import annotations

import numpy as np

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


def no_lengths(node: Node, site: Site) -> str | None:
    """Bags that end where they begin are those of length 0."""
    parts = [site.source(name, "Slice") for name in node.inputs]
    if any(part is None for part in parts):
        return None
    (bounds, *first), (same, *second) = (part.inputs for part in parts if part is not None)
    made = site.source(bounds, "pyrec.BagBoundsOfLengths") if bounds == same else None
    columns = sorted(tuple(map(site.integers, column)) for column in (first, second))
    if made is None or columns != [((0,), (1,), (1,)), ((1,), (2,), (1,))]:
        return None
    lengths = made.inputs[0]
    column = site.node("Unsqueeze", lengths, site.constant([1], np.int64))
    return site.node("Equal", column, site.constant(0, site.infos[lengths].dtype))


RULES: Rules = {
    "pyrec.BagBounds": (bounds_of_sums,),
    "pyrec.BagBoundsOfLengths": (lengths_of_ends,),
    "Equal": (no_lengths,),
}
