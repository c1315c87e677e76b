"""Cut a graph in two: what is known when an item enters a catalogue, and what reads its record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from pyrec_infer.codecs import codec_of, find_codec
from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.ir import BATCH, Array, Dim, Graph, Info, Node, Rate, Rows, Size, topological, verify
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.fused import ACTIVATIONS, F32, parts_of
from pyrec_infer.ops.inference import analyze
from pyrec_infer.ops.shapes import same_shape
from pyrec_infer.passes.remove_dead import remove_dead
from pyrec_infer.passes.split import Sides, find_rates

RECORDS = "catalog/records"
"""Input of the pair graph: one record of bytes for each item that the catalogue has room for."""

ROWS = "catalog/rows"
"""Input of the pair graph: the record of each candidate."""

_WIDE = 16
"""Narrower values are stored exactly at every precision; they would not make records much smaller."""

_CODES: Mapping[str, int] = {
    "uint8": 2,
    "int8": 3,
    "uint16": 4,
    "int16": 5,
    "int32": 6,
    "int64": 7,
    "bool": 9,
    "float16": 10,
    "float64": 11,
    "uint32": 12,
    "uint64": 13,
}


def _is_cheap(node: Node) -> bool:
    """Whether it is rather done again for each pair than has its result stored, if that is larger."""
    return has(node, Trait.MOVES) or node.op in ("Cast", "OneHot")


@dataclass(frozen=True)
class Field:
    """One value of an item inside its record.

    Attributes
    ----------
    value : str
        The output of the item graph that it holds.
    dtype : numpy.dtype
    shape : tuple of int
        Sizes of one item's part, all axes but that of the rows, whose multiple comes first.
    axis : int
        Axis of the rows in the value.
    codec : str
        See `pyrec_infer.codecs`; empty where the elements are stored as they are.
    offset, size : int
        Bytes of the record.
    """

    value: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    axis: int
    codec: str
    offset: int
    size: int

    @property
    def width(self) -> int:
        return prod(self.shape)


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
                f"node {node.name!r} ({node.op}) is not known to keep the rows of a batch apart"
            )


def _split_lookups(graph: Graph, sides: Sides) -> Graph:
    """Take the item's parts of lookups apart from those of the request, so that they can be stored."""
    rates = find_rates(graph, sides)
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.op not in ("pyrec.Lookup", "pyrec.LookupSum") or rates[node.outputs[0]] != Rate.PAIR:
            nodes.append(node)
            continue
        first = int(node.op == "pyrec.LookupSum")
        parts = list(zip(node.inputs[first::2], node.inputs[first + 1 :: 2], parts_of(node), strict=True))
        runs: list[list[tuple[str, str, tuple[int, int, int, str]]]] = []
        ready = [rates[source] == Rate.ITEM and bool(table) for source, table, _ in parts]
        if first:
            # Addends may change places.
            order = sorted(range(len(parts)), key=lambda i: ready[i])
            parts, ready = [parts[i] for i in order], [ready[i] for i in order]
        for place, part in enumerate(parts):
            if place and ready[place] and ready[place - 1]:
                runs[-1].append(part)
            else:
                runs.append([part])
        flags = [rates[run[0][0]] == Rate.ITEM and bool(run[0][1]) for run in runs]
        merged: list[tuple[str, str, tuple[int, int, int, str]]] = []
        for number, (run, is_item) in enumerate(zip(runs, flags, strict=True)):
            if not is_item:
                merged += run
                continue
            name = f"{node.outputs[0]}/items{number}"
            nodes.append(_lookup(node.op, name, run, bias="", attributes={}, label=node.name))
            width = run[0][2][2] if first else sum(part[2][2] for part in run)
            merged.append((name, "", (-1, 0, width, "")))
        kept = {key: value for key, value in node.attributes.items() if key == "activation"}
        bias = node.inputs[0] if first else ""
        nodes.append(_lookup(node.op, node.outputs[0], merged, bias, kept, node.name))
    return graph.with_(nodes=tuple(nodes))


