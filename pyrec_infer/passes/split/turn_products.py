"""Products whose columns are only scaled and summed, as products of what scales them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrec_infer.ir import Array, Graph, Node, Rate
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.rules import Site, apply_rules
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.recognise.concatenations import axis_of_concat, widths
from pyrec_infer.passes.split.rate_groups import position_rates

_LEAST_SAVED = 0.25
"""Share of a product's multiplications below which it stays."""


@dataclass(frozen=True)
class _Plain:
    """``source @ weights``, of one column."""

    source: str
    weights: Array


@dataclass(frozen=True)
class _Gated:
    """``(gate * (x @ weights + bias)) @ last``, of one column."""

    gate: str
    x: str
    weights: Array
    bias: Array
    last: Array


def _pair_positions(name: str, site: Site) -> int:
    return sum(rate == Rate.PAIR for rate in position_rates(name, 1, site))


def _gated(product: Node, last: Array, site: Site) -> _Gated | None:
    """A gate times a layer that nothing else reads, where the gate's product takes less of each candidate."""
    for gate, made in (product.inputs, product.inputs[::-1]):
        layer = site.source(made, "pyrec.Dense")
        if layer is None or gate == made or not site.alone(made) or layer.attribute("activation", ""):
            continue
        weights, sizes = site.known(layer.inputs[1]), site.sizes(layer.inputs[0])
        bias = site.known(layer.inputs[2]) if len(layer.inputs) > 2 and layer.inputs[2] else np.zeros(1)
        if weights is None or bias is None or weights.ndim != 2 or sizes is None or len(sizes) != 1:
            continue
        if site.sizes(gate) != (weights.shape[1],) or bias.size not in (1, weights.shape[1]):
            continue
        before = _pair_positions(layer.inputs[0], site) * weights.shape[1]
        # The rows of both sides are multiplied with each other too.
        after = (_pair_positions(gate, site) + 2) * weights.shape[0]
        if after <= (1 - _LEAST_SAVED) * before:
            row = np.broadcast_to(bias.astype(np.float64).reshape(-1), weights.shape[1:])
            return _Gated(gate, layer.inputs[0], weights.astype(np.float64), row, last)
    return None


def _follow(name: str, last: Array, site: Site, found: list[_Plain | _Gated]) -> None:
    """The terms whose sum is a value times a column of weights."""
    node = site.source(name, "Concat", "Add", "Mul") if site.alone(name) else None
    shape = site.shape(name)
    if node is not None and site.rate(name) == Rate.PAIR:
        sizes = widths(node, 1, site) if node.op == "Concat" and axis_of_concat(node, site) == 1 else None
        if sizes is not None:
            for part, end, size in zip(node.inputs, np.cumsum(sizes), sizes, strict=True):
                _follow(part, last[end - size : end], site, found)
            return
        alike = all(same_shape(site.shape(part), shape) for part in node.inputs)
        if node.op == "Add" and alike:
            for part in node.inputs:
                _follow(part, last, site, found)
            return
        gated = _gated(node, last, site) if node.op == "Mul" and alike else None
        if gated is not None:
            found.append(gated)
            return
    found.append(_Plain(name, last))


def _merged(terms: list[_Plain | _Gated]) -> dict[str, Array]:
    """The weights of each source of a plain term."""
    found: dict[str, Array] = {}
    for term in terms:
        if isinstance(term, _Plain):
            found[term.source] = found[term.source] + term.weights if term.source in found else term.weights
    return found


