"""Items' names, and the places among them that calls name."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.errors import DTypeError, IdRangeError, InputError, ShapeError
from pyrec_infer.ir import Array, holds_strings
from pyrec_infer.store import as_those, read_ids


class Names:
    """The ids of items whose places are numbers.

    Parameters
    ----------
    ids : array_like of whole numbers or strings, or None
        All different; None: 0 to ``count`` - 1.
    count : int

    Raises
    ------
    InputError
        If an id occurs twice; `ShapeError` if there is not one for each item.
    """

    def __init__(self, ids: ArrayLike | None, count: int) -> None:
        names = read_ids("ids", np.arange(count) if ids is None else ids)
        if len(names) != count:
            raise ShapeError(f"ids: expected {count}, one for each item, got {len(names)}")
        self.ids: Array = names.copy()
        self.ids.flags.writeable = False
        self._order = np.argsort(self.ids, kind="stable")
        self._sorted = self.ids[self._order]
        if (self._sorted[1:] == self._sorted[:-1]).any():
            raise InputError("ids: expected different ids, got some twice")

    def __len__(self) -> int:
        return len(self.ids)

    def places(self, label: str, ids: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The place of each id, and whether it is known at all.

        Raises
        ------
        DTypeError
            If they are no ids of the kind that items have.
        """
        wanted = read_ids(label, _one_or_more(ids))
        if not len(wanted) or not len(self.ids):
            return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
        if holds_strings(wanted) != holds_strings(self.ids):
            expected = "strings" if holds_strings(self.ids) else "whole numbers"
            got = "strings" if holds_strings(wanted) else wanted.dtype
            raise DTypeError(f"{label}: expected {expected}, got {got}")
        wanted, fits = as_those(wanted, self.ids)
        at = np.minimum(np.searchsorted(self._sorted, wanted), len(self.ids) - 1)
        return self._order[at], (self._sorted[at] == wanted) & fits

    def known(self, label: str, ids: ArrayLike) -> NDArray[np.int64]:
        """The place of each id.

        Raises
        ------
        IdRangeError
            Names the first place of one that is not known.
        """
        places, present = self.places(label, ids)
        if not present.all():
            raise IdRangeError(f"{label}: expected ids of known items", int(np.argmin(present)))
        return places

    def allowed(self, filter_items: ArrayLike | None, items: ArrayLike | None) -> NDArray[np.bool_] | None:
        """Which items a call may give; None: all. Unknown ids that are left out are ignored."""
        if items is not None:
            mask = np.zeros(len(self.ids), bool)
            mask[self.known("items", items)] = True
            return mask
        if filter_items is None:
            return None
        places, present = self.places("filter_items", filter_items)
        mask = np.ones(len(self.ids), bool)
        mask[places[present]] = False
        return mask


def _one_or_more(ids: Any) -> Any:
    """Ids along one axis, of which one alone has none."""
    if isinstance(ids, (str, bytes)) or np.ndim(ids) == 0:
        return [ids.item() if isinstance(ids, (np.ndarray, np.generic)) else ids]
    return ids.reshape(-1) if isinstance(ids, np.ndarray) else ids


__all__ = ["Names"]
