"""What calls of a catalogue are given, in the order in which its plans take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pyrec_infer.arguments import Inputs, Signature
from pyrec_infer.interrupts import let_interrupts_pass


def _by_name(given: Any, names: Sequence[str], others: frozenset[str]) -> Sequence[Any] | None:
    """The values of a dictionary with these names; of further ones it may have the others."""
    if type(given) is not dict:
        return None
    if len(given) != len(names) and not others.issuperset(given.keys() - names):
        return None
    try:
        return [given[name] for name in names]
    except KeyError as error:
        let_interrupts_pass(error)
        return None


class Given:
    """Puts values or raw rows in order; None for all that needs a closer look.

    Parameters
    ----------
    signature : Signature
    request, candidates, items : sequence of str
        The inputs of each side, in order.
    """

    def __init__(
        self, signature: Signature, request: Sequence[str], candidates: Sequence[str], items: Sequence[str]
    ) -> None:
        self._names = {"request": request, "candidate": candidates, "item": items}
        self._takes_rows = signature.takes_rows
        named = {*request, *candidates, *items}
        self._unread = frozenset(name for name in signature.infos if name not in named)
        self._readers = {side: signature.row_reader(names, side) for side, names in self._names.items()}
        self.reader = None if candidates else self._readers["request"]
        """What reads a raw row that is all of a call, where anything does."""

    def _side(self, side: str, given: Inputs) -> Sequence[Any] | None:
        if not self._takes_rows or (not self._names[side] and type(given) is dict and not given):
            own = side == "request"
            return _by_name(given, self._names[side], self._unread if own else frozenset())
        reader = self._readers[side]
        found: tuple[Any, ...] | None = None if reader is None else reader.read(given)
        return found

    def of_request(self, request: Inputs, candidates: Inputs | None) -> Sequence[Any] | None:
        """The request's inputs, then the candidates'."""
        own = self._side("request", request)
        late = None if own is None else self._side("candidate", {} if candidates is None else candidates)
        return None if own is None or late is None else [*own, *late]

    def scores(
        self, call: Callable[..., Any], request: Inputs, candidates: Inputs | None, ids: Any, **asked: Any
    ) -> Any:
        """What a call that looks the items up makes of a raw row or a request by names; None if nothing."""
        if self.reader is not None:
            return call(request, ids=ids, **asked) if candidates is None else None
        values = self.of_request(request, candidates)
        return None if values is None else call(*values, ids=ids, **asked)

    def of_items(self, items: Inputs) -> list[Any] | None:
        """The items' inputs."""
        found = self._side("item", items)
        return None if found is None else [*found]


__all__ = ["Given"]
