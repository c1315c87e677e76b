"""The items of a search, ranked."""

from __future__ import annotations

import numpy as np

from pyrec_infer.limits import require_room
from pyrec_infer.retrieval.index import Boosts, Index
from pyrec_infer.retrieval.vectors import Floats, VectorForm
from pyrec_infer.selection.excluded import ExcludedRows
from pyrec_infer.selection.items import RowChoice
from pyrec_infer.selection.masks import Flags, both
from pyrec_infer.store import Rows64
from pyrec_infer.top_k import Adjustment, Ranked

_BYTES_OF_RESULT = 64
"""What one id and its score take, with the copies that a call makes."""


def scope_of(choice: RowChoice, whole: Index, queries: int, within: Flags | None = None) -> Index:
    """The items of an index that so many queries may find, of those that are flagged alone where flags are
    given."""
    state, flags, rows = choice.state, choice.flags, choice.alone
    if rows is not None:
        return whole.chosen(rows if within is None else rows[state.flags_of(within)[rows]], queries)
    if within is not None:
        return whole.restricted(both(flags, state.flags_of(within)), queries)
    if flags is None:
        return whole
    if choice.prepared is None:
        return whole.restricted(flags, queries)
    return state.kept((whole, choice.prepared), lambda: whole.restricted(flags))


def best_of(
    index: Index, form: VectorForm, queries: Floats, k: int, excluded: ExcludedRows | None
) -> tuple[Rows64, Floats, Rows64, int]:
    """For each query the places of the k best items of an index, their scores, how many there are, and how
    many products were computed in float32 in all."""
    kept = min(k, index.count)
    require_room(_BYTES_OF_RESULT * len(queries) * kept)
    places, products, counts, refined = index.search(form.queries(queries), kept, excluded)
    return places, form.scores(queries, products) if form.biased else products, counts, refined


class Ranking:
    """What ranks the items of a search by their places.

    Parameters
    ----------
    choice : RowChoice
    index : Index
        All items.
    form : VectorForm
    queries : ndarray of float32
    adjustment : Adjustment or None
        What becomes of scores before they are compared, by place.

    Attributes
    ----------
    refined : int
        How many products were computed in float32.
    """

    def __init__(
        self,
        choice: RowChoice,
        index: Index,
        form: VectorForm,
        queries: Floats,
        adjustment: Adjustment | None = None,
    ) -> None:
        self._choice, self._whole, self._form = choice, index, form
        self._scope = scope_of(choice, index, len(queries))
        self._given, self._queries = queries, form.queries(queries)
        self._boosts = None if adjustment is None else Boosts(adjustment, form.squares(queries))
        self.refined = 0

    def rank(self, k: int, within: Flags | None) -> Ranked:
        """The k best of each query, of those that are flagged alone where flags are given."""
        index = self._scope
        if within is not None:
            index = scope_of(self._choice, self._whole, len(self._queries), within)
        kept = min(k, index.count)
        require_room(_BYTES_OF_RESULT * len(self._queries) * kept)
        places, products, counts, refined = index.search(
            self._queries, kept, self._choice.excluded, self._boosts
        )
        self.refined += refined
        if self._boosts is not None or not self._form.biased:
            return Ranked(places, products, counts)
        scores = self._form.scores(self._given, products)
        scores[np.isneginf(products)] = -np.inf
        return Ranked(places, scores, counts)


__all__ = ["Ranking", "best_of", "scope_of"]
