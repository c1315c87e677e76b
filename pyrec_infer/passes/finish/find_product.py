"""Scores that rise with an inner product of a request's numbers and those in an item's record."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace

import numpy as np

from pyrec_infer.ir import Array, Dim, Graph, Info, Node
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.fused import ACTIVATIONS, F32
from pyrec_infer.ops.lookup_parts import LOOKUPS
from pyrec_infer.passes.clean.remove_dead import keep_outputs
from pyrec_infer.passes.common.affine import Affine, Value, apply, looked_up, numbers, parts_of
from pyrec_infer.passes.common.quotients import Quotient, Root, Term, apply_divided
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS

_LOOKUPS = (*LOOKUPS, "pyrec.LookupExact")

_WIDEST = 1024
"""Numbers of a record that a product is of; of more of them the request's factors take longer to find."""

_SHARE, _LEAST = 2.0**-20, 2.0**-126
"""A function of `RISING` is computed with an error of no more than this share of its result, and this."""

_MOST = 2.0**127
"""What is greater may be infinite in float32."""


def _softplus(x: float) -> float:
    return float(np.logaddexp(0.0, x))


def _logistic(x: float) -> float:
    return float(np.exp(-np.logaddexp(0.0, -x)))


RISING: Mapping[str, Callable[[float], float]] = {
    "Relu": lambda x: max(x, 0.0),
    "Sigmoid": _logistic,
    "Tanh": lambda x: float(np.tanh(x)),
    "Exp": lambda x: float(np.exp(min(x, 700.0))),
    "Softplus": _softplus,
}
"""Functions that never fall, in double precision."""


@dataclass(frozen=True)
class ItemProduct:
    """A score that never falls where a sum of an item's numbers times factors of the request rises.

    Attributes
    ----------
    request : tuple of str
        The values, known once for a request, that its factors are made of.
    nodes : tuple of Node
        That make the sum of them and the record.
    constants : mapping of str to ndarray
        What they read besides.
    value : str
        The sum.
    functions : tuple of str
        What the score is of it, one function after the other.
    begin, end : int
        Bytes of the record between which the item's numbers lie.
    divisor : Root or None
        By what item's number the sum is divided on the way.
    """

    request: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    value: str
    functions: tuple[str, ...]
    begin: int
    end: int
    divisor: Root | None = None

    @property
    def width(self) -> int:
        """How many numbers of a record there are."""
        return (self.end - self.begin) // F32.itemsize

    def factors(self, known: Mapping[str, Array]) -> Affine | Quotient | None:
        """What the sum is of the item's numbers, by the values of one request; None where it is none."""
        values: dict[str, Term] = {**self.constants, **known}
        for node in self.nodes:
            made = self._lookup(node, values) if node.op in _LOOKUPS else _applied(node, values)
            if made is None:
                return None
            values[node.outputs[0]] = made
        found = values[self.value]
        return found if isinstance(found, Affine | Quotient) and np.prod(found.shape) == 1 else None

    def _lookup(self, node: Node, values: Mapping[str, Term]) -> Value | None:
        found: list[Value] = []
        if node.op == "pyrec.LookupSum" and node.inputs[0]:
            bias = values[node.inputs[0]]
            if isinstance(bias, Root | Quotient):
                return None
            found.append(bias)
        for part in parts_of(node):
            if part.table:
                first = (part.offset - self.begin) // F32.itemsize
                found.append(numbers(first, (1, part.width), self.width))
                continue
            value, row = values[part.source], np.asarray([1, part.width])
            if isinstance(value, Root | Quotient) or np.prod(value.shape) != part.width:
                return None
            made = apply(_AS_ROW, [value, row]) if isinstance(value, Affine) else value.reshape(row)
            if made is None:
                return None
            found.append(made)
        return looked_up(node, found)

    def highest(self, value: float) -> float:
        """What no score is above whose sum is not above a value, however its functions are rounded."""
        for name in self.functions:
            value = RISING[name](value)
            value += abs(value) * _SHARE + _LEAST
            if value > _MOST:
                return float("inf")  # as which float32 may hold it
        return value


_AS_ROW = Node("Reshape", ("x", "shape"), ("row",))


def _applied(node: Node, values: Mapping[str, Term]) -> Term | None:
    return apply_divided(node, [values[name] if name else None for name in node.inputs])


def _varying(graph: Graph) -> set[str]:
    """The values that are not the same for every item."""
    found = {ROWS}
    for node in graph.nodes:
        if any(name in found for name in node.inputs):
            found.update(name for name in node.outputs if name)
    return found


def _is_numbers(info: Info) -> bool:
    return info.dtype == F32 and info.shape is not None


def _functions(graph: Graph, varying: Set[str]) -> tuple[str, tuple[str, ...], Node | None]:
    """The value that the score rises with, by which functions, and its node without the first of them."""
    (name,) = graph.outputs
    functions: list[str] = []
    while True:
        node = graph.producers.get(name)
        if node is None or node.inputs[0] not in varying:
            return name, tuple(functions), None
        if node.op in RISING:
            functions.insert(0, node.op)
        elif not has(node, Trait.VIEW):
            fused = str(node.attribute("activation", ""))
            if fused in RISING and fused in ACTIVATIONS:
                functions.insert(0, fused)
                plain = {key: value for key, value in node.attributes.items() if key != "activation"}
                return name, tuple(functions), replace(node, attributes=plain)
            return name, tuple(functions), None
        name = node.inputs[0]


