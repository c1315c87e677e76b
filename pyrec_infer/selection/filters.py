"""Filters: which items of a catalogue or a retriever may be found, said once for many calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError, InputError
from pyrec_infer.ir import Array
from pyrec_infer.selection.conditions import Condition
from pyrec_infer.store import Attribute, Keys

Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Scope:
    """Some rows of one state of the items.

    Attributes
    ----------
    column : callable
        What is stored of an attribute in these rows.
    find : callable
        An attribute, which knows the strings of this state.
    member : callable
        Which of these rows an item of a set of keys has.
    """

    column: Callable[[str], Array]
    find: Callable[[str], Attribute]
    member: Callable[[Members], Flags]


class Node(Protocol):
    """A part of a filter."""

    def test(self, scope: Scope) -> Flags:
        """Which of the scope's rows it lets through."""
        ...

    def members(self) -> Iterator[Members]:
        """The sets of items in it."""
        ...


@dataclass(frozen=True, eq=False)
class Members:
    """Items by their ids."""

    keys: Keys

    def test(self, scope: Scope) -> Flags:
        return scope.member(self)

    def members(self) -> Iterator[Members]:
        yield self


@dataclass(frozen=True, eq=False)
class Where:
    """Items whose attribute meets a condition."""

    condition: Condition

    def test(self, scope: Scope) -> Flags:
        name = self.condition.attribute.name
        return self.condition.test(scope.find(name), scope.column(name))

    def members(self) -> Iterator[Members]:
        return iter(())


@dataclass(frozen=True, eq=False)
class Both:
    """What two parts let through: both, or either."""

    parts: tuple[Node, Node]
    either: bool

    def test(self, scope: Scope) -> Flags:
        left, right = (part.test(scope) for part in self.parts)
        return left | right if self.either else left & right

    def members(self) -> Iterator[Members]:
        for part in self.parts:
            yield from part.members()


@dataclass(frozen=True, eq=False)
class Not:
    """What a part does not let through."""

    part: Node

    def test(self, scope: Scope) -> Flags:
        return ~self.part.test(scope)

    def members(self) -> Iterator[Members]:
        return self.part.members()


class Filter:
    """Which items may be found. Made by the ``where`` and ``filter`` of a `Catalog` or a `Retriever`, whose
    ``top_k`` takes it; combined with ``&``, ``|`` and ``~``.

    It is what it says, not a list of items: each call asks it of the items as they are then. What was worked
    out for one state of the items is kept until they change. ``~`` lets everything else through, items with a
    missing value among it. Immutable; any number of threads may use it.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> shop = pi.Retriever([[1.0], [2.0], [3.0]], attributes={"price": [5, 20, None]})
    >>> cheap = shop.where("price", max=10)
    >>> shop.top_k([1.0], 3, where=cheap).ids.tolist()
    [[0]]
    >>> shop.top_k([1.0], 3, where=~cheap & shop.where("price")).ids.tolist()
    [[1]]
    """

    __slots__ = ("node", "owner")

    # An array would try each of its elements.
    __array_ufunc__ = None

    def __init__(self, owner: object, node: Node) -> None:
        self.owner = owner
        self.node = node

    def __and__(self, other: Filter) -> Filter:
        return self._with(other, either=False)

    def __or__(self, other: Filter) -> Filter:
        return self._with(other, either=True)

    # Of what is no filter.
    __rand__, __ror__ = __and__, __or__

    def __invert__(self) -> Filter:
        return Filter(self.owner, Not(self.node))

    def __bool__(self) -> bool:
        raise TypeError("a Filter is neither true nor false: combine filters with &, | and ~")

    def _with(self, other: Any, either: bool) -> Filter:
        if not isinstance(other, Filter):
            kind = type(other).__name__
            raise DTypeError(f"& and |: expected a Filter, got {kind}; `filter` makes one of a mask or ids")
        require_filter(other, self.owner)
        return Filter(self.owner, Both((self.node, other.node), either))


def require_filter(where: Any, owner: object) -> Filter:
    """The filter of a call on some items.

    Raises
    ------
    DTypeError
        If it is none; `InputError` if it is of others.
    """
    if not isinstance(where, Filter):
        raise DTypeError(f"where: expected a Filter, got {type(where).__name__}; `allow` takes masks and ids")
    if owner is not where.owner:
        raise InputError("where: expected a filter of the same catalogue or retriever, got another's")
    return where


def members_of(where: Filter | None) -> list[Members]:
    """The sets of items in a filter, each once."""
    return [] if where is None else list(dict.fromkeys(where.node.members()))


__all__ = ["Filter", "Members", "Scope", "Where", "members_of", "require_filter"]
