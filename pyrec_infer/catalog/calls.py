"""Calls that a catalogue prepares."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.ir import Array


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


__all__ = ["CatalogCall"]
