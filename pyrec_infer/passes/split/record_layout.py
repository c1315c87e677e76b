"""Which values of an item are stored, and where in its record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from pyrec_infer.codecs import codec_of
from pyrec_infer.errors import UnsupportedModelError
from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Rate, Size
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.fused import F32
from pyrec_infer.passes.common.sides import Sides, find_rates

RECORDS = "catalog/records"
"""Input of the pair graph: one record of bytes for each item that the catalogue has room for."""

ROWS = "catalog/rows"
"""Input of the pair graph: the record of each candidate."""

NEAR = "near"
"""Attribute of an item's lookups in tables that stay in cache: the record holds their ids."""

_LONG = 16
"""Shorter values are stored exactly at every precision; they would not make records much smaller."""


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


class ItemCut:
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
                saves = new < old or (new == old and self.is_free(node))
                if old == float("inf") or (saves and self.is_cheap(node)):
                    for other in own:
                        del self.frontier[other]
                    self.frontier.update(dict.fromkeys(sources))
                    self.moved.add(node)
                    changed = True
                    break

    def is_free(self, node: Node) -> bool:
        """Whether what it is made of is as good to store."""
        parts = [self.graph.producers.get(name) for name in node.inputs] if node.op == "Concat" else []
        near = any(part is not None and part.attribute(NEAR) for part in parts)
        return near or has(node, Trait.VIEW) or node.op == "Transpose"

    def is_cheap(self, node: Node) -> bool:
        if node.attribute(NEAR):
            return True
        if node.op.startswith("Gather"):
            # Fixed positions; not rows of a table, which lie far apart.
            return self.rates[node.inputs[1]] == Rate.MODEL
        return _is_cheap(node) or self.is_outer_product(node)

    def is_outer_product(self, node: Node) -> bool:
        """Whether all products of two values take at least twice as much room as the values."""
        if node.op != "Mul":
            return False
        operands = sum(self.row_bytes(name) for name in dict.fromkeys(node.inputs))
        return self.row_bytes(node.outputs[0]) >= 2 * operands

    def exact(self) -> set[str]:
        """Values that ids or decisions are made of: what they hold may not be rounded."""
        found: set[str] = set()
        for node in reversed(self.graph.nodes):
            made = self.infos[node.outputs[0]].dtype if node.outputs[0] else None
            rounds = node.op == "Cast" and made is not None and made.kind in "iub"
            decides = rounds or has(node, Trait.DISCONTINUOUS)
            again = _is_cheap(node) or node in self.moved
            if decides or (again and any(name in found for name in node.outputs)):
                found.update(name for name in node.inputs if name)
        return found

    def readers(self, name: str) -> str:
        for node in self.graph.nodes:
            late = node in self.moved or any(self.rates[made] == Rate.PAIR for made in node.outputs if made)
            if name in node.inputs and late:
                return node.title
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
                    f"a catalogue cannot store the strings {name!r} that {self.readers(name)} reads;"
                    " give them with the candidates, or combine hashes of them"
                )
            if shape is None or info.dtype is None or prod(shape) == 0:
                raise UnsupportedModelError(
                    f"a catalogue cannot store {name!r}, which {self.readers(name)} reads: "
                    "its size for each item is not known"
                )
            codec, size = _storage(info.dtype, prod(shape), "fp32" if name in exact else precision)
            found.append(Field(name, info.dtype, shape, info.rows, codec, 0, size))
        # Graphs for few and for many candidates find the same fields, in other orders.
        found.sort(key=lambda field: (-field.size, field.value in self.graph.inputs))
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
    codec = codec_of(precision if width >= _LONG else "fp32")
    return codec.name, codec.row_bytes(width)


__all__ = ["NEAR", "RECORDS", "ROWS", "Field", "ItemCut"]
