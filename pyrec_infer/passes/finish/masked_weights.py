"""Find weights that a request's mask makes 0 at some of its positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pyrec_infer.ir import Graph, Info, Node, Rate, same_size
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.shapes import same_shape

_LARGEST_FILL = -1e4
"""What hidden scores are replaced by at most; real scores would often be as low as a larger one."""


@dataclass(frozen=True)
class Place:
    """Where the L positions lie: the axis has L times ``inner`` elements, those of a position adjacent."""

    axis: int
    inner: int = 1


@dataclass(frozen=True)
class Anchor:
    """Masked weights.

    Attributes
    ----------
    weights : str
        The value that is exactly 0 at hidden positions.
    place : Place
        Where it has the positions.
    path : tuple of Node
        From what makes the weights back to the Where that replaces the scores at hidden positions.
    hidden : bool
        The mask's value there.
    fill : float
        What a softmax gets instead of the scores.
    """

    weights: str
    place: Place
    path: tuple[Node, ...]
    hidden: bool
    fill: float

    @property
    def where(self) -> Node:
        return self.path[-1]


def _constant(name: str, graph: Graph, infos: Mapping[str, Info]) -> float | None:
    """The number that a value of float32 holds at every place, of whatever size it is."""
    value = infos[name].constant
    node = graph.producers.get(name)
    if value is None and node is not None and infos[name].dtype == np.float32:
        if node.op == "ConstantOfShape":
            value = node.attribute("value")
        elif node.op == "Expand":
            return _constant(node.inputs[0], graph, infos)
        elif node.op == "Mul":
            factors = [_constant(factor, graph, infos) for factor in node.inputs]
            return None if factors[0] is None or factors[1] is None else factors[0] * factors[1]
    if value is None or value.dtype != np.float32 or value.size == 0:
        return None
    first = value.reshape(-1)[0]
    return float(first) if bool((value == first).all()) else None


def _scores_path(softmax: Node, graph: Graph, infos: Mapping[str, Info]) -> tuple[list[Node], float] | None:
    """The nodes from a softmax back to a Where, and the factor of the scores on the way."""
    path, factor = [softmax], 1.0
    while path[-1].op != "Where":
        node, name = path[-1], path[-1].inputs[0]
        if node.op in ("Mul", "Div"):
            index = 0 if node.op == "Div" or infos[node.inputs[1]].constant is not None else 1
            scale = _constant(node.inputs[1 - index], graph, infos)
            if scale is None or not 0 < scale < np.inf:
                return None
            factor = factor / scale if node.op == "Div" else factor * scale
            name = node.inputs[index]
        elif node is not softmax and not has(node, Trait.VIEW) and node.op != "Transpose":
            return None
        before = graph.producers.get(name)
        if before is None:
            return None
        path.append(before)
    return path, factor


def find_anchor(
    node: Node, graph: Graph, infos: Mapping[str, Info], rates: Mapping[str, Rate]
) -> Anchor | None:
    """The masked weights that a softmax or a Where makes."""
    found = _scores_path(node, graph, infos)
    if found is None:
        return None
    path, factor = found
    where, made = path[-1], infos[node.outputs[0]]
    result, mask = infos[where.outputs[0]], infos[where.inputs[0]]
    if rates[where.inputs[0]] != Rate.REQUEST or result.shape is None or mask.shape is None or made.rows < 0:
        return None
    for hidden, (fill, scores) in ((True, where.inputs[1:]), (False, where.inputs[:0:-1])):
        value = _constant(fill, graph, infos)
        if value is None or rates[scores] != Rate.PAIR or not same_shape(infos[scores].shape, result.shape):
            continue
        if node is not where:
            axis = int(node.attribute("axis", -1)) % len(made.shape or (1,))
            if value * factor > _LARGEST_FILL or axis == made.rows:
                return None
            return Anchor(node.outputs[0], Place(axis), tuple(path), hidden, value * factor)
        # The positions are the one axis besides the rows that the mask differs along.
        offset = len(result.shape) - len(mask.shape)
        axes = [
            axis + offset
            for axis, size in enumerate(mask.shape)
            if axis + offset != result.rows and not same_size(size, 1)
        ]
        if value == 0 and len(axes) == 1:
            return Anchor(node.outputs[0], Place(axes[0]), tuple(path), hidden, value)
    return None


__all__ = ["Anchor", "Place", "find_anchor"]
