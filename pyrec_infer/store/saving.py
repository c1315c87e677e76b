"""Ids and attributes of items in saved files."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.tensors import Packed, TensorFile, letters_of, members, unpacked
from pyrec_infer.ir import Array, as_texts
from pyrec_infer.store.attributes import NO_FLAG, NO_NUMBER, Attribute, Attributes, Columns
from pyrec_infer.store.base import Keys
from pyrec_infer.strings import Texts

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
    packed: Packed, ids: Array, attributes: Attributes, stored: NDArray[np.uint8], within: str = ""
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
    within : str
        What the arrays' names begin with.

    Raises
    ------
    UnsupportedModelError
        If an id, or the string of an attribute, is none that UTF-8 has, or ends in NUL.
    """
    plain: dict[str, Any] = {}
    for name, attribute in attributes.by_name.items():
        values, where = attributes.column(name, stored), f"{within}attributes/{name}"
        if attribute.kind == "U":
            made = _words_to(packed, where, attribute, values)
        else:
            made = {"values": packed.put(where, np.ascontiguousarray(values)), "words": None}
        plain[name] = {"kind": attribute.kind, **made}
    return {"ids": packed.put(f"{within}ids", ids), "attributes": plain}


def _texts(file: TensorFile, mention: Any, where: str) -> Texts:
    """Strings as they lie in a file, which are checked: in UTF-8, none of them ends in NUL."""
    ends, letters = letters_of(file, mention, where)
    texts = Texts(ends, letters)
    if texts.first_no_utf8 >= 0:
        raise ModelError(f"{where}: a string is not in UTF-8")
    return texts


def _column_of(file: TensorFile, plain: Any, count: int, where: str) -> tuple[Any, NDArray[np.bool_] | None]:
    kind, mention, words = members(plain, where, kind=str, values=str, words=object)
    values = unpacked(file, mention, where)
    if kind not in _TYPES or values.dtype not in _TYPES[kind] or values.shape != (count,):
        raise ModelError(f"{where}: expected {count} values of a type that attributes have")
    if (words is not None) != (kind == "U"):
        raise ModelError(f"{where}: expected words of strings alone")
    if kind == "U":
        known = _texts(file, words, where)
        if values.max(initial=0) > len(known):
            raise ModelError(f"{where}: expected a word for each number of its values")
        # An empty string stands before them, for those that are missing.
        starts = np.concatenate([known.offsets[:1], known.offsets])
        missing = values == 0
        return Texts(starts, known.data, values, missing), missing if missing.any() else None
    if kind == "f":
        return values, None
    gone = values == (NO_NUMBER if kind == "i" else NO_FLAG)
    if kind == "b":
        if not ((values >= NO_FLAG) & (values <= 1)).all():
            raise ModelError(f"{where}: expected booleans")
        values = values == 1
    return values, gone if gone.any() else None


class Unpacked(NamedTuple):
    """Ids and attributes of items of a file.

    Attributes
    ----------
    ids : ndarray
        None of them, of their type as callers know it.
    keys : ndarray of int64 or Texts
    columns : Columns
    """

    ids: Array
    keys: Keys
    columns: Columns


def unpack_items(file: TensorFile, plain: Any, count: int, where: str) -> Unpacked:
    """The ids and attributes of so many items.

    Raises
    ------
    ModelError
        If they are not of so many items, or of other types; an id that is given twice is found by who enters
        them.
    """
    mention, attributes = members(plain, where, ids=object, attributes=dict)
    ids, keys = _ids(file, mention, count, f"{where}, ids")
    columns = {
        name: _column_of(file, each, count, f"{where}, attribute '{name}'")
        for name, each in attributes.items()
    }
    return Unpacked(ids, keys, columns)


def _ids(file: TensorFile, mention: Any, count: int, where: str) -> tuple[Array, Keys]:
    wrong = ModelError(f"{where}: expected {count} whole numbers of 64 bits or strings")
    if type(mention) is not str:
        texts = _texts(file, mention, where)
        if len(texts) != count:
            raise wrong
        return np.empty(0, "U1"), texts
    numbers = unpacked(file, mention, where)
    if numbers.shape != (count,) or numbers.dtype not in (np.int64, np.uint64):
        raise wrong
    return numbers[:0], numbers.view(np.int64)


__all__ = ["Unpacked", "pack_items", "unpack_items"]
