"""What `LightFM` has learned: factors and biases that are sums over features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import as_array
from pyrec_infer.candidates.factors import FactorRecommender
from pyrec_infer.candidates.rows import SparseRows, read_rows
from pyrec_infer.errors import ModelError, ShapeError
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.retrieval.retriever import Precision

Doubles = NDArray[np.float64]

_VALUES = 1 << 20
"""Values whose embeddings are gathered at once."""


@memory_errors_typed
def from_lightfm(
    model: Any,
    user_features: Any = None,
    item_features: Any = None,
    ids: ArrayLike | None = None,
    *,
    precision: Precision = "fp32",
    threads: int = 1,
) -> FactorRecommender:
    """A recommender with the numbers of a fitted LightFM model.

    A user's factors are the sum of those of its features, each times its value, and so is its bias; items'
    likewise (Kula: Metadata Embeddings for User and Item Cold-start Recommendations).

    Parameters
    ----------
    model : object
        With ``user_embeddings``, ``user_biases``, ``item_embeddings`` and ``item_biases``.
    user_features, item_features : sparse matrix of scipy, optional
        Rows of users or items, columns of features. By default each has one feature of its own.
    ids : array_like of whole numbers or strings, optional
        The items' names; by default their numbers.
    precision, threads
        As for `FactorRecommender`.

    Returns
    -------
    FactorRecommender
        Scores are the inner product and both biases, as ``predict`` gives them there.

    Raises
    ------
    ModelError
        If the model is not fitted; `ShapeError` if features are others than the model's.
    """
    user_factors, user_biases = _side(model, "user", user_features)
    item_factors, item_biases = _side(model, "item", item_features)
    return FactorRecommender(
        user_factors, item_factors, user_biases, item_biases, ids, precision=precision, threads=threads
    )


def _side(model: Any, side: str, features: Any) -> tuple[Doubles, Doubles]:
    """The factors and biases of users or items."""
    embeddings, biases = (getattr(model, f"{side}_{name}", None) for name in ("embeddings", "biases"))
    if embeddings is None or biases is None:
        raise ModelError(f"expected a fitted model of LightFM, with {side}_embeddings and {side}_biases")
    factors = as_array(f"{side}_embeddings", embeddings, np.dtype(np.float64))
    own = as_array(f"{side}_biases", biases, np.dtype(np.float64))
    if factors.ndim != 2 or own.shape != factors.shape[:1]:
        raise ShapeError(
            f"{side}_embeddings: expected a row for each of the biases {list(own.shape)}, "
            f"got {list(factors.shape)}"
        )
    joined = np.column_stack([factors.astype(np.float64), own.astype(np.float64)])
    if features is not None:
        rows = read_rows(f"{side}_features", features, len(joined))
        joined = _feature_sums(rows, joined)
    return joined[:, :-1], joined[:, -1]


def _feature_sums(rows: SparseRows, vectors: Doubles) -> Doubles:
    """For each row the sum of its columns' vectors times its values."""
    sums = np.zeros((len(rows), vectors.shape[1]))
    owners = rows.owners()
    for begin in range(0, len(owners), _VALUES):
        part = slice(begin, begin + _VALUES)
        terms = vectors[rows.columns[part]] * rows.values[part, np.newaxis].astype(np.float64)
        here = owners[part]
        starts = np.flatnonzero(np.diff(here, prepend=-1))
        sums[here[starts]] += np.add.reduceat(terms, starts, axis=0)
    return sums


__all__ = ["from_lightfm"]
