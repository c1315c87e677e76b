"""Leave out the positions of a request's history that a mask hides, before anything is computed for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import numpy as np

from pyrec_infer.ir import Array, Attribute, Graph, Info, Node, Rate, Shape, same_size, topological
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.inference import analyze
from pyrec_infer.ops.shapes import constant_integers, same_shape
from pyrec_infer.passes.remove_dead import remove_dead
from pyrec_infer.passes.split import Sides, find_rates

_LARGEST_FILL = -1e4
"""What hidden scores are replaced by at most; real scores would often be as low as a larger one."""

_MARGIN = 110.0
"""How far above another a score has to be for the other's exponential to be 0 beside it in float32."""

_DENSE = ("pyrec.Dense", "pyrec.DenseBf16", "pyrec.DenseInt8")
_LAYERS = ("MatMul", *_DENSE)

_DEEPEST = 100
"""Operators between the weights and what is restricted; no attention has as many."""


class _CannotPruneError(Exception):
    """A value at hidden positions is needed, or how is not understood."""


@dataclass(frozen=True)
class _Place:
    """Where the L positions lie: the axis has L times ``inner`` elements, those of a position adjacent."""

    axis: int
    inner: int = 1


@dataclass(frozen=True)
class _Anchor:
    """Masked weights.

    Attributes
    ----------
    weights : str
        The value that is exactly 0 at hidden positions.
    place : _Place
        Where it has the positions.
    path : tuple of Node
        From what makes the weights back to the Where that replaces the scores at hidden positions.
    hidden : bool
        The mask's value there.
    fill : float
        What a softmax gets instead of the scores.
    """

    weights: str
    place: _Place
    path: tuple[Node, ...]
    hidden: bool
    fill: float

    @property
    def where(self) -> Node:
        return self.path[-1]


