"""Transpositions moved behind what does not care about the order of axes, until two meet."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Array, Node, same_size
from pyrec_infer.ops import Trait, with_trait
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.rules import Site, for_ops, joined


def order_of(node: Node, site: Site) -> tuple[int, ...] | None:
    """The axes of a Transpose's operand in the order of its result; None where their number is not known."""
    rank = site.infos[node.inputs[0]].rank
    if rank is None:
        return None
    order = node.attribute("perm")
    return tuple(reversed(range(rank))) if order is None else tuple(int(axis) for axis in order)


def merge_transposes(node: Node, site: Site) -> str | None:
    """Two transpositions in a row are one, or none."""
    source = site.source(node.inputs[0], "Transpose")
    order = order_of(node, site)
    before = None if source is None else order_of(source, site)
    if source is None or order is None or before is None:
        return None
    both = tuple(before[axis] for axis in order)
    return (
        source.inputs[0]
        if both == tuple(range(len(both)))
        else site.node("Transpose", source.inputs[0], perm=both)
    )


def transpose_as_view(node: Node, site: Site) -> str | None:
    """A transposition that only moves axes of size 1 is a Reshape."""
    order, shape = order_of(node, site), site.shape(node.inputs[0])
    if order is None or shape is None:
        return None
    kept = [axis for axis in order if not same_size(shape[axis], 1)]
    return (
        site.reshape(node.inputs[0], tuple(shape[axis] for axis in order)) if kept == sorted(kept) else None
    )


def sink_transpose(node: Node, site: Site) -> str | None:
    """``f(transpose(x)) = transpose(f(x))`` for an elementwise f whose inputs are all transposed alike.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 7, 4), 0)
    >>> nodes = (Node("Transpose", ("x",), ("a",), {"perm": (0, 2, 1)}), Node("Mul", ("a", "s"), ("b",)),
    ...          Node("Transpose", ("b",), ("c",), {"perm": (0, 2, 1)}), Node("Neg", ("c",), ("y",)))
    >>> graph = Graph(("x",), ("y",), nodes, {"s": np.ones((4, 1), np.float32)}, {"x": info})
    >>> made = apply_rules(graph, RULES)
    >>> [node.op for node in made.nodes], made.constants[made.nodes[0].inputs[1]].shape
    (['Mul', 'Neg'], (4,))
    """
    given = [name for name in node.inputs if name and site.known(name) is None]
    sources = [site.source(name, "Transpose") for name in given]
    orders = {None if source is None else order_of(source, site) for source in sources}
    if len(orders) != 1 or None in orders:
        return None
    order, whole = next(iter(orders)), site.shape(node.outputs[0])
    if order is None or whole is None or len(whole) != len(order):
        return None
    # What is larger than all of them had better stay as it is.
    if not any(same_shape(site.shape(name), whole) for name in given):
        return None
    found = {
        name: source.inputs[0] for name, source in zip(given, sources, strict=True) if source is not None
    }
    inverse = np.argsort(order)
    for name in node.inputs:
        value = site.known(name)
        if value is not None and value.size > 1:
            if value.ndim > len(order):
                return None
            wide = value.reshape((1,) * (len(order) - value.ndim) + value.shape)
            found[name] = site.constant(_trimmed(wide.transpose(inverse)))
    made = site.node(node.op, *(found.get(name, name) for name in node.inputs), **node.attributes)
    return site.node("Transpose", made, perm=order)


def _trimmed(value: Array) -> Array:
    """Without leading axes of size 1, down to a vector."""
    while value.ndim > 1 and value.shape[0] == 1:
        value = value[0]
    return value


def spell_out_normalization(node: Node, site: Site) -> str | None:
    """A batch normalisation of a transposed value as a factor and an addend, which can be moved."""
    if site.source(node.inputs[0], "Transpose") is None or any(node.outputs[1:]):
        return None
    rank, values = site.infos[node.inputs[0]].rank, [site.known(name) for name in node.inputs[1:5]]
    dtype = site.infos[node.inputs[0]].dtype
    if (
        rank is None
        or rank < 3
        or dtype is None
        or len(values) != 4
        or any(value is None for value in values)
    ):
        return None
    scale, shift, mean, variance = (value.astype(np.float64) for value in values if value is not None)
    factor = scale / np.sqrt(variance + node.attribute("epsilon", 1e-5))
    column = (-1, *(1,) * (rank - 2))
    scaled = site.node("Mul", node.inputs[0], site.constant(factor.reshape(column), dtype))
    return site.node("Add", scaled, site.constant((shift - mean * factor).reshape(column), dtype))


RULES = joined(
    {"Transpose": (merge_transposes, transpose_as_view), "BatchNormalization": (spell_out_normalization,)},
    for_ops(with_trait(Trait.ELEMENTWISE), sink_transpose),
)
