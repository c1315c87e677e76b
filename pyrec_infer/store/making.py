"""Which store items are held in."""

from __future__ import annotations

from collections.abc import Sequence

from pyrec_infer import extension
from pyrec_infer.store.base import Store
from pyrec_infer.store.fallback import PythonStore


def make_store(strides: Sequence[int], text: bool, room: int, native: bool) -> Store:
    """An empty store.

    Parameters
    ----------
    strides : sequence of int
        Bytes of each part of a record; a part of all records lies by itself.
    text : bool
        Whether ids are strings; else they are 64-bit numbers.
    room : int
        How many items will enter soon; more may.
    native : bool
        Whether the extension may be used.
    """
    if native and extension.native is not None:
        return extension.native.ItemStore(list(strides), text, room)
    return PythonStore(strides)


__all__ = ["make_store"]