class _Maker:
    """Writes the terms of a layer of one column as nodes."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def _weights(self, value: Array) -> str:
        return self._site.constant(value, np.float32)

    def turned(self, term: _Gated, own: Array) -> str:
        """``x * (gate @ (last * weights)^T + own)``, whose numbers are still to be summed."""
        matrix = self._weights(term.last[:, None] * term.weights.T)
        return self._site.node(
            "Mul", term.x, self._site.node("pyrec.Dense", term.gate, matrix, self._weights(own))
        )

    def dense(self, plain: dict[str, Array], bias: str = "", activation: str = "") -> str:
        """One layer over plain terms."""
        site = self._site
        x = site.concat(list(plain), 1)
        matrix = self._weights(np.concatenate(list(plain.values()))[:, None])
        attributes = {"activation": activation} if activation else {}
        return site.node("pyrec.Dense", x, matrix, *([bias] if bias else []), **attributes)

    def whole(self, plain: dict[str, Array], addends: list[str], activation: str) -> str:
        """The sum of plain terms and others, which are the bias of those that a pair alone has."""
        site = self._site
        late = {name: plain[name] for name in plain if set(position_rates(name, 1, site)) == {Rate.PAIR}}
        early = {name: plain[name] for name in plain if name not in late}
        total = ""
        for addend in [*([self.dense(early)] if early else []), *addends]:
            total = site.node("Add", total, addend) if total else addend
        if late:
            return self.dense(late, total, activation)
        return site.node(activation, total) if activation else total


def _fits(terms: list[_Plain | _Gated]) -> bool:
    """Whether all that is multiplied beforehand is a number in float32."""
    with np.errstate(over="ignore", invalid="ignore"):
        products = [
            (term.last[:, None] * factor).astype(np.float32)
            for term in terms
            if isinstance(term, _Gated)
            for factor in (term.weights.T, term.bias[:, None])
        ]
    return all(bool(np.isfinite(product).all()) for product in products)


def turn_product(node: Node, site: Site) -> str | None:
    """``(g * (x W + b) + r) w = x . (g (w * W)^T) + g (w * b) + r w``, a product of g alone."""
    weights, sizes = site.known(node.inputs[1]), site.sizes(node.inputs[0])
    if weights is None or weights.ndim != 2 or weights.shape[1] != 1 or sizes != (len(weights),):
        return None
    if site.rate(node.outputs[0]) != Rate.PAIR or site.coupled(node):
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    if bias and site.known(bias) is None:
        return None
    terms: list[_Plain | _Gated] = []
    _follow(node.inputs[0], weights[:, 0].astype(np.float64), site, terms)
    gated = [term for term in terms if isinstance(term, _Gated)]
    if not gated or not _fits(terms):
        return None
    plain, maker = _merged(terms), _Maker(site)
    for term in gated:
        # What else a row is multiplied with goes into the other side.
        made = maker.turned(term, plain.pop(term.x, np.zeros(len(term.weights))))
        plain[made] = np.ones(len(term.weights))
        gate = term.last * term.bias
        plain[term.gate] = plain[term.gate] + gate if term.gate in plain else gate
    return maker.whole(plain, [bias] if bias else [], str(node.attribute("activation", "")))


def turn_products(graph: Graph, sides: Sides) -> Graph:
    """Turn layers that a gate scales, and weights of one column sum, into products of the gate.

    A layer that follows a pair's value has to be multiplied for each pair. Where all that becomes of its
    columns is a weighted sum after a gate has scaled each, as in the last cross layer of DCN v2, the sum is
    the dot product of the layer's input and a product of the gate, whose parts are known with the request
    and the item.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 8), 0)
    >>> nodes = (Node("pyrec.Dense", ("x", "w"), ("h",)), Node("Mul", ("u", "h"), ("g",)),
    ...          Node("pyrec.Dense", ("g", "v"), ("y",)))
    >>> constants = {"w": np.eye(8, dtype=np.float32), "v": np.ones((8, 1), np.float32)}
    >>> graph = Graph(("u", "x"), ("y",), nodes, constants, {"u": info, "x": info})
    >>> [(node.op, node.inputs[0]) for node in turn_products(graph, Sides(frozenset("u"))).nodes][:1]
    [('pyrec.Dense', 'u')]
    """
    return apply_rules(graph, {"pyrec.Dense": (turn_product,)}, sides)
