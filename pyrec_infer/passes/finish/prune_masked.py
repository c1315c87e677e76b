"""Leave out the positions of a request's history that a mask hides, before anything is computed for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Attribute, Graph, Node, Rate, same_size, topological
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import constant_integers
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.common.writer import Writer
from pyrec_infer.passes.finish.masked_places import CannotPruneError, Positions
from pyrec_infer.passes.finish.masked_weights import Anchor, Place, find_anchor

_MARGIN = 110.0
"""How far above another a score has to be for the other's exponential to be 0 beside it in float32."""

_DENSE = ("pyrec.Dense", "pyrec.DenseBf16", "pyrec.DenseInt8")
_LAYERS = ("MatMul", *_DENSE)

_DEEPEST = 100
"""Operators between the weights and what is restricted; no attention has as many."""


class _Pruner(Positions):
    """Restricts what one anchor is made of, and what it meets, to the positions that are kept."""

    def __init__(self, graph: Graph, rates: Mapping[str, Rate], anchor: Anchor) -> None:
        super().__init__(graph, rates, anchor)
        self.writer = Writer(f"{anchor.weights}/positions", taken=self.infos)
        self.kept = f"{anchor.weights}/kept"
        self.least = f"{anchor.weights}/least"
        self.met: dict[str, int] = {}
        self.layers = 0
        self._depth = 0
        self._made: dict[tuple[str, Place], str] = {}

    # What follows the weights

    def exits(self) -> dict[Node, dict[int, Place]]:
        """The contractions that end the positions: for each the inputs that have them, and where."""
        found: dict[Node, dict[int, Place]] = {}
        pending = [(self.anchor.weights, self.anchor.place)]
        while pending:
            name, place = pending.pop()
            if name in self.graph.outputs:
                raise CannotPruneError
            for node in self.graph.consumers.get(name, ()):
                if has(node, Trait.VIEW) or node.op == "Transpose":
                    if node.inputs[1:].count(name):
                        raise CannotPruneError
                    pending.append((node.outputs[0], self.forward(node, place)))
                elif node.op in _LAYERS:
                    found[node] = self.contraction(node, name, place)
                elif node.op == "Mul":
                    for reader in self.weighted_sums(node, name, place):
                        rank = len(self.sizes(node.outputs[0])) - len(self.sizes(name))
                        found[reader] = {0: Place(place.axis + rank)}
                else:
                    raise CannotPruneError
        return found

    def forward(self, node: Node, place: Place) -> Place:
        """Where a view has the positions that its input has at a place."""
        rank = len(self.sizes(node.outputs[0]))
        for axis in range(rank):
            for inner in {1, place.inner}:
                try:
                    if self.operands(node, Place(axis, inner)).get(0) == place:
                        return Place(axis, inner)
                except CannotPruneError:
                    continue
        raise CannotPruneError

    def contraction(self, node: Node, name: str, place: Place) -> dict[int, Place]:
        """The weights are rows that meet the request's vectors, or the other way round."""
        places = {}
        other = 1 if node.inputs[0] == name else 0
        if node.inputs.count(name) != 1 or name not in node.inputs[:2]:
            raise CannotPruneError
        for index in (0, 1):
            rank = len(self.sizes(node.inputs[index]))
            if rank < 2:
                raise CannotPruneError
            places[index] = Place(rank - 1 - index)
        if places[1 - other] != place:
            raise CannotPruneError
        self.meet(node.inputs[other], places[other].axis)
        return places

    def weighted_sums(self, node: Node, name: str, place: Place) -> tuple[Node, ...]:
        """The sums over the positions that read the weights times the request's vectors."""
        rank = len(self.sizes(node.outputs[0]))
        axis = place.axis + rank - len(self.sizes(name))
        readers = self.graph.consumers.get(node.outputs[0], ())
        if node.inputs.count(name) != 1 or place.inner != 1 or node.outputs[0] in self.graph.outputs:
            raise CannotPruneError
        for reader in readers:
            axes = constant_integers(self.infos[reader.inputs[1]]) if len(reader.inputs) > 1 else None
            if reader.op != "ReduceSum" or not axes or axis not in [one % rank for one in axes]:
                raise CannotPruneError
        other = node.inputs[1 - node.inputs.index(name)]
        shape = self.sizes(other)
        at = axis - (rank - len(shape))
        if at < 0 or not same_size(shape[at], self.length):
            raise CannotPruneError
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
            raise CannotPruneError
        if self.met.setdefault(name, axis) != axis:
            raise CannotPruneError

    # What the weights are made of

    def restrict(self, name: str, place: Place) -> str:
        """The value at the kept positions alone."""
        key = name, place
        if key not in self._made:
            self._made[key] = self.restricted(name, place)
        return self._made[key]

    def restricted(self, name: str, place: Place) -> str:
        if not same_size(self.sizes(name)[place.axis], self.length * place.inner):
            raise CannotPruneError
        node = self.graph.producers.get(name)
        early = self.rates[name].known_by(Rate.REQUEST)
        needed = early and (name in self.met or name == self.anchor.where.inputs[0])
        if node is None or needed or node.op in ("Expand", "Tile"):
            return self.gather(name, place)
        if self._depth == _DEEPEST:
            raise CannotPruneError
        self._depth += 1
        try:
            made = self.rebuild(node, self.operands(node, place), place)
        except CannotPruneError:
            if early:
                return self.gather(name, place)
            raise
        finally:
            self._depth -= 1
        self.layers += not early and node.op in _LAYERS
        return made

    def gather(self, name: str, place: Place) -> str:
        if place.inner != 1:
            raise CannotPruneError
        return self.writer.node("Gather", name, self.kept, axis=place.axis)

    def rebuild(self, node: Node, operands: Mapping[int, Place], place: Place) -> str:
        """The node over restricted inputs."""
        if len(node.outputs) != 1:
            raise CannotPruneError
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
            inputs[0] = self.writer.node("pyrec.CheckedScores", inputs[0], self.least, axis=axis)
        made = replace(node, inputs=tuple(inputs), outputs=(self.writer.fresh(),), attributes=attributes)
        return self.writer.add(made)

    def target(self, node: Node, place: Place) -> str:
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
                raise CannotPruneError
        return self.writer.constant(sizes, np.int64)

    def run(self) -> Graph:
        """The graph with the exits reading kept positions only."""
        exits = self.exits()
        if not exits or same_size(self.length, 1):
            raise CannotPruneError
        changed: dict[Node, Node] = {}
        for node, operands in exits.items():
            inputs = list(node.inputs)
            for index, place in operands.items():
                inputs[index] = self.restrict(inputs[index], place)
            changed[node] = replace(node, inputs=tuple(inputs))
        if not self.layers:
            raise CannotPruneError
        where = self.anchor.where
        mask = where.inputs[0]
        softmax = self.anchor.weights != where.outputs[0]
        place = self.anchor.place
        for node in self.anchor.path[:-1]:
            (place,) = self.operands(node, place).values()
        axis = place.axis - (len(self.sizes(where.outputs[0])) - len(self.sizes(mask)))
        if place.inner != 1 or axis < 0 or self.whole(mask, axis) != 1:
            raise CannotPruneError
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
        constants = {**self.graph.constants, **self.writer.constants}
        ordered = topological([kept, *self.writer.nodes, *nodes], (*self.graph.inputs, *constants))
        return self.graph.with_(nodes=ordered, constants=constants)


def prune_masked(graph: Graph, sides: Sides) -> Graph:
    """Compute attention over a request's history only where its mask does not hide a position.

    A softmax's weights are exactly 0 where its scores were replaced by a very negative number, and so
    are scores that were replaced by 0. Where such weights only meet vectors of the request, nothing has
    to be computed for the hidden positions. The graph that is made raises `UseAlternativeError` for
    candidates whose other scores are as negative.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
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
        anchor = find_anchor(node, graph, infos, rates)
        if anchor is None:
            continue
        try:
            graph = remove_dead(_Pruner(graph, rates, anchor).run())
        except CannotPruneError:
            continue
        infos, rates = analyze(graph).infos, find_rates(graph, sides)
    return graph


__all__ = ["prune_masked"]
