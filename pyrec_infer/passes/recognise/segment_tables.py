"""Segments of TensorFlow: a table of each row's places, the values there, and a reduction of each row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrec_infer.ir import Node, Rows, same_size
from pyrec_infer.passes.bags.pairs import extremes, lengths_of, sums
from pyrec_infer.passes.bags.parts import filling
from pyrec_infer.passes.bags.tables import bags_named, counts_of_rows, table_of_places
from pyrec_infer.passes.common.rules import Rules, Site, for_ops

_NEUTRAL: Mapping[str, float] = {"ReduceSum": 0, "ReduceMax": -np.inf, "ReduceMin": np.inf}


def reduced_table(node: Node, site: Site) -> str | None:
    """A reduction of the values at a table's places, of which the last is a value that changes nothing."""
    taken = site.source(node.inputs[0], "Gather")
    joined = None if taken is None or taken.attribute("axis", 0) else site.source(taken.inputs[0], "Concat")
    axes = site.integers(node.inputs[1]) if len(node.inputs) > 1 else None
    if taken is None or joined is None or axes != (1,) or node.attribute("keepdims", 1):
        return None
    if len(joined.inputs) != 2 or joined.attribute("axis") != 0:
        return None
    updates, last = joined.inputs
    info, shape = site.infos[updates], site.shape(last)
    if info.dtype != np.float32 or info.rank not in (1, 2) or info.rows != Rows.INVARIANT:
        return None
    if not shape or not same_size(shape[0], 1) or filling(last, site) != _NEUTRAL[node.op]:
        return None
    named = table_of_places(taken.inputs[1], site)
    bags = None if named is None else bags_named(named, updates, site)
    if bags is None:
        return None
    if node.op == "ReduceSum":
        return sums(updates, bags, site)
    neutral = _NEUTRAL[node.op]
    return extremes(updates, bags, node.op == "ReduceMin", (neutral, neutral), site)


def counted_rows(node: Node, site: Site) -> str | None:
    """How often a list names each row."""
    named = counts_of_rows(node, site)
    if named is None or site.infos[node.outputs[0]].dtype != np.int64:
        return None
    bags = bags_named(named, named.rows, site)
    return None if bags is None else lengths_of(bags, site)


def looked_up_once(node: Node, site: Site) -> str | None:
    """Each of the different ids is looked up once, and their rows are put where the ids were."""
    place = node.inputs[1]
    while (cast := site.source(place, "Cast")) is not None:
        place = cast.inputs[0]
    once, unique = site.source(node.inputs[0], "Gather"), site.source(place, "Unique")
    if once is None or unique is None or len(unique.outputs) < 3 or place != unique.outputs[2]:
        return None
    if node.attribute("axis", 0) or once.attribute("axis", 0) or once.inputs[1] != unique.outputs[0]:
        return None
    ids = unique.inputs[0]
    return site.node("Gather", once.inputs[0], ids, axis=0) if site.infos[ids].rank == 1 else None


RULES: Rules = {
    **for_ops(_NEUTRAL, reduced_table),
    **for_ops(("ScatterND", "ScatterElements"), counted_rows),
    "Gather": (looked_up_once,),
}
