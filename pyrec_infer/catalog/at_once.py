"""Calls for the best items whose arguments need no closer look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import Inputs
from pyrec_infer.catalog.by_product import FEWEST, ProductSearch
from pyrec_infer.catalog.scorer import Scorer
from pyrec_infer.catalog.search import FEW_EXCLUDED
from pyrec_infer.execution.calls import are_many
from pyrec_infer.ir import Array
from pyrec_infer.limits import is_limited
from pyrec_infer.selection import Filter
from pyrec_infer.selection.excluded import ExcludedRows, rest_of
from pyrec_infer.store import IdType, Keys, Rows64, State, Store
from pyrec_infer.store.ids import join_keys
from pyrec_infer.top_k import Ranked, Selection, TopK, named, only

Names = Callable[[NDArray[np.int64]], Array]


class SearchAtOnce:
    """The best of few items: of all of them, of a prepared filter or of ids, without what is excluded.

    Gives what `Catalog.top_k` finds by its rules, and None for every call that it does not know, or that has
    an error.

    Parameters
    ----------
    scorer : Scorer
    id_type : IdType
    store : Store
    item_call : callable, optional
        Looks up items of whole numbers and scores them.
    """

    def __init__(
        self, scorer: Scorer, id_type: IdType, store: Store, item_call: Callable[..., Any] | None
    ) -> None:
        self._scorer, self._id_type, self._store, self._item_call = scorer, id_type, store, item_call

    def of_all(
        self,
        read: Callable[..., tuple[State, list[Rows64]]],
        request: Inputs,
        candidates: Inputs | None,
        k: int,
        exclude: Any,
        where: Any,
    ) -> TopK | Ranked | None:
        """Of all items, or of those of a filter that was asked for before; ``read`` gives their state."""
        excluded: list[Keys] = []
        if exclude is not None:
            keys = self._id_type.plain_keys(exclude)
            if keys is None or len(keys) > FEW_EXCLUDED:
                return None
            excluded.append(keys)
        state, sets = read(*excluded)
        rows, kept = state.rows, None
        if where is not None:
            by_product = len(rows) >= FEWEST and isinstance(self._scorer.products, ProductSearch)
            known = type(where) is Filter and not by_product and candidates is None
            kept = state.found(("places", where)) if known else None
            if kept is None:
                return None
            rows = rows[kept]
        wanted = min(k, len(state.rows)) + sum(map(len, sets))
        found = self._scorer.best_of_few(
            state.view.records, rows, request, Selection(wanted, True), candidates
        )
        if found is None:
            return None
        if kept is not None:
            found = found.with_ids(kept[found.ids])
        found = rest_of(found, ExcludedRows(sets[0], None) if sets else None, state.rows, k)

        def names(places: Rows64) -> Array:
            return self._id_type.shown(state.view.ids(0, places))

        return _shown(found, names, request, len(rows) * len(found.counts))

    def of_ids(
        self, request: Inputs, candidates: Inputs | None, k: int, ids: Any, exclude: Any
    ) -> TopK | Ranked | None:
        """Of the items of some ids, all of which have to be there."""
        keys = self._id_type.plain_keys(ids)
        denied = None if exclude is None else self._id_type.plain_keys(exclude)
        missing = keys is None or (denied is None) != (exclude is None)
        if keys is None or missing or self._scorer.wanted.keys is not None or are_many(len(keys)):
            return None
        if isinstance(keys, np.ndarray) and self._item_call is not None:
            excluded = ExcludedRows(denied, None) if isinstance(denied, np.ndarray) else None
            # Whoever has the array may change it meanwhile.
            return self._of_numbers(self._item_call, request, candidates, k, keys.copy(), excluded)
        view = self._store.read(*[each for each in (keys, denied) if each is not None])
        rows = view.rows(0)
        if not len(rows) or rows.min() < 0:
            return None
        excluded = None if denied is None else ExcludedRows(view.rows(1), None)
        selection = Selection(_wanted(k, rows, excluded), True)
        found = self._scorer.best_of_few(view.records, rows, request, selection, candidates)
        if found is None:
            return None

        def names(places: Rows64) -> Array:
            return self._id_type.shown(view.ids(0, places))

        return _shown(rest_of(found, excluded, rows, k), names, request, len(rows) * len(found.counts))

    def _of_numbers(
        self,
        call: Callable[..., Any],
        request: Inputs,
        candidates: Inputs | None,
        k: int,
        keys: Rows64,
        excluded: ExcludedRows | None,
    ) -> TopK | Ranked | None:
        """The same where a call looks the items up; what is excluded are keys too."""
        asked = self._scorer.asked(len(keys), Selection(_wanted(k, keys, excluded), True))
        found = self._scorer.given.scores(call, request, candidates, keys, **asked)
        if found is None:
            return None
        best = rest_of(Ranked(*found[0]), excluded, keys, k)
        return _shown(best, lambda places: keys[places], request, len(keys) * len(best.counts))

    def of_lists(self, request: Inputs, k: int, lists: list[Any]) -> Ranked | None:
        """Of a list of ids for each request."""
        if is_limited():
            return None
        each = [self._id_type.plain_keys(ids) for ids in lists]
        sets = [keys for keys in each if keys is not None]
        if len(sets) < len(each):
            return None
        keys = join_keys(sets)
        bounds = np.cumsum([0, *map(len, sets)])
        view = self._store.read(keys)
        rows = view.rows(0)
        if not len(rows) or rows.min() < 0:
            return None
        found = self._scorer.best_of_lists(view.records, rows, bounds, request, k)
        if found is None:
            return None
        best = named(found, lambda places: self._id_type.shown(view.ids(0, places)))
        return best.found_by(len(rows))


def _wanted(k: int, rows: Rows64, excluded: ExcludedRows | None) -> int:
    """So many results as leave k where what is excluded is left out."""
    return min(k, len(rows)) + (0 if excluded is None else excluded.most(rows))


def _shown(found: Ranked, names: Names, request: Inputs, refined: int) -> TopK | Ranked:
    """What a call gets: of a request that is no list its own results alone."""
    if len(found.counts) != 1 or isinstance(request, (list, tuple)):
        return named(found, names).found_by(refined)
    made = only(found, names)
    made.refined = refined
    return made


__all__ = ["SearchAtOnce"]
