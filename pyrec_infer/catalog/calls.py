"""Calls that a catalogue prepares."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import require_arrays
from pyrec_infer.calls import PreparedCall
from pyrec_infer.catalog.items import find_items, require_rows
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.store import IdType, Store


class CatalogCall(Protocol):
    """A call whose inputs are known by position; made by `Catalog.prepare`."""

    def __call__(
        self, *arrays: Array, ids: ArrayLike | None = None, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Score items for one request.

        Parameters
        ----------
        *arrays : ndarray
            One for each name given to `Catalog.prepare`, with the model's rank; never copied.
        ids : array_like, optional
            The items; all of them by default.
        out : ndarray of float32, shape (N,), optional
            Where the scores go; a new array by default.

        Returns
        -------
        ndarray of float32, shape (N,)
            As for `Catalog.score`; ``out`` if it was given.
        """
        ...


class CheckedCall:
    """A prepared call with every check, for all backends and ids."""

    def __init__(
        self, store: Store, id_type: IdType, call: PreparedCall, names: tuple[str, ...], request: int
    ) -> None:
        self._store = store
        self._id_type = id_type
        self._call = call
        self._request = request
        self._names = names

    @memory_errors_typed
    def __call__(
        self, *arrays: Array, ids: ArrayLike | None = None, out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        require_arrays(self._names, arrays)
        view, rows = find_items(self._store, self._id_type, ids)
        require_rows(rows)
        request, candidates = arrays[: self._request], arrays[self._request :]
        return self._call(*request, view.records, rows, *candidates, out=out)


__all__ = ["CatalogCall", "CheckedCall"]
