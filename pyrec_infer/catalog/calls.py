"""Calls that a catalogue prepares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import require_arrays
from pyrec_infer.catalog.items import find_items, require_rows
from pyrec_infer.catalog.scorer import Scorer
from pyrec_infer.errors import InputError
from pyrec_infer.execution.calls import PreparedCall, RowsCall, SeveralCall
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS
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


def prepare_call(
    scorer: Scorer,
    store: Store,
    id_type: IdType,
    score: Callable[..., Any],
    request_names: Sequence[str],
    candidate_names: Sequence[str],
    max_rows: int | None,
) -> CatalogCall:
    """A call with these inputs by position; see `Catalog.prepare`.

    Parameters
    ----------
    scorer : Scorer
    store : Store
    id_type : IdType
    score : callable
        `Catalog.score`, for raw rows.
    request_names, candidate_names : sequence of str
    max_rows : int, optional
    """
    if scorer.takes_rows:
        scorer.require_fields(request_names, candidate_names)

        def score_rows(request: Any, candidates: Any, ids: ArrayLike | None = None) -> Any:
            return score(request, ids, candidates or None)

        return RowsCall(score_rows, request_names, candidate_names, max_rows)
    names = (*request_names, *candidate_names)
    scorer.require(dict.fromkeys(request_names), dict.fromkeys(candidate_names))
    for name in names:
        if name not in scorer.names:
            raise InputError(f"input '{name}' is not read by this catalogue's score; leave it out")
    places = (*request_names, RECORDS, ROWS, *candidate_names)
    call = scorer.positional(places, frozenset(request_names), max_rows)
    checked = call.in_backend(call) or call
    general = CheckedCall(store, id_type, checked, names, len(request_names))
    quick: CatalogCall | None = None
    if scorer.backend != "numba" and id_type.kind == "i":
        quick = call.in_backend(general, store)
    made: Any = quick or general
    return made if scorer.wanted.keys is None else SeveralCall(made, scorer.wanted.unpack)


__all__ = ["CatalogCall", "prepare_call"]
