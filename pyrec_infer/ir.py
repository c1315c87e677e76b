"""The intermediate representation: graphs of ONNX-like nodes with symbolic shapes.

A graph is closed: the body of a control-flow node names every outer value it uses as one of its own
inputs, so a rewrite never has to look outside. Operators carry the meaning of the newest ONNX opset
(`formats.onnx` rewrites older forms), so one rule per operator is enough.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from functools import cached_property
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError

Array: TypeAlias = NDArray[Any]

BATCH = "N"
"""Symbol of the batch axis: the number of candidates."""

STRING = np.dtype(str)
"""Element type of string tensors; arrays of it have any NumPy ``U`` width."""


class Undecidable(Exception):
    """A question about a symbolic dimension has no answer that holds for every size."""


@dataclass(frozen=True, slots=True)
class Dim:
    """A symbolic size: an integer times a product of named sizes, ``coefficient * s1 * s2 ...``.

    Named sizes are whole numbers of at least 0. Sums that are not of this form become a fresh
    symbol, so equal dims are certainly equal while different ones may still agree at run time.

    Examples
    --------
    >>> n = Dim.symbol("N")
    >>> n * 26, n * 26 // n, n + n
    (26*N, 26, 2*N)
    """

    coefficient: int
    symbols: tuple[str, ...]

    @staticmethod
    def symbol(name: str) -> Dim:
        return Dim(1, (name,))

    def _reduced(self) -> int | Dim:
        return self.coefficient if not self.symbols or self.coefficient == 0 else self

    def __mul__(self, other: object) -> Any:
        if isinstance(other, Dim):
            merged = tuple(sorted(self.symbols + other.symbols))
            return Dim(self.coefficient * other.coefficient, merged)._reduced()
        if isinstance(other, (int, np.integer)):
            return Dim(self.coefficient * int(other), self.symbols)._reduced()
        return NotImplemented

    __rmul__ = __mul__

    def __neg__(self) -> Any:
        return self * -1

    def __add__(self, other: object) -> Any:
        if isinstance(other, Dim) and other.symbols == self.symbols:
            return Dim(self.coefficient + other.coefficient, self.symbols)._reduced()
        if isinstance(other, (int, np.integer)) and int(other) == 0:
            return self
        raise Undecidable(f"{self} + {other}")

    __radd__ = __add__

    def __sub__(self, other: object) -> Any:
        if isinstance(other, (Dim, int, np.integer)):
            return self + -other
        return NotImplemented

    def __rsub__(self, other: object) -> Any:
        return -self + other

    def __floordiv__(self, other: object) -> Any:
        divisor = other if isinstance(other, Dim) else Dim(int(other), ())  # type: ignore[call-overload]
        remaining = list(self.symbols)
        for name in divisor.symbols:
            if name not in remaining:
                raise Undecidable(f"{self} // {other}")
            remaining.remove(name)
        if divisor.coefficient == 0 or self.coefficient % divisor.coefficient:
            raise Undecidable(f"{self} // {other}")
        return Dim(self.coefficient // divisor.coefficient, tuple(remaining))._reduced()

    __truediv__ = __floordiv__

    def __rfloordiv__(self, other: object) -> Any:
        raise Undecidable(f"{other} // {self}")

    def __mod__(self, other: object) -> Any:
        raise Undecidable(f"{self} % {other}")

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Dim):
            if (self.coefficient, self.symbols) == (other.coefficient, other.symbols):
                return True
            raise Undecidable(f"{self} == {other}")
        if isinstance(other, (int, np.integer)) and int(other) * self.coefficient < 0:
            return False
        raise Undecidable(f"{self} == {other}")

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: object) -> bool:
        if isinstance(other, Dim) and other.symbols == self.symbols and self.coefficient >= other.coefficient:
            return False
        if isinstance(other, (int, np.integer)) and self.coefficient > 0 and int(other) <= 0:
            return False
        raise Undecidable(f"{self} < {other}")

    def __gt__(self, other: object) -> bool:
        if isinstance(other, Dim) and other.symbols == self.symbols and self.coefficient <= other.coefficient:
            return False
        if isinstance(other, (int, np.integer)) and self.coefficient > 0 and int(other) < 0:
            return True
        raise Undecidable(f"{self} > {other}")

    def __le__(self, other: object) -> bool:
        return not self > other

    def __ge__(self, other: object) -> bool:
        return not self < other

    def __bool__(self) -> bool:
        raise Undecidable(f"bool({self})")

    def __int__(self) -> int:
        raise Undecidable(f"int({self})")

    __index__ = __int__

    def __hash__(self) -> int:
        return hash((self.coefficient, self.symbols))

    def __repr__(self) -> str:
        names = "*".join(self.symbols)
        return names if self.coefficient == 1 else f"{self.coefficient}*{names}"

    def value(self, sizes: Mapping[str, int]) -> int:
        """The size for the given values of the symbols."""
        product = self.coefficient
        for name in self.symbols:
            product *= sizes[name]
        return product


Size: TypeAlias = int | Dim
Shape: TypeAlias = tuple[Size, ...]


def same_size(a: Size, b: Size) -> bool:
    """Whether two sizes are equal whatever the symbols stand for."""
    try:
        return bool(a == b)
    except Undecidable:
        return False


def has_symbol(size: Size, name: str = BATCH) -> bool:
    return isinstance(size, Dim) and name in size.symbols


class Rate(Enum):
    """The earliest time at which a value can be known: a lattice in which a request and an item lie side
    by side, so that neither is before the other and only their pair is after both.
    """

    MODEL = "model"
    REQUEST = "request"
    ITEM = "item"
    PAIR = "pair"

    def join(self, *others: Rate) -> Rate:
        """The earliest rate at which all are known.

        >>> Rate.REQUEST.join(Rate.ITEM).name, Rate.MODEL.join(Rate.ITEM, Rate.MODEL).name
        ('PAIR', 'ITEM')
        """
        latest = self
        for rate in others:
            if latest is Rate.MODEL:
                latest = rate
            elif rate is not latest and rate is not Rate.MODEL:
                return Rate.PAIR
        return latest

    def known_by(self, other: Rate) -> bool:
        """Whether what has this rate is known at the other.

        >>> Rate.MODEL.known_by(Rate.ITEM), Rate.REQUEST.known_by(Rate.ITEM)
        (True, False)
        """
        return self.join(other) is other

    @property
    def in_call(self) -> Rate:
        """The rate in a call, where constants are at hand with the request."""
        return Rate.REQUEST if self is Rate.MODEL else self

    @property
    def order(self) -> int:
        """A number that grows along the lattice, to put values of several rates in a fixed order."""
        return _RATE_ORDER[self]


_RATE_ORDER = {rate: place for place, rate in enumerate(Rate)}


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


Attribute: TypeAlias = (
    int
    | float
    | str
    | bytes
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
    | tuple[Dim, ...]
    | Array
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
        """A copy with some fields replaced."""
        return replace(self, **changes)


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
                raise ModelError(f"node {node.name!r} ({node.op}) reads {name!r}, which nothing makes")
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
                fail(f"node {node.name!r} ({node.op}) reads {name!r} before it is made")
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
