"""What calls of a catalogue are given, in the order in which its plans take it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import is_
from typing import Any

from pyrec_infer.arguments import Inputs, Signature, of_one_row
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
    """Puts arrays or raw rows in order; None for all that needs a closer look.

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
        self._of_request = [signature.infos[name] for name in request]
        named = {*request, *candidates, *items}
        self._unread = frozenset(name for name in signature.infos if name not in named)
        self._readers = {side: signature.row_reader(names, side) for side, names in self._names.items()}
        self.reader = None if candidates else self._readers["request"]
        """What reads a raw row that is all of a call, where anything does."""

    def _side(self, side: str, given: Inputs) -> Sequence[Any] | None:
        if not self._takes_rows or (not self._names[side] and type(given) is dict and not given):
            own = side == "request"
            values = _by_name(given, self._names[side], self._unread if own else frozenset())
            return of_one_row(values, self._of_request) if own and values is not None else values
        reader = self._readers[side]
        found: tuple[Any, ...] | None = None if reader is None else reader.read(given)
        return found

    def of_request(self, request: Inputs, candidates: Inputs | None) -> Sequence[Any] | None:
        """The request's inputs, then the candidates'."""
        own = self._side("request", request)
        late = None if own is None else self._side("candidate", {} if candidates is None else candidates)
        return None if own is None or late is None else [*own, *late]

    def scores(self, call: Callable[..., Any], request: Inputs, candidates: Inputs | None, ids: Any) -> Any:
        """What a call that looks the items up makes of a raw row or of a request by names; None if nothing.

        Values go to it as they are, and what they are is looked at only where it does not take them so.
        """
        if self.reader is not None:
            return call(request, ids=ids) if candidates is None else None
        if candidates is not None or self._takes_rows:
            values = self.of_request(request, candidates)
            return None if values is None else call(*values, ids=ids)
        named = _by_name(request, self._names["request"], self._unread)
        found = None if named is None else call(*named, ids=ids)
        if named is None or found is not None:
            return found
        rows = of_one_row(named, self._of_request)
        return None if rows is None or all(map(is_, rows, named)) else call(*rows, ids=ids)

    def of_items(self, items: Inputs) -> list[Any] | None:
        """The items' inputs."""
        found = self._side("item", items)
        return None if found is None else [*found]


__all__ = ["Given"]
