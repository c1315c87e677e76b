"""Graphs: values and what is known of them, nodes, and the rules that every graph keeps."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir.arrays import Array
from pyrec_infer.ir.forest import Forest
from pyrec_infer.ir.forest_division import ForestDivision
from pyrec_infer.ir.linear import Linear
from pyrec_infer.ir.secret import Secret
from pyrec_infer.ir.sizes import Dim, Shape


class Rows(IntEnum):
    """Where a value holds its rows, if not at an axis number >= 0."""

    INVARIANT = -1
    """The value has no batch axis: every row of the batch sees the same."""
    OPAQUE = -2
    """The value depends on the batch in a way the analysis does not follow."""


RowAxis: TypeAlias = int
"""An axis number, or a member of `Rows`. Along a row axis of size ``N * m`` the ``m`` entries of a
row are adjacent."""


@dataclass(frozen=True, slots=True)
class Info:
    """What is known of a value before any run.

    Attributes
    ----------
    dtype : numpy.dtype or None
        Element type, None if unknown.
    shape : tuple of int or Dim, or None
        None if not even the rank is known.
    rows : int
        Axis that holds the rows, or a member of `Rows`.
    constant : ndarray or None
        The value itself where it is known.
    contents : object ndarray of int and Dim, or None
        Symbolic elements of a small integer tensor, as shape arithmetic makes them.
    sequence : bool
        Whether it is a sequence of tensors of that dtype.
    """

    dtype: np.dtype[Any] | None
    shape: Shape | None
    rows: RowAxis = Rows.INVARIANT
    constant: Array | None = None
    contents: Array | None = None
    sequence: bool = False

    @property
    def rank(self) -> int | None:
        return None if self.shape is None else len(self.shape)

    def with_rows(self, rows: RowAxis) -> Info:
        """The same of a value whose rows are along that axis."""
        if self.rows == rows:
            return self
        return Info(self.dtype, self.shape, rows, self.constant, self.contents, self.sequence)


@dataclass(frozen=True, eq=False)
class Foreign:
    """What another runtime has to be told of a node whose operator has no meaning here.

    Such a node has this beside its attributes, under `FOREIGN`.

    Attributes
    ----------
    domain, name, overload : str
        Of the operator.
    attributes : mapping
        Values by name; tensors as arrays.
    kinds : mapping
        What the file calls the type of each attribute, which an empty list does not tell.
    versions : mapping of str to int
        Of the operator sets of the file.
    """

    domain: str
    name: str
    overload: str
    attributes: Mapping[str, Attribute]
    kinds: Mapping[str, str]
    versions: Mapping[str, int]


FOREIGN = "foreign"


Attribute: TypeAlias = (
    int
    | float
    | str
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
    | tuple[Dim, ...]
    | Array
    | Foreign
    | Forest
    | ForestDivision
    | Linear
    | Secret
)


@dataclass(frozen=True, eq=False)
class Node:
    """One operator application.

    Attributes
    ----------
    op : str
        Operator name, with its domain in front except for ai.onnx: ``"Gemm"``,
        ``"ai.onnx.ml.Scaler"``.
    inputs, outputs : tuple of str
        Value names; an empty string is an optional that is absent.
    attributes : mapping
        Attribute values; tensors as arrays.
    bodies : tuple of Graph
        Bodies of control flow: If has (then, else), Loop and Scan have (body,). Outer values a body
        uses are appended to the node's inputs and to each body's inputs, in the same order.
    name : str
        The name in the model's file, for messages.
    findings : dict
        What analyses have found of it, each under a key of its own; a copy has none.
    """

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    bodies: tuple[Graph, ...] = ()
    name: str = ""
    findings: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    @property
    def title(self) -> str:
        """The node as messages name it."""
        return f"node {self.name!r} ({self.op})"

    def attribute(self, key: str, default: Any = None) -> Any:
        return self.attributes.get(key, default)


@dataclass(frozen=True, eq=False)
class Graph:
    """A closed data-flow graph in topological order.

    Attributes
    ----------
    inputs, outputs : tuple of str
        Names of the values that go in and come out.
    nodes : tuple of Node
        Every node after the nodes it reads from.
    constants : mapping of str to ndarray
        Weights and other values known at load.
    infos : mapping of str to Info
        What is known of the inputs before the analysis; it must hold every input.
    static_rows : int
        To how many rows the file fixes the batch, 0 if it does not; such a graph is run for so many rows at
        a time.
    findings : dict
        What analyses have found of it, each under a key of its own; a copy has none.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[str, Array]
    infos: Mapping[str, Info]
    static_rows: int = 0
    findings: dict[Any, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "constants", MappingProxyType(dict(self.constants)))
        object.__setattr__(self, "infos", MappingProxyType(dict(self.infos)))

    @cached_property
    def producers(self) -> Mapping[str, Node]:
        return {name: node for node in self.nodes for name in node.outputs if name}

    @cached_property
    def consumers(self) -> Mapping[str, tuple[Node, ...]]:
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                if name:
                    found.setdefault(name, []).append(node)
        return {name: tuple(nodes) for name, nodes in found.items()}

    def with_(self, **changes: Any) -> Graph:
        """A copy with some fields replaced; the graph itself where all are as they were."""
        # Most passes leave most graphs as they are, and what was found of those still holds.
        if all(_same_field(getattr(self, name), value) for name, value in changes.items()):
            return self
        return replace(self, **changes)


