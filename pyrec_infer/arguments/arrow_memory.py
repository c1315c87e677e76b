"""The C data interface of Arrow: its structures, and buffers as arrays over memory that they keep alive."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyrec_infer.ir import Array

MOST_ELEMENTS = 1 << 40
MOST_COLUMNS = 1 << 16
_DEEPEST = 8


class CSchema(ctypes.Structure):
    """A type; its fields follow, as they point to others of it."""


class CArray(ctypes.Structure):
    """An array's buffers, of such a type."""


class CStream(ctypes.Structure):
    """A table, part by part."""

    _fields_ = (
        ("get_schema", ctypes.c_void_p),
        ("get_next", ctypes.c_void_p),
        ("get_last_error", ctypes.c_void_p),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


CSchema._fields_ = (
    ("format", ctypes.c_char_p),
    ("name", ctypes.c_char_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(CSchema))),
    ("dictionary", ctypes.POINTER(CSchema)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
)
CArray._fields_ = (
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(CArray))),
    ("dictionary", ctypes.POINTER(CArray)),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
)

pointer_in = ctypes.pythonapi.PyCapsule_GetPointer
pointer_in.restype = ctypes.c_void_p
pointer_in.argtypes = (ctypes.py_object, ctypes.c_char_p)

_RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
GET = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


class MalformedError(Exception):
    """What was handed over breaks the interface's rules."""


class Owned:
    """A structure that is released with the last array over its memory."""

    def __init__(self, structure: Any) -> None:
        self.structure = structure

    def __del__(self) -> None:
        if self.structure.release:
            _RELEASE(self.structure.release)(ctypes.addressof(self.structure))


class _Memory:
    """A piece of memory that keeps its owner alive; NumPy reads it where it lies, but does not write."""

    def __init__(self, address: int, dtype: np.dtype[Any], count: int, owner: Any) -> None:
        self.__array_interface__ = {
            "data": (address, True),
            "shape": (count,),
            "typestr": dtype.str,
            "version": 3,
        }
        self.owner = owner


@dataclass(frozen=True)
class Field:
    """A column's type."""

    format: str
    name: str
    children: tuple[Field, ...]
    dictionary: Field | None


def field_of(schema: CSchema, depth: int = 0) -> Field:
    count = schema.n_children
    if depth > _DEEPEST or not 0 <= count <= MOST_COLUMNS or schema.format is None:
        raise MalformedError
    if count and not schema.children:
        raise MalformedError
    children = []
    for i in range(count):
        if not schema.children[i]:
            raise MalformedError
        children.append(field_of(schema.children[i].contents, depth + 1))
    dictionary = field_of(schema.dictionary.contents, depth + 1) if schema.dictionary else None
    try:
        return Field(
            schema.format.decode("ascii"), (schema.name or b"").decode(), tuple(children), dictionary
        )
    except UnicodeDecodeError:
        raise MalformedError from None


@dataclass(frozen=True)
class Piece:
    """Elements of one C array: how many, from where on, and who owns the memory."""

    array: CArray
    begin: int
    count: int
    owner: Any

    @classmethod
    def whole(cls, array: CArray, owner: Any) -> Piece:
        if not 0 <= array.length <= MOST_ELEMENTS:
            raise MalformedError
        return cls(array, 0, array.length, owner).checked()

    def checked(self) -> Piece:
        array = self.array
        fits = 0 <= array.offset <= MOST_ELEMENTS and 0 <= array.length <= MOST_ELEMENTS
        if not fits or self.begin < 0 or self.count < 0 or self.begin + self.count > array.length:
            raise MalformedError
        if not -1 <= array.null_count <= array.length:
            raise MalformedError
        return self

    @property
    def first(self) -> int:
        """The first element's place in the buffers."""
        return int(self.array.offset + self.begin)

    def child(self, place: int, begin: int, count: int) -> Piece:
        if place >= self.array.n_children or not self.array.children or not self.array.children[place]:
            raise MalformedError
        return Piece(self.array.children[place].contents, begin, count, self.owner).checked()

    def buffer(self, place: int, dtype: Any, first: int, count: int) -> Array:
        """Elements of a buffer, borrowed."""
        if place >= self.array.n_buffers:
            raise MalformedError
        kind = np.dtype(dtype)
        if count == 0:
            return np.empty(0, kind)
        address = self.array.buffers[place] if self.array.buffers else None
        if not address:
            raise MalformedError
        return np.asarray(_Memory(address + first * kind.itemsize, kind, count, self.owner))

    def bits(self, place: int) -> Array:
        """The elements of a buffer of bits."""
        begin, end = self.first, self.first + self.count
        data = self.buffer(place, np.uint8, begin // 8, -(-end // 8) - begin // 8)
        return np.unpackbits(data, bitorder="little")[begin % 8 :][: self.count].astype(np.bool_)

    def missing(self) -> Array | None:
        """Which elements are null; None if all are there."""
        if self.array.n_buffers < 1 or not self.array.buffers or not self.array.buffers[0]:
            if self.array.null_count > 0:
                raise MalformedError
            return None
        there = self.bits(0)
        return None if there.all() else ~there
