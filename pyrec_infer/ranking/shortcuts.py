"""Calls that a model has met before: values that need no closer look go straight to the backend."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from pyrec_infer.arguments import Signature
from pyrec_infer.execution.calls import PositionalCall
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.outputs import Wanted
from pyrec_infer.ranking.ranking import Way
from pyrec_infer.top_k import Ranked

Key: TypeAlias = "tuple[Any, ...]"

_MOST = 64
"""Calls that are kept by the names of what they were given."""


@dataclass(frozen=True)
class _Met:
    """A call that was met before.

    Attributes
    ----------
    run : callable
        Takes the values by position; None where they need a closer look.
    wanted : Wanted
    several : bool
        Whether it may be of several requests.
    readers : tuple of two native.RowReader, optional
        Of raw rows, which are the values' sides.
    """

    run: Callable[..., Any]
    wanted: Wanted
    several: bool
    readers: tuple[Any, Any] | None

    def call(self, request: Any, candidates: Any, offsets: Any, **named: Any) -> Any:
        """What a call with these names gives; None where it needs a closer look."""
        if offsets is not None:
            if not self.several:
                return None
            named["offsets"] = offsets
        if self.readers is None:
            return self.run(*request.values(), *candidates.values(), **named)
        own = self.readers[0].read(request)
        others = None if own is None else self.readers[1].read(candidates)
        return None if others is None else self.run(*own, *others, **named)


def _names(side: Any) -> Key | None:
    """The names of a side: of a dictionary, or of the first of several that are raw rows."""
    if type(side) is dict:
        return tuple(side)
    return (list, *side[0]) if type(side) is list and side and type(side[0]) is dict else None


class Shortcuts:
    """The way of a call from the names of its inputs to a plan."""

    def __init__(self) -> None:
        self._calls: dict[Key, _Met | None] = {}

    def key(self, request: Any, candidates: Any, output: Any, by: Any, single: bool) -> Key | None:
        """What tells calls apart; None for those that have no shortcut."""
        own, others = _names(request), _names(candidates)
        if own is None or others is None:
            return None
        named = tuple(output) if type(output) is list else output
        key = own, others, named, type(output), by, single
        try:
            hash(key)
        except TypeError as error:  # neither a name nor a pair: refused where it is read
            let_interrupts_pass(error)
            return None
        return key

    def scores(self, key: Key | None, request: Any, candidates: Any, offsets: Any) -> Any:
        """The scores of a call that was met before, or None."""
        met = self._calls.get(key) if key is not None else None
        scores = None if met is None else met.call(request, candidates, offsets)
        return scores if scores is None or met is None else met.wanted.unpack(scores)

    def best(
        self, key: Key | None, request: Any, candidates: Any, offsets: Any, k: int
    ) -> tuple[Ranked, int] | None:
        """The best candidates of each request, and how many there are, of a call that was met before."""
        met = self._calls.get(key) if key is not None else None
        found = None if met is None else met.call(request, candidates, offsets, k=k)
        return None if found is None else (Ranked(*found[0]), found[1])

    def remember(self, key: Key | None, way: Way, signature: Signature) -> None:
        """Let later calls with these names take the shortcut, where their values need no change."""
        if key is None or key in self._calls:
            return
        if len(self._calls) >= _MOST:
            self._calls.clear()
        self._calls[key] = _met(key, way, signature)


def _met(key: Key, way: Way, signature: Signature) -> _Met | None:
    """The shortcut of a call; None where there is none."""
    request, candidates, *_ = key
    readers = None
    if signature.takes_rows:
        request, candidates = (
            signature.expand_names(name for name in side if name is not list)
            for side in (request, candidates)
        )
        readers = signature.row_reader(request, ""), signature.row_reader(candidates, "")
        if None in readers:
            return None
    names: Sequence[str] = (*request, *candidates)
    # The first of several raw rows may lack what others have.
    if any(name in signature.columns for name in names) or not {*names}.issuperset(way.ready.plan.given):
        return None
    run = PositionalCall(way.ready, names, frozenset(request), None).in_backend(None)
    several = not way.view.moved and not way.ready.plan.one_request
    return None if run is None else _Met(run, way.wanted, several, readers)


__all__ = ["Shortcuts"]
