"""Split dense layers by rate: ``[u | i] W = u W_u + i W_i``, and each part where it is known first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

import numpy as np

from pyrec_infer.ir import BATCH, Array, Graph, Node, Rate, Shape, same_size
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import broadcast, constant_integers, same_shape
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.common.writer import Writer
from pyrec_infer.passes.load.fuse_dense import is_layer


@dataclass(frozen=True)
class Term:
    """``source @ weights``, the source times ``scale`` first if that is a value."""

    source: str
    weights: Array
    scale: str = ""


@dataclass
class _Linear:
    """A value times a matrix as a sum of terms and a constant row."""

    terms: list[Term] = field(default_factory=list)
    constant: Array | float = 0.0

    def __add__(self, other: _Linear) -> _Linear:
        return _Linear(self.terms + other.terms, self.constant + other.constant)


class _Splitter:
    """Follows the inputs of dense layers back to where their rates differ."""

    def __init__(self, graph: Graph, sides: Sides) -> None:
        self.graph = graph
        self.infos = analyze(graph).infos
        self.rates = find_rates(graph, sides)
        self.constants: dict[str, Array] = dict(graph.constants)

    def shape(self, name: str) -> Shape | None:
        return self.infos[name].shape

    def positions(self, shape: Shape | None) -> float:
        """Rows of a matrix product for each candidate; an unknown count stands for a few."""
        count: float = 1.0
        for size in (shape or ())[:-1]:
            if isinstance(size, int):
                count *= size
            else:
                others = [name for name in size.symbols if name != BATCH]
                count *= size.coefficient * float(8 ** len(others))
        return count

    def cost(self, terms: Iterable[Term]) -> float:
        """Multiplications that are left for each candidate. Terms of one source merge into one."""
        counted: dict[tuple[str, str], float] = {}
        for term in terms:
            if self.rates[term.source].join(self.rates.get(term.scale, Rate.MODEL)) == Rate.PAIR:
                size = term.weights.shape[0] * self.positions(self.shape(term.source))
                if term.scale:
                    # As many multiplications as the product of all rows, which need not be made first.
                    size *= 0.99 * self.positions(self.shape(term.scale))
                counted[term.source, term.scale] = size
        return sum(counted.values())

    def expand(self, name: str, weights: Array) -> _Linear:
        """``value @ weights`` with the value replaced by what it is made of, where that saves work."""
        if self.rates[name] != Rate.PAIR:
            return _Linear([Term(self.unexpanded(name), weights)])
        leaf = _Linear([Term(name, weights)])
        node = self.graph.producers.get(name)
        rule = _RULES.get(node.op) if node is not None else None
        found = rule(self, node, weights) if rule is not None and node is not None else None
        if found is None or self.cost(found.terms) >= self.cost(leaf.terms):
            return leaf
        return found

    def constant_row(self, name: str, width: int) -> Array | None:
        """A constant that is the same row, or number, at every position."""
        value = self.constants.get(name)
        if value is None or value.dtype != np.float32 or value.size not in (1, width):
            return None
        if value.size > 1 and value.shape[-1] != width:
            return None
        return np.broadcast_to(value.reshape(-1).astype(np.float64), (width,))

    def unexpanded(self, name: str) -> str:
        """The value before an Expand or Tile that only repeats it along axes other than the last."""
        node = self.graph.producers.get(name)
        if node is None or node.op not in ("Expand", "Tile"):
            return name
        before, after = self.shape(node.inputs[0]), self.shape(name)
        if before is None or after is None or len(before) != len(after):
            return name
        repeats = all(
            same_size(x, y) or (isinstance(x, int) and x == 1 and place < len(after) - 1)
            for place, (x, y) in enumerate(zip(before, after, strict=True))
        )
        return node.inputs[0] if repeats else name


_Rule = Callable[[_Splitter, Node, Array], "_Linear | None"]


def _concat(state: _Splitter, node: Node, weights: Array) -> _Linear | None:
    rank = state.infos[node.outputs[0]].rank
    if rank is None or node.attribute("axis", 0) % rank != rank - 1:
        return None
    total, first = _Linear(), 0
    for name in node.inputs:
        shape = state.shape(name)
        if shape is None or not isinstance(shape[-1], int):
            return None
        total += state.expand(name, weights[first : first + shape[-1]])
        first += shape[-1]
    return total


def _lookup(state: _Splitter, node: Node, weights: Array) -> _Linear | None:
    """Fixed positions along the last axis."""
    shape = state.shape(node.inputs[0])
    chosen = constant_integers(state.infos[node.inputs[1]])
    if shape is None or chosen is None or node.attribute("axis", 0) % len(shape) != len(shape) - 1:
        return None
    if len(shape) < 2 or not isinstance(shape[-1], int) or state.infos[node.inputs[1]].rank != 1:
        return None
    gathered = np.zeros((shape[-1], weights.shape[1]))
    np.add.at(gathered, np.asarray(chosen) % shape[-1], weights)
    return state.expand(node.inputs[0], gathered)


def _sum(sign: float) -> _Rule:
    def rule(state: _Splitter, node: Node, weights: Array) -> _Linear | None:
        total = _Linear()
        for name, factor in zip(node.inputs, (1.0, sign), strict=True):
            row = state.constant_row(name, len(weights))
            shape = state.shape(name)
            if row is not None:
                total += _Linear([], factor * row @ weights)
            elif shape is None or not shape or not same_size(shape[-1], len(weights)):
                return None
            else:
                total += state.expand(name, factor * weights)
        return total

    return rule


def _scaled(state: _Splitter, node: Node, weights: Array) -> _Linear | None:
    """A product with a constant row, or of a request's value with a candidate's."""
    for x, other in (node.inputs, node.inputs[::-1]):
        row = state.constant_row(other, len(weights))
        if row is not None and same_shape(state.shape(x), state.shape(node.outputs[0])):
            return state.expand(x, row[:, None] * weights)
    for x, other in (node.inputs, node.inputs[::-1]):
        source, scale = state.unexpanded(x), state.unexpanded(other)
        if state.rates[scale].known_by(Rate.REQUEST) and _multiplies_rows(state, source, scale):
            return _Linear([Term(source, weights, scale)])
    return None


def _multiplies_rows(state: _Splitter, source: str, scale: str) -> bool:
    """Whether one row of a candidate [N, 1, D] meets the L rows of a request's [N, L, D]."""
    x, y = state.shape(source), state.shape(scale)
    return (
        x is not None
        and y is not None
        and len(x) == len(y) == 3
        and state.infos[source].rows == state.infos[scale].rows == 0
        and isinstance(x[1], int)
        and x[1] == 1
        and isinstance(y[1], int)
        and y[1] > 1
        and isinstance(x[2], int)
        and same_size(x[2], y[2])
    )


