"""The best rows of a vector of scores."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.extension import native
from pyrec_infer.ir import Array


class TopK(NamedTuple):
    """The best candidates, best first.

    Attributes
    ----------
    ids : ndarray of int64 or of the dtype of the ids that were given, shape (count,)
    scores : ndarray of float32, shape (count,)
    count : int
        Never more than k; fewer if there are fewer candidates.
    """

    ids: Array
    scores: NDArray[np.float32]
    count: int  # type: ignore[assignment]


def _select(scores: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    if native is not None:
        return native.top_k(scores, k)
    # lexsort is stable, so equal scores keep their order; its last key counts most.
    order = np.lexsort((-scores, np.isnan(scores)))
    return order[:k].astype(np.int64)


def best_rows(
    scores: NDArray[np.float32], k: int, ids: Array | None, exclude: Array | None
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Rows of the k best scores, best first, and those scores.

    Equal scores: the lower row first. NaN comes last. Rows whose id is excluded are left out.

    Examples
    --------
    >>> scores = np.asarray([1, np.nan, 3, 3], np.float32)
    >>> best_rows(scores, 4, None, None)[0].tolist()
    [2, 3, 0, 1]
    >>> best_rows(scores, 4, None, np.asarray([2]))[0].tolist()
    [3, 0, 1]
    """
    if exclude is None or exclude.size == 0:
        rows = _select(np.ascontiguousarray(scores), k)
        return rows, scores[rows]
    names = np.arange(len(scores)) if ids is None else ids
    kept = np.flatnonzero(~np.isin(names, exclude))
    rows = kept[_select(np.ascontiguousarray(scores[kept]), k)]
    return rows, scores[rows]
