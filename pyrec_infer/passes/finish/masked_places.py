"""Where values have the positions of a request's history, from what is made of them back to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

from pyrec_infer.ir import Graph, Node, Rate, Shape, same_size
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import constant_integers
from pyrec_infer.passes.finish.masked_weights import Anchor, Place


class CannotPruneError(Exception):
    """A value at hidden positions is needed, or how is not understood."""


class Positions:
    """What is known of the values of a graph beside one anchor."""

    def __init__(self, graph: Graph, rates: Mapping[str, Rate], anchor: Anchor) -> None:
        self.graph = graph
        self.infos = analyze(graph).infos
        self.rates = rates
        self.anchor = anchor
        self.length = self.sizes(anchor.weights)[anchor.place.axis]

    def sizes(self, name: str) -> Shape:
        shape = self.infos[name].shape
        if shape is None:
            raise CannotPruneError
        return shape

    def whole(self, name: str, axis: int) -> int:
        """How many elements along an axis a position has."""
        sizes = self.sizes(name)
        for inner in range(1, 1 << 16) if isinstance(self.length, int) else (1,):
            if same_size(sizes[axis], self.length * inner):
                return inner
            if isinstance(sizes[axis], int) and inner > sizes[axis]:
                break
        raise CannotPruneError

    def operands(self, node: Node, place: Place) -> dict[int, Place]:
        """The inputs that have the positions, and where, if the output has them at a place."""
        rule = _RULES.get(node.op)
        if rule is None and has(node, Trait.ELEMENTWISE):
            rule = _elementwise
        # A cast that refuses some values has to see them all.
        refuses = node.attribute("require_integral", 0) or node.attribute("require_finite", 0)
        if rule is None or node.bodies or not node.inputs or refuses:
            raise CannotPruneError
        found = rule(self, node, place)
        if not found:
            raise CannotPruneError
        return found


def _aligned(state: Positions, node: Node, place: Place, index: int, skip: int = 0) -> Place | None:
    """Where a broadcast input has the positions; None if it is the same at all of them.

    The last ``skip`` axes of the input are not broadcast.
    """
    shape = state.sizes(node.inputs[index])
    rank = len(state.sizes(node.outputs[0]))
    axis = place.axis - (rank - len(shape))
    if axis < 0 or (isinstance(shape[axis], int) and shape[axis] == 1 and axis < len(shape) - skip):
        return None
    return Place(axis, place.inner)


def _elementwise(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    found = {}
    for index, name in enumerate(node.inputs):
        at = _aligned(state, node, place, index) if name else None
        if at is not None:
            found[index] = at
    return found


def _first(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    """Clip, whose bounds are scalars, and Pack."""
    return {0: place}


def _batch_normalization(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    if place.axis == 1:
        raise CannotPruneError
    return {0: place}


def _layer_normalization(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    if place.axis >= int(node.attribute("axis", -1)) % len(state.sizes(node.outputs[0])):
        raise CannotPruneError
    return {0: place}


def _along_other_axis(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    """Softmax: of the positions only if it makes the weights, whose scores are checked."""
    axis = int(node.attribute("axis", -1)) % len(state.sizes(node.outputs[0]))
    if axis == place.axis and node.outputs[0] != state.anchor.weights:
        raise CannotPruneError
    return {0: place}


def _concat(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    if int(node.attribute("axis", 0)) % len(state.sizes(node.outputs[0])) == place.axis:
        raise CannotPruneError
    return dict.fromkeys(range(len(node.inputs)), place)


def _transpose(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    rank = len(state.sizes(node.outputs[0]))
    order = node.attribute("perm") or tuple(range(rank))[::-1]
    return {0: Place(int(order[place.axis]), place.inner)}


def _view(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    """The positions are a run of memory as long as before."""
    before, after = state.sizes(node.inputs[0]), state.sizes(node.outputs[0])

    def later(shape: Shape, axis: int) -> int:
        sizes = [size for size in shape[axis + 1 :] if isinstance(size, int)]
        if len(sizes) != len(shape) - axis - 1:
            raise CannotPruneError
        return prod(sizes)

    run = place.inner * later(after, place.axis)
    for axis in reversed(range(len(before))):
        step = later(before, axis)
        if step and run % step == 0 and same_size(before[axis], state.length * (run // step)):
            return {0: Place(axis, run // step)}
    raise CannotPruneError


def _layer(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    """Rows, columns of a matrix that is no constant, or matrices."""
    rank = len(state.sizes(node.outputs[0]))
    if rank < 2 or any(len(state.sizes(name)) < 2 for name in node.inputs[:2]):
        raise CannotPruneError
    found: dict[int, Place] = {}
    if place.axis < rank - 1:
        at = _aligned(state, node, place, 0, skip=1)
        if at is not None:
            found[0] = at
    if place.axis != rank - 2:
        at = _aligned(state, node, place, 1, skip=1)
        if at is not None:
            found[1] = at
    if len(node.inputs) > 2 and node.inputs[2]:
        at = _aligned(state, node, place, 2)
        if at is not None:
            found[2] = at
    if 1 in found and (state.rates[node.inputs[1]] == Rate.MODEL or len(node.inputs) > 3):
        raise CannotPruneError
    return found


def _reduction(state: Positions, node: Node, place: Place) -> dict[int, Place]:
    """Over other axes, which are kept."""
    rank = len(state.sizes(node.inputs[0]))
    axes = constant_integers(state.infos[node.inputs[1]]) if len(node.inputs) > 1 else None
    if not axes:
        raise CannotPruneError
    gone = {axis % rank for axis in axes}
    left = list(range(rank)) if node.attribute("keepdims", 1) else [i for i in range(rank) if i not in gone]
    axis = left[place.axis]
    if axis in gone:
        raise CannotPruneError
    return {0: Place(axis, place.inner)}


_Rule = Callable[[Positions, Node, Place], dict[int, Place]]

_RULES: Mapping[str, _Rule] = {
    "BatchNormalization": _batch_normalization,
    "Clip": _first,
    "Concat": _concat,
    "Flatten": _view,
    "LayerNormalization": _layer_normalization,
    "MatMul": _layer,
    "ReduceMax": _reduction,
    "ReduceMean": _reduction,
    "ReduceMin": _reduction,
    "ReduceSum": _reduction,
    "Reshape": _view,
    "Softmax": _along_other_axis,
    "Squeeze": _view,
    "Transpose": _transpose,
    "Unsqueeze": _view,
    "pyrec.Dense": _layer,
    "pyrec.DenseBf16": _layer,
    "pyrec.DenseInt8": _layer,
    "pyrec.Pack": _first,
}
"""Where an operator's inputs have the positions that its output has at a place."""


__all__ = ["CannotPruneError", "Positions"]
