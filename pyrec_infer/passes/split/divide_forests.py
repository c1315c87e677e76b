"""Forests whose features are known at different rates: what the request decides is decided once for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.ir import Comparison, Forest, Graph, Node, Rate, Scale, divide_forest
from pyrec_infer.ops.forest import forest_of
from pyrec_infer.passes.common.rules import Site, apply_rules
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.rate_groups import by_rate, position_rates, restricted

_DIVIDED = {"pyrec.Forest": "pyrec.PrunedForest", "pyrec.ForestClassifier": "pyrec.PrunedForestClassifier"}


def _features_by_rate(forest: Forest, rates: Sequence[Rate]) -> tuple[list[int], list[list[int]]]:
    """Those that branches compare: the request's, and the others' groups, the earliest first."""
    used = set(forest.features[forest.comparisons != Comparison.LEAF].tolist())
    groups = {rate: [place for place in places if place in used] for rate, places in by_rate(rates).items()}
    return groups.pop(Rate.REQUEST, []), [group for group in groups.values() if group]


def _places(x: str, features: Sequence[int], scales: Sequence[Scale], site: Site) -> str | None:
    part = restricted(x, 1, features, site)
    if part is None:
        return None
    lengths = [len(scale.thresholds) for scale in scales]
    return site.node(
        "pyrec.Places",
        part,
        columns=np.asarray([features.index(scale.feature) for scale in scales], np.int32),
        strict=np.asarray([scale.strict for scale in scales], bool),
        start=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        thresholds=np.concatenate([scale.thresholds for scale in scales]),
    )


def _divide(node: Node, site: Site) -> tuple[str, ...] | None:
    """The request's part of a forest, and what is left for each candidate."""
    x, forest = node.inputs[0], forest_of(node)
    info = site.infos[x]
    if site.rate(node.outputs[0]) != Rate.PAIR or info.rank != 2 or info.rows != 0:
        return None
    if info.dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        return None
    rates = position_rates(x, 1, site)
    if len(rates) < forest.width:
        return None
    early, late = _features_by_rate(forest, rates)
    made = divide_forest(forest, early, late) if early and late else None
    if made is None:
        return None
    division, scales = made
    parts = [
        _places(x, group, [scale for scale in scales if scale.feature in set(group)], site)
        for group in (early, *late)
    ]
    if None in parts:
        return None
    first, *others = (part for part in parts if part is not None)
    state = site.node("pyrec.PruneForest", first, forest=forest, division=division)
    wide = np.float64 in (info.dtype, forest.thresholds.dtype)
    attributes = {
        "dtype": info.dtype.name,
        **node.attributes,
        "division": division,
        "compares": "float64" if wide else "float32",
    }
    outputs = tuple(site.fresh() if name else "" for name in node.outputs)
    site.add(Node(_DIVIDED[node.op], (state, *others), outputs, attributes, name=node.name))
    return outputs


def divide_forests(graph: Graph, sides: Sides) -> Graph:
    """Decide the tests on a request's features once for it, and find each candidate's leaves among the rest.

    The scores are the same to the last bit: leaves are those of the whole tree, and votes are added in the
    order of the trees. A forest with a branch that does not compare by order, or with a tree of more than
    256 leaves, stays whole.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> leaf, n = Comparison.LEAF, Dim.symbol("N")
    >>> forest = Forest([0, 0, leaf, leaf, leaf], [0, 1, 0, 0, 0], [0.5, 0.25, 0.0, 0.0, 0.0],
    ...                 [1, 2, 0, 0, 0], [4, 3, 0, 0, 0], [0] * 5, [0], [0, 0, 0, 1, 2, 3], [0] * 3,
    ...                 [1.0, 2.0, 3.0])
    >>> infos = {name: Info(np.dtype(np.float32), (n, 1), 0) for name in "ui"}
    >>> nodes = (Node("Concat", ("u", "i"), ("x",), {"axis": 1}),
    ...          Node("pyrec.Forest", ("x",), ("y",), {"forest": forest}))
    >>> graph = divide_forests(Graph(("u", "i"), ("y",), nodes, {}, infos), Sides(frozenset("u")))
    >>> [node.op for node in graph.nodes]
    ['pyrec.Places', 'pyrec.Places', 'pyrec.PruneForest', 'pyrec.PrunedForest']
    """
    return apply_rules(graph, dict.fromkeys(_DIVIDED, (_divide,)), sides)
