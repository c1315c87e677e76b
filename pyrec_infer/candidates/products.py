"""The largest numbers of products of sparse matrices: natively, or with Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.backends.select import make_pool, select_backend
from pyrec_infer.candidates.rows import Floats, Rows64, SparseRows
from pyrec_infer.extension import native
from pyrec_infer.kernels.spec import compiled
from pyrec_infer.limits import current_budget

Doubles = NDArray[np.float64]

Best = tuple[NDArray[np.int32], Floats, Rows64]
"""Columns and scores of each row, shape (B, K), and how many of them are results."""

_BYTES_OF_RESULT = 32


@compiled
def _multiply(
    bounds: Any, columns: Any, values: Any, ends: Any, others: Any, factors: Any, sums: Any
) -> None:
    """One row times a matrix; NaN in ``sums`` where they have nothing in common."""
    for i in range(bounds[0], bounds[1]):
        row = columns[i]
        value = np.float64(values[i])
        for j in range(ends[row], ends[row + 1]):
            product = value * np.float64(factors[j])
            before = sums[others[j]]
            sums[others[j]] = product if np.isnan(before) else before + product


class SparseProducts:
    """A sparse matrix that rows are multiplied with.

    A number of a product is a sum in double precision in the order of the row, rounded once, and there is one
    only where a row and a column have something in common. So it is the same on every backend.

    Parameters
    ----------
    matrix : SparseRows
    threads : int
    """

    def __init__(self, matrix: SparseRows, threads: int = 1) -> None:
        self._matrix = matrix
        backend = select_backend()
        self._pool = make_pool(backend, threads)
        self._native = None if backend == "numba" else _native_of(matrix)

    def top(
        self,
        rows: SparseRows,
        k: int,
        without_own: bool = False,
        allowed: NDArray[np.bool_] | None = None,
        sizes: tuple[Doubles, Doubles] | None = None,
    ) -> Best:
        """The k largest numbers of each row of the product, largest first, equal ones by column.

        Parameters
        ----------
        rows : SparseRows
            As wide as the matrix is high.
        k : int
        without_own : bool
            Whether columns that the row itself has are left out; then the matrix is square.
        allowed : ndarray of bool, optional
            Which columns alone are taken.
        sizes : tuple of ndarray of float64, optional
            Of rows and columns: a number p becomes p / (row + column - p).
        """
        k = min(k, self._matrix.width)
        current_budget().require(_BYTES_OF_RESULT * len(rows) * k)
        mask = None if allowed is None else np.ascontiguousarray(allowed).view(np.uint8)
        if self._native is not None:
            found: Best = self._native.top_products(self._pool, _native_of(rows), k, without_own, mask, sizes)
            return found
        columns = np.zeros((len(rows), k), np.int32)
        scores, counts = np.zeros((len(rows), k), np.float32), np.zeros(len(rows), np.int64)
        matrix = self._matrix
        for row, (own, _) in enumerate(rows.each()):
            sums = np.full(matrix.width, np.nan)
            bounds = rows.bounds[row : row + 2]
            _multiply(bounds, rows.columns, rows.values, matrix.bounds, matrix.columns, matrix.values, sums)
            if without_own:
                sums[own] = np.nan
            if sizes is not None:
                sums = sums / (sizes[0][row] + sizes[1] - sums)
            present = np.flatnonzero(~np.isnan(sums) & (True if allowed is None else allowed))
            with np.errstate(over="ignore"):
                values = sums[present].astype(np.float32) + np.float32(0)
            best = np.argsort(-values, kind="stable")[:k]
            counts[row] = len(best)
            columns[row, : len(best)], scores[row, : len(best)] = present[best], values[best]
        return columns, scores, counts


def _native_of(rows: SparseRows) -> Any:
    return native.SparseMatrix(rows.bounds, rows.columns, rows.values, rows.width)


__all__ = ["Doubles", "SparseProducts"]
