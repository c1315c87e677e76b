"""The search in one state of a store: natively, or with Numba for builds without the extension."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.extension import native
from pyrec_infer.kernels.spec import compiled
from pyrec_infer.retrieval.vectors import Floats, VectorForm
from pyrec_infer.selection.excluded import ExcludedRows, without
from pyrec_infer.selection.masks import marked
from pyrec_infer.store import Rows64, StoreView
from pyrec_infer.top_k import Adjustment, Ranked

_SPARSE = 0.25
"""Where a smaller part of the items may be found, they are laid out by themselves; else what may not is
passed over in the blocks of all."""


class _Cost(NamedTuple):
    """Nanoseconds for each number of an item: to read it among others, coarsely where there are codes, and to
    multiply it with a query's; and the bytes that a number takes where it lies apart."""

    read: float
    multiply: float
    size: int


_OF_VECTORS, _OF_CODES = _Cost(0.24, 0.04, 4), _Cost(0.06, 0.018, 1)

_APART, _LINE = 35.0, 12.0
"""Nanoseconds for what is known of an item that lies apart, and for each 64 bytes of its numbers."""

FEW = 1 << 17
"""Of no more items scores of codes are made of all before any product is, so that hardly more products are
than have to be."""

_PRODUCTS = 1 << 20
"""Products that are held at once."""


@dataclass(frozen=True)
class Boosts:
    """What becomes of scores before they are compared.

    Attributes
    ----------
    adjustment : Adjustment
        By place.
    squares : ndarray of float32, shape (B,), or None
        See `VectorForm.squares`.
    """

    adjustment: Adjustment
    squares: Floats | None


class Index(Protocol):
    """The vectors of one state of a store.

    Attributes
    ----------
    count : int
        How many there are.
    """

    count: int

    def search(
        self, queries: Floats, k: int, excluded: ExcludedRows | None, boosts: Boosts | None = None
    ) -> tuple[Rows64, Floats, Rows64, int]:
        """For each query the places of the k items with the largest products, these, how many there are, and
        how many products were computed in float32 in all; with boosts, boosted scores in the place of
        products.

        Best first, equal products by place, NaN behind all; all items where there are fewer. What is excluded
        is not found; where that leaves fewer, places are 0 and products minus infinity behind them.
        """
        ...

    def restricted(self, flags: NDArray[np.bool_], queries: int | None = None) -> Index:
        """Those items alone whose rows are flagged, for a search of so many queries; their places stay what
        they are. For any number of searches where there is none: that may take longer to make and more
        memory."""
        ...

    def chosen(self, rows: Rows64, queries: int) -> Index:
        """The same of those of some rows, in time that follows their number alone where they are few."""
        ...

    def prepared(self, view: StoreView, form: VectorForm, unsigned: bool) -> Any:
        """The whole way of usual calls, from what they are given to ids, which are unsigned or not, where
        places are those of the view's first set; None: there is none."""
        ...


@compiled
def _multiply(queries: Any, vectors: Any, biases: Any, products: Any) -> None:
    for i in range(queries.shape[0]):
        for j in range(vectors.shape[0]):
            product = biases[j]
            for at in range(queries.shape[1]):
                product += queries[i, at] * vectors[j, at]
            products[i, j] = product