class _Pruner:
    """Restricts what one anchor is made of, and what it meets, to the positions that are kept."""

    def __init__(self, graph: Graph, rates: Mapping[str, Rate], anchor: _Anchor) -> None:
        self.graph = graph
        self.infos = analyze(graph).infos
        self.rates = rates
        self.anchor = anchor
        self.constants: dict[str, Array] = {}
        self.nodes: list[Node] = []
        self.length = self.sizes(anchor.weights)[anchor.place.axis]
        self.kept = f"{anchor.weights}/kept"
        self.least = f"{anchor.weights}/least"
        self.met: dict[str, int] = {}
        self.layers = 0
        self._depth = 0
        self._made: dict[tuple[str, _Place], str] = {}

    def sizes(self, name: str) -> Shape:
        shape = self.infos[name].shape
        if shape is None:
            raise _CannotPruneError
        return shape

    def whole(self, name: str, axis: int) -> int:
        """How many elements along an axis a position has."""
        sizes = self.sizes(name)
        for inner in range(1, 1 << 16) if isinstance(self.length, int) else (1,):
            if same_size(sizes[axis], self.length * inner):
                return inner
            if isinstance(sizes[axis], int) and inner > sizes[axis]:
                break
        raise _CannotPruneError

    # What follows the weights

    def exits(self) -> dict[Node, dict[int, _Place]]:
        """The contractions that end the positions: for each the inputs that have them, and where."""
        found: dict[Node, dict[int, _Place]] = {}
        pending = [(self.anchor.weights, self.anchor.place)]
        while pending:
            name, place = pending.pop()
            if name in self.graph.outputs:
                raise _CannotPruneError
            for node in self.graph.consumers.get(name, ()):
                if has(node, Trait.VIEW) or node.op == "Transpose":
                    if node.inputs[1:].count(name):
                        raise _CannotPruneError
                    pending.append((node.outputs[0], self.forward(node, place)))
                elif node.op in _LAYERS:
                    found[node] = self.contraction(node, name, place)
                elif node.op == "Mul":
                    for reader in self.weighted_sums(node, name, place):
                        rank = len(self.sizes(node.outputs[0])) - len(self.sizes(name))
                        found[reader] = {0: _Place(place.axis + rank)}
                else:
                    raise _CannotPruneError
        return found

    def forward(self, node: Node, place: _Place) -> _Place:
        """Where a view has the positions that its input has at a place."""
        rank = len(self.sizes(node.outputs[0]))
        for axis in range(rank):
            for inner in {1, place.inner}:
                try:
                    if self.operands(node, _Place(axis, inner)).get(0) == place:
                        return _Place(axis, inner)
                except _CannotPruneError:
                    continue
        raise _CannotPruneError

    def contraction(self, node: Node, name: str, place: _Place) -> dict[int, _Place]:
        """The weights are rows that meet the request's vectors, or the other way round."""
        places = {}
        other = 1 if node.inputs[0] == name else 0
        if node.inputs.count(name) != 1 or name not in node.inputs[:2]:
            raise _CannotPruneError
        for index in (0, 1):
            rank = len(self.sizes(node.inputs[index]))
            if rank < 2:
                raise _CannotPruneError
            places[index] = _Place(rank - 1 - index)
        if places[1 - other] != place:
            raise _CannotPruneError
        self.meet(node.inputs[other], places[other].axis)
        return places

    def weighted_sums(self, node: Node, name: str, place: _Place) -> tuple[Node, ...]:
        """The sums over the positions that read the weights times the request's vectors."""
        rank = len(self.sizes(node.outputs[0]))
        axis = place.axis + rank - len(self.sizes(name))
        readers = self.graph.consumers.get(node.outputs[0], ())
        if node.inputs.count(name) != 1 or place.inner != 1 or node.outputs[0] in self.graph.outputs:
            raise _CannotPruneError
        for reader in readers:
            axes = constant_integers(self.infos[reader.inputs[1]]) if len(reader.inputs) > 1 else None
            if reader.op != "ReduceSum" or not axes or axis not in [one % rank for one in axes]:
                raise _CannotPruneError
        other = node.inputs[1 - node.inputs.index(name)]
        shape = self.sizes(other)
        at = axis - (rank - len(shape))
        if at < 0 or not same_size(shape[at], self.length):
            raise _CannotPruneError
        self.meet(other, at)
        return readers

    def meet(self, name: str, axis: int) -> None:
        """Note a value that the weights are multiplied with, to be checked at hidden positions."""
        node = self.graph.producers.get(name)
        if node is not None and node.op == "pyrec.Pack":
            name = node.inputs[0]
        if (
            not self.rates[name].known_by(Rate.REQUEST)
            or self.infos[name].dtype != np.float32
            or self.whole(name, axis) != 1
        ):
            raise _CannotPruneError
        if self.met.setdefault(name, axis) != axis:
            raise _CannotPruneError

    # What the weights are made of

    def restrict(self, name: str, place: _Place) -> str:
        """The value at the kept positions alone."""
        key = name, place
        if key not in self._made:
            self._made[key] = self.restricted(name, place)
        return self._made[key]

    def restricted(self, name: str, place: _Place) -> str:
        if not same_size(self.sizes(name)[place.axis], self.length * place.inner):
            raise _CannotPruneError
        node = self.graph.producers.get(name)
        early = self.rates[name].known_by(Rate.REQUEST)
        needed = early and (name in self.met or name == self.anchor.where.inputs[0])
        if node is None or needed or node.op in ("Expand", "Tile"):
            return self.gather(name, place)
        if self._depth == _DEEPEST:
            raise _CannotPruneError
        self._depth += 1
        try:
            made = self.rebuild(node, self.operands(node, place), place)
        except _CannotPruneError:
            if early:
                return self.gather(name, place)
            raise
        finally:
            self._depth -= 1
        self.layers += not early and node.op in _LAYERS
        return made

    def gather(self, name: str, place: _Place) -> str:
        if place.inner != 1:
            raise _CannotPruneError
        return self.add("Gather", (name, self.kept), axis=place.axis)

    def add(self, op: str, inputs: Sequence[str], label: str = "", **attributes: Attribute) -> str:
        name = f"{self.anchor.weights}/kept{len(self.nodes)}"
        self.nodes.append(Node(op, tuple(inputs), (name,), attributes, name=label))
        return name

    def rebuild(self, node: Node, operands: Mapping[int, _Place], place: _Place) -> str:
        """The node over restricted inputs."""
        if len(node.outputs) != 1:
            raise _CannotPruneError
        inputs = [
            self.restrict(name, operands[index]) if index in operands else name
            for index, name in enumerate(node.inputs)
        ]
        attributes = dict(node.attributes)
        if node.op == "Reshape":
            inputs[1] = self.target(node, place)
            attributes["allowzero"] = 0
        last = place.axis == len(self.sizes(node.outputs[0])) - 1
        if node.op in _DENSE and 1 in operands and last:
            inputs = [*inputs, "", self.kept] if len(inputs) == 2 else [*inputs, self.kept]
            attributes["columns"] = place.inner
        if node.outputs[0] == self.anchor.weights and node.op == "Softmax":
            axis = self.anchor.place.axis
            inputs[0] = self.add("pyrec.CheckedScores", (inputs[0], self.least), node.name, axis=axis)
        return self.add(node.op, inputs, node.name, **attributes)

    def target(self, node: Node, place: _Place) -> str:
        """The shape for a Reshape, with the size of the positions' axis left open."""
        before, after = self.sizes(node.inputs[0]), self.sizes(node.outputs[0])
        sizes = []
        for axis, size in enumerate(after):
            if axis == place.axis:
                sizes.append(-1)
            elif isinstance(size, int) and size > 0:
                sizes.append(size)
            elif axis < len(before) and same_size(size, before[axis]):
                sizes.append(0)
            else:
                raise _CannotPruneError
        name = f"{self.anchor.weights}/shape{len(self.constants)}"
        self.constants[name] = np.asarray(sizes, np.int64)
        return name

    def operands(self, node: Node, place: _Place) -> dict[int, _Place]:
        """The inputs that have the positions, and where, if the output has them at a place."""
        rule = _RULES.get(node.op)
        if rule is None and has(node, Trait.ELEMENTWISE):
            rule = _elementwise
        # A cast that refuses some values has to see them all.
        if rule is None or node.bodies or not node.inputs or node.attribute("require_integral", 0):
            raise _CannotPruneError
        found = rule(self, node, place)
        if not found:
            raise _CannotPruneError
        return found

    def run(self) -> Graph:
        """The graph with the exits reading kept positions only."""
        exits = self.exits()
        if not exits or same_size(self.length, 1):
            raise _CannotPruneError
        changed: dict[Node, Node] = {}
        for node, operands in exits.items():
            inputs = list(node.inputs)
            for index, place in operands.items():
                inputs[index] = self.restrict(inputs[index], place)
            changed[node] = replace(node, inputs=tuple(inputs))
        if not self.layers:
            raise _CannotPruneError
        where = self.anchor.where
        mask = where.inputs[0]
        softmax = self.anchor.weights != where.outputs[0]
        place = self.anchor.place
        for node in self.anchor.path[:-1]:
            (place,) = self.operands(node, place).values()
        axis = place.axis - (len(self.sizes(where.outputs[0])) - len(self.sizes(mask)))
        if place.inner != 1 or axis < 0 or self.whole(mask, axis) != 1:
            raise _CannotPruneError
        fill = np.float64(max(self.anchor.fill, float(np.finfo(np.float32).min)))
        # The fill is rounded to float32, and so is what is done to it on the way to the softmax.
        least = float(fill + _MARGIN - fill * 2.0**-21)
        attributes: dict[str, Attribute] = {
            "axes": (axis, *self.met.values()),
            "hidden": int(self.anchor.hidden),
            "least": least,
        }
        outputs = (self.kept, self.least) if softmax else (self.kept,)
        kept = Node("pyrec.KeptPositions", (mask, *self.met), outputs, attributes, name=where.name)
        nodes = [changed.get(node, node) for node in self.graph.nodes]
        constants = {**self.graph.constants, **self.constants}
        ordered = topological([kept, *self.nodes, *nodes], (*self.graph.inputs, *constants))
        return self.graph.with_(nodes=ordered, constants=constants)


