"""Searches that are ready: what usual calls take, from queries and ids to results."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.ir import Array
from pyrec_infer.limits import is_limited
from pyrec_infer.retrieval.index import Index
from pyrec_infer.retrieval.vectors import Floats
from pyrec_infer.store import IdType


class Retrieved(NamedTuple):
    """The best items of each query, best first.

    Attributes
    ----------
    ids : ndarray of int64, uint64 or strings, shape (B, K)
        K is the number that was asked for, or that of the items that are searched if there are fewer: those
        that a filter, ``allow`` or a mask lets through. What is excluded by ids makes a row shorter, not K.
        Under caps, quotas or diversity it is the count of the longest row.
    scores : ndarray of float32, shape (B, K)
    counts : ndarray of int64, shape (B,)
        How many of each row are results.
    refined : int
        For how many pairs of a query and an item the product was computed in float32.
    certified : bool
        Whether the results are shown to be those of the float32 products of all items.
    """

    ids: Array
    scores: Floats
    counts: NDArray[np.int64]
    refined: int
    certified: bool


class Ready(NamedTuple):
    """The search of items of one state.

    Attributes
    ----------
    items : Index
    quick : ItemSearch or None
        The whole way of usual calls, see `Index.prepared`.
    """

    items: Index
    quick: Any

    def found(self, id_type: IdType, queries: Any, k: int, exclude: Any) -> Retrieved | None:
        """The best of a call without other rules than ids that are excluded; None where the items have
        changed, or something needs a closer look."""
        if self.quick is None or is_limited():
            return None
        found = self.quick.find(queries, k, exclude)
        if found is None:
            return None
        ids, scores, counts, refined = found
        if id_type.kind != "i":
            ids = id_type.shown(ids).reshape(scores.shape)
        return Retrieved(ids, scores, counts, refined, True)


__all__ = ["Ready", "Retrieved"]
