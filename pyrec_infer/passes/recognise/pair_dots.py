"""Dot products of pairs of fields: ``y[n, p] = sum over d of a[n, left[p], d] * b[n, right[p], d]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyrec_infer.ir import Array, Node, Shape, same_size
from pyrec_infer.ops import Trait, with_trait
from pyrec_infer.passes.common.rules import Rules, Site, for_ops, joined
from pyrec_infer.passes.recognise.movement import Origin, origin, rows_of
from pyrec_infer.passes.recognise.views import viewed

_F32 = np.dtype(np.float32)
_MAX_TERMS = 512


@dataclass(frozen=True)
class Fields:
    """Fields of a value: the blocks ``chosen`` of ``width`` numbers of each row of the root."""

    root: str
    width: int
    chosen: Array


def fields_of(name: str, site: Site) -> Fields | None:
    """A value [N, P, D], or [N, D] for a single one, as fields of what it is taken from."""
    info, found = site.infos[name], origin(name, site)
    if found is None or info.rows != 0 or info.rank not in (2, 3) or info.dtype != _F32:
        return None
    width = found.places.shape[-1]
    chosen = rows_of(found.places.reshape(-1, width), width)
    return None if chosen is None else Fields(found.root, width, chosen)


def _matrix(fields: Fields, site: Site) -> str | None:
    """The root as [N, F, D]."""
    info = site.infos[fields.root]
    sizes = site.sizes(fields.root)
    if info.shape is None or sizes is None:
        return None
    count, rest = divmod(int(np.prod(sizes, dtype=np.int64)), fields.width)
    return None if rest or not count else site.reshape(fields.root, (info.shape[0], count, fields.width))


def _count(fields: Fields, site: Site) -> int:
    sizes = site.sizes(fields.root) or ()
    return int(np.prod(sizes, dtype=np.int64)) // fields.width


def _is_whole(fields: Fields, site: Site) -> bool:
    return np.array_equal(fields.chosen, np.arange(_count(fields, site)))


def _dots(left: Fields, right: Fields, site: Site) -> str | None:
    """The node that makes [N, P]."""
    a, b = _matrix(left, site), _matrix(right, site)
    if a is None or b is None:
        return None
    places = [site.constant(fields.chosen, np.int64) for fields in (left, right)]
    return site.node("pyrec.PairDots", a, b, *places)


def _product(node: Node, site: Site) -> tuple[Fields, Fields] | None:
    """The fields of an elementwise product that is summed over the last axis."""
    if len(node.inputs) != 2 or site.infos[node.outputs[0]].rank not in (2, 3):
        return None
    left, right = (fields_of(name, site) for name in node.inputs)
    if left is None or right is None or left.width != right.width:
        return None
    count = max(len(left.chosen), len(right.chosen))
    if {len(left.chosen), len(right.chosen)} - {1, count}:
        return None
    left, right = (
        Fields(item.root, item.width, np.broadcast_to(item.chosen, (count,))) for item in (left, right)
    )
    return left, right


def _sums_last_axis(node: Node, site: Site) -> bool:
    rank = site.infos[node.inputs[0]].rank
    axes = site.integers(node.inputs[1]) if len(node.inputs) > 1 else None
    return rank is not None and axes is not None and len(axes) == 1 and axes[0] % max(rank, 1) == rank - 1


def _row_times_column(node: Node, site: Site) -> bool:
    """Whether a MatMul is of ``[N, 1, D]`` and ``[N, D, 1]``."""
    x, y = site.shape(node.inputs[0]), site.shape(node.inputs[1])
    if x is None or y is None or len(x) != 3 or len(y) != 3:
        return False
    return same_size(x[1], 1) and same_size(y[2], 1)


def _dot_of(name: str, site: Site) -> tuple[Fields, Fields] | None:
    """The two fields whose dot products a value [N, P], [N, P, 1] or [N, 1, 1] holds."""
    node = site.source(viewed(name, site), "ReduceSum", "MatMul", "pyrec.PairDots")
    if node is None:
        return None
    if node.op == "pyrec.PairDots":
        return _known_dots(node, site)
    if node.op == "ReduceSum":
        product = site.source(node.inputs[0], "Mul")
        return _product(product, site) if product is not None and _sums_last_axis(node, site) else None
    if not _row_times_column(node, site):
        return None
    left, right = (fields_of(viewed(item, site), site) for item in node.inputs)
    if left is None or right is None or len(left.chosen) != 1 or len(right.chosen) != 1:
        return None
    return (left, right) if left.width == right.width else None


def _known_dots(node: Node, site: Site) -> tuple[Fields, Fields] | None:
    chosen = [site.known(name) for name in node.inputs[2:]]
    found = []
    for name, places in zip(node.inputs[:2], chosen, strict=True):
        shape = site.shape(name)
        if places is None or shape is None or len(shape) != 3 or not isinstance(shape[2], int):
            return None
        source = origin(name, site)
        blocks = None if source is None else rows_of(source.places.reshape(-1, shape[2]), shape[2])
        if source is None or blocks is None:
            return None
        found.append(Fields(source.root, shape[2], blocks[places]))
    return found[0], found[1]


def sum_of_products(node: Node, site: Site) -> str | None:
    """``ReduceSum(Mul(E[:, i], E[:, j]), last)`` where i or j are some of the fields of a value.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 3, 4), 0)
    >>> nodes = (Node("Gather", ("e", "i"), ("a",), {"axis": 1}),
    ...          Node("Gather", ("e", "j"), ("b",), {"axis": 1}),
    ...          Node("Mul", ("a", "b"), ("m",)), Node("ReduceSum", ("m", "axis"), ("y",), {"keepdims": 0}))
    >>> constants = {"i": np.asarray([0, 0, 1]), "j": np.asarray([1, 2, 2]), "axis": np.asarray([-1])}
    >>> graph = Graph(("e",), ("y",), nodes, constants, {"e": info})
    >>> [node.op for node in apply_rules(graph, RULES).nodes]
    ['pyrec.PairDots']
    """
    product = site.source(node.inputs[0], "Mul")
    found = _product(product, site) if product is not None and _sums_last_axis(node, site) else None
    if found is None or all(_is_whole(fields, site) for fields in found):
        return None
    made = _dots(*found, site)
    return None if made is None else site.reshape(made, site.shape(node.outputs[0]) or ())


def chosen_fields(node: Node, site: Site) -> str | None:
    """Fields taken between two transpositions are one Gather along the fields' axis."""
    info = site.infos[node.outputs[0]]
    if info.rank != 3 or info.rows != 0 or info.dtype != _F32:
        return None
    found = origin(node.outputs[0], site, node)
    if (
        found is None
        or found.root == node.inputs[0]
        or site.source(node.inputs[0], "Gather", "GatherND") is None
    ):
        return None
    width = found.places.shape[-1]
    chosen = rows_of(found.places.reshape(-1, width), width)
    matrix = None if chosen is None else _matrix(Fields(found.root, width, chosen), site)
    if chosen is None or matrix is None:
        return None
    return site.node("Gather", matrix, site.constant(chosen, np.int64), axis=1)


