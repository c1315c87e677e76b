"""Fold products of a request's values with a candidate's into the dense layer that reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import accumulate, groupby

import numpy as np

from pyrec_infer.ir import Array, Dim, Graph, Node, Rate, Shape
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.fused import F32
from pyrec_infer.passes.common.rules import Site, apply_rules
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.recognise.concatenations import axis_of_concat, widths
from pyrec_infer.passes.recognise.pair_dots import Fields, fields_of
from pyrec_infer.passes.recognise.views import viewed
from pyrec_infer.passes.split.rate_groups import position_rates, restricted

_MOST = 1 << 22
"""Products that are summed for the matrices of one request."""


class _Layer:
    """A layer of a pair's values, written again as a sum of what is known early and a folded product.

    Attributes
    ----------
    weights : ndarray of float32, shape [K, C]
    shape : tuple
        Of the result: the rows, positions of each, and C.
    """

    def __init__(self, node: Node, weights: Array, shape: Shape, bias: str, site: Site) -> None:
        self.weights, self.shape = weights, shape
        self._node, self._total, self._site = node, bias, site

    @property
    def columns(self) -> int:
        return int(self.weights.shape[1])

    @property
    def positions(self) -> int:
        return int(np.prod([size for size in self.shape[1:-1] if isinstance(size, int)], dtype=np.int64))

    def dense(self, x: str, weights: Array, bias: str = "") -> str:
        inputs = (x, self._site.constant(weights, F32), *([bias] if bias else []))
        return self._site.node("pyrec.Dense", *inputs)

    def add(self, x: str, weights: Array) -> None:
        """Add a value times weights to the sum, or the sum, as a bias, to these.

        What an item knows alone is a sum of its own, which a catalogue stores, unless it is a row for each
        of several positions.
        """
        site = self._site
        constant = bool(self._total) and site.known(self._total) is not None
        large = site.rate(x) == Rate.ITEM and self.positions > 1
        if site.rate(x) == Rate.PAIR or constant or large:
            self._total = self.dense(x, weights, self._total)
        else:
            made = self.dense(x, weights)
            self._total = site.node("Add", self._total, made) if self._total else made

    def fold(self, sources: list[str], matrices: list[str]) -> str | None:
        """Rows [N, ..., J], side by side, times the request's matrices [N, ..., J, C], below each other."""
        site, lead = self._site, self.shape[:-1]
        x, matrix = site.concat(sources, len(lead)), site.concat(matrices, len(lead))
        width = (site.shape(x) or (0,))[-1]
        rows = site.reshape(x, (*lead, 1, width))
        total = self._total
        lifted: str | None = total
        if total and site.known(total) is None:
            lifted = site.reshape(total, (*lead, 1, self.columns))
        if rows is None or lifted is None:
            return None
        inputs = (rows, site.node("pyrec.Pack", matrix), *([lifted] if lifted else []))
        attributes = {**self._node.attributes, "columns": self.columns}
        made = site.node("pyrec.Dense", *inputs, **attributes)
        return site.reshape(made, self.shape)


def _layer(node: Node, site: Site) -> _Layer | None:
    """A node that is such a layer, with a bias that is a row or as large as the result."""
    weights, shape = site.known(node.inputs[1]), site.shape(node.outputs[0])
    if weights is None or weights.ndim != 2 or weights.dtype != F32 or not weights.size or shape is None:
        return None
    if site.sizes(node.inputs[0]) is None or site.rate(node.outputs[0]) != Rate.PAIR or site.coupled(node):
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else ""
    value = site.known(bias)
    fits = value.ndim < 2 if value is not None else not bias or same_shape(site.shape(bias), shape)
    return _Layer(node, weights, shape, bias, site) if fits and "columns" not in node.attributes else None


def _factors(name: str, site: Site) -> tuple[str, str] | None:
    """The values [N, ..., H] and [N, ..., M] whose outer product [N, ..., H * M] is."""
    shape, product = site.shape(name), site.source(viewed(name, site), "Mul")
    whole = None if product is None else site.shape(product.outputs[0])
    if product is None or shape is None or whole is None or len(whole) != len(shape) + 1:
        return None
    if site.infos[product.outputs[0]].rows != 0 or not same_shape(whole[:-2], shape[:-1]):
        return None
    found: dict[int, str] = {}
    for item in product.inputs:
        for axis in (-2, -1):
            own = (*whole[:-2], *((whole[-2], 1) if axis == -2 else (1, whole[-1])))
            if same_shape(site.shape(item), own) and axis not in found:
                root = viewed(item, site)
                plain = (*whole[:-2], whole[axis])
                value = root if same_shape(site.shape(root), plain) else site.reshape(item, plain)
                if value is not None:
                    found[axis] = value
                break
    return (found[-2], found[-1]) if len(found) == 2 else None


