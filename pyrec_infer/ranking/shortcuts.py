"""Calls that a model has met before: arrays that fit as they are go straight to the backend."""

from __future__ import annotations

from typing import Any, TypeAlias

from pyrec_infer.arguments import Signature, of_one_row
from pyrec_infer.execution.calls import PositionalCall
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Info
from pyrec_infer.outputs import Wanted
from pyrec_infer.ranking.ranking import Way

Key: TypeAlias = "tuple[Any, ...]"

_MOST = 64
"""Calls that are kept by the names of what they were given."""


class Shortcuts:
    """The way of a call from the names of its inputs to a plan."""

    def __init__(self) -> None:
        self._calls: dict[Key, tuple[Any, Wanted, list[Info | None]]] = {}

    def key(self, request: Any, candidates: Any, output: Any, by: Any, single: bool) -> Key | None:
        """What tells calls apart; None for those that have no shortcut."""
        if type(request) is not dict or type(candidates) is not dict:
            return None
        named = tuple(output) if type(output) is list else output
        key = tuple(request), tuple(candidates), named, type(output), by, single
        try:
            hash(key)
        except TypeError as error:  # neither a name nor a pair: refused where it is read
            let_interrupts_pass(error)
            return None
        return key

    def scores(self, key: Key, request: Any, candidates: Any) -> Any:
        """The scores of a call that was met before, or None."""
        found = self._calls.get(key)
        if found is None or found[0] is None:
            return None
        quick, wanted, infos = found
        scores = quick(*request.values(), *candidates.values())
        if scores is None:
            rows = of_one_row(request.values(), infos)
            scores = None if rows is None else quick(*rows, *candidates.values())
        return scores if scores is None or wanted.keys is None else wanted.unpack(scores)

    def remember(self, key: Key, way: Way, signature: Signature) -> None:
        """Let later calls with these names take the shortcut, where their values need no change."""
        if key in self._calls or signature.takes_rows:
            return
        request, candidates, *_ = key
        if len(self._calls) >= _MOST:
            self._calls.clear()
        names = (*request, *candidates)
        quick = None
        if not any(name in signature.columns for name in names):
            quick = PositionalCall(way.ready, names, frozenset(request), None).in_backend(None)
        self._calls[key] = quick, way.wanted, [signature.infos.get(name) for name in request]


__all__ = ["Shortcuts"]
