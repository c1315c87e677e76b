"""Put padding behind the ends of lists in one step."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Graph, Node, same_size
from pyrec_infer.passes.common.rules import Rules, Site, apply_rules


def padded(node: Node, site: Site) -> str | None:
    """A choice between lists and one value, by constant places that are below each row's count."""
    there = site.source(node.inputs[0], "Less")
    column = None if there is None else site.source(there.inputs[1], "Unsqueeze")
    if there is None or column is None or len(column.inputs) < 2 or site.integers(column.inputs[1]) != (1,):
        return None
    (places, counts), (values, padding) = (there.inputs[0], column.inputs[0]), node.inputs[1:]
    known, of_counts = site.known(places), site.infos[counts].dtype
    if known is None or known.ndim != 1 or not known.dtype == of_counts == np.dtype(np.int64):
        return None
    shape, rows = site.shape(values), site.shape(counts)
    if site.shape(padding) != () or not shape or not rows:
        return None
    if len(shape) != 2 or len(rows) != 1 or not same_size(shape[0], rows[0]) or shape[1] != known.size:
        return None
    if site.infos[values].rows != site.infos[counts].rows or site.known(padding) is None:
        return None
    return site.node("pyrec.PadLists", values, counts, places, padding)


_RULES: Rules = {"Where": (padded,)}


def pad_lists(graph: Graph) -> Graph:
    """Give lists their padding without a mask, where nothing but the mask's making tells their ends.

    Before, the mask is what other passes know such lists by.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Info
    >>> rows, whole = Dim.symbol("N"), np.dtype(np.int64)
    >>> nodes = (
    ...     Node("Unsqueeze", ("count", "one"), ("column",)),
    ...     Node("Less", ("places", "column"), ("there",)),
    ...     Node("Where", ("there", "x", "zero"), ("y",)),
    ... )
    >>> constants = {"one": np.asarray([1]), "places": np.arange(3), "zero": np.asarray(0)}
    >>> infos = {"x": Info(whole, (rows, 3), 0), "count": Info(whole, (rows,), 0)}
    >>> graph = Graph(("x", "count"), ("y",), nodes, constants, infos)
    >>> [node.op for node in pad_lists(graph).nodes]
    ['pyrec.PadLists']
    """
    return apply_rules(graph, _RULES)