class NumbaIndex:
    """See `Index`; one product is one sum over the numbers in order.

    Parameters
    ----------
    form : VectorForm
    view : StoreView
    rows : ndarray of int64
        Of all items in order.
    chosen : ndarray of int64, optional
        The places of those that are searched, rising; all by default.
    """

    def __init__(self, form: VectorForm, view: StoreView, rows: Rows64, chosen: Rows64 | None = None) -> None:
        self._form, self._view, self._rows, self._chosen = form, view, rows, chosen
        own = rows if chosen is None else rows[chosen]
        self.count = len(own)
        self._vectors = np.ascontiguousarray(view.part(form.first)[own]).view(np.float32)
        self._biases = form.biases(view.part(form.first + 1)[own])

    def restricted(self, flags: NDArray[np.bool_], queries: int | None = None) -> NumbaIndex:
        return NumbaIndex(self._form, self._view, self._rows, np.flatnonzero(flags[self._rows]))

    def chosen(self, rows: Rows64, queries: int) -> NumbaIndex:
        return self.restricted(marked(len(self._view.records), rows), queries)

    def prepared(self, view: StoreView, form: VectorForm, unsigned: bool) -> None:
        return None

    def search(
        self, queries: Floats, k: int, excluded: ExcludedRows | None, boosts: Boosts | None = None
    ) -> tuple[Rows64, Floats, Rows64, int]:
        wanted = k if excluded is None or not k else min(k + excluded.most(), self.count)
        places, scores, computed = self._search(queries, wanted, boosts)
        counts = np.full(len(queries), places.shape[1], np.int64)
        if excluded is None:
            return places, scores, counts, computed
        found = without(Ranked(places, scores, counts), excluded, self._rows, k)
        return *found, computed

    def _search(self, queries: Floats, k: int, boosts: Boosts | None) -> tuple[Rows64, Floats, int]:
        places = np.zeros((len(queries), 0), np.int64)
        scores = np.zeros((len(queries), 0), np.float32)
        step = max(1, _PRODUCTS // max(1, len(queries)))
        for begin in range(0, self.count, step):
            end = min(begin + step, self.count)
            products = np.empty((len(queries), end - begin), np.float32)
            _multiply(queries, self._vectors[begin:end], self._biases[begin:end], products)
            here = np.arange(begin, end)
            if boosts is not None:
                own = boosts.adjustment.chosen(here if self._chosen is None else self._chosen[here])
                products = self._form.scores(queries, products)
                for query in range(len(queries)):
                    products[query] = own.of(products[query], query, 0)
            here = np.broadcast_to(here, products.shape)
            # What was found before stands before, and the sort is stable: equal scores keep their order.
            scores = np.concatenate([scores, products + np.float32(0)], axis=1)
            places = np.concatenate([places, here], axis=1)
            best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
            scores = np.take_along_axis(scores, best, axis=1)
            places = np.take_along_axis(places, best, axis=1)
        if self._chosen is not None:
            places = self._chosen[places]
        return places, scores, len(queries) * self.count


class NativeIndex:
    """See `Index`.

    Parameters
    ----------
    vectors, details, codes, coarse : ndarray of uint8
        By row: what records hold of vectors, see `VectorForm`; the last two or neither. Borrowed; vectors may
        lie apart.
    rows : ndarray of int64
        Of all items in order.
    biased : bool
        Whether products begin with anything but zero.
    backend : str
    pool : _native.ThreadPool
        The threads that share a search.
    """

    def __init__(
        self,
        vectors: NDArray[np.uint8],
        details: NDArray[np.uint8],
        codes: NDArray[np.uint8] | None,
        coarse: NDArray[np.uint8] | None,
        rows: Rows64,
        biased: bool,
        backend: str,
        pool: Any,
    ) -> None:
        made = native.VectorIndex(vectors, details, codes, coarse, rows, biased)
        self._width: int = vectors.shape[1] // 4
        self._end = len(vectors)
        self._coded = codes is not None
        self._set(made, len(rows), None, backend, pool)
        self._copies: list[ref[NativeIndex]] = []

    def _set(
        self, index: Any, count: int, mask: NDArray[np.uint64] | None, backend: str, pool: Any
    ) -> NativeIndex:
        self._index, self.count, self._mask = index, count, mask
        self._backend, self._pool = backend, pool
        return self

    def restricted(self, flags: NDArray[np.bool_], queries: int | None = None) -> NativeIndex:
        mask, count = self._index.mask(flags, self._mask)
        sparse = count < self.count * (_SPARSE if queries is None else self._sparse(queries))
        copied = queries is None and sparse and count <= self._left()
        index = self._index.restricted(mask, copied) if sparse else self._index
        made = self._of(index, count, None if sparse else mask)
        if copied:
            self._copies.append(ref(made))
        return made

    def chosen(self, rows: Rows64, queries: int) -> NativeIndex:
        if self.count > len(rows) > self.count * self._sparse(queries):
            return self.restricted(marked(max(self._end, rows.max() + 1), rows), queries)
        made = self._index.chosen(rows, self._mask)
        return self._of(made, made.size(), None)

    def prepared(self, view: StoreView, form: VectorForm, unsigned: bool) -> Any:
        if not isinstance(view, native.StoreView):
            return None
        return native.ItemSearch(
            view,
            self._index,
            self._backend,
            self._pool,
            FEW,
            self._mask,
            self.count,
            form.metric == "cosine",
            form.biased,
            unsigned,
        )

    def _of(self, index: Any, count: int, mask: NDArray[np.uint64] | None) -> NativeIndex:
        """The same with another index, of so many items."""
        made = object.__new__(NativeIndex)
        made._width, made._coded, made._copies, made._end = self._width, self._coded, [], self._end
        return made._set(index, count, mask, self._backend, self._pool)

    def _sparse(self, queries: int) -> float:
        """Of so large a share of the items it takes as long to read them where they lie as to search all."""
        width, cost = self._width, _OF_CODES if self._coded else _OF_VECTORS
        search = width * max(cost.read, queries * cost.multiply)
        apart = _APART + _LINE * -(-width * cost.size // 64)
        return min(_SPARSE, search / (search + apart))

    def _left(self) -> int:
        """Of how many items what a search reads may still be copied: all copies that there are together are
        no larger than that of all items."""
        self._copies = [each for each in self._copies if each() is not None]
        return self.count - sum(made.count for each in self._copies if (made := each()) is not None)

    def search(
        self, queries: Floats, k: int, excluded: ExcludedRows | None, boosts: Boosts | None = None
    ) -> tuple[Rows64, Floats, Rows64, int]:
        rows = bounds = None
        if excluded is not None:
            rows = excluded.rows
            if excluded.owners is not None:
                ends = np.bincount(excluded.owners, minlength=len(queries)).cumsum()
                bounds = np.concatenate([[0], ends]).astype(np.int64)
        after: tuple[Floats | None, ...] = ()
        if boosts is not None:
            after = boosts.adjustment.times, boosts.adjustment.plus, boosts.squares
        found: tuple[Rows64, Floats, Rows64, int] = self._index.search(
            self._backend, self._pool, queries, k, FEW, self._mask, rows, bounds, *after
        )
        return found


def make_index(form: VectorForm, view: StoreView, rows: Rows64, backend: str, pool: Any) -> Index:
    """The index of the items of some rows, in their order."""
    if backend == "numba":
        return NumbaIndex(form, view, rows)
    vectors, details = view.part(form.first), view.part(form.first + 1)
    codes, coarse = (view.part(form.first + part) if form.coded else None for part in (2, 3))
    return NativeIndex(vectors, details, codes, coarse, rows, form.biased, backend, pool)


__all__ = ["Boosts", "Index", "NativeIndex", "make_index"]
