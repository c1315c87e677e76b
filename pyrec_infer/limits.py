"""How much memory a model and one call may take, who has taken how much, and the error where none is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache, wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np

from pyrec_infer.errors import PyrecError, ResourceLimitError
from pyrec_infer.interrupts import let_interrupts_pass

MAX_RANK = 8
"""Axes that the executor can address."""

UNLIMITED = 2**63 - 1

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

_DEFAULT = 4 << 30
_CONTROL_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def machine_memory() -> int:
    """Bytes of memory that this machine or its container has."""
    found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for name in _CONTROL_GROUPS:
        try:
            found = min(found, int(Path(name).read_text()))
        except (OSError, ValueError) as error:
            let_interrupts_pass(error)
            continue
    return max(found, 1)


@cache
def default_max_bytes() -> int:
    """What a call may take where nothing else is said: 4 GiB, but no more than half of the memory."""
    return min(_DEFAULT, machine_memory() // 2)


class Budget:
    """The memory that one call in Python has taken.

    Parameters
    ----------
    limit : int
    """

    __slots__ = ("held", "limit")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.held = 0

    def require(self, needed: int) -> None:
        """Refuse what would not fit any more.

        Raises
        ------
        ResourceLimitError
        """
        if needed > self.limit - self.held:
            raise ResourceLimitError(
                f"a call may hold {self.limit} bytes (max_bytes), {needed} more are needed beside {self.held}"
            )

    def take(self, size: int) -> None:
        """Count what was made."""
        self.require(size)
        self.held += size


_LARGE = 1 << 31

_SMALL = 1 << 20
"""Bytes that any call may hold to which nothing else is said: half of no machine's memory is less."""


def repeats_beyond_memory(array: np.ndarray[Any, Any]) -> bool:
    """Whether a view repeats its elements to more bytes than a call may hold: a copy would take them."""
    return array.nbytes > _LARGE and 0 in array.strides and array.nbytes > default_max_bytes()


def require_own_elements(label: str, array: np.ndarray[Any, Any]) -> None:
    """Refuse such a view.

    Raises
    ------
    ResourceLimitError
    """
    if repeats_beyond_memory(array):
        raise ResourceLimitError(
            f"{label}: an array of shape {list(array.shape)} that repeats its elements is more than a call's "
            f"memory can hold, {default_max_bytes()} bytes"
        )


def memory_errors_typed(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The function, whose error is one of this package where the system has no more memory."""

    @wraps(function)
    def typed(*arguments: Arguments.args, **named: Arguments.kwargs) -> Result:
        try:
            return function(*arguments, **named)
        except PyrecError:
            raise
        except MemoryError:
            raise ResourceLimitError("the system has no more memory for this") from None

    return typed


_current: ContextVar[Budget | None] = ContextVar("budget", default=None)


def current_budget() -> Budget:
    """The budget of the call that this thread works for; a new one outside of calls."""
    return _current.get() or Budget(default_max_bytes())


def require_room(needed: int) -> None:
    """Refuse what the call that this thread works for cannot hold beside what it holds.

    Raises
    ------
    ResourceLimitError
    """
    budget = _current.get()
    if budget is not None:
        budget.require(needed)
    elif needed > _SMALL:
        Budget(default_max_bytes()).require(needed)


def is_limited() -> bool:
    """Whether the call that this thread works for has a budget."""
    return _current.get() is not None


@contextmanager
def limited(limit: int) -> Iterator[Budget]:
    """A budget of its own for what runs inside."""
    budget = Budget(limit)
    token = _current.set(budget)
    try:
        yield budget
    finally:
        _current.reset(token)


__all__ = [
    "MAX_RANK",
    "UNLIMITED",
    "Budget",
    "current_budget",
    "default_max_bytes",
    "is_limited",
    "limited",
    "machine_memory",
    "memory_errors_typed",
    "repeats_beyond_memory",
    "require_own_elements",
    "require_room",
]
