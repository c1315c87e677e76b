"""What `implicit` has learned."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from numpy.typing import ArrayLike

from pyrec_infer.candidates.factors import FactorRecommender, LeastSquares
from pyrec_infer.candidates.neighbours import ItemItemRecommender
from pyrec_infer.candidates.sources.archive import read_archive
from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.retrieval.retriever import Precision

_FACTORS = ("user_factors", "item_factors", "regularization", "alpha")

_SIMILARITY = ("indptr", "indices", "data", "shape")


@memory_errors_typed
def from_implicit(
    model: Any,
    ids: ArrayLike | None = None,
    *,
    precision: Precision = "fp32",
    threads: int = 1,
) -> FactorRecommender | ItemItemRecommender:
    """A recommender with the numbers of one of `implicit`'s models.

    Parameters
    ----------
    model : object or path
        A fitted model (alternating least squares, BPR, logistic matrix factorisation; nearest neighbours by
        cosine, TF-IDF or BM25), or the file that its ``save`` wrote.
    ids : array_like of whole numbers or strings, shape (N,), optional
        The items' names; by default their numbers, as there.
    precision, threads
        As for `FactorRecommender`; likenesses have but one precision.

    Returns
    -------
    FactorRecommender or ItemItemRecommender
        With the same results; equal scores, whose order is open there, are in the order of the items. With
        least squares, ``recalculate_user`` works in double precision.

    Raises
    ------
    ModelError
        If it is no such model, or not fitted; or if the file is damaged or holds objects.

    Examples
    --------
    >>> import numpy as np
    >>> import pyrec_infer as pi
    >>> class Fitted:
    ...     user_factors = np.ones((1, 2), np.float32)
    ...     item_factors = np.asarray([[1, 2], [3, 4]], np.float32)
    >>> pi.from_implicit(Fitted()).recommend(0, None, filter_already_liked_items=False).ids.tolist()
    [1, 0]
    """
    if isinstance(model, (str, os.PathLike)):
        parts: Mapping[str, Any] = read_archive(model, (*_FACTORS, *_SIMILARITY))
        similarity = SimpleNamespace(**parts) if all(name in parts for name in _SIMILARITY) else None
    else:
        parts = {name: _plain(getattr(model, name, None)) for name in _FACTORS}
        similarity = getattr(model, "similarity", None)
    if similarity is not None:
        return ItemItemRecommender(similarity, ids, threads=threads)
    users, items = parts.get("user_factors"), parts.get("item_factors")
    if users is None or items is None:
        raise ModelError("expected a fitted model of implicit: factors of users and items, or likenesses")
    solver = None
    if parts.get("alpha") is not None and parts.get("regularization") is not None:
        solver = LeastSquares(_number(parts["regularization"]), _number(parts["alpha"]))
    return FactorRecommender(
        users, items, ids=ids, least_squares=solver, precision=precision, threads=threads
    )


def _plain(value: Any) -> Any:
    """Factors on another device as an array of this one."""
    return value.to_numpy() if callable(getattr(value, "to_numpy", None)) else value


def _number(value: Array | float) -> float:
    if getattr(value, "size", 1) != 1:
        raise ModelError("expected one number for regularization and alpha")
    return float(value)


__all__ = ["from_implicit"]