def single_dot(node: Node, site: Site) -> str | None:
    """``MatMul([N, 1, D], [N, D, 1])`` of two fields out of several."""
    if not _row_times_column(node, site):
        return None
    left, right = (fields_of(viewed(name, site), site) for name in node.inputs)
    if left is None or right is None or left.width != right.width:
        return None
    if (
        len(left.chosen) != 1
        or len(right.chosen) != 1
        or any(_count(item, site) == 1 for item in (left, right))
    ):
        return None
    made = _dots(left, right, site)
    return None if made is None else site.reshape(made, site.shape(node.outputs[0]) or ())


def _factors(root: str, site: Site) -> tuple[Fields, Fields] | None:
    """The fields of ``MatMul(A, transpose(B))``."""
    node = site.source(root, "MatMul")
    turned = None if node is None else site.source(node.inputs[1], "Transpose")
    if node is None or turned is None or tuple(turned.attribute("perm", ())) != (0, 2, 1):
        return None
    left, right = fields_of(node.inputs[0], site), fields_of(turned.inputs[0], site)
    same = left is not None and right is not None and left.width == right.width
    if not same or site.infos[root].rank != 3 or site.infos[root].rows != 0:
        return None
    return (left, right) if left is not None and right is not None else None


def chosen_products(node: Node, site: Site) -> str | None:
    """Some elements of all products ``MatMul(T, transpose(T))``, however they are taken: [N, P].

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 3, 4), 0)
    >>> nodes = (Node("Transpose", ("e",), ("t",), {"perm": (0, 2, 1)}), Node("MatMul", ("e", "t"), ("m",)),
    ...          Node("Flatten", ("m",), ("f",)), Node("Gather", ("f", "lower"), ("y",), {"axis": 1}))
    >>> graph = Graph(("e",), ("y",), nodes, {"lower": np.asarray([3, 6, 7])}, {"e": info})
    >>> made = apply_rules(graph, RULES)
    >>> [node.op for node in made.nodes], made.constants[made.nodes[-1].inputs[2]]
    (['pyrec.PairDots'], array([1, 2, 2]))
    """
    info = site.infos[node.outputs[0]]
    if info.rank != 2 or info.rows != 0 or info.dtype != _F32:
        return None
    found = origin(node.outputs[0], site, node)
    if (
        found is None
        or found.root == node.outputs[0]
        or site.source(found.root, "MatMul", "pyrec.PairDots") is None
    ):
        return None
    places = found.places.reshape(-1)
    made = _some_dots(found, places, site)
    return None if made is None else site.reshape(made, info.shape or ())


