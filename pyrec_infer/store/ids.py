"""Ids as callers give them, and as stores know them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import ONE_TYPE, plain_names, read_column, regular
from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.ir import Array, as_array_of_strings
from pyrec_infer.store.base import Keys, Rows64
from pyrec_infer.strings import Texts, joined, of_objects

_BOOLEANS = {bool, np.bool_}


def _given(label: str, ids: Any) -> Array | Texts:
    """One axis of ids."""
    kinds = {*map(type, ids)} if type(ids) in (list, tuple) else set()
    if kinds == {int}:
        numbers = _whole_numbers(ids)
        return _whole(label, ids) if numbers is None else numbers
    if kinds & _BOOLEANS:
        row = next(row for row, one in enumerate(ids) if type(one) in _BOOLEANS)
        raise DTypeError(f"{label}: expected whole numbers or strings, got a boolean (row {row})")
    column = read_column(label, ids, names=True)
    if len(column.shape) != 1:
        raise ShapeError(f"{label}: expected one axis, got shape {list(column.shape)}")
    if column.numbers is not None:
        return column.numbers
    names = column.joined()
    if names.missing is not None and names.missing.any():
        row = int(np.flatnonzero(names.missing)[0])
        raise InputError(f"{label}: expected a value in each row, got a missing one (row {row})")
    return names


def plain_numbers(ids: Any) -> Rows64 | None:
    """Whole numbers in an array as keys lie, or in a list of nothing but int; None for all else."""
    if type(ids) is np.ndarray:
        return ids if ids.dtype == np.int64 and ids.ndim == 1 and ids.flags.c_contiguous else None
    return _whole_numbers(ids) if type(ids) is list and {*map(type, ids)} == {int} else None


def _whole_numbers(ids: Any) -> Rows64 | None:
    """A list of nothing but int; None where one of them needs another type."""
    numbers = np.array(ids)
    return numbers if numbers.dtype == np.int64 else None


def _whole(label: str, ids: Any) -> Array:
    """Whole numbers of a list.

    Raises
    ------
    DTypeError
        If NumPy has no type for them; names the row.
    """
    numbers = regular(label, ids)
    if numbers.dtype.kind in "iu":
        return numbers
    row = next(row for row, one in enumerate(ids) if not -(2**63) <= one < 2**63)
    raise DTypeError(f"{label}: expected {ONE_TYPE} (row {row})")


def read_ids(label: str, ids: Any, expected: str = "whole numbers or strings") -> Array:
    """Ids along one axis as an array of whole numbers, or of strings; ``expected`` is what errors call them.

    Raises
    ------
    DTypeError
        If they are neither, or some of each; `ShapeError` if they do not lie along one axis.
    """
    given = _given(label, ids)
    if isinstance(given, Texts):
        return as_array_of_strings([word.decode("utf-8", "surrogatepass") for word in given.elements()])
    if given.dtype.kind not in "iu" and len(given):
        raise DTypeError(f"{label}: expected {expected}, got {given.dtype}")
    return given


def as_those(ids: Array, known: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Ids in the type of others, with which they compare exactly, and which of them that type holds."""
    fits = np.ones(len(ids), np.bool_)
    if known.dtype.kind not in "iu" or ids.dtype.kind not in "iu":
        return ids, fits
    if ids.dtype == np.uint64 and known.dtype.kind == "i":
        fits = ids <= np.uint64(2**63 - 1)
        ids = ids.astype(np.int64)
    elif known.dtype == np.uint64 and ids.dtype.kind == "i":
        fits = ids >= 0
        ids = ids.astype(np.uint64)
    return ids, fits