def _divided(state: _Splitter, node: Node, weights: Array) -> _Linear | None:
    row = state.constant_row(node.inputs[1], len(weights))
    if row is None or not same_shape(state.shape(node.inputs[0]), state.shape(node.outputs[0])):
        return None
    with np.errstate(all="ignore"):
        inverse = 1 / row
    return state.expand(node.inputs[0], inverse[:, None] * weights) if np.isfinite(inverse).all() else None


def _repeated(state: _Splitter, node: Node, weights: Array) -> _Linear | None:
    source = state.unexpanded(node.outputs[0])
    return None if source == node.outputs[0] else state.expand(source, weights)


_RULES: Mapping[str, _Rule] = {
    "Concat": _concat,
    "Gather": _lookup,
    "Add": _sum(1.0),
    "Sub": _sum(-1.0),
    "Mul": _scaled,
    "Div": _divided,
    "Neg": lambda state, node, weights: state.expand(node.inputs[0], -weights),
    "Expand": _repeated,
    "Tile": _repeated,
}
"""How a value's product with a matrix is made of products of what the value is made of."""


class _Writer(Writer):
    """Writes the nodes of one split layer."""

    def __init__(self, state: _Splitter, layer: Node) -> None:
        super().__init__(f"{layer.outputs[0]}/split", layer.name, state.infos)
        self.state = state
        self.constants = state.constants

    def weights(self, value: Array) -> str:
        return self.constant(value, np.float32)

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def product(self, terms: Sequence[Term], bias: str, activation: str = "") -> str:
        """One layer over the concatenation of the terms' sources."""
        sources = [term.source for term in terms]
        x = sources[0] if len(sources) == 1 else self.node("Concat", *sources, axis=-1)
        inputs = [x, self.weights(np.concatenate([term.weights for term in terms]))]
        attributes = {"activation": activation} if activation else {}
        return self.node("pyrec.Dense", *inputs, *([bias] if bias else []), **attributes)

    def scaled_product(self, term: Term, plain: Array | None, bias: str, activation: str) -> str:
        """A candidate's row times a matrix of the request, which holds the scaled weights of all L rows."""
        shape = self.state.shape(term.scale)
        assert shape is not None
        length, (width, columns) = shape[1], term.weights.shape
        assert isinstance(length, int)
        turned = self.node("Transpose", term.scale, perm=(0, 2, 1))
        turned = self.node("Unsqueeze", turned, self.integers(3))
        matrix = self.node("Mul", turned, self.weights(term.weights[:, None, :]))
        if plain is not None:
            matrix = self.node("Add", matrix, self.weights(plain[:, None, :]))
        matrix = self.node("Reshape", matrix, self.integers(0, width, length * columns))
        packed = self.node("pyrec.Pack", matrix)
        inputs = [term.source, packed]
        if bias:
            inputs.append(self.node("Reshape", bias, self.integers(0, 1, length * columns)))
        attributes = {"columns": length * columns, **({"activation": activation} if activation else {})}
        flat = self.node("pyrec.Dense", *inputs, **attributes)
        return self.node("Reshape", flat, self.integers(0, length, columns))