def _lookup(
    op: str,
    output: str,
    parts: Sequence[tuple[str, str, tuple[int, int, int, str]]],
    bias: str,
    attributes: Mapping[str, Any],
    label: str,
) -> Node:
    """A lookup, or the sum of one, of parts given as source, table and description."""
    described = dict(
        zip(("columns", "offsets", "widths", "codecs"), zip(*(p[2] for p in parts), strict=True), strict=True)
    )
    operands = tuple(name for source, table, _ in parts for name in (source, table))
    inputs = (bias, *operands) if op == "pyrec.LookupSum" else operands
    return Node(op, inputs, (output,), {**attributes, **described}, name=label)


class _Cut:
    """Finds the values to store; see `separate_items`."""

    def __init__(self, graph: Graph, sides: Sides) -> None:
        self.graph = graph
        self.infos = analyze(graph).infos
        self.rates = find_rates(graph, sides)
        self.moved: set[Node] = set()
        self.frontier = dict.fromkeys(
            name
            for node in graph.nodes
            if any(self.rates[name] == Rate.PAIR for name in node.outputs if name)
            for name in node.inputs
            if name and self.rates[name] == Rate.ITEM
        )
        self.frontier.update(dict.fromkeys(name for name in graph.outputs if self.rates[name] == Rate.ITEM))

    def row_bytes(self, name: str) -> float:
        """Bytes of a value for each row; infinite if they are not known."""
        info = self.infos[name]
        sizes = self.row_shape(info)
        if sizes is None or info.dtype is None or info.dtype.kind in "UO":
            return float("inf")
        return float(prod(sizes) * info.dtype.itemsize)

    def row_shape(self, info: Info) -> tuple[int, ...] | None:
        """Sizes of one row's part, its multiple along the row axis first; None if they are not known."""
        if info.shape is None or info.rows < 0 or info.sequence:
            return None
        at = info.shape[info.rows]
        if not isinstance(at, Dim) or at.symbols != (BATCH,):
            return None
        rest: list[Size] = [at.coefficient, *info.shape[: info.rows], *info.shape[info.rows + 1 :]]
        sizes = [size for size in rest if isinstance(size, int)]
        return tuple(sizes) if len(sizes) == len(rest) else None

    def shrink(self) -> None:
        """Store what a value is cheaply made of instead of the value, where that is no larger."""
        changed = True
        while changed:
            changed = False
            for name in list(self.frontier):
                node = self.graph.producers.get(name)
                if node is None:
                    continue
                own = [other for other in node.outputs if other in self.frontier]
                sources = [
                    source
                    for source in dict.fromkeys(node.inputs)
                    if source and self.rates[source] == Rate.ITEM
                ]
                new = sum(self.row_bytes(source) for source in sources if source not in self.frontier)
                old = sum(self.row_bytes(other) for other in own)
                # What has no known size, for instance one row for each of the request's, is never stored.
                saves = new < old or (new == old and (has(node, Trait.VIEW) or node.op == "Transpose"))
                if old == float("inf") or (saves and self.is_cheap(node)):
                    for other in own:
                        del self.frontier[other]
                    self.frontier.update(dict.fromkeys(sources))
                    self.moved.add(node)
                    changed = True
                    break

    def is_cheap(self, node: Node) -> bool:
        if node.op.startswith("Gather"):
            # Fixed positions; not rows of a table, which lie far apart.
            return self.rates[node.inputs[1]] == Rate.MODEL
        return _is_cheap(node)

    def exact(self) -> set[str]:
        """Values that ids or decisions are made of: what they hold may not be rounded."""
        found: set[str] = set()
        for node in reversed(self.graph.nodes):
            made = self.infos[node.outputs[0]].dtype if node.outputs[0] else None
            rounds = node.op == "Cast" and made is not None and made.kind in "iub"
            decides = rounds or has(node, Trait.DISCONTINUOUS)
            if decides or (_is_cheap(node) and any(name in found for name in node.outputs)):
                found.update(name for name in node.inputs if name)
        return found

    def readers(self, name: str) -> str:
        for node in self.graph.nodes:
            late = node in self.moved or any(self.rates[made] == Rate.PAIR for made in node.outputs if made)
            if name in node.inputs and late:
                return f"node {node.name!r} ({node.op})"
        return "the output"

    def fields(self, precision: str) -> tuple[tuple[Field, ...], int]:
        """The layout of a record, large fields first, and its bytes."""
        found = []
        exact = self.exact() if precision != "fp32" else set()
        for name in self.frontier:
            info = self.infos[name]
            shape = self.row_shape(info)
            if info.dtype is not None and info.dtype.kind in "UO":
                raise UnsupportedModelError(
                    f"a catalogue cannot store the strings {name!r} that {self.readers(name)} reads"
                )
            if shape is None or info.dtype is None or prod(shape) == 0:
                raise UnsupportedModelError(
                    f"a catalogue cannot store {name!r}, which {self.readers(name)} reads: "
                    "its size for each item is not known"
                )
            codec, size = _storage(info.dtype, prod(shape), "fp32" if name in exact else precision)
            found.append(Field(name, info.dtype, shape, info.rows, codec, 0, size))
        found.sort(key=lambda field: -field.size)
        placed, end = [], 0
        for field in found:
            alignment = 16 if field.size >= 16 else 8 if field.dtype.itemsize == 8 else 4
            offset = -(-end // alignment) * alignment
            placed.append(replace(field, offset=offset))
            end = offset + field.size
        unit = 64 if end >= 64 else 16
        return tuple(placed), max(-(-end // unit) * unit, 16)


def _storage(dtype: np.dtype[Any], width: int, precision: str) -> tuple[str, int]:
    """Codec and bytes of a field."""
    if dtype != F32:
        return "", width * dtype.itemsize
    codec = codec_of(precision if width >= _WIDE else "fp32")
    return codec.name, codec.row_bytes(width)


def _item_graph(cut: _Cut, fields: Sequence[Field]) -> Graph:
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
        part = (ROWS, RECORDS, (-1, field.offset, field.width, field.codec))
        nodes = [_lookup("pyrec.Lookup", flat, [part], "", {}, field.value)]
    else:
        attributes = {"offset": field.offset, "width": field.width, "to": _CODES[field.dtype.name]}
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


def _pair_graph(cut: _Cut, fields: Sequence[Field], stride: int, items: frozenset[str]) -> Graph:
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


class _Fuser:
    """Reads records straight into the sums and concatenations that want them."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.infos = analyze(graph).infos
        self.made: dict[str, Node] = {}

    def record_parts(self, name: str, op: str = "pyrec.Lookup") -> list[tuple[str, str, Any]]:
        """The parts of a lookup in the records that a value is."""
        node = self.made.get(name)
        if node is None or node.op != op or RECORDS not in node.inputs:
            return []
        first = int(op == "pyrec.LookupSum")
        return list(zip(node.inputs[first::2], node.inputs[first + 1 :: 2], parts_of(node), strict=True))

    def alone(self, name: str) -> bool:
        return name not in self.graph.outputs and len(self.graph.consumers.get(name, ())) == 1

    def is_matrix(self, name: str) -> bool:
        info = self.infos[name]
        return info.rank == 2 and info.rows == 0 and info.dtype == F32

    def fits_bias(self, name: str, total: Info) -> bool:
        info = self.infos[name]
        if info.shape is None or total.shape is None or info.dtype != F32:
            return False
        row = info.rows == Rows.INVARIANT and info.shape in (total.shape[1:], (1, *total.shape[1:]))
        return row or (info.rows == 0 and same_shape(info.shape, total.shape))

    def add(self, node: Node) -> Node:
        total = self.infos[node.outputs[0]]
        for x, bias in (node.inputs, node.inputs[::-1]):
            parts = self.record_parts(x)
            if len(parts) != 1 or not self.is_matrix(node.outputs[0]):
                continue
            if not same_shape(self.infos[x].shape, total.shape) or not self.fits_bias(bias, total):
                continue
            addend = self.made.get(bias)
            others = self.record_parts(bias)
            if len(others) == 1 and x != bias:
                return _lookup("pyrec.LookupSum", node.outputs[0], [*others, *parts], "", {}, node.name)
            earlier = self.record_parts(bias, "pyrec.LookupSum")
            if addend is not None and earlier and self.alone(bias) and not addend.attribute("activation"):
                parts, bias = [*earlier, *parts], addend.inputs[0]
            return _lookup("pyrec.LookupSum", node.outputs[0], parts, bias, {}, node.name)
        return node

    def activate(self, node: Node) -> Node:
        source = self.made.get(node.inputs[0])
        if source is None or source.op != "pyrec.LookupSum" or source.attribute("activation"):
            return node
        if not self.alone(node.inputs[0]):
            return node
        return replace(source, outputs=node.outputs, attributes={**source.attributes, "activation": node.op})

    def concat(self, node: Node) -> Node:
        if node.attribute("axis", 0) not in (1, -1) or not all(map(self.is_matrix, node.inputs)):
            return node
        parts: list[tuple[str, str, Any]] = []
        for name in node.inputs:
            width = (self.infos[name].shape or ())[1]
            if not isinstance(width, int) or width == 0:
                return node
            parts += self.record_parts(name) or [(name, "", (-1, 0, width, ""))]
        if not any(table for _, table, _ in parts):
            return node
        return _lookup("pyrec.Lookup", node.outputs[0], _joined(parts), "", {}, node.name)

    def lookup(self, node: Node) -> Node:
        """A lookup, or its sum, some of whose parts are values read from the records."""
        first = int(node.op == "pyrec.LookupSum")
        parts: list[tuple[str, str, Any]] = []
        for source, table, part in zip(
            node.inputs[first::2], node.inputs[first + 1 :: 2], parts_of(node), strict=True
        ):
            found = [] if table else self.record_parts(source)
            parts += found if found and (not first or len(found) == 1) else [(source, table, part)]
        kept = {key: value for key, value in node.attributes.items() if key == "activation"}
        bias = node.inputs[0] if first else ""
        return _lookup(node.op, node.outputs[0], parts if first else _joined(parts), bias, kept, node.name)

    def run(self) -> Graph:
        nodes = []
        for old in self.graph.nodes:
            node = old
            if node.op == "Add":
                node = self.add(node)
            elif node.op in ACTIVATIONS:
                node = self.activate(node)
            elif node.op == "Concat":
                node = self.concat(node)
            elif node.op in ("pyrec.Lookup", "pyrec.LookupSum"):
                node = self.lookup(node)
            nodes.append(node)
            self.made.update((name, node) for name in node.outputs if name)
        return remove_dead(self.graph.with_(nodes=tuple(nodes)))


def _joined(parts: Sequence[tuple[str, str, Any]]) -> list[tuple[str, str, Any]]:
    """The parts with neighbours in the records made one."""
    found: list[tuple[str, str, Any]] = []
    for source, table, (column, offset, width, codec) in parts:
        if found and table == RECORDS and found[-1][:2] == (source, table):
            _, begin, before, other = found[-1][2]
            element = find_codec(codec).element
            if codec == other and element and begin + element.itemsize * before == offset:
                found[-1] = (source, table, (column, begin, before + width, codec))
                continue
        found.append((source, table, (column, offset, width, codec)))
    return found


def separate_items(graph: Graph, sides: Sides, precision: str = "fp32") -> Separated:
    """Cut a graph into an item's part and a pair's part.

    Parameters
    ----------
    graph : Graph
        As `split_graphs` leaves it.
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
    (['Exp'], ['pyrec.LookupSum'], 16)
    """
    _refuse(graph, analyze(graph).coupled)
    cut = _Cut(_split_lookups(graph, sides), sides)
    cut.shrink()
    fields, stride = cut.fields(precision)
    items = _item_graph(cut, fields)
    verify(items, "separate_items (items)")
    pairs = _Fuser(_pair_graph(cut, fields, stride, sides.items)).run()
    return Separated(items, pairs, fields, stride)
