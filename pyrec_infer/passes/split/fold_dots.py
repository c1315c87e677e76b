"""Fold dot products with a request's vectors into the dense layer that reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from pyrec_infer.ir import Array, Graph, Node, Rate, Rows
from pyrec_infer.ops.fused import F32
from pyrec_infer.passes.common.rules import Site, apply_rules
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.recognise.concatenations import axis_of_concat, widths
from pyrec_infer.passes.recognise.views import viewed


@dataclass(frozen=True, eq=False)
class _Part:
    """Some of a layer's inputs and the rows of its weights that belong to them."""

    value: str
    weights: Array


@dataclass(frozen=True)
class _Dots:
    """Dot products of a request's vectors, by their places, with a candidate's."""

    part: _Part
    request: str
    left: Array
    right: Array


@dataclass
class _Fold:
    """All dot products of one value of the candidate, of shape [N, fields, width]."""

    vectors: str
    fields: int
    width: int
    dots: list[_Dots] = field(default_factory=list)
    own: list[_Part] = field(default_factory=list)
    """What the layer reads of the vectors themselves."""

    @property
    def pairs(self) -> int:
        return sum(item.left.size for item in self.dots)

    def saves(self) -> bool:
        """Whether the multiplications for each candidate do not grow."""
        columns: int = self.dots[0].part.weights.shape[1]
        after = 0 if self.own else self.fields * self.width * columns
        return after <= self.pairs * (self.width + columns)


def _fields(name: str, site: Site) -> tuple[int, int] | None:
    """Number and width of the vectors that a value holds for each row."""
    sizes = site.sizes(name)
    return (sizes[0], sizes[1]) if sizes is not None and len(sizes) == 2 and min(sizes) > 0 else None


def _parts(name: str, weights: Array, site: Site) -> list[_Part]:
    """What a layer's input is put together from, as far as nothing else reads it."""
    whole = [_Part(name, weights)]
    node = site.source(name, "Concat", "Gather")
    if node is None or not site.alone(name) or len(site.shape(name) or ()) != 2:
        return whole
    if node.op == "Concat":
        sizes = widths(node, 1, site) if axis_of_concat(node, site) == 1 else None
        if sizes is None:
            return whole
        ends = accumulate(sizes)
        return [
            part
            for source, size, end in zip(node.inputs, sizes, ends, strict=True)
            for part in _parts(source, weights[end - size : end], site)
        ]
    chosen, before = site.known(node.inputs[1]), site.sizes(node.inputs[0])
    if chosen is None or chosen.ndim != 1 or before is None or len(before) != 1:
        return whole
    if node.attribute("axis", 0) not in (1, -1):
        return whole
    scattered = np.zeros((before[0], weights.shape[1]), weights.dtype)
    np.add.at(scattered, chosen % before[0], weights)
    return _parts(node.inputs[0], scattered, site)


def _dots_of(part: _Part, site: Site) -> tuple[_Dots, str] | None:
    """Dot products of a request's vectors, and the candidate's vectors that they are with."""
    node = site.source(part.value, "pyrec.PairDots")
    if node is None or not site.alone(part.value):
        return None
    a, b = node.inputs[:2]
    left, right = (site.known(name) for name in node.inputs[2:4])
    if site.rate(b) == Rate.REQUEST:
        a, b, left, right = b, a, right, left
    of_request, of_candidate = _fields(a, site), _fields(b, site)
    if site.rate(a) != Rate.REQUEST or site.rate(b).known_by(Rate.REQUEST) or left is None or right is None:
        return None
    if of_request is None or of_candidate is None:
        return None
    return _Dots(part, a, left % of_request[0], right % of_candidate[0]), b


def _collect(parts: Iterable[_Part], site: Site) -> tuple[list[_Fold], list[_Part]]:
    """The dot products that are worth folding, by the candidate's vectors, and all other parts."""
    found: dict[str, _Fold] = {}
    others: list[_Part] = []
    for part in parts:
        made = _dots_of(part, site)
        if made is None:
            others.append(part)
            continue
        dots, vectors = made
        fields, width = _fields(vectors, site) or (0, 0)
        found.setdefault(vectors, _Fold(vectors, fields, width)).dots.append(dots)
    folds = []
    for item in found.values():
        item.own = [part for part in others if viewed(part.value, site) == viewed(item.vectors, site)]
        if item.saves():
            folds.append(item)
            others = [part for part in others if part not in item.own]
        else:
            others += [dots.part for dots in item.dots]
    return folds, others


