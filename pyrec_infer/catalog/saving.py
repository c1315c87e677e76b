"""Saved catalogues: a model, and items with the records that it has made of them, in one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.catalog.encoder import ItemEncoder
from pyrec_infer.catalog.halves import Halves
from pyrec_infer.catalog.part import ModelPart
from pyrec_infer.catalog.stored import SavedItems, halves_of, how_made, stored_items
from pyrec_infer.formats import CATALOGUE, ITEMS, packed_model
from pyrec_infer.formats.tensors import Packed, Portions, write_tensors
from pyrec_infer.ir import Array
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.retrieval import VectorParts
from pyrec_infer.retrieval.saving import portions_of
from pyrec_infer.selection import FilteredItems
from pyrec_infer.store import Columns, Rows64

_BLOCK = 1 << 13
"""Records that are written at once."""


class SavedCatalog(FilteredItems):
    """Items with records that files hold. See `Catalog`."""

    _encoder: ItemEncoder
    _halves: Halves
    _vectors: VectorParts | None

    @memory_errors_typed
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model and the items to one file, which `load_catalog` opens without computing anything of
        an item again: records, ids, attributes and vectors, as they are in one state of the items. Others may
        change them meanwhile.

        Parameters
        ----------
        path : path
            What is there is replaced in one step once all is written, and else stays as it was.

        Raises
        ------
        SaveError
            The system cannot write the file.
        ModelError
            The model's own file, which is read again, has changed since it was loaded.
        UnsupportedModelError
            A string is none that UTF-8 has, or ends in NUL; or something in the model has no place in a
            file.

        Examples
        --------
        >>> import os, tempfile
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items
        >>> shop = pi.load(MODEL).catalog(items(500), candidates=["affinity"])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "shop.pyrec")
        ...     shop.save(path)
        ...     len(pi.load_catalog(path))
        500
        """
        packed, (state, _) = Packed(), self._read()
        view, rows = state.view, state.rows
        model = packed_model(self._halves.part.source.read(), packed)
        content = {
            "records": how_made(packed, self._halves, self._encoder),
            "values": packed.put_portions(f"{ITEMS}records", _records(self._encoder, view.records, rows)),
            "vectors": None,
            "items": self._packed(packed, state, ITEMS),
        }
        if self._vectors is not None:
            content["vectors"] = {
                "metric": self._vectors.form.metric,
                "precision": self._vectors.precision,
                "values": packed.put_portions(f"{ITEMS}vectors", portions_of(self._vectors.form, view, rows)),
            }
        write_tensors(path, CATALOGUE, {"model": model, "items": content}, packed.tensors)

    @classmethod
    def opened(cls, part: ModelPart, saved: SavedItems) -> Self:
        """The items of a file, whose records are as they were.

        Raises
        ------
        ModelError
            If they are damaged, or the model makes no such records.
        """
        halves, sample = halves_of(saved, part)
        made, encoder = cls.__new__(cls), ItemEncoder(halves, sample)
        stored = stored_items(saved, encoder)
        ids, keys, columns = stored.known
        made._begin(halves, encoder, ids, stored.count, columns, stored.vectors)
        made._require_different(keys, saved.where)
        if not stored.count:
            return made
        turn = made._known.begin()
        batch, begin = made._store.take(stored.count), 0
        vectors = None if made._vectors is None else made._vectors.first_items()
        if made._vectors is not None and vectors is not None:
            made._vectors.write_stored(batch, vectors)
        for records in stored.records:
            batch.write(begin, records)
            begin += len(records)
        made._write_attributes(batch, turn.value.encode(columns, stored.count), None)
        made._put(keys, batch, turn)
        return made

    def _begin(
        self, halves: Halves, encoder: ItemEncoder, ids: ArrayLike, count: int, columns: Columns, vectors: Any
    ) -> None:
        """Make what is to hold so many items, with ids, attributes and vectors of these types."""
        raise NotImplementedError


def _records(encoder: ItemEncoder, records: NDArray[np.uint8], rows: Rows64) -> Portions:
    """The records of some rows. What lies between fields is zero: it may be left from other items."""
    end, gaps = 0, []
    for field in sorted(encoder.fields, key=lambda field: field.offset):
        gaps.append(slice(end, field.offset))
        end = field.offset + field.size
    gaps.append(slice(end, encoder.stride))

    def portions() -> Iterator[Array]:
        for begin in range(0, len(rows), _BLOCK):
            portion = records[rows[begin : begin + _BLOCK]]
            for gap in gaps:
                portion[:, gap] = 0
            yield portion

    return Portions(np.dtype(np.uint8), (len(rows), encoder.stride), portions)


__all__ = ["SavedCatalog"]