def _same_field(old: Any, new: Any) -> bool:
    """Whether two values of a field of `Graph` are one, or hold the same objects in the same order."""
    if old is new:
        return True
    if isinstance(old, Mapping):
        if len(old) != len(new) or list(old) != list(new):
            return False
        return all(value is new[name] for name, value in old.items())
    return bool(old == new)


def topological(nodes: Iterable[Node], known: Iterable[str]) -> tuple[Node, ...]:
    """The nodes in an order in which each comes after what it reads, stable where it can be.

    Raises
    ------
    ModelError
        If there is a cycle or a node reads a value that nothing makes.
    """
    pending = list(nodes)
    made = {name: i for i, node in enumerate(pending) for name in node.outputs if name}
    available = set(known)
    waiting: dict[int, int] = {}
    dependents: dict[int, list[int]] = {}
    for i, node in enumerate(pending):
        sources = {name for name in node.inputs if name and name not in available}
        for name in sources:
            if name not in made:
                raise ModelError(f"{node.title} reads {name!r}, which nothing makes")
        before = {made[name] for name in sources}
        waiting[i] = len(before)
        for j in before:
            dependents.setdefault(j, []).append(i)
    ready = [i for i, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    ordered: list[Node] = []
    while ready:
        i = heapq.heappop(ready)
        ordered.append(pending[i])
        for j in dependents.get(i, ()):
            waiting[j] -= 1
            if waiting[j] == 0:
                heapq.heappush(ready, j)
    if len(ordered) != len(pending):
        stuck = next(node for i, node in enumerate(pending) if waiting[i] > 0)
        raise ModelError(f"the graph has a cycle through node {stuck.name!r} ({stuck.op})")
    return tuple(ordered)


def verify(graph: Graph, stage: str) -> None:
    """Check the rules every graph keeps, and name the stage that broke one.

    Raises
    ------
    ModelError
        Names the stage (a pass or the import) and the rule.
    """

    def fail(rule: str) -> None:
        raise ModelError(f"after {stage}: {rule}")

    available: set[str] = set()
    for name in (*graph.inputs, *graph.constants):
        if name in available:
            fail(f"value {name!r} is defined twice")
        available.add(name)
    for name in graph.inputs:
        if name not in graph.infos:
            fail(f"input {name!r} has no type")
    for node in graph.nodes:
        for name in node.inputs:
            if name and name not in available:
                fail(f"{node.title} reads {name!r} before it is made")
        for name in node.outputs:
            if not name:
                continue
            if name in available:
                fail(f"value {name!r} is defined twice")
            available.add(name)
        for body in node.bodies:
            verify(body, stage)
    for name in graph.outputs:
        if name not in available:
            fail(f"output {name!r} is not made by any node")
