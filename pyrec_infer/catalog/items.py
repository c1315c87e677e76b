"""Looking up the items of a call."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from pyrec_infer.errors import IdRangeError
from pyrec_infer.store import IdType, Rows64, Store, StoreView


def find_items(store: Store, id_type: IdType, ids: ArrayLike | None) -> tuple[StoreView, Rows64]:
    """A view of ids, or of all items in order, and their rows, -1 for those that are not there."""
    if ids is None:
        view = store.read(None)
        return view, view.rows(0)
    keys, known = id_type.keys("ids", ids)
    view = store.read(keys)
    rows = view.rows(0)
    return view, rows if known is None else np.where(known, rows, -1)


def require_rows(rows: Rows64) -> None:
    """Refuse ids that are not there.

    Raises
    ------
    IdRangeError
        Names the first of them.
    """
    if len(rows) and rows.min() < 0:
        first = np.flatnonzero(rows < 0)[0]
        raise IdRangeError(f"ids: expected ids of the catalogue, got one that is not (row {first})")


__all__ = ["find_items", "require_rows"]
