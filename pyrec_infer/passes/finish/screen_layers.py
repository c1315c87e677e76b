"""Let the last layers of a score run in int8 where what that does to the score can be bounded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node, Rate
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.common.writer import Writer
from pyrec_infer.passes.finish.follow_gates import Gates, follow_gates, measure_gates
from pyrec_infer.passes.finish.halve_relu import halve_relu, linear_half
from pyrec_infer.passes.load.fuse_dense import has_constant_weights

SMALLEST = 32
"""Features and columns of a layer below which rounding its rows takes as long as it saves."""

_LARGEST = 1 << 16
"""Features whose products with a column of int8 surely fit into 32 bits."""

_LARGEST_WEIGHT = 2.0**50
"""Sums of whole numbers times the scale of a column of larger weights may overflow."""


@dataclass(frozen=True, eq=False)
class ScreenedLayer:
    """A layer ``act(x W + b)`` whose input differs from that of the same layer in float32.

    Attributes
    ----------
    weights : ndarray of float32, shape (K, H)
    bias : ndarray of float32 or None
        None: none or, of the last layer, numbers that both have.
    narrow : bool
        Whether it runs in int8, with its own rows' measures.
    steps : int
        Of the last layer: products and sums with others between the layer before and its row.
    halved : bool
        Of the layer before the last: the linear half of its ReLU is made in float32; see `halve_relu`.
    """

    weights: Array
    bias: Array | None
    narrow: bool
    steps: int = 0
    halved: bool = False


@dataclass(frozen=True, eq=False)
class Screened:
    """A graph whose score is made in lower precision.

    Attributes
    ----------
    graph : Graph
        Its outputs: the sums that the score is made of, [N, 1], then for each layer in int8 what was
        measured of its rows, [N, 3]: the scale by which a row is rounded, its length then, and the length of
        what rounding takes from it. Last, where gates stand before the last layer, what
        `measure_gates` measures of them.
    layers : tuple of ScreenedLayer
        From the first that is in int8 to the last, which has one column.
    activation : str
        What the score is of the sums: "" or "Sigmoid".
    why_not : str
        Why the graph is as it was; empty where it is not.
    """

    graph: Graph
    layers: tuple[ScreenedLayer, ...] = ()
    activation: str = ""
    why_not: str = ""


class _UnboundedError(Exception):
    """The error of a score has no bound that is known; the text says why."""


class _Finder:
    """Walks from the score back to the first layer that can be in int8."""

    def __init__(self, graph: Graph, sides: Sides) -> None:
        self.graph = graph
        self.rates = find_rates(graph, sides)
        self.infos: Mapping[str, Info] = analyze(graph).infos

    def only_reader(self, name: str) -> bool:
        readers = self.graph.consumers.get(name, ())
        return len(readers) == 1 and readers[0].inputs.count(name) == 1 and name not in self.graph.outputs

    def last(self) -> tuple[Node, str]:
        """The layer that makes the sums, and what the score is of them."""
        name, activation, first = self.graph.outputs[0], "", True
        while True:
            node = self.graph.producers.get(name)
            if node is None or not (first or self.only_reader(name)):
                raise _UnboundedError("no layer makes the score alone")
            first = False
            if has_constant_weights(node, self.graph):
                own = str(node.attribute("activation", ""))
                if own not in ("", "Sigmoid") or (own and activation):
                    raise _UnboundedError(f"the score is {own} of a layer")
                return node, own or activation
            if node.op == "Sigmoid" and not activation:
                activation = "Sigmoid"
            elif not has(node, Trait.VIEW) or name != node.outputs[0]:
                raise _UnboundedError(f"{node.op} makes the score, and its rounding has no bound here")
            name = node.inputs[0]

    def shape(self, node: Node) -> tuple[int, int]:
        """Features and columns of a layer of finite numbers."""
        weights = self.graph.constants[node.inputs[1]]
        info = self.infos[node.inputs[0]]
        # NaN is not below anything.
        if weights.dtype != np.float32 or not np.abs(weights).max(initial=0) < _LARGEST_WEIGHT:
            raise _UnboundedError("a layer has weights that are too large or not finite")
        if info.shape is None or len(info.shape) != 2 or info.rows != 0 or len(weights) > _LARGEST:
            raise _UnboundedError("a layer takes more than one row of each candidate")
        return weights.shape[0], weights.shape[1]

    def is_hidden(self, node: Node | None) -> bool:
        """Whether a layer is one of those behind which errors are followed."""
        if node is None or not has_constant_weights(node, self.graph) or len(node.inputs) > 3:
            return False
        bias = node.inputs[2] if len(node.inputs) > 2 else ""
        numbers = self.graph.constants.get(bias)
        columns = self.graph.constants[node.inputs[1]].shape[1]
        known = not bias or (
            numbers is not None and numbers.size in (1, columns) and bool(np.isfinite(numbers).all())
        )
        plain = node.attribute("activation", "") in ("", "Relu")
        return known and plain and self.only_reader(node.outputs[0])

    def gates(self, last: Node) -> Gates | None:
        """What stands between the last layer and a wide one, whose row it takes after gates and sums."""
        wide = {
            node.outputs[0]
            for node in self.graph.nodes
            if self.is_hidden(node) and self.rates[node.outputs[0]] == Rate.PAIR and self.is_known(node)
        }
        return follow_gates(self.graph, self.infos, last.inputs[0], frozenset(wide))

    def is_known(self, node: Node) -> bool:
        """Whether a layer is wide and has finite numbers."""
        try:
            return self.is_wide(node)
        except _UnboundedError:
            return False

    def chain(self) -> tuple[list[Node], str, Gates | None]:
        """The layers from the first that can be in int8 to the last, the activation, and the last gates."""
        last, activation = self.last()
        if self.shape(last)[1] != 1:
            raise _UnboundedError("the last layer has several columns")
        gates = self.gates(last)
        if gates is not None:
            return [self.graph.producers[gates.source], last], activation, gates
        found = [last]
        while True:
            node = self.graph.producers.get(found[-1].inputs[0])
            if node is None or not self.is_hidden(node) or self.rates[node.outputs[0]] != Rate.PAIR:
                break
            try:
                self.shape(node)
            except _UnboundedError:
                break
            found.append(node)
        hidden = found[:0:-1]
        while hidden and not self.is_wide(hidden[0]):
            del hidden[0]
        if not hidden:
            raise _UnboundedError(
                f"no layer of {SMALLEST} features and columns or more stands before the last one"
            )
        return [*hidden, last], activation, None

    def is_wide(self, node: Node) -> bool:
        return min(self.shape(node)) >= SMALLEST

    def bias(self, node: Node) -> Array | None:
        """The bias of a layer, where it is a constant."""
        return self.graph.constants.get(node.inputs[2]) if len(node.inputs) > 2 else None

    def linear_half(self, chain: Sequence[Node]) -> tuple[Array, Array] | None:
        """What the halves of the ReLU before the last layer are made apart by; None where they are not.

        They are where that layer alone is in int8: of several, the errors of the others would stay.
        """
        hidden, last = chain[-2:]
        if hidden.attribute("activation", "") != "Relu" or [*map(self.is_wide, chain[:-1])] != [True]:
            return None
        weights = [self.graph.constants[node.inputs[1]] for node in (hidden, last)]
        half = linear_half(weights[0], self.bias(hidden), weights[1])
        return half if all(np.isfinite(part).all() for part in half) else None

    def layer(self, node: Node, narrow: bool, steps: int = 0) -> ScreenedLayer:
        return ScreenedLayer(self.graph.constants[node.inputs[1]], self.bias(node), narrow, steps)


def screen_layers(graph: Graph, sides: Sides) -> Screened:
    """Make the sums that a score is made of with int8 layers, and what a bound of their error needs.

    Parameters
    ----------
    graph : Graph
        In float32, with one output.
    sides : Sides

    Examples
    --------
    >>> from pyrec_infer.ir import Dim
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 32), 0)
    >>> nodes = (Node("pyrec.Dense", ("x", "w"), ("h",)), Node("pyrec.Dense", ("h", "v"), ("y",)))
    >>> constants = {"w": np.eye(32, dtype=np.float32), "v": np.ones((32, 1), np.float32)}
    >>> made = screen_layers(Graph(("x",), ("y",), nodes, constants, {"x": info}), Sides(frozenset()))
    >>> [node.op for node in made.graph.nodes], made.graph.outputs
    (['pyrec.DenseInt8', 'pyrec.Dense'], ('y', 'h/measures'))
    """
    finder = _Finder(graph, sides)
    try:
        chain, activation, gates = finder.chain()
    except _UnboundedError as error:
        return Screened(graph, why_not=str(error))
    last = chain[-1]
    sums = last.outputs[0]
    writer = Writer(f"{sums}/near", last.name, finder.infos)
    half = finder.linear_half(chain) if gates is None else None
    changed: dict[Node, tuple[Node, ...]] = {}
    measures: list[str] = []
    for node in chain[:-1]:
        if finder.is_wide(node):
            measures.append(f"{node.outputs[0]}/measures")
            own = _plain(node) if half is not None and node is chain[-2] else node
            changed[node] = (replace(own, op="pyrec.DenseInt8", outputs=(*node.outputs, measures[-1])),)
    made = _plain(last)
    if half is not None:
        made = halve_relu(chain[-2], made, half, graph.constants[last.inputs[1]], writer)
    changed[last] = (*writer.nodes, made)
    writer.nodes.clear()
    if gates is not None:
        row = writer.constant(graph.constants[last.inputs[1]].reshape(1, -1))
        measures.append(measure_gates(gates, row, writer.fresh(), writer))
    nodes = (*(each for node in graph.nodes for each in changed.get(node, (node,))), *writer.nodes)
    constants = {**graph.constants, **writer.constants}
    layers = [finder.layer(node, finder.is_wide(node)) for node in chain[:-1]]
    layers[-1] = replace(layers[-1], halved=half is not None)
    steps = 0 if gates is None else len(gates.steps)
    return Screened(
        graph.with_(nodes=nodes, constants=constants, outputs=(sums, *measures)),
        (*layers, finder.layer(last, False, steps)),
        activation,
    )


def _plain(node: Node) -> Node:
    """A layer without its activation."""
    own = {key: value for key, value in node.attributes.items() if key != "activation"}
    return replace(node, attributes=own)
