"""The items of a call on a catalogue, ranked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from pyrec_infer.arguments import Inputs
from pyrec_infer.catalog.by_product import FEWEST, ProductSearch
from pyrec_infer.catalog.scorer import Scorer
from pyrec_infer.ir import Array
from pyrec_infer.selection.excluded import rest_of
from pyrec_infer.selection.items import Choice
from pyrec_infer.selection.masks import Flags, among
from pyrec_infer.store import Rows64
from pyrec_infer.top_k import Adjustment, Ranked

FEW_EXCLUDED = 1024
"""So many more items are ranked, rather than that all are asked whether they are excluded."""


@dataclass
class Tally:
    """Attributes
    ----------
    refined : int
        How many pairs of a request and an item a call has scored as the model does.
    """

    refined: int = 0


def ranking_of(
    scorer: Scorer,
    choice: Choice,
    request: Inputs,
    candidates: Inputs | None,
    boosts: Adjustment | None,
    tally: Tally,
) -> Callable[[int, Flags | None], Ranked]:
    """What ranks the items of a call by their places, those alone that are flagged where flags are given.

    Parameters
    ----------
    scorer : Scorer
    choice : Choice
    request, candidates
        As for `Scorer.best`.
    boosts : Adjustment, optional
        With a number for each item.
    tally : Tally
        Counts what is scored.
    """
    view, rows, kept, excluded = choice.view, choice.rows, choice.kept, choice.excluded
    if excluded is not None and excluded.owners is None and len(excluded.rows) > FEW_EXCLUDED:
        left = np.arange(len(rows)) if kept is None else kept
        kept = left[~among(rows[left], excluded.rows, len(view.records))]
        excluded = None

    def best(k: int, chosen: Rows64 | None) -> Ranked:
        if chosen is None:
            return scorer.best(view, rows, request, candidates, k, boosts)
        if candidates is not None:
            # Their inputs lie beside all items.
            own = np.full(len(rows), -1, np.int64)
            own[chosen] = rows[chosen]
            return scorer.best(view, own, request, candidates, k, boosts)
        found = scorer.best(
            view, rows[chosen], request, None, k, None if boosts is None else boosts.chosen(chosen)
        )
        return found.with_ids(chosen[found.ids])

    search, whole = scorer.products, choice.whole
    by_product: Callable[[int, Flags | None], Ranked | None] | None = None
    arrays: dict[str, Array] = {}
    plain = candidates is not None or boosts is not None or len(rows) < FEWEST
    if isinstance(search, ProductSearch) and whole is not None and not plain:
        arrays, count = scorer.requests(request, {})
        by_product = partial(search.best, whole, arrays, count)

    def rank(k: int, within: Flags | None) -> Ranked:
        chosen = kept
        found = None
        if by_product is not None:
            with scorer.signature.naming(arrays):
                found = by_product(k, within)
        if found is not None:
            tally.refined += found.refined or 0
            return found
        if within is not None:
            chosen = np.flatnonzero(within) if kept is None else kept[within[kept]]
        # An id that is given several times stands at several places.
        more = 0 if excluded is None else excluded.most(rows if whole is None else None)
        found = best(k + more, chosen)
        every = len(found.counts) * int(np.count_nonzero(rows >= 0) if chosen is None else len(chosen))
        tally.refined += every if found.refined is None else found.refined
        return rest_of(found, excluded, rows, k)

    return rank


__all__ = ["FEW_EXCLUDED", "Tally", "ranking_of"]
