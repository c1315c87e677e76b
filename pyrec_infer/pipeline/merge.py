"""Candidates of several sources as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError
from pyrec_infer.ir import Array, holds_strings
from pyrec_infer.pipeline.source import Floats

_RANK = 60.0
"""In the sum over sources of weight / (60 + rank): Cormack, Clarke, Buettcher: Reciprocal Rank Fusion."""


class Merged(NamedTuple):
    """The candidates of one request.

    Attributes
    ----------
    ids : ndarray, shape (N,)
        All different.
    given : ndarray of bool, shape (N, S)
        Which sources gave each.
    """

    ids: Array
    given: NDArray[np.bool_]


def merge(found: Sequence[tuple[Array, Floats]], weights: Sequence[float], limit: int | None) -> Merged:
    """Candidates of several sources, each once: by the sum of weight / (60 + rank), and equal ones by the
    earlier source and rank.

    Parameters
    ----------
    found : sequence of tuple of ndarray
        Of each source the ids and scores, best first; a score of minus infinity is no result.
    weights : sequence of float
    limit : int or None
        How many there may be.

    Raises
    ------
    DTypeError
        If ids are of different kinds.

    Examples
    --------
    >>> scores = np.ones(2, np.float32)
    >>> merge([(np.asarray([4, 5]), scores), (np.asarray([5, 6]), scores)], [1, 1], None).ids.tolist()
    [5, 4, 6]
    """
    kept = [ids[~np.isneginf(scores)] for ids, scores in found]
    kinds = {holds_strings(ids) for ids in kept if ids.size}
    if len(kinds) > 1:
        raise DTypeError("sources: expected ids of one kind, got whole numbers and strings")
    if not kinds:
        return Merged(np.empty(0, np.int64), np.zeros((0, len(kept)), bool))
    joined = np.concatenate([ids for ids in kept if ids.size])
    if joined.dtype.kind == "f":
        raise DTypeError("sources: expected ids of one kind, got signed and unsigned numbers")
    in_order = np.sort(joined)
    if len(kept) == 1 and not (in_order[1:] == in_order[:-1]).any():
        return Merged(joined[:limit], np.ones((len(joined[:limit]), 1), bool))
    owners = np.repeat(np.arange(len(kept)), [len(ids) for ids in kept])
    names, first, which = np.unique(joined, return_index=True, return_inverse=True)
    given = np.zeros((len(names), len(kept)), bool)
    given[which, owners] = True
    ranks = np.concatenate([np.arange(1, len(ids) + 1) for ids in kept])
    # An id that a source gives twice counts once, by its better rank.
    _, once = np.unique(which * len(kept) + owners, return_index=True)
    shares = np.asarray(weights, np.float64)[owners] / (_RANK + ranks)
    fused = np.bincount(which[once], shares[once], len(names))
    order = np.lexsort((first, -fused))[:limit]
    return Merged(names[order], given[order])


__all__ = ["Merged", "merge"]