def _aligned(state: _Pruner, node: Node, place: _Place, index: int, skip: int = 0) -> _Place | None:
    """Where a broadcast input has the positions; None if it is the same at all of them.

    The last ``skip`` axes of the input are not broadcast.
    """
    shape = state.sizes(node.inputs[index])
    rank = len(state.sizes(node.outputs[0]))
    axis = place.axis - (rank - len(shape))
    if axis < 0 or (isinstance(shape[axis], int) and shape[axis] == 1 and axis < len(shape) - skip):
        return None
    return _Place(axis, place.inner)


def _elementwise(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    found = {}
    for index, name in enumerate(node.inputs):
        at = _aligned(state, node, place, index) if name else None
        if at is not None:
            found[index] = at
    return found


def _first(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    """Clip, whose bounds are scalars, and Pack."""
    return {0: place}


def _batch_normalization(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    if place.axis == 1:
        raise _CannotPruneError
    return {0: place}


def _layer_normalization(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    if place.axis >= int(node.attribute("axis", -1)) % len(state.sizes(node.outputs[0])):
        raise _CannotPruneError
    return {0: place}


def _along_other_axis(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    """Softmax: of the positions only if it makes the weights, whose scores are checked."""
    axis = int(node.attribute("axis", -1)) % len(state.sizes(node.outputs[0]))
    if axis == place.axis and node.outputs[0] != state.anchor.weights:
        raise _CannotPruneError
    return {0: place}


def _concat(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    if int(node.attribute("axis", 0)) % len(state.sizes(node.outputs[0])) == place.axis:
        raise _CannotPruneError
    return dict.fromkeys(range(len(node.inputs)), place)


def _transpose(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    rank = len(state.sizes(node.outputs[0]))
    order = node.attribute("perm") or tuple(range(rank))[::-1]
    return {0: _Place(int(order[place.axis]), place.inner)}


def _view(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    """The positions are a run of memory as long as before."""
    before, after = state.sizes(node.inputs[0]), state.sizes(node.outputs[0])

    def later(shape: Shape, axis: int) -> int:
        sizes = [size for size in shape[axis + 1 :] if isinstance(size, int)]
        if len(sizes) != len(shape) - axis - 1:
            raise _CannotPruneError
        return prod(sizes)

    run = place.inner * later(after, place.axis)
    for axis in reversed(range(len(before))):
        step = later(before, axis)
        if step and run % step == 0 and same_size(before[axis], state.length * (run // step)):
            return {0: _Place(axis, run // step)}
    raise _CannotPruneError


def _layer(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    """Rows, columns of a matrix that is no constant, or matrices."""
    rank = len(state.sizes(node.outputs[0]))
    if rank < 2 or any(len(state.sizes(name)) < 2 for name in node.inputs[:2]):
        raise _CannotPruneError
    found: dict[int, _Place] = {}
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
        raise _CannotPruneError
    return found


def _reduction(state: _Pruner, node: Node, place: _Place) -> dict[int, _Place]:
    """Over other axes, which are kept."""
    rank = len(state.sizes(node.inputs[0]))
    axes = constant_integers(state.infos[node.inputs[1]]) if len(node.inputs) > 1 else None
    if not axes:
        raise _CannotPruneError
    gone = {axis % rank for axis in axes}
    left = list(range(rank)) if node.attribute("keepdims", 1) else [i for i in range(rank) if i not in gone]
    axis = left[place.axis]
    if axis in gone:
        raise _CannotPruneError
    return {0: _Place(axis, place.inner)}


_Rule = Callable[[_Pruner, Node, _Place], dict[int, _Place]]

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


def _anchor(node: Node, graph: Graph, infos: Mapping[str, Info], rates: Mapping[str, Rate]) -> _Anchor | None:
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
            return _Anchor(node.outputs[0], _Place(axis), tuple(path), hidden, value * factor)
        # The positions are the one axis besides the rows that the mask differs along.
        offset = len(result.shape) - len(mask.shape)
        axes = [
            axis + offset
            for axis, size in enumerate(mask.shape)
            if axis + offset != result.rows and not same_size(size, 1)
        ]
        if value == 0 and len(axes) == 1:
            return _Anchor(node.outputs[0], _Place(axes[0]), tuple(path), hidden, value)
    return None


def prune_masked(graph: Graph, sides: Sides) -> Graph:
    """Compute attention over a request's history only where its mask does not hide a position.

    A softmax's weights are exactly 0 where its scores were replaced by a very negative number, and so
    are scores that were replaced by 0. Where such weights only meet vectors of the request, nothing has
    to be computed for the hidden positions. The graph that is made raises `UseAlternativeError` for
    candidates whose other scores are as negative.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim
    >>> n, kind = Dim.symbol("N"), np.dtype(np.float32)
    >>> infos = {"i": Info(kind, (n, 1, 4), 0), "k": Info(kind, (n, 4, 9), 0), "v": Info(kind, (n, 9, 4), 0)}
    >>> infos["hidden"] = Info(np.dtype(np.bool_), (n, 1, 9), 0)
    >>> nodes = (
    ...     Node("MatMul", ("i", "k"), ("s",)),
    ...     Node("Where", ("hidden", "low", "s"), ("t",)),
    ...     Node("Softmax", ("t",), ("w",)),
    ...     Node("MatMul", ("w", "v"), ("y",)),
    ... )
    >>> graph = Graph(tuple(infos), ("y",), nodes, {"low": np.asarray(-1e9, np.float32)}, infos)
    >>> made = prune_masked(graph, Sides(frozenset(("hidden", "k", "v"))))
    >>> [node.op for node in made.nodes if node.op.startswith("pyrec")]
    ['pyrec.KeptPositions', 'pyrec.CheckedScores']
    """
    if graph.static_rows:
        return graph
    infos, rates = analyze(graph).infos, find_rates(graph, sides)
    for node in graph.nodes:
        if node.op not in ("Softmax", "Where") or graph.producers.get(node.outputs[0]) is not node:
            continue
        anchor = _anchor(node, graph, infos, rates)
        if anchor is None:
            continue
        try:
            graph = remove_dead(_Pruner(graph, rates, anchor).run())
        except _CannotPruneError:
            continue
        infos, rates = analyze(graph).infos, find_rates(graph, sides)
    return graph


__all__ = ["prune_masked"]
