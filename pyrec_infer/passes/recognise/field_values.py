"""Bags of a field whose ids are a part of one list for all fields."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Node, Rows
from pyrec_infer.passes.bags.fields import Place, field_of, part_of_offsets, place_of
from pyrec_infer.passes.common.rules import Rules, Site


def own_offsets(node: Node, site: Site) -> str | None:
    """A field's offsets among those of all fields, less the first of them, are the sums of its lengths."""
    part = part_of_offsets(node.inputs[0], site)
    first = site.source(node.inputs[1], "Gather")
    if part is None or first is None or first.inputs[0] != node.inputs[0]:
        return None
    matrix, begin, end = part
    if site.integers(first.inputs[1]) != (0,) or site.infos[node.inputs[1]].rank != 0 or end != begin + 1:
        return None
    lengths = site.node("Gather", matrix, site.constant(begin, np.int64), axis=0)
    zero = site.constant([0], site.infos[node.inputs[0]].dtype)
    return site.node("Concat", zero, site.node("CumSum", lengths, site.constant(0, np.int64)), axis=0)


def bags_in_all_values(node: Node, site: Site) -> str | None:
    """Bags of a field's part of a list are bags of the whole list, as the lengths of all fields tell."""
    ids, weights = node.inputs[1], node.inputs[3] if len(node.inputs) > 3 else ""
    part, bounds = site.source(ids, "Slice"), site.source(node.inputs[2], "pyrec.BagBoundsOfLengths")
    own = None if bounds is None else field_of(bounds.inputs[0], site)
    if part is None or own is None or not _is_field(part, own, site):
        return None
    others = site.source(weights, "Slice") if weights else None
    if weights and (others is None or not _is_field(others, own, site)):
        return None
    values, matrix = part.inputs[0], own.matrix
    if site.infos[values].rows != Rows.INVARIANT or site.infos[values].rank != 1:
        return None
    if site.infos[matrix].rows == 0:
        matrix = site.node("Transpose", matrix, perm=(1, 0))
    places = site.node("pyrec.BagBoundsOfFields", matrix, values, axis=1)
    mine = site.node("Gather", places, site.constant(own.fields, np.int64), axis=1)
    more = [] if others is None else [others.inputs[0]]
    return site.node("pyrec.EmbeddingBag", node.inputs[0], values, mine, *more, **node.attributes)


def _is_field(part: Node, own: Place, site: Site) -> bool:
    """Whether a part of a list goes from the first of a field's ids to the last."""
    begin, end = (place_of(name, site) for name in part.inputs[1:3])
    if begin is None or end is None or (begin.fields, end.fields) != (own.fields, own.fields + 1):
        return False
    plain = all(
        site.integers(given) == (usual,) for given, usual in zip(part.inputs[3:], (0, 1), strict=False)
    )
    return plain and end.matrix == own.matrix and begin.matrix in (own.matrix, "")


RULES: Rules = {"Sub": (own_offsets,), "pyrec.EmbeddingBag": (bags_in_all_values,)}
