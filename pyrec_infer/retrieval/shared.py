"""Vectors that are kept beside other records of the same items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.retrieval.changed import LastIndex
from pyrec_infer.retrieval.retriever import Precision, Retriever, require_form
from pyrec_infer.retrieval.saving import as_scaled
from pyrec_infer.retrieval.vectors import Floats, Metric, VectorForm, as_vectors
from pyrec_infer.selection import FilteredItems
from pyrec_infer.store import Batch, State, StoredItems


@dataclass(frozen=True, eq=False)
class Vectors:
    """Vectors of a catalogue's items, and how they are searched.

    Parameters
    ----------
    values : array_like of numbers, shape (N, D)
        One for each item.
    metric, precision : str
        As for `Retriever`.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> pi.Vectors([[3, 4]], metric="cosine").metric
    'cosine'
    """

    values: ArrayLike
    metric: Metric = "ip"
    precision: Precision = "fp32"


class SharedRetriever(Retriever):
    """The vectors of a catalogue's items: a `Retriever` over its store, with the same ids, attributes and
    filters. What changes the catalogue changes it in the same step."""

    def __init__(self, items: FilteredItems, parts: VectorParts, pool: Any) -> None:
        self._items = items
        self._id_type, self._known, self._store = items._id_type, items._known, items._store
        self._attribute_part = items._attribute_part
        self._form, self._precision = parts.form, parts.precision
        self._backend, self._pool = parts.backend, pool
        self._last = parts.last

    @property
    def _seen(self) -> State | None:
        return self._items._seen

    @_seen.setter
    def _seen(self, state: State | None) -> None:
        self._items._seen = state

    @property
    def _owner(self) -> StoredItems:
        return self._items._owner

    def remove(self, ids: ArrayLike) -> int:
        """Take items out of the catalogue. See `Catalog.remove`."""
        return self._items.remove(ids)

    def upsert(self, vectors: ArrayLike, ids: ArrayLike, attributes: Any = None) -> None:
        """Refused: an item enters as a whole, by `Catalog.upsert` with ``vectors``.

        Raises
        ------
        InputError
            Always.
        """
        raise InputError("vectors: expected with the items, by the `upsert` of their catalogue")


class VectorParts:
    """The parts of records that hold a catalogue's vectors.

    Parameters
    ----------
    given : Vectors or array_like
        Those of the first items.
    first : int
        The number of the first part.
    backend : str
    """

    def __init__(self, given: Any, first: int, backend: str) -> None:
        own = given if isinstance(given, Vectors) else Vectors(given)
        self._values: Floats | None = as_vectors("vectors", own.values)
        width = self._values.shape[1]
        self.precision, self.backend = own.precision, backend
        coded = require_form(own.metric, own.precision, width, backend)
        self.form = VectorForm(own.metric, width, coded, first)
        self.last = None if backend == "numba" else LastIndex()

    def first_items(self) -> Floats | None:
        """Those of the first items, which are not kept any longer."""
        values, self._values = self._values, None
        return values

    def changing(self, count: int) -> None:
        """No more than so many items are about to enter, or to be taken out."""
        if self.last is not None:
            self.last.count(count)

    def read(self, given: Any, count: int) -> Floats:
        """Vectors of as many items, which can be searched.

        Raises
        ------
        InputError
            If there are none, or a number is not finite; `ShapeError` if there is not one for each item.
        """
        if given is None:
            raise InputError("vectors: expected a vector for each item, got none")
        if isinstance(given, Vectors):
            raise DTypeError("vectors: expected vectors alone, the catalogue has their metric")
        vectors = as_vectors("vectors", given, self.form.width)
        if len(vectors) != count:
            raise ShapeError(f"vectors: expected {count}, one for each item, got {len(vectors)}")
        self.form.lengths("vectors", vectors)
        return vectors

    def write(self, batch: Batch, vectors: Floats, chosen: NDArray[np.int64] | None) -> None:
        """Write the parts of all items that enter, or of the chosen ones."""
        self._write(self.form, batch, vectors, chosen)

    def write_stored(self, batch: Batch, vectors: Floats) -> None:
        """The same of vectors of a file, as products take them.

        Raises
        ------
        InputError
            Names the first row that is none that products take.
        """
        lengths = self.form.lengths("vectors", vectors)
        form = as_scaled(self.form, lengths) if self.form.metric == "cosine" else self.form
        self._write(form, batch, vectors, None)

    def _write(
        self, form: VectorForm, batch: Batch, vectors: Floats, chosen: NDArray[np.int64] | None
    ) -> None:
        for begin, records in form.encode("vectors", vectors, chosen):
            batch.write(begin, records, form.first)

    def records(self, vectors: Floats) -> NDArray[np.uint8]:
        """The parts of all items side by side."""
        parts = [records for _, records in self.form.encode("vectors", vectors, None)]
        return np.concatenate(parts) if parts else np.empty((0, sum(self.form.strides)), np.uint8)


__all__ = ["SharedRetriever", "VectorParts", "Vectors"]