class IdType:
    """The type of the ids of a store: ``"i"`` for whole numbers, ``"u"`` for those that were given as
    unsigned, ``"U"`` for strings.

    Parameters
    ----------
    ids : array_like
        The first ids.
    """

    def __init__(self, ids: ArrayLike) -> None:
        given = _given("ids", ids)
        names = given if len(given) else regular("ids", ids)
        if isinstance(names, Texts) or names.dtype.kind == "U":
            self.kind = "U"
        elif names.size and names.dtype.kind not in "iu":
            raise DTypeError(f"ids: expected whole numbers or strings, got {names.dtype}")
        else:
            self.kind = "u" if names.dtype == np.uint64 else "i"

    @property
    def text(self) -> bool:
        return self.kind == "U"

    def plain_keys(self, ids: Any) -> Keys | None:
        """Ids that are keys as they lie, or lists of nothing but int or str; None for what needs a closer
        look."""
        if self.kind == "i":
            return plain_numbers(ids)
        texts = self.text and type(ids) is list and {*map(type, ids)} == {str}
        return plain_names(ids) if texts else None

    def keys(self, label: str, ids: ArrayLike) -> tuple[Keys, NDArray[np.bool_] | None]:
        """The ids as the store knows them, and which of them it can hold; None if all.

        Raises
        ------
        DTypeError
            If they are of the other type; `ShapeError` if they do not lie along one axis.
        """
        plain = self.plain_keys(ids)
        if plain is None and self.text:
            plain = plain_names(ids)
        if plain is not None:
            return plain, None
        names = _given(label, ids)
        if len(names) == 0:
            return of_objects([], 1, True) if self.text else np.empty(0, np.int64), None
        texts = isinstance(names, Texts)
        if texts != self.text or not (isinstance(names, Texts) or names.dtype.kind in "iu"):
            expected = "strings" if self.text else "whole numbers"
            got = "strings" if isinstance(names, Texts) else names.dtype
            raise DTypeError(f"{label}: expected {expected}, got {got}")
        if isinstance(names, Texts):
            return names, None
        known = None
        if names.dtype == np.uint64 and self.kind == "i":
            known = names <= np.uint64(2**63 - 1)
        elif names.dtype.kind == "i" and self.kind == "u":
            known = names >= 0
        keys = np.ascontiguousarray(names).astype(np.int64, copy=False)
        return keys, None if known is None or known.all() else known

    def keys_of_each(
        self, label: str, lists: Sequence[ArrayLike]
    ) -> tuple[Keys, NDArray[np.bool_] | None, Rows64]:
        """The same of a list of ids for each request, one list after the other; list b is
        ``bounds[b]:bounds[b + 1]`` of the third."""
        parts = [self.keys(f"{label} (request {number})", ids) for number, ids in enumerate(lists)]
        bounds = np.cumsum([0, *(len(keys) for keys, _ in parts)])
        known: NDArray[np.bool_] | None = None
        if any(own is not None for _, own in parts):
            known = np.concatenate([np.ones(len(keys), bool) if own is None else own for keys, own in parts])
        return join_keys([keys for keys, _ in parts]), known, bounds

    def known(self, label: str, ids: ArrayLike) -> Keys:
        """The keys of those ids that a store can hold."""
        keys, known = self.keys(label, ids)
        return keys if known is None else take_keys(keys, np.flatnonzero(known))

    def shown(self, keys: list[str] | Rows64) -> Array:
        """Ids that a store gives as the caller knows them."""
        if isinstance(keys, list):
            return as_array_of_strings(keys)
        if self.kind == "U":
            return np.empty(0, "U1")
        return keys.view(np.uint64) if self.kind == "u" else keys


def take_keys(keys: Keys, chosen: NDArray[np.int64]) -> Keys:
    """The chosen keys."""
    return keys.take(chosen, None) if isinstance(keys, Texts) else keys[chosen]


def join_keys(sets: Sequence[Keys]) -> Keys:
    """Keys of one kind, set after set."""
    texts = [keys for keys in sets if isinstance(keys, Texts)]
    return joined(texts) if texts else np.concatenate([keys for keys in sets if not isinstance(keys, Texts)])


__all__ = ["IdType", "as_those", "join_keys", "plain_numbers", "read_ids", "take_keys"]