def _some_dots(found: Origin, places: Array, site: Site) -> str | None:
    source = site.source(found.root, "MatMul", "pyrec.PairDots")
    if source is not None and source.op == "pyrec.PairDots":
        dots = _known_dots(source, site)
        if (
            dots is None
            or np.array_equal(places, np.arange(len(dots[0].chosen)))
            or not site.alone(found.root)
        ):
            return None
        left, right = (Fields(item.root, item.width, item.chosen[places]) for item in dots)
        return _dots(left, right, site)
    factors = _factors(found.root, site)
    if factors is None:
        return None
    a, b = factors
    whole = len(places) >= len(a.chosen) * len(b.chosen)
    if whole and (a.root, a.chosen.tolist()) != (b.root, b.chosen.tolist()):
        return None
    rows, columns = np.divmod(places, len(b.chosen))
    return _dots(Fields(a.root, a.width, a.chosen[rows]), Fields(b.root, b.width, b.chosen[columns]), site)


def _united(dots: Sequence[tuple[Fields, Fields]], site: Site) -> str | None:
    """Several dot products in one node, over the concatenation of all that they read."""
    every = [fields for pair in dots for fields in pair]
    if len({fields.width for fields in every}) != 1:
        return None
    firsts: dict[str, int] = {}
    parts: list[str] = []
    total = 0
    for fields in every:
        if fields.root not in firsts:
            part = _matrix(fields, site)
            if part is None:
                return None
            firsts[fields.root] = total
            total += _count(fields, site)
            parts.append(part)
    table = site.concat(parts, 1)
    places = [
        site.constant(
            np.concatenate([firsts[pair[side].root] + pair[side].chosen for pair in dots]), np.int64
        )
        for side in (0, 1)
    ]
    return site.node("pyrec.PairDots", table, table, *places)


def join_dots(node: Node, site: Site) -> str | None:
    """Neighbouring parts of a concatenation that are dot products of fields are made by one node."""
    shape = site.shape(node.outputs[0])
    rank = 0 if shape is None else len(shape)
    if shape is None or rank not in (2, 3) or site.infos[node.outputs[0]].rows != 0:
        return None
    axis = int(node.attribute("axis", 0)) % rank
    if axis == 0 or (rank == 3 and not same_size(shape[3 - axis], 1)):
        return None
    dots = [_single_reader_dot(name, site) for name in node.inputs]
    made, parts, first = False, list[str](), 0
    while first < len(dots):
        last = first
        while last < len(dots) and dots[last] is not None:
            last += 1
        run = [pair for pair in dots[first:last] if pair is not None]
        united = _united(run, site) if len(run) > 1 else None
        if united is None:
            parts += node.inputs[first : max(last, first + 1)]
        else:
            width = sum(len(pair[0].chosen) for pair in run)
            part = site.reshape(united, _with_size(shape, axis, width))
            if part is None:
                return None
            parts.append(part)
            made = True
        first = max(last, first + 1)
    return site.concat(parts, axis) if made else None


def _with_size(shape: Shape, axis: int, size: int) -> Shape:
    return (*shape[:axis], size, *shape[axis + 1 :])


def _single_reader_dot(name: str, site: Site) -> tuple[Fields, Fields] | None:
    return _dot_of(name, site) if site.alone(name) and site.alone(viewed(name, site)) else None