def _merged(terms: Iterable[Term]) -> list[Term]:
    """One term for each source."""
    found: dict[tuple[str, str], Array] = {}
    for term in terms:
        key = term.source, term.scale
        found[key] = found[key] + term.weights if key in found else term.weights
    return [Term(source, weights, scale) for (source, scale), weights in found.items()]


def _leading(state: _Splitter, term: Term) -> str:
    return repr((state.shape(term.source) or ())[:-1])


def _groups(state: _Splitter, terms: Iterable[Term]) -> list[list[Term]]:
    """The terms that can be one product, over values of the same leading shape."""
    ordered = sorted(terms, key=lambda term: _leading(state, term))
    return [list(group) for _, group in groupby(ordered, lambda term: _leading(state, term))]


def _shape_of(state: _Splitter, layer: Node, term: Term) -> Shape | None:
    before, after = state.shape(term.scale or term.source), state.shape(layer.outputs[0])
    return None if before is None or after is None else (*before[:-1], after[-1])


def _is_whole(state: _Splitter, layer: Node, term: Term) -> bool:
    return same_shape(_shape_of(state, layer, term), state.shape(layer.outputs[0]))


def _rewrite(state: _Splitter, layer: Node, linear: _Linear) -> list[Node]:
    """The layer as a product of what is known last, with all else as its bias."""
    writer = _Writer(state, layer)
    merged = _merged(linear.terms)
    bias = linear.constant
    if len(layer.inputs) > 2 and layer.inputs[2]:
        bias = bias + state.constants[layer.inputs[2]]
    activation = str(layer.attribute("activation", ""))
    addends: list[str] = []
    complete = False
    plain = [term for term in merged if not term.scale]
    scaled = [term for term in merged if term.scale]
    # A source's own weights go into the matrix of its scaled product.
    absorbed = {
        term.source: next((own for own in plain if own.source == term.source), None) for term in scaled[:1]
    }
    plain = [term for term in plain if term not in absorbed.values()]
    for rate in (Rate.REQUEST, Rate.ITEM):
        known = [term for term in plain if state.rates[term.source].in_call == rate]
        for group in _groups(state, known):
            row = "" if np.ndim(bias) == 0 else writer.weights(np.asarray(bias))
            bias = 0.0
            addends.append(writer.product(group, row))
            complete = complete or _is_whole(state, layer, group[0])
    late = _groups(state, [term for term in plain if state.rates[term.source] == Rate.PAIR])
    late.sort(key=lambda group: state.positions(state.shape(group[0].source)))
    products: list[Callable[[str, str], str]] = []
    for group in late:
        products.append(lambda row, act, group=group: writer.product(group, row, act))  # type: ignore[misc]
    for term in scaled:
        own = absorbed.get(term.source) if term is scaled[0] else None
        weights = None if own is None else own.weights
        products.append(
            lambda row, act, term=term, weights=weights: writer.scaled_product(term, weights, row, act)  # type: ignore[misc]
        )
    if np.ndim(bias):
        addends.append(writer.weights(np.asarray(bias)))
    total = ""
    for addend in addends:
        total = addend if not total else writer.node("Add", total, addend)
    # A layer's bias may not be larger than its product, and a scaled product's has to be as large.
    largest = bool(late or scaled) and _is_whole(state, layer, scaled[-1] if scaled else late[-1][0])
    complete = complete or any(_is_whole(state, layer, group[0]) for group in late) or len(scaled) > 1
    if scaled and not complete and (total or late):
        largest = False
    for product in products[:-1] if largest else products:
        made = product("", "")
        total = made if not total else writer.node("Add", total, made)
    if largest:
        result = products[-1](total, activation)
    else:
        result = writer.node(activation, total) if activation else total
    last = writer.nodes[-1]
    assert last.outputs == (result,)
    writer.nodes[-1] = replace(last, outputs=layer.outputs)
    return writer.nodes


