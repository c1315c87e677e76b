"""Arrays, strings among them, as tensors of a file, and what stands for them in its plain data."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.tensors.layout import NAMES
from pyrec_infer.formats.tensors.plain import members, whole_of
from pyrec_infer.formats.tensors.reader import TensorFile
from pyrec_infer.formats.tensors.writer import Portions
from pyrec_infer.ir import Array, as_texts, holds_strings
from pyrec_infer.limits import MAX_RANK

Mention: TypeAlias = str | dict[str, Any]
"""Of an array in plain data: a tensor's name, or how strings are made of two tensors."""


class Packed:
    """Tensors that are to be written, by name; an array that is put in twice is written once."""

    def __init__(self) -> None:
        self.tensors: dict[str, Array | Portions] = {}
        self._known: dict[int, tuple[Array, Mention]] = {}

    def put(self, name: str, array: Array) -> Mention:
        """Add an array under a name like this one; what it is called in plain data.

        Raises
        ------
        UnsupportedModelError
            If it holds strings that are not to be had in UTF-8, or end in NUL.
        """
        known = self._known.get(id(array))
        if known is not None:
            return known[1]
        mention = self._texts(name, array) if holds_strings(array) else self._numbers(name, array)
        self._known[id(array)] = (array, mention)
        return mention

    def put_portions(self, name: str, portions: Portions) -> Mention:
        """Add a tensor that is made part by part."""
        name = self._free(name)
        self.tensors[name] = portions
        return name

    def _free(self, name: str) -> str:
        name = name.encode("utf-8", "replace").decode()
        while name in self.tensors:
            name += "'"
        return name

    def _numbers(self, name: str, array: Array) -> str:
        if array.dtype not in NAMES or array.ndim > MAX_RANK:
            raise UnsupportedModelError(f"{name}: arrays of {array.dtype} cannot be saved")
        name = self._free(name)
        self.tensors[name] = array
        return name

    def _texts(self, name: str, array: Array) -> Mention:
        texts = [str(text) for text in array.reshape(-1).tolist()]
        if any(text.endswith("\0") for text in texts):
            raise UnsupportedModelError(f"{name}: strings that end in NUL cannot be saved")
        try:
            parts = [text.encode() for text in texts]
        except UnicodeEncodeError:
            raise UnsupportedModelError(f"{name}: strings that are not Unicode cannot be saved") from None
        ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
        return {
            "letters": self._numbers(f"{name}/letters", np.frombuffer(b"".join(parts), np.uint8)),
            "ends": self._numbers(f"{name}/ends", ends),
            "shape": list(array.shape),
        }


def unpacked(file: TensorFile, mention: Any, where: str) -> Array:
    """The array that a mention stands for; read-only.

    Raises
    ------
    ModelError
        If it stands for none, or its strings are damaged.
    """
    if type(mention) is str:
        return file.array(mention, where)
    data, places, sizes = _texts_of(file, mention, where)
    array = as_texts(_decoded(data.tobytes(), places.tolist(), where)).reshape(sizes)
    array.flags.writeable = False
    return array


def _texts_of(file: TensorFile, mention: Any, where: str) -> tuple[Array, Array, list[int]]:
    """The letters of strings, where each ends, and their shape."""
    letters, ends, shape = members(mention, where, letters=str, ends=str, shape=list)
    sizes = [whole_of(size, f"{where}, shape", 0) for size in shape]
    if len(sizes) > MAX_RANK:
        raise ModelError(f"{where}: expected at most {MAX_RANK} axes, got {len(sizes)}")
    data, places = file.array(letters, where), file.array(ends, where)
    count = math.prod(sizes)
    if data.dtype != np.uint8 or data.ndim != 1 or places.dtype != np.int64 or places.shape != (count + 1,):
        raise ModelError(f"{where}: expected letters, and where each of {count} strings ends")
    if places[0] != 0 or places[-1] != len(data) or (places[1:] < places[:-1]).any():
        raise ModelError(f"{where}: expected ends of strings that grow from 0 to {len(data)}")
    return data, places, sizes


def letters_of(file: TensorFile, mention: Any, where: str) -> tuple[Array, Array]:
    """Strings along one axis as they lie: where each begins, and the last ends, among the letters, and these.
    They need not be UTF-8.

    Raises
    ------
    ModelError
        If a mention stands for none, or one of them ends in NUL.
    """
    data, places, sizes = _texts_of(file, mention, where)
    if len(sizes) != 1:
        raise ModelError(f"{where}: expected strings along one axis, got {len(sizes)} axes")
    filled = np.flatnonzero(places[1:] > places[:-1])
    if (data[places[1:][filled] - 1] == 0).any():
        raise _ends_in_nul(where)
    return places, data


def _ends_in_nul(where: str) -> ModelError:
    return ModelError(f"{where}: a string ends in NUL: it would equal a shorter one")


def _decoded(data: bytes, places: list[int], where: str) -> list[str]:
    try:
        texts = [data[begin:end].decode() for begin, end in pairwise(places)]
    except UnicodeDecodeError:
        raise ModelError(f"{where}: a string is not in UTF-8") from None
    if any(text.endswith("\0") for text in texts):
        raise _ends_in_nul(where)
    return texts


__all__ = ["Mention", "Packed", "letters_of", "unpacked"]