def _outer(a: str, b: str, site: Site) -> str | None:
    """All products of two values [N, ..., H] and [N, ..., M], as [N, ..., H * M]."""
    first, second = site.shape(a), site.shape(b)
    if first is None or second is None or isinstance(first[-1], Dim) or isinstance(second[-1], Dim):
        return None
    column = site.reshape(a, (*first, 1))
    row = site.reshape(b, (*second[:-1], 1, second[-1]))
    if column is None or row is None:
        return None
    return site.reshape(site.node("Mul", column, row), (*first[:-1], first[-1] * second[-1]))


@dataclass(frozen=True)
class _Side:
    """A factor, and its positions that are known with the request and later."""

    value: str
    early: list[int]
    late: list[int]


def _side(name: str, axis: int, site: Site) -> _Side:
    rates = position_rates(name, axis, site)
    early = [place for place, rate in enumerate(rates) if rate.known_by(Rate.REQUEST)]
    return _Side(name, early, [place for place in range(len(rates)) if place not in set(early)])


def _summed(early: str, late: str, weights: Array, layer: _Layer, site: Site) -> tuple[str, str] | None:
    """The late factor, and the request's matrix [N, ..., L, C] that weights [E, L, C] become."""
    count, width, columns = weights.shape
    made = layer.dense(early, weights.reshape(count, width * columns))
    matrix = site.reshape(made, (*layer.shape[:-1], width, columns))
    return None if matrix is None else (late, matrix)


def _fold_outer(node: Node, site: Site) -> str | None:
    """``sum over h, m of W[h, m] a[h] b[m]``: what the request knows of a and b is summed for it alone."""
    layer, factors = _layer(node, site), _factors(node.inputs[0], site)
    if layer is None or factors is None:
        return None
    axis = len(layer.shape) - 1
    a, b = (_side(name, axis, site) for name in factors)
    sizes = (len(a.early) + len(a.late), len(b.early) + len(b.late))
    if sizes[0] * sizes[1] != len(layer.weights):
        return None
    weights = layer.weights.reshape(*sizes, layer.columns)
    # By the earlier and the later factor; products of a value with itself come twice.
    blocks: dict[tuple[str, str], Array] = {}
    for early, late, block in (
        (b, a, weights[np.ix_(a.late, b.early)].swapaxes(0, 1)),
        (a, b, weights[np.ix_(a.early, b.late)]),
    ):
        if block.size:
            key = early.value, late.value
            blocks[key] = blocks[key] + block if key in blocks else block
    sums = sum(block.size for block in blocks.values()) * layer.positions
    if sums > _MOST or not any(len(block) > 1 for block in blocks.values()):
        return None
    known: dict[tuple[str, bool], str | None] = {}
    for side in (a, b):
        for is_early, places in ((True, side.early), (False, side.late)):
            if places:
                known[side.value, is_early] = restricted(side.value, axis, places, site)
    found = {key: name for key, name in known.items() if name is not None}
    if len(found) < len(known):
        return None
    for is_early, first, second in ((True, a.early, b.early), (False, a.late, b.late)):
        if first and second:
            product = _outer(found[a.value, is_early], found[b.value, is_early], site)
            if product is None:
                return None
            layer.add(product, weights[np.ix_(first, second)].reshape(-1, layer.columns))
    folded = [
        _summed(found[early, True], found[late, False], block, layer, site)
        for (early, late), block in blocks.items()
    ]
    whole = [item for item in folded if item is not None]
    if len(whole) < len(folded):
        return None
    return layer.fold([late for late, _ in whole], [matrix for _, matrix in whole])


