"""The one way in which passes make nodes: written one after the other, under names that are free."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

import numpy as np

from pyrec_infer.ir import Array, Node


class Writer:
    """Writes nodes and constants under names made from another value's.

    Parameters
    ----------
    base : str
        What the names begin with.
    label : str
        The name that the nodes have in messages.
    taken : container of str
        Names that are not free.

    Attributes
    ----------
    nodes : list of Node
        What was written, in order.
    constants : dict of str to ndarray

    Examples
    --------
    >>> writer = Writer("y", "node 7")
    >>> writer.node("Mul", "x", writer.constant(2, np.float32))
    'y/2'
    """

    def __init__(self, base: str = "", label: str = "", taken: Container[str] = ()) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self._base = base
        self._label = label
        self._taken = taken
        self._made = 0

    def begin(self, base: str, label: str) -> None:
        """Name what follows after another value."""
        self._base, self._label = base, label

    def fresh(self) -> str:
        """A free name."""
        while True:
            self._made += 1
            name = f"{self._base}/{self._made}"
            if name not in self._taken:
                return name

    def constant(self, value: Any, dtype: Any = None) -> str:
        """A new constant; the array itself where its type and layout fit."""
        name = self.fresh()
        self.constants[name] = np.ascontiguousarray(value, dtype).reshape(np.shape(value))
        self.note_constant(name)
        return name

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """The result of a new node with one output."""
        return self.add(Node(op, inputs, (self.fresh(),), attributes, name=self._label))

    def add(self, node: Node) -> str:
        """The first result of a node that was made elsewhere."""
        self.nodes.append(node)
        self.note(node)
        return node.outputs[0]

    def note(self, node: Node) -> None:
        """For writers that keep book of the values: called for each node."""

    def note_constant(self, name: str) -> None:
        """Likewise, for each constant."""


__all__ = ["Writer"]
