"""Items that requests must not get."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ShapeError
from pyrec_infer.retrieval.vectors import Floats
from pyrec_infer.store import IdType, Keys
from pyrec_infer.store.ids import join_keys

Rows64 = NDArray[np.int64]


@dataclass(frozen=True)
class Denied:
    """The ids that queries must not get.

    Attributes
    ----------
    keys : Keys
    owners : ndarray of int64 or None
        The query of each key; None: they are of all queries.
    """

    keys: Keys
    owners: Rows64 | None

    def most(self, rows: Rows64, count: int) -> int:
        """How many items one of ``count`` queries may be denied at most."""
        present = rows >= 0
        if self.owners is None:
            return int(present.sum())
        return int(np.bincount(self.owners[present], minlength=max(count, 1)).max())

    def taken(self, rows: Rows64, found: Rows64) -> NDArray[np.bool_]:
        """Which of the rows that each query has found it may have."""
        if self.owners is None:
            return ~np.isin(found, rows)
        # A number for each pair of a query and a row.
        span = int(max(found.max(initial=0), rows.max(initial=0))) + 1
        queries = np.arange(len(found))[:, np.newaxis]
        present = rows >= 0
        pairs = self.owners[present] * span + rows[present]
        return ~np.isin(queries * span + found, pairs)


def read_denied(id_type: IdType, deny: Any, count: int) -> Denied:
    """Ids of all queries, or of each of ``count``.

    Raises
    ------
    ShapeError
        If there are lists of ids, but not one for each query.
    """
    lists = isinstance(deny, Sequence) and len(deny) > 0 and not any(map(_is_id, deny))
    if not lists:
        return Denied(id_type.known("deny", deny), None)
    if len(deny) != count:
        raise ShapeError(f"deny: expected a list of ids for each of {count} queries, got {len(deny)}")
    each = [id_type.known(f"deny (query {query})", ids) for query, ids in enumerate(deny)]
    owners = np.repeat(np.arange(count), [len(keys) for keys in each])
    return Denied(join_keys(each), owners)


def _is_id(item: Any) -> bool:
    return isinstance(item, (str, bytes)) or np.ndim(item) == 0


def keep_first(
    taken: NDArray[np.bool_], k: int, places: Rows64, scores: Floats
) -> tuple[Rows64, Floats, Rows64]:
    """The first k of each row that are taken, and how many; what is beyond has place 0 and minus infinity."""
    order = np.argsort(~taken, axis=1, kind="stable")[:, :k]
    counts = np.minimum(taken.sum(axis=1), k)
    beyond = np.arange(order.shape[1]) >= counts[:, np.newaxis]
    kept = np.where(beyond, 0, np.take_along_axis(places, order, axis=1))
    values = np.where(beyond, np.float32(-np.inf), np.take_along_axis(scores, order, axis=1))
    return kept, values, counts.astype(np.int64)


__all__ = ["Denied", "keep_first", "read_denied"]