@dataclass(frozen=True)
class _Vectors:
    """A value [N, F * D] or [N, F, D] as F vectors of D numbers."""

    value: str
    width: int

    def rates(self, site: Site) -> list[Rate]:
        """When each vector is known; none where that cannot be told."""
        sizes, found = site.sizes(self.value) or (), position_rates(self.value, 1, site)
        if len(sizes) == 2 and sizes[1] == self.width:
            return found
        if len(sizes) != 1 or sizes[0] % self.width:
            return []
        return [
            reduce(Rate.join, found[first : first + self.width]) for first in range(0, len(found), self.width)
        ]

    def taken(self, places: list[int], site: Site) -> str | None:
        """Some vectors in ascending order, as [N, len(places), D]."""
        shape = site.shape(self.value)
        if shape is None:
            return None
        if len(shape) == 2:
            places_in_row = [place * self.width + k for place in places for k in range(self.width)]
            part = restricted(self.value, 1, places_in_row, site)
        else:
            part = restricted(self.value, 1, places, site)
        return None if part is None else site.reshape(part, (shape[0], len(places), self.width))


@dataclass(frozen=True)
class _Vector:
    """One of several vectors."""

    vectors: _Vectors
    place: int


@dataclass(frozen=True, eq=False)
class _Term:
    """A request's vector times a candidate's, times weights [D, C]."""

    early: _Vector
    late: _Vector
    weights: Array


def _pieces(name: str, weights: Array, site: Site) -> list[tuple[str, Array]]:
    """What a layer's input [N, K] is put together from, with the weights of each."""
    node = site.source(name, "Concat")
    sizes = widths(node, 1, site) if node is not None and axis_of_concat(node, site) == 1 else None
    if node is None or sizes is None or len(site.shape(name) or ()) != 2:
        return [(name, weights)]
    ends = accumulate(sizes)
    return [
        piece
        for item, size, end in zip(node.inputs, sizes, ends, strict=True)
        for piece in _pieces(item, weights[end - size : end], site)
    ]


class _Terms:
    """Finds products of vectors in what a layer reads."""

    def __init__(self, site: Site) -> None:
        self.terms: list[_Term] = []
        self.rest: list[tuple[str, Array]] = []
        self._site = site
        self._rates: dict[_Vectors, list[Rate]] = {}

    def _vectors(self, fields: Fields) -> list[tuple[_Vector, bool]]:
        """The vectors in order, each with whether the request knows it; none where that cannot be told."""
        vectors = _Vectors(fields.root, fields.width)
        if vectors not in self._rates:
            self._rates[vectors] = vectors.rates(self._site)
        rates = self._rates[vectors]
        if not rates:
            return []
        return [(_Vector(vectors, int(at)), rates[at].known_by(Rate.REQUEST)) for at in fields.chosen]

    def take(self, name: str, weights: Array) -> None:
        """A piece: products of a request's vectors are terms, all else is rest."""
        site, root = self._site, viewed(name, self._site)
        product = site.source(root, "Mul")
        if product is None or not self._take_product(product, weights):
            self.rest.append((name, weights))

    def _take_product(self, product: Node, weights: Array) -> bool:
        site, root = self._site, product.outputs[0]
        rows = (site.shape(root) or (0,))[0]
        left, right = (fields_of(item, site) for item in product.inputs)
        if (
            left is None
            or right is None
            or left.width != right.width
            or len(left.chosen) != len(right.chosen)
        ):
            return False
        first, second = self._vectors(left), self._vectors(right)
        if not first or len(first) != len(second) or len(first) * left.width != len(weights):
            return False
        pairs = list(zip(first, second, strict=True))
        blocks = weights.reshape(len(pairs), left.width, -1)
        stay: dict[bool, list[int]] = {True: [], False: []}
        terms = []
        for place, ((a, is_early), (b, too)) in enumerate(pairs):
            if is_early == too:
                stay[is_early].append(place)
            else:
                early, late = (a, b) if is_early else (b, a)
                terms.append(_Term(early, late, blocks[place]))
        rest = []
        for places in stay.values() if terms else ():
            part = restricted(root, 1, places, site) if len(pairs) > 1 and places else None
            flat = None if part is None else site.reshape(part, (rows, len(places) * left.width))
            if places and flat is None:
                return False
            if flat is not None:
                rest.append((flat, blocks[places].reshape(-1, blocks.shape[-1])))
        self.terms += terms
        self.rest += rest
        return bool(terms)


