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
    TensorFile,
    members,
    open_tensors,
    unpacked,
    verify_tensors,
    write_tensors,
)
from pyrec_infer.limits import memory_errors_typed
from pyrec_infer.retrieval.vectors import Floats, Metric, VectorForm
from pyrec_infer.selection import FilteredItems
from pyrec_infer.store import Columns, Keys, Rows64, StoreView, unpack_items

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
        packed, (state, _) = Packed(), self._read()
        content = {
            "metric": self._form.metric,
            "precision": self._precision,
            "vectors": packed.put_portions("vectors", portions_of(self._form, state.view, state.rows)),
            "items": self._packed(packed, state),
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
            vectors = vectors_of(file, mention, f"{where}, vectors")
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


def portions_of(form: VectorForm, view: StoreView, rows: Rows64) -> Portions:
    """The vectors of some rows, as products take them."""

    def vectors() -> Iterator[Floats]:
        for begin in range(0, len(rows), _BLOCK):
            yield form.stored(view, rows[begin : begin + _BLOCK])

    return Portions(np.dtype(np.float32), (len(rows), form.width), vectors)


def vectors_of(file: TensorFile, mention: Any, where: str) -> Floats:
    """The vectors that a file mentions.

    Raises
    ------
    ModelError
        If they are none.
    """
    vectors = unpacked(file, mention, where)
    if vectors.dtype != np.float32 or vectors.ndim != 2 or not vectors.shape[1]:
        raise ModelError(f"{where}: expected a matrix of float32")
    return vectors


def as_scaled(form: VectorForm, lengths: Any) -> VectorForm:
    """How vectors of these lengths that have been divided by them become records: as they are.

    Raises
    ------
    InputError
        Names the first that has not been divided, but for those of zeros.
    """
    wrong = (np.abs(lengths - 1) > _NEAR_ONE) & (lengths != 0)
    if wrong.any():
        raise InputError(f"vectors: expected a length of 1 or 0 (row {int(np.argmax(wrong))})")
    return replace(form, metric="ip")


__all__ = ["SavedVectors", "as_scaled", "portions_of", "vectors_of"]
