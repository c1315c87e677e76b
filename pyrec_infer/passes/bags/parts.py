"""What embedding bags are made of: tables, ids, weights, lengths, and the node that joins them."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import same_size
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.rules import Site


def filled_with(name: str, number: float, site: Site) -> bool:
    """Whether a value is made of nothing but a number."""
    return filling(name, site) == number


def filling(name: str, site: Site) -> float | None:
    """The number that all elements of a value are, or None; NaN is none."""
    while (node := site.source(name, "Expand", "Unsqueeze", "Reshape")) is not None:
        name = node.inputs[0]
    node = site.source(name, "ConstantOfShape")
    value = site.known(name) if node is None else np.asarray(node.attribute("value", np.zeros(1)))
    if value is None or not value.size or value.dtype.kind not in "iuf":
        return None
    first = value.reshape(-1)[0]
    return float(first) if np.all(value == first) else None


def column_of(column: str, site: Site) -> str | None:
    """The vector [M] that a column [M, 1] is."""
    node = site.source(column, "Unsqueeze", "Reshape")
    while node is not None and site.infos[node.inputs[0]].rank != 1:
        node = site.source(node.inputs[0], "Unsqueeze", "Reshape")
    shape = site.shape(column)
    column_shaped = shape is not None and len(shape) == 2 and same_size(shape[1], 1)
    return node.inputs[0] if node is not None and column_shaped else None


def looked_up(matrix: str, site: Site, weighted: bool = True) -> tuple[str, str, str]:
    """Table, ids and weights (or nothing) of a matrix with a row for each id; any matrix is its own table.

    A matrix with weights is its own table where these are not wanted.
    """
    node, weights = site.source(matrix, "Gather", "Mul"), ""
    if node is not None and node.op == "Mul":
        for inner, factor in (node.inputs, node.inputs[::-1]):
            source = site.source(inner, "Gather")
            vector, plain = column_of(factor, site), filled_with(factor, 1, site)
            if source is not None and (plain or (weighted and vector is not None)):
                weights = "" if plain else vector or ""
                node = source
                break
    # A factor may have repeated the only row.
    if node is not None and not same_shape(site.shape(matrix), site.shape(node.outputs[0])):
        node = None
    if node is not None and node.op == "Gather" and not node.attribute("axis", 0):
        table, ids = site.infos[node.inputs[0]], site.infos[node.inputs[1]]
        if table.rank == 2 and ids.rank == 1 and table.dtype == np.float32:
            return node.inputs[0], node.inputs[1], weights
    numbers = site.node("Slice", site.node("Shape", matrix), *(site.constant([k], np.int64) for k in (0, 1)))
    count = site.node("Squeeze", numbers, site.constant([0], np.int64))
    places = site.node("Range", *(site.constant(0, np.int64), count, site.constant(1, np.int64)))
    return matrix, places, ""


def ends_of_lengths(name: str, site: Site) -> str | None:
    """The lengths of which a vector holds 0 and the sums from the start."""
    node = site.source(name, "Concat")
    zero = None if node is None or len(node.inputs) != 2 else site.known(node.inputs[0])
    if node is None or zero is None or zero.shape != (1,) or np.any(zero):
        return None
    return cumulated(node.inputs[1], site, 0)


def cumulated(name: str, site: Site, exclusive: int) -> str | None:
    """The vector of which another holds the sums from the start."""
    node = site.source(name, "CumSum")
    while node is None and (cast := site.source(name, "Cast")) is not None:
        name = cast.inputs[0]
        node = site.source(name, "CumSum")
    if node is None or node.attribute("reverse", 0) or node.attribute("exclusive", 0) != exclusive:
        return None
    return node.inputs[0] if site.infos[node.inputs[0]].rank == 1 else None


def summed_lengths(name: str, site: Site) -> str | None:
    """The lengths of which a vector holds the exclusive sums."""
    node = site.source(name, "CumSum", "Sub", "Concat")
    if node is None:
        return None
    if node.op == "CumSum":
        return cumulated(name, site, 1)
    if node.op == "Sub":
        lengths = cumulated(node.inputs[0], site, 0)
        return lengths if lengths == node.inputs[1] else None
    zero = site.known(node.inputs[0]) if len(node.inputs) == 2 else None
    rest = (
        None if zero is None or zero.shape != (1,) or np.any(zero) else site.source(node.inputs[1], "Slice")
    )
    if rest is None or [site.integers(item) for item in rest.inputs[1:3]] != [(0,), (-1,)]:
        return None
    return cumulated(rest.inputs[0], site, 0)


def emptiness(bounds: str, site: Site) -> str:
    """Whether each bag is empty [B, 1]."""
    first, last = (
        site.node("Slice", bounds, *(site.constant([k], np.int64) for k in (place, place + 1, 1)))
        for place in (0, 1)
    )
    return site.node("Equal", first, last)