def split_products(graph: Graph, sides: Sides) -> Graph:
    """Split the products of dense layers into those of the request, the item and the pair.

    ``[u | i | p] W + b`` becomes ``p W_p + (i W_i + (u W_u + b))``: the request's part is computed once
    and is the bias of what remains. Products are linear over concatenation, sums, constant factors and
    repetition, so ``[q, k, q - k, q * k] W`` of a candidate q and a request's history k becomes
    ``q (W_1 + W_3 + diag(k) W_4) + k (W_2 - W_3)``, one product with a matrix of the request.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> n = Dim.symbol("N")
    >>> info = Info(np.dtype(np.float32), (n, 2), 0)
    >>> nodes = (Node("Concat", ("u", "i"), ("x",), {"axis": 1}), Node("pyrec.Dense", ("x", "w"), ("y",)))
    >>> graph = Graph(("u", "i"), ("y",), nodes, {"w": np.ones((4, 3), np.float32)}, {"u": info, "i": info})
    >>> split = split_products(graph, Sides(frozenset("u")))
    >>> [node.inputs[0] for node in split.nodes if node.op == "pyrec.Dense"]
    ['u', 'i']
    """
    state = _Splitter(graph, sides)
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes.append(node)
        if not is_layer(replace(node, attributes={}), graph) or state.rates[node.outputs[0]] != Rate.PAIR:
            continue
        weights = state.constants[node.inputs[1]].astype(np.float64)
        linear = state.expand(node.inputs[0], weights)
        if linear.terms == [] or linear.terms[0].source == node.inputs[0]:
            continue
        shapes = [_shape_of(state, node, term) for term in linear.terms]
        if not same_shape(broadcast(shapes), state.shape(node.outputs[0])):
            continue
        nodes[-1:] = _rewrite(state, node, linear)
    return graph.with_(nodes=tuple(nodes), constants=state.constants)


__all__ = ["Term", "split_products"]
