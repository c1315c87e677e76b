"""Saved retrievers: vectors, ids and attributes in one file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import ArrayLike

from pyrec_infer.errors import InputError, ModelError
from pyrec_infer.formats.tensors import (
    Packed,
    Portions,
    members,
    open_tensors,
    unpacked,
    verify_tensors,
    write_tensors,
)
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.retrieval.vectors import Floats, Metric, VectorForm
from pyrec_infer.selection import FilteredItems
from pyrec_infer.store import Columns, Keys, Rows64, pack_items, unpack_items

_KIND = "retriever"

_BLOCK = 1 << 14
"""Vectors that are written at once."""

_NEAR_ONE = 1e-3
"""How far the length of a vector may be from 1 that was divided by its length."""


class SavedVectors(FilteredItems):
    """Items with vectors that files hold. See `Retriever`."""

    _form: VectorForm
    _precision: Any

    def _begin(
        self,
        shape: tuple[int, ...],
        ids: ArrayLike,
        metric: Metric,
        precision: Any,
        threads: int,
        columns: Columns,
    ) -> None:
        """Make what is to hold vectors of this shape, with ids and attributes of these types."""
        raise NotImplementedError

    def _let_in(
        self,
        label: str,
        vectors: Floats,
        keys: Keys,
        chosen: Rows64 | None,
        attributes: Columns,
        scaled: bool = False,
    ) -> None:
        """Make the records of vectors, of chosen ones or all, then let the keys stand for them, in one step;
        ``scaled`` of vectors that have been divided by their lengths."""
        raise NotImplementedError

    @memory_errors_typed
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write vectors, ids, metric, precision and attributes to one file, as they are in one state of the
        items; others may change them meanwhile.

        Parameters
        ----------
        path : path
            What is there is replaced in one step once all is written, and else stays as it was.

        Raises
        ------
        SaveError
            The system cannot write the file.
        UnsupportedModelError
            A string is none that UTF-8 has, or ends in NUL.

        Examples
        --------
        >>> import os, tempfile
        >>> import pyrec_infer as pi
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "items.pyrec")
        ...     pi.Retriever([[1, 0], [0, 1]], ids=["a", "b"]).save(path)
        ...     pi.Retriever.load(path).top_k([0, 1], k=1).ids.tolist()
        [['b']]
        """
        state, _ = self._read()
        view, rows, form = state.view, state.rows, self._form

        def vectors() -> Iterator[Floats]:
            for begin in range(0, len(rows), _BLOCK):
                yield form.stored(view, rows[begin : begin + _BLOCK])

        packed = Packed()
        ids = self._id_type.shown(view.ids(0, np.arange(len(rows))))
        attributes = state.attributes
        stored = view.part(self._attribute_part)[rows] if attributes.by_name else np.empty((0, 0), np.uint8)
        content = {
            "metric": form.metric,
            "precision": self._precision,
            "vectors": packed.put_portions(
                "vectors", Portions(np.dtype(np.float32), (len(rows), form.width), vectors)
            ),
            "items": pack_items(packed, ids, attributes, stored),
        }
        write_tensors(path, _KIND, content, packed.tensors)

    @classmethod
    @memory_errors_typed
    def load(cls, path: str | os.PathLike[str], *, threads: int = 1, verify: bool = False) -> Self:
        """Read what `save` has written.

        Parameters
        ----------
        path : path
        threads : int
            As for a new one.
        verify : bool
            Whether all checksums are compared first, as `pyrec_infer.verify` does.

        Returns
        -------
        Retriever
            With the same items in the same order, and the same results to the last bit on the same kind of
            processor. What searches take besides is made anew.

        Raises
        ------
        ModelError
            The file is damaged, or holds something else; names the place.
        ResourceLimitError
            It has more than half of the machine's memory.
        """
        where = f"file {Path(path).name!r}"
        with open_tensors(path, where) as file:
            file.require_kind(_KIND)
            file.require_room()
            if verify:
                verify_tensors(file)
            metric, precision, mention, items = members(
                file.content, where, metric=str, precision=str, vectors=str, items=dict
            )
            vectors = unpacked(file, mention, f"{where}, vectors")
            if vectors.dtype != np.float32 or vectors.ndim != 2 or not vectors.shape[1]:
                raise ModelError(f"{where}, vectors: expected a matrix of float32")
            ids, keys, columns = unpack_items(file, items, len(vectors), where)
            file.require_used()
        made = cls.__new__(cls)
        try:
            made._begin(vectors.shape, ids, cast(Metric, metric), precision, threads, columns)
            made._require_different(keys, where)
            made._let_in("vectors", vectors, keys, None, columns, metric == "cosine")
        except InputError as error:
            raise ModelError(f"{where}: {error}") from error
        return made


def of_scaled(form: VectorForm) -> VectorForm:
    """How vectors that have been divided by their lengths become records: as they are."""
    return replace(form, metric="ip")


def require_scaled(lengths: Any) -> None:
    """Refuse vectors that have not been divided by their lengths, but for those of zeros.

    Raises
    ------
    InputError
        Names the first of them.
    """
    wrong = (np.abs(lengths - 1) > _NEAR_ONE) & (lengths != 0)
    if wrong.any():
        raise InputError(f"vectors: expected a length of 1 or 0 (row {int(np.argmax(wrong))})")


__all__ = ["SavedVectors", "of_scaled", "require_scaled"]