def _matrix(terms: list[list[_Term]], columns: int, site: Site) -> str | None:
    """The request's matrix [N, J * D, C] for as many terms of each of J vectors."""
    vectors = list(dict.fromkeys(term.early for row in terms for term in row))
    parts, places = [], dict[_Vector, int]()
    for value in dict.fromkeys(vector.vectors for vector in vectors):
        taken = sorted(vector.place for vector in vectors if vector.vectors == value)
        part = value.taken(taken, site)
        if part is None:
            return None
        places |= {_Vector(value, at): len(places) + k for k, at in enumerate(taken)}
        parts.append(part)
    every = site.concat(parts, 1)
    shape = site.shape(every) or ()
    order = [places[term.early] for row in terms for term in row]
    if order != list(range(len(places))):
        every = site.node("Gather", every, site.constant(order, np.int64), axis=1)
    count, width = len(terms), shape[2]
    rows = site.reshape(every, (shape[0], count, len(terms[0]), width, 1))
    weights = np.stack([np.stack([term.weights for term in row]) for row in terms])
    if rows is None or not isinstance(width, int):
        return None
    scaled = site.node("Mul", rows, site.constant(weights, F32))
    total = site.node("ReduceSum", scaled, site.constant([2], np.int64), keepdims=0)
    return site.reshape(total, (shape[0], count * width, columns))


def _fold_scaled(node: Node, site: Site) -> str | None:
    """``sum over i, j of (u[i] * v[j]) W[i, j]`` with the sums over i made for the request."""
    layer = _layer(node, site)
    if layer is None or len(layer.shape) != 2:
        return None
    found = _Terms(site)
    for name, weights in _pieces(node.inputs[0], layer.weights, site):
        found.take(name, weights)
    late: dict[_Vector, list[_Term]] = {}
    for term in found.terms:
        late.setdefault(term.late, []).append(term)
    if len(found.terms) <= len(late) or sum(term.weights.size for term in found.terms) > _MOST:
        return None
    sources, matrices = [], []
    for value in dict.fromkeys(vector.vectors for vector in late):
        taken = sorted(vector.place for vector in late if vector.vectors == value)
        part = value.taken(taken, site)
        sources.append("" if part is None else site.reshape(part, (layer.shape[0], len(taken) * value.width)))
        rows = [late[_Vector(value, at)] for at in taken]
        matrices += [_matrix(list(alike), layer.columns, site) for _, alike in groupby(rows, len)]
    whole, made = [name for name in sources if name], [name for name in matrices if name]
    if len(whole) < len(sources) or len(made) < len(matrices):
        return None
    by_rate = sorted(found.rest, key=lambda piece: site.rate(piece[0]).order)
    for _, pieces in groupby(by_rate, lambda piece: site.rate(piece[0]).in_call):
        _add_all(list(pieces), layer, site)
    return layer.fold(whole, made)


def _add_all(pieces: list[tuple[str, Array]], layer: _Layer, site: Site) -> None:
    layer.add(site.concat([name for name, _ in pieces], 1), np.concatenate([part for _, part in pieces]))


def fold_products(graph: Graph, sides: Sides) -> Graph:
    """Multiply a request's values with a layer's weights once, instead of with each candidate's values.

    A layer over products of a request's values u and a candidate's v, all pairs of which are weighted, is
    linear in v: of ``sum over i, j of W[i, j] u[i] v[j]`` the sum over i is a matrix of the request. That
    divides the candidate's multiplications by the number of i, and costs each request the making of the
    matrix. Compressed interaction networks multiply whole vectors of fields so (at each place of the
    vectors), bilinear interactions two fields at a time.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Info
    >>> n = Dim.symbol("N")
    >>> infos = {"u": Info(F32, (n, 3, 1), 0), "i": Info(F32, (n, 1, 2), 0)}
    >>> nodes = (Node("Mul", ("u", "i"), ("m",)), Node("Reshape", ("m", "flat"), ("f",)),
    ...          Node("pyrec.Dense", ("f", "w"), ("y",)))
    >>> constants = {"flat": np.asarray([-1, 6]), "w": np.ones((6, 8), np.float32)}
    >>> graph = fold_products(Graph(("u", "i"), ("y",), nodes, constants, infos), Sides(frozenset("u")))
    >>> [node.op for node in graph.nodes if node.op != "Reshape"]
    ['pyrec.Dense', 'pyrec.Pack', 'pyrec.Dense']
    """
    return apply_rules(graph, {"pyrec.Dense": (_fold_outer, _fold_scaled)}, sides)