def _terms(name: str, site: Site, scale: float, found: list[tuple[str, float]]) -> None:
    """The addends of a sum with their constant factors, as far as nobody else reads the partial sums."""
    node = site.source(name, "Add", "Sum", "Sub", "Mul")
    too_many = len(found) >= _MAX_TERMS
    if node is None or too_many or not site.alone(name) or site.infos[name].dtype != _F32:
        found.append((name, scale))
        return
    shape = site.shape(name)
    if node.op == "Mul":
        for x, other in (node.inputs, node.inputs[::-1]):
            value = site.known(other)
            same = shape is not None and site.infos[x].rank == len(shape)
            if value is not None and value.size == 1 and same and site.known(x) is None:
                _terms(x, site, scale * float(value.reshape(-1)[0]), found)
                return
        found.append((name, scale))
        return
    signs = (1.0, -1.0) if node.op == "Sub" else (1.0,) * len(node.inputs)
    if not _alike(node, site):
        found.append((name, scale))
        return
    for item, sign in zip(node.inputs, signs, strict=True):
        _terms(item, site, scale * sign, found)


def _is_addend(node: Node, site: Site) -> bool:
    """Whether the sum is part of a larger one."""
    readers = site.readers(node.outputs[0])
    if len(readers) != 1 or not site.alone(node.outputs[0]) or readers[0].op not in ("Add", "Sum", "Sub"):
        return False
    return _alike(readers[0], site)


def _alike(node: Node, site: Site) -> bool:
    """Whether all addends have the rank of the sum, numbers apart."""
    rank = site.infos[node.outputs[0]].rank
    values = [site.known(name) for name in node.inputs]
    return all(
        site.infos[name].rank == rank if value is None else value.size == 1
        for name, value in zip(node.inputs, values, strict=True)
    )


def sum_dots(node: Node, site: Site) -> str | None:
    """A weighted sum of dot products of fields: all dots at once, then a product with the weights.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 4), 0)
    >>> nodes = (Node("Mul", ("a", "b"), ("ab",)), Node("ReduceSum", ("ab", "axis"), ("p",)),
    ...          Node("Mul", ("a", "c"), ("ac",)), Node("ReduceSum", ("ac", "axis"), ("q",)),
    ...          Node("Mul", ("q", "two"), ("r",)), Node("Add", ("p", "r"), ("y",)))
    >>> graph = Graph(("a", "b", "c"), ("y",), nodes, {"axis": np.asarray([1]), "two": np.float32([2])},
    ...               dict.fromkeys("abc", info))
    >>> [node.op for node in apply_rules(graph, RULES).nodes][-2:]
    ['pyrec.PairDots', 'MatMul']
    """
    info = site.infos[node.outputs[0]]
    if info.dtype != _F32 or info.shape is None or info.rows != 0 or _is_addend(node, site):
        return None
    if info.rank not in (1, 2, 3) or not all(same_size(size, 1) for size in info.shape[1:]):
        return None
    terms: list[tuple[str, float]] = []
    signs = (1.0, -1.0) if node.op == "Sub" else (1.0,) * len(node.inputs)
    if not _alike(node, site):
        return None
    for name, sign in zip(node.inputs, signs, strict=True):
        _terms(name, site, sign, terms)
    dots = [(_single_reader_dot(name, site), scale) for name, scale in terms]
    pairs = [(pair, scale) for pair, scale in dots if pair is not None and len(pair[0].chosen) == 1]
    rest = [
        term for term, (pair, _) in zip(terms, dots, strict=True) if pair is None or len(pair[0].chosen) != 1
    ]
    if len(pairs) < 2:
        return None
    united = _united([pair for pair, _ in pairs], site)
    if united is None:
        return None
    weights = site.constant(np.asarray([[scale] for _, scale in pairs]), np.float32)
    total = site.reshape(site.node("MatMul", united, weights), info.shape)
    if total is None:
        return None
    for name, scale in rest:
        if scale not in (1.0, -1.0):
            name = site.node("Mul", name, site.constant(scale, np.float32))
        total = site.node("Sub" if scale == -1.0 else "Add", total, name)
    return total


RULES: Rules = joined(
    {"ReduceSum": (sum_of_products,), "MatMul": (single_dot,), "Concat": (join_dots,)},
    dict.fromkeys(("Add", "Sum", "Sub"), (sum_dots,)),
    for_ops(set(with_trait(Trait.MOVES)) - {"Concat", "Split"}, chosen_products),
    {"Transpose": (chosen_fields,)},
)