def _matrix(item: _Fold, below: Iterable[Array], site: Site) -> str:
    """The rows of the request's matrix for some vectors, and constant rows below them."""
    starts: dict[str, int] = {}
    count = 0
    for dots in item.dots:
        if dots.request not in starts:
            starts[dots.request] = count
            count += (_fields(dots.request, site) or (0, 0))[0]
    inputs = [
        site.concat(list(starts), 1),
        site.constant(np.concatenate([dots.part.weights for dots in item.dots]), F32),
        site.constant(np.concatenate([dots.left + starts[dots.request] for dots in item.dots]), np.int64),
        site.constant(np.concatenate([dots.right for dots in item.dots]), np.int64),
    ]
    own = [part.weights for part in item.own]
    rest = list(below)
    if own or rest:
        inputs.append(site.constant(np.sum(own, axis=0), F32) if own else "")
    if rest:
        inputs.append(site.constant(np.concatenate(rest), F32))
    return site.node("pyrec.FoldDots", *inputs, fields=item.fields)


def _lifted(bias: str, columns: int, site: Site) -> str | None:
    """What is added to rows [N, H], in a form that is added to [N, 1, H]."""
    shape = site.shape(bias)
    if shape is None or site.infos[bias].dtype != F32:
        return None
    if site.infos[bias].rows == Rows.INVARIANT:
        return bias if len(shape) <= 2 else None
    return site.reshape(bias, (shape[0], 1, columns)) if site.sizes(bias) == (columns,) else None


def _fold_layer(node: Node, site: Site) -> str | None:
    """One product of the candidate's vectors, and all else that the layer reads, with a request's matrix."""
    weights, shape = site.known(node.inputs[1]), site.shape(node.inputs[0])
    if weights is None or weights.ndim != 2 or weights.dtype != F32 or shape is None:
        return None
    if site.rate(node.outputs[0]) != Rate.PAIR or site.sizes(node.inputs[0]) != weights.shape[:1]:
        return None
    folds, others = _collect(_parts(node.inputs[0], weights, site), site)
    columns = weights.shape[1]
    size = sum(item.fields * item.width for item in folds) + sum(len(part.weights) for part in others)
    dots = sum(item.pairs * item.width for item in folds)
    # A Gather may have picked less than what it picks from.
    if not folds or size * columns > len(weights) * columns + dots:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    lifted = _lifted(bias, columns, site) if bias else ""
    rows = [site.reshape(viewed(item.vectors, site), (shape[0], item.fields * item.width)) for item in folds]
    if lifted is None or None in rows:
        return None
    matrices = [
        _matrix(item, [part.weights for part in others] if item is folds[-1] else (), site) for item in folds
    ]
    sources = [*(name for name in rows if name is not None), *(part.value for part in others)]
    x = site.reshape(site.concat(sources, 1), (shape[0], 1, size))
    packed = site.node("pyrec.Pack", site.concat(matrices, 1))
    if x is None:
        return None
    inputs = (x, packed, lifted) if lifted else (x, packed)
    made = site.node("pyrec.Dense", *inputs, **{**node.attributes, "columns": columns})
    return site.reshape(made, (shape[0], columns))


def fold_dots(graph: Graph, sides: Sides) -> Graph:
    """Multiply a request's vectors with a layer's weights once, instead of with each candidate's vectors.

    A layer of dot products of a request's vectors u and a candidate's i is linear in i: it is a product
    of all i side by side with a matrix that belongs to the request. That saves the dot products, and
    columns where there are more of them than numbers in the vectors; it costs each request the making
    of the matrix.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> n = Dim.symbol("N")
    >>> infos = {"u": Info(F32, (n, 3, 2), 0), "i": Info(F32, (n, 2, 2), 0)}
    >>> nodes = (Node("pyrec.PairDots", ("u", "i", "left", "right"), ("d",)),
    ...          Node("pyrec.Dense", ("d", "w"), ("y",)))
    >>> constants = {"left": np.asarray([0, 0, 1, 1, 2, 2]), "right": np.asarray([0, 1, 0, 1, 0, 1]),
    ...              "w": np.ones((6, 8), np.float32)}
    >>> graph = fold_dots(Graph(("u", "i"), ("y",), nodes, constants, infos), Sides(frozenset("u")))
    >>> [node.op for node in graph.nodes if node.op != "Reshape"]
    ['pyrec.FoldDots', 'pyrec.Pack', 'pyrec.Dense']
    """
    return apply_rules(graph, {"pyrec.Dense": (_fold_layer,)}, sides)