def _slice(graph: Graph, value: str, last: Node | None, varying: Set[str]) -> list[Node]:
    """The nodes, in order, that make a value of what is known for a request."""
    needed, found = {value}, []
    for node in reversed(graph.nodes):
        own = last if last is not None and node.outputs == last.outputs else node
        if any(name in needed for name in node.outputs):
            found.append(own)
            needed.update(name for name in node.inputs if name in varying)
    return found[::-1]


def _one_row(info: Info) -> Array | None:
    """Any numbers of the shape that a value has for one request; None if that is not known."""
    if not _is_numbers(info) or info.rows != 0:
        return None
    sizes = (1, *(info.shape or ())[1:])
    return None if any(isinstance(size, Dim) for size in sizes) else np.ones(sizes, F32)


def _span(nodes: list[Node]) -> tuple[int, int] | str:
    """The bytes of the record that are read; or why they are not numbers side by side."""
    places = []
    for node in nodes:
        if node.op not in _LOOKUPS:
            continue
        for part in parts_of(node):
            if part.table == RECORDS and part.source == ROWS and part.codec == "f32":
                places.append((part.offset, part.offset + part.width * F32.itemsize))
            elif part.table:
                return (
                    "records hold other numbers than float32" if part.table == RECORDS else "tables are read"
                )
    if not places:
        return "nothing of the record is in the score"
    begin, end = min(first for first, _ in places), max(last for _, last in places)
    if begin % F32.itemsize or end - begin > _WIDEST * F32.itemsize:
        return f"its numbers are not among {_WIDEST} of the record"
    return begin, end


def find_product(graph: Graph) -> ItemProduct | str:
    """The product that a graph's only score rises with, or why there is none.

    Parameters
    ----------
    graph : Graph
        Of pairs, as it goes into a plan.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Rows
    >>> from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
    >>> n = Dim.symbol("N")
    >>> infos = {"u": Info(F32, (n, 1, 2), 0), ROWS: Info(np.dtype(np.int64), (n,), 0),
    ...          RECORDS: Info(np.dtype(np.uint8), (Dim.symbol("M"), 16), Rows.INVARIANT)}
    >>> nodes = (make_lookup("pyrec.Lookup", "x", [LookupPart(ROWS, RECORDS, -1, 2)]),
    ...          Node("Reshape", ("x", "shape"), ("v",)),
    ...          Node("pyrec.PairDots", ("u", "v", "zero", "zero"), ("d",)), Node("Sigmoid", ("d",), ("y",)))
    >>> constants = {"shape": np.asarray([-1, 1, 2]), "zero": np.asarray([0])}
    >>> found = find_product(Graph(("u", RECORDS, ROWS), ("y",), nodes, constants, infos))
    >>> found.request, found.functions, found.width
    (('u',), ('Sigmoid',), 2)
    >>> found.factors({"u": np.asarray([[[3, 4]]], F32)}).factors.tolist()
    [[[3.0, 4.0, 0.0]]]
    """
    infos, varying = analyze(graph).infos, _varying(graph)
    if len(graph.outputs) != 1 or graph.outputs[0] not in varying:
        return "there is not one score of an item"
    value, functions, last = _functions(graph, varying)
    nodes = _slice(graph, value, last, varying)
    span = _span(nodes)
    if isinstance(span, str):
        return span
    read = dict.fromkeys(name for node in nodes for name in node.inputs if name and name not in varying)
    constants = {name: graph.constants[name] for name in read if name in graph.constants}
    request = tuple(name for name in read if name not in constants and name != RECORDS)
    known = {name: _one_row(infos[name]) for name in request}
    for node in nodes:
        numbers_alone = all(_is_numbers(infos[name]) for name in node.outputs)
        if not numbers_alone or node.attribute("activation", "") or len(node.outputs) != 1:
            return f"node {node.name!r} ({node.op}) makes more of it than a sum of products"
    if any(array is None for array in known.values()):
        return "what it is multiplied with is not of one shape for every request"
    found = ItemProduct(request, tuple(nodes), constants, value, functions, *span)
    given = {name: array for name, array in known.items() if array is not None}
    made = found.factors(given)
    if made is None:
        return "it is more than a sum of the record's numbers times the request's"
    return replace(found, divisor=made.by) if isinstance(made, Quotient) else found


def request_graph(graph: Graph, product: ItemProduct) -> Graph:
    """The part of a graph that makes the values of a request which a product's factors are made of."""
    own = keep_outputs(graph, product.request)
    read = {*own.outputs, *(name for node in own.nodes for name in node.inputs)}
    return own.with_(inputs=tuple(name for name in own.inputs if name in read))


__all__ = ["RISING", "ItemProduct", "find_product", "request_graph"]
