"""Repetition that an operator would do by itself."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Dim, Node, Size, same_size
from pyrec_infer.ops import Trait, with_trait
from pyrec_infer.ops.core.shapes import broadcast, same_shape
from pyrec_infer.passes.common.rules import Site, for_ops, joined
from pyrec_infer.passes.recognise.concatenations import axis_of_concat, widths

_ONE_WAY = ("PRelu", "Clip")
"""Elementwise operators whose first input alone gives the shape of the result."""


def unrepeated(name: str, site: Site) -> str:
    """The value that an Expand or Tile repeats along axes of size 1, or the value itself."""
    node = site.source(name, "Expand", "Tile")
    if node is None:
        return name
    before, after = site.shape(node.inputs[0]), site.shape(name)
    if before is None or after is None or (node.op == "Tile" and not _tiles_ones(node, site)):
        return name
    return node.inputs[0]


def _tiles_ones(node: Node, site: Site) -> bool:
    before, after = site.shape(node.inputs[0]) or (), site.shape(node.outputs[0]) or ()
    return all(same_size(x, y) or same_size(x, 1) for x, y in zip(before, after, strict=True))


def _filling(name: str, site: Site) -> str | None:
    """The number that a whole value is filled with."""
    node = site.source(name, "ConstantOfShape")
    if node is None:
        return None
    value = np.asarray(node.attribute("value", np.zeros(1, np.float32)))
    return site.constant(value.reshape(()))


def broadcast_instead(node: Node, site: Site) -> str | None:
    """An elementwise operator reads what an Expand or Tile repeats, where the result's shape stays.

    Examples
    --------
    >>> from pyrec_infer.ir import Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> f32, n = np.dtype(np.float32), Dim.symbol("N")
    >>> given = {"q": Info(f32, (n, 1, 4), 0), "k": Info(f32, (n, 7, 4), 0)}
    >>> nodes = (Node("Expand", ("q", "to"), ("e",)), Node("Mul", ("e", "k"), ("y",)))
    >>> graph = Graph(("q", "k"), ("y",), nodes, {"to": np.asarray([1, 7, 1])}, given)
    >>> [node.op for node in apply_rules(graph, RULES).nodes]
    ['Mul']
    """
    shape = site.shape(node.outputs[0])
    if shape is None:
        return None
    inputs = list(node.inputs)
    for place, name in enumerate(node.inputs):
        source = (_filling(name, site) or unrepeated(name, site)) if name else name
        if source == name or (node.op in _ONE_WAY and place == 0):
            continue
        changed = [*inputs[:place], source, *inputs[place + 1 :]]
        if same_shape(broadcast([site.shape(item) for item in changed if item]), shape):
            inputs = changed
    return None if tuple(inputs) == node.inputs else site.node(node.op, *inputs, **node.attributes)


def repeat_one(node: Node, site: Site) -> str | None:
    """A concatenation of one value with itself, along an axis of size 1, is an Expand."""
    axis = axis_of_concat(node, site)
    sizes = None if axis is None else widths(node, axis, site)
    shape = site.shape(node.inputs[0])
    if axis is None or shape is None or sizes is None or sizes[0] != 1 or len(node.inputs) < 2:
        return None
    if set(node.inputs) != {node.inputs[0]}:
        return None
    target = [len(node.inputs) if place == axis else 1 for place in range(len(shape))]
    return site.node("Expand", node.inputs[0], site.constant(target, "int64"))


def view_before_repeat(node: Node, site: Site) -> str | None:
    """A view of a repeated value as a repeated view, where the repeated axes stay apart.

    ``[N, 1, 1, D]`` repeated to ``[N, 1, L, D]`` and seen as ``[N, L, D]`` is ``[N, 1, D]`` repeated.
    """
    source = site.source(node.inputs[0], "Expand", "Tile")
    target = site.shape(node.outputs[0])
    if source is None or target is None or unrepeated(node.inputs[0], site) == node.inputs[0]:
        return None
    before, after = site.shape(source.inputs[0]), site.shape(node.inputs[0])
    if before is None or after is None or len(before) != len(after):
        return None
    # Both shapes without their ones must be the same list of axes.
    kept = [place for place, size in enumerate(after) if not same_size(size, 1)]
    places = [place for place, size in enumerate(target) if not same_size(size, 1)]
    if not same_shape(tuple(after[i] for i in kept), tuple(target[i] for i in places)):
        return None
    small: list[Size] = [1] * len(target)
    for i, place in zip(kept, places, strict=True):
        small[place] = before[i]
    repeats = [1 if same_size(small[place], size) else size for place, size in enumerate(target)]
    if any(isinstance(size, Dim) for size in repeats):
        return None
    x = site.reshape(source.inputs[0], tuple(small))
    return None if x is None else site.node("Expand", x, site.constant(repeats, "int64"))


RULES = joined(
    for_ops(with_trait(Trait.ELEMENTWISE), broadcast_instead),
    {"Concat": (repeat_one,)},
    for_ops(with_trait(Trait.VIEW), view_before_repeat),
)
