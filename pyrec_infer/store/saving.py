"""Ids and attributes of items in saved files."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.tensors import Packed, TensorFile, members, unpacked
from pyrec_infer.ir import Array, as_array_of_strings, as_texts, holds_strings
from pyrec_infer.store.attributes import NO_FLAG, NO_NUMBER, Attribute, Attributes, Columns
from pyrec_infer.strings import of_objects

_TYPES = {
    "U": (np.uint32,),
    "i": (np.int64,),
    "b": (np.int8,),
    "f": (np.float32, np.float64),
}
"""What is stored of attributes, by their kind."""


def _words_to(packed: Packed, name: str, attribute: Attribute, codes: Array) -> dict[str, Any]:
    """Strings by numbers of their own, in the order in which items have them first; 0 for a missing one."""
    used, first, places = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    order = order[used[order] != 0]
    numbers = np.zeros(len(used), np.uint32)
    numbers[order] = np.arange(1, len(order) + 1)
    try:
        words = [word.decode() for word in attribute.words_of(used[order].tolist())]
    except UnicodeDecodeError:
        raise UnsupportedModelError(f"{name}: strings that are not Unicode cannot be saved") from None
    return {
        "values": packed.put(f"{name}/values", numbers[places.reshape(-1)]),
        "words": packed.put(f"{name}/words", as_texts(words)),
    }


def pack_items(
    packed: Packed, ids: Array, attributes: Attributes, stored: NDArray[np.uint8]
) -> dict[str, Any]:
    """The plain data of items; their arrays go to the others.

    Parameters
    ----------
    packed : Packed
    ids : ndarray
        As callers know them.
    attributes : Attributes
    stored : ndarray of uint8
        The attributes' parts of the items' records.

    Raises
    ------
    UnsupportedModelError
        If an id, or the string of an attribute, is none that UTF-8 has, or ends in NUL.
    """
    plain: dict[str, Any] = {}
    for name, attribute in attributes.by_name.items():
        values, where = attributes.column(name, stored), f"attributes/{name}"
        if attribute.kind == "U":
            made = _words_to(packed, where, attribute, values)
        else:
            made = {"values": packed.put(where, np.ascontiguousarray(values)), "words": None}
        plain[name] = {"kind": attribute.kind, **made}
    return {"ids": packed.put("ids", ids), "attributes": plain}


def _column_of(file: TensorFile, plain: Any, count: int, where: str) -> tuple[Any, NDArray[np.bool_] | None]:
    kind, mention, words = members(plain, where, kind=str, values=str, words=object)
    values = unpacked(file, mention, where)
    if kind not in _TYPES or values.dtype not in _TYPES[kind] or values.shape != (count,):
        raise ModelError(f"{where}: expected {count} values of a type that attributes have")
    if (words is not None) != (kind == "U"):
        raise ModelError(f"{where}: expected words of strings alone")
    if kind == "U":
        known = unpacked(file, words, where)
        if known.ndim != 1 or not holds_strings(known) or values.max(initial=0) > len(known):
            raise ModelError(f"{where}: expected a word for each number of its values")
        texts = of_objects(as_texts([None, *known.tolist()])[values], 1, True)  # type: ignore[list-item]
        return texts, texts.missing
    if kind == "f":
        return values, None
    gone = values == (NO_NUMBER if kind == "i" else NO_FLAG)
    if kind == "b":
        if not ((values >= NO_FLAG) & (values <= 1)).all():
            raise ModelError(f"{where}: expected booleans")
        values = values == 1
    return values, gone if gone.any() else None


def unpack_items(file: TensorFile, plain: Any, count: int, where: str) -> tuple[Array, Columns]:
    """The ids and attributes of so many items.

    Raises
    ------
    ModelError
        If they are not of so many items, or of other types; an id that is given twice is found by who enters
        them.
    """
    mention, attributes = members(plain, where, ids=object, attributes=dict)
    ids = unpacked(file, mention, f"{where}, ids")
    texts = holds_strings(ids)
    if ids.shape != (count,) or not (texts or ids.dtype in (np.int64, np.uint64)):
        raise ModelError(f"{where}, ids: expected {count} whole numbers of 64 bits or strings")
    columns = {
        name: _column_of(file, each, count, f"{where}, attribute '{name}'")
        for name, each in attributes.items()
    }
    return as_array_of_strings(ids.tolist()) if texts else ids, columns


__all__ = ["pack_items", "unpack_items"]
