"""How much an interaction counts when items are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np

from pyrec_infer.candidates.products import Doubles
from pyrec_infer.candidates.rows import SparseRows

Weighting: TypeAlias = Literal["cosine", "tfidf", "bm25", "jaccard", "counts"]

WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)


@dataclass(frozen=True, eq=False)
class Weighted:
    """Interactions whose products say how alike items are.

    Attributes
    ----------
    rows : SparseRows
        Users by items.
    sizes : ndarray of float64, shape (N,), or None
        How many users each item has, where it is the share of common ones that counts.
    """

    rows: SparseRows
    sizes: Doubles | None = None


def weigh(rows: SparseRows, weighting: Weighting, k1: float, b: float) -> Weighted:
    """Interactions of users by items, weighed.

    With x the value, u users and i items, n items in all, and f(u) the number of items of a user:

    - ``counts``: x
    - ``cosine``: x divided by the length of the item's column
    - ``tfidf``: sqrt(x) (log n - log(1 + f(u))), divided by the length of the item's column
    - ``bm25``: x (k1 + 1) / (k1 (1 - b + b s(i) / s) + x) (log n - log(1 + f(u))), s(i) the sum of the item's
      column and s the mean of these (Robertson, Zaragoza: The Probabilistic Relevance Framework)
    - ``jaccard``: 1, and products are divided by the number of users who have either item

    In double precision, rounded once at the end. The first four are what `implicit` computes.
    """
    values, columns, owners = rows.values.astype(np.float64), rows.columns, rows.owners()
    if weighting == "jaccard":
        present = rows.with_values(np.ones(len(values)))
        return Weighted(present, np.bincount(columns, minlength=rows.width).astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore"):
        rarity = np.log(rows.width) - np.log1p(np.bincount(owners, minlength=len(rows)))
        if weighting == "bm25":
            sums = np.bincount(columns, values, rows.width)
            relative = 1 - b + b * sums / sums.mean()
            values = values * (k1 + 1) / (k1 * relative[columns] + values) * rarity[owners]
        elif weighting == "tfidf":
            values = np.sqrt(values) * rarity[owners]
    if weighting in ("cosine", "tfidf"):
        lengths = np.sqrt(np.bincount(columns, values**2, rows.width))[columns]
        values = np.divide(values, lengths, where=lengths != 0, out=np.zeros(len(values)))
    return Weighted(rows.with_values(values))


__all__ = ["WEIGHTINGS", "Weighted", "Weighting", "weigh"]
