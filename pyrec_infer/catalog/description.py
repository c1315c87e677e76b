"""What makes the records of a catalogue, in a form that can be kept and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.catalog.halves import Halves
from pyrec_infer.ir import Array, Graph, Node
from pyrec_infer.passes import EVERY

_PROBES = 64
"""Real numbers of an array that are compared."""

_ALIKE, _LEAST = 1e-4, 1e-7
"""Real numbers that the compiler makes may differ by so much, as a share of the largest beside them and in
all: processors add in other orders."""


class Description:
    """What the part of a model that makes records is: exactly, but for real numbers, of which some are kept.

    Two releases, backends or processors whose descriptions are alike make the same records of the same items,
    up to the order of additions, and read them alike.

    Parameters
    ----------
    halves : Halves

    Attributes
    ----------
    digest : str
        Of all but the real numbers.
    probes : ndarray of float64
    """

    def __init__(self, halves: Halves) -> None:
        self._hash = hashlib.sha256()
        self._probes: list[NDArray[np.float64]] = []
        separated = halves.separated
        self._add((separated.fields, separated.stride, separated.items))
        self._add([item.graph for item in halves.states[EVERY].context.stored])
        self.digest = self._hash.hexdigest()
        self.probes = np.concatenate([np.empty(0), *self._probes])

    def is_alike(self, digest: str, probes: Array) -> bool:
        """Whether another one is, of which these are known."""
        if digest != self.digest or probes.shape != self.probes.shape:
            return False
        begin = 0
        for own in self._probes:
            other = probes[begin : begin + len(own)]
            begin += len(own)
            finite = np.isfinite(own)
            # Before anything is subtracted: those of a file may be any bits.
            if not np.array_equal(finite, np.isfinite(other)):
                return False
            largest = np.abs(own[finite]).max(initial=0.0)
            with np.errstate(over="ignore"):
                near = np.abs(own[finite] - other[finite]) <= _ALIKE * largest + _LEAST
            if not near.all() or not np.array_equal(own[~finite], other[~finite], equal_nan=True):
                return False
        return True

    def _tag(self, *parts: object) -> None:
        self._hash.update(f"{parts!r};".encode("utf-8", "surrogatepass"))

    def _add(self, value: Any) -> None:
        if isinstance(value, Graph):
            self._add_graph(value)
        elif isinstance(value, Node):
            named = {key: value.attributes[key] for key in sorted(value.attributes)}
            self._add((value.op, value.inputs, value.outputs, named, value.bodies))
        elif isinstance(value, np.ndarray):
            self._add_array(value)
        elif isinstance(value, Enum):
            self._tag(type(value).__name__, value.name)
        elif isinstance(value, (float, np.floating)):
            self._add_array(np.asarray(value, np.float64))
        elif isinstance(value, np.generic):
            self._add(value.item())
        elif is_dataclass(value):
            self._tag(type(value).__name__)
            self._add_all(getattr(value, item.name) for item in fields(value))
        elif isinstance(value, Mapping):
            self._tag("mapping", len(value))
            self._add_all(part for item in value.items() for part in item)
        elif isinstance(value, (list, tuple)):
            self._tag("list", len(value))
            self._add_all(value)
        else:
            self._tag(value)

    def _add_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self._add(value)

    def _add_graph(self, graph: Graph) -> None:
        used = {name for node in graph.nodes for name in node.inputs} | {*graph.outputs}
        self._add((graph.inputs, graph.outputs, graph.static_rows, graph.nodes))
        self._add({name: graph.constants[name] for name in sorted(graph.constants) if name in used})
        self._add([(graph.infos[name].dtype, graph.infos[name].shape) for name in graph.inputs])

    def _add_array(self, array: Array) -> None:
        self._tag(array.dtype.str, array.shape)
        if array.dtype.hasobject or array.dtype.kind == "U":
            self._tag(array.tolist())
        elif array.dtype.kind == "f":
            flat = array.reshape(-1)
            places = np.linspace(0, max(len(flat) - 1, 0), min(len(flat), _PROBES)).astype(np.int64)
            self._probes.append(flat[places].astype(np.float64))
        else:
            self._hash.update(np.ascontiguousarray(array).view(np.uint8).data)


__all__ = ["Description"]
