"""Ids as callers give them, and as stores know them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import as_ids, regular
from pyrec_infer.errors import DTypeError
from pyrec_infer.ir import Array
from pyrec_infer.limits import require_own_elements
from pyrec_infer.store.base import Keys


def _given(label: str, ids: ArrayLike) -> Array | list[str]:
    """One axis of ids; strings of objects as a list, since arrays of a fixed width drop NULs at the end."""
    if isinstance(ids, (list, tuple)) and ids and all(isinstance(name, str) for name in ids):
        return [str(name) for name in ids]
    names = regular(label, ids)
    if names.dtype.kind in "OT" and names.ndim == 1 and names.size:
        texts: list[Any] = names.tolist()
        if all(isinstance(name, str) for name in texts):
            return texts
    return as_ids(label, names)


class IdType:
    """The type of the ids of a store: ``"i"`` for whole numbers, ``"u"`` for those that were given as
    unsigned, ``"U"`` for strings.

    Parameters
    ----------
    ids : array_like
        The first ids.
    """

    def __init__(self, ids: ArrayLike) -> None:
        names = _given("ids", ids)
        if isinstance(names, list) or names.dtype.kind == "U":
            self.kind = "U"
        elif names.size and names.dtype.kind not in "iu":
            raise DTypeError(f"ids: expected whole numbers or strings, got {names.dtype}")
        else:
            self.kind = "u" if names.dtype == np.uint64 else "i"

    @property
    def text(self) -> bool:
        return self.kind == "U"

    def keys(self, label: str, ids: ArrayLike) -> tuple[Keys, NDArray[np.bool_] | None]:
        """The ids as the store knows them, and which of them it can hold; None if all.

        Raises
        ------
        DTypeError
            If they are of the other type; `ShapeError` if they do not lie along one axis.
        """
        if type(ids) is np.ndarray and ids.dtype == np.int64 and ids.ndim == 1 and self.kind == "i":
            require_own_elements(label, ids)
            return np.ascontiguousarray(ids), None
        names = _given(label, ids)
        if len(names) == 0:
            return [] if self.text else np.empty(0, np.int64), None
        texts = isinstance(names, list) or names.dtype.kind == "U"
        if texts != self.text or not (isinstance(names, list) or names.dtype.kind in "iuU"):
            expected = "strings" if self.text else "whole numbers"
            got = "strings" if texts else names.dtype  # type: ignore[union-attr]
            raise DTypeError(f"{label}: expected {expected}, got {got}")
        if isinstance(names, list) or texts:
            native = isinstance(names, list) or (names.dtype.isnative and names.flags.aligned)
            return names if native else names.tolist(), None  # type: ignore[union-attr]
        known = None
        if names.dtype == np.uint64 and self.kind == "i":
            known = names <= np.uint64(2**63 - 1)
        elif names.dtype.kind == "i" and self.kind == "u":
            known = names >= 0
        keys = np.ascontiguousarray(names).astype(np.int64, copy=False)
        return keys, None if known is None or known.all() else known

    def shown(self, keys: Keys) -> Array:
        """Keys as the ids that the caller knows."""
        if self.kind == "U":
            texts = keys if isinstance(keys, list) else keys.tolist()
            if any(name.endswith("\0") for name in texts):
                return np.asarray(texts, object)
            return np.asarray(texts, str) if texts else np.empty(0, "U1")
        numbers = np.asarray(keys)
        return numbers.view(np.uint64) if self.kind == "u" else numbers


def take_keys(keys: Keys, chosen: NDArray[np.int64]) -> Keys:
    """The chosen keys."""
    return [keys[i] for i in chosen.tolist()] if isinstance(keys, list) else keys[chosen]


__all__ = ["IdType", "take_keys"]
