"""Cut a graph in two: what is known when an item enters a catalogue, and what reads its record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.ir import BATCH, Array, Attribute, Dim, Graph, Info, Node, Rate, Rows, topological, verify
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS, Field, ItemCut


@dataclass(frozen=True)
class Separated:
    """A graph in two.

    Attributes
    ----------
    items : Graph
        From the item inputs to the values of the fields.
    pairs : Graph
        From all other inputs, `RECORDS` and `ROWS` to the outputs.
    fields : tuple of Field
    stride : int
        Bytes of a record.
    """

    items: Graph
    pairs: Graph
    fields: tuple[Field, ...]
    stride: int


def _alike(a: Node, b: Node) -> bool:
    return a is b or (
        (a.op, a.inputs, a.outputs, a.bodies) == (b.op, b.inputs, b.outputs, b.bodies)
        and a.attributes.keys() == b.attributes.keys()
        and all(np.array_equal(a.attribute(key), b.attribute(key)) for key in a.attributes)
    )


def same_records(a: Separated, b: Separated) -> bool:
    """Whether the records of two graphs are made alike."""
    stored, others = a.items.constants, b.items.constants
    return (
        (a.fields, a.stride, len(a.items.nodes)) == (b.fields, b.stride, len(b.items.nodes))
        and all(map(_alike, a.items.nodes, b.items.nodes))
        and stored.keys() == others.keys()
        and all(
            value is others[name] or np.array_equal(value, others[name]) for name, value in stored.items()
        )
    )


def _refuse(graph: Graph, coupled: Iterable[Node]) -> None:
    if graph.static_rows:
        raise UnsupportedModelError(
            f"a catalogue cannot hold a model whose file fixes the batch to {graph.static_rows} "
            f"row{'s' if graph.static_rows > 1 else ''}: export it with a free batch size"
        )
    found = set(coupled)
    for node in graph.nodes:
        if node in found:
            raise UnsupportedModelError(
                "a catalogue needs a model whose score depends on its own row alone, and "
                f"{node.title} is not known to keep the rows of a batch apart"
            )


def _item_graph(cut: ItemCut, fields: Sequence[Field]) -> Graph:
    """The part of the graph that makes the fields."""
    graph = cut.graph
    copies = {name for name in cut.frontier if name in graph.inputs}
    nodes = [
        node
        for node in graph.nodes
        if all(cut.rates[name] in (Rate.MODEL, Rate.ITEM) for name in node.outputs if name)
    ]
    nodes += [Node("Identity", (name,), (f"{name}/stored",)) for name in sorted(copies)]
    outputs = tuple(f"{field.value}/stored" if field.value in copies else field.value for field in fields)
    kept = remove_dead(graph.with_(nodes=tuple(nodes), outputs=outputs))
    used = {name for node in kept.nodes for name in node.inputs}
    return kept.with_(inputs=tuple(name for name in graph.inputs if name in used))


def _read_field(field: Field, constants: dict[str, Array]) -> list[Node]:
    """The nodes that make a value from the records."""
    plain = field.axis == 0 and field.shape[0] == 1 and len(field.shape) == 2
    flat = field.value if plain else f"{field.value}/record"
    if field.codec:
        part = LookupPart(ROWS, RECORDS, -1, field.width, field.offset, field.codec)
        nodes = [make_lookup("pyrec.Lookup", flat, [part], label=field.value)]
    else:
        attributes: dict[str, Attribute] = {"offset": field.offset, "width": field.width}
        attributes["to"] = field.dtype.name
        nodes = [Node("pyrec.LookupExact", (ROWS, RECORDS), (flat,), attributes, name=field.value)]
    if plain:
        return nodes
    multiple, *rest = field.shape
    shape, target = f"{field.value}/record/shape", field.value
    constants[shape] = np.asarray([0 if multiple == 1 else -1, *rest], np.int64)
    if field.axis:
        target = f"{field.value}/record/rows"
    nodes.append(Node("Reshape", (flat, shape), (target,), name=field.value))
    if field.axis:
        perm = [*range(1, len(rest) + 1)]
        perm.insert(field.axis, 0)
        nodes.append(Node("Transpose", (target,), (field.value,), {"perm": tuple(perm)}, name=field.value))
    return nodes


def _pair_graph(cut: ItemCut, fields: Sequence[Field], stride: int, items: frozenset[str]) -> Graph:
    """All that is not stored, over records."""
    graph = cut.graph
    constants: dict[str, Array] = dict(graph.constants)
    nodes = [node for field in fields for node in _read_field(field, constants)]
    nodes += [
        node
        for node in graph.nodes
        if node in cut.moved or all(cut.rates[name] != Rate.ITEM for name in node.outputs if name)
    ]
    inputs = (RECORDS, ROWS, *(name for name in graph.inputs if name not in items))
    infos = {name: graph.infos[name] for name in inputs[2:]}
    infos[RECORDS] = Info(np.dtype(np.uint8), (Dim.symbol("catalog/capacity"), stride), Rows.INVARIANT)
    infos[ROWS] = Info(np.dtype(np.int64), (Dim.symbol(BATCH),), 0)
    ordered = topological(nodes, (*inputs, *constants))
    return remove_dead(graph.with_(inputs=inputs, nodes=ordered, constants=constants, infos=infos))


def separate_items(graph: Graph, sides: Sides, precision: str = "fp32") -> Separated:
    """Cut a graph into an item's part and a pair's part.

    Parameters
    ----------
    graph : Graph
        With the item's parts of lookups apart; see `split_item_lookups`.
    sides : Sides
    precision : str
        How wide float32 values are stored; see `pyrec_infer.codecs`.

    Raises
    ------
    UnsupportedModelError
        If rows are coupled, or a value at the cut cannot be stored; names the node.

    Examples
    --------
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2), 0)
    >>> nodes = (Node("Exp", ("i",), ("e",)), Node("Add", ("u", "e"), ("s",)), Node("Relu", ("s",), ("y",)))
    >>> graph = Graph(("u", "i"), ("y",), nodes, {}, {"u": info, "i": info})
    >>> made = separate_items(graph, Sides(frozenset("u"), frozenset("i")))
    >>> [node.op for node in made.items.nodes], [node.op for node in made.pairs.nodes], made.stride
    (['Exp'], ['pyrec.Lookup', 'Add', 'Relu'], 16)
    """
    _refuse(graph, analyze(graph).coupled)
    cut = ItemCut(graph, sides)
    cut.shrink()
    fields, stride = cut.fields(precision)
    items = _item_graph(cut, fields)
    verify(items, "separate_items (items)")
    pairs = _pair_graph(cut, fields, stride, sides.items)
    return Separated(items, pairs, fields, stride)
