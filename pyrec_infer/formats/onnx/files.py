"""Reading a model's bytes and its external tensors without trusting the file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats.identify import not_a_model
from pyrec_infer.formats.onnx.check import check_text
from pyrec_infer.formats.onnx.narrow import NARROW
from pyrec_infer.formats.reading import ExternalFiles
from pyrec_infer.formats.source import Source
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import ELEMENT_TYPES, STRING, Array, as_texts
from pyrec_infer.limits import MAX_RANK
from pyrec_infer.memory import settled

_NAMES: Mapping[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.DOUBLE: "float64",
    TensorProto.FLOAT16: "float16",
    TensorProto.INT8: "int8",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.UINT8: "uint8",
    TensorProto.UINT16: "uint16",
    TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64",
    TensorProto.BOOL: "bool",
    TensorProto.STRING: "str",
}
"""The IR's element types by ONNX's number."""


def dtype_of(elem_type: int, where: str) -> np.dtype[np.generic]:
    """The NumPy type of an ONNX element type.

    Raises
    ------
    UnsupportedModelError
        For types that have no NumPy form (bfloat16, 8-bit and 4-bit floats, complex).
    """
    if elem_type not in _NAMES:
        known = TensorProto.DataType.values()
        name = TensorProto.DataType.Name(elem_type) if elem_type in known else str(elem_type)
        raise UnsupportedModelError(f"{where} has element type {name}, which is not supported")
    return ELEMENT_TYPES[_NAMES[elem_type]]


def element_type(dtype: np.dtype[np.generic]) -> int:
    """The ONNX element type of a NumPy type."""
    own = STRING.name if dtype.kind == "U" else dtype.name
    return next(number for number, name in _NAMES.items() if name == own)


_VARINTS, _LENGTHS = frozenset({1, 5}), frozenset({2, 3, 4, 6, 7, 8, 14, 20, 25, 26})
_GRAPH = 7
"""Numbers of the fields of a model: those that hold a number, those that hold bytes, and the graph's."""


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number in protobuf's form, and where it ends; -1 as number if it does not end."""
    value = 0
    for place, byte in enumerate(data[at : at + 10]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    return -1, at


def is_onnx(data: bytes) -> bool:
    """Whether contents are a protobuf message with a model's fields up to its graph.

    Examples
    --------
    >>> is_onnx(bytes([8, 7, 58, 0])), is_onnx(b"tree"), is_onnx(b"")
    (True, False, False)
    """
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        value, after = _varint(data, at)
        if tag < 0 or value < 0:
            return False
        field, kind = tag >> 3, tag & 7
        if field == _GRAPH:
            return kind == 2
        if not (kind == 0 and field in _VARINTS) and not (kind == 2 and field in _LENGTHS):
            return False
        at = after + (value if kind == 2 else 0)
    return False


def parse_model(source: Source) -> onnx.ModelProto:
    """The model in a source; external tensors are not loaded.

    Raises
    ------
    ModelError
        If it is truncated or not an ONNX model; says what it is instead.
    """
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(source.data)
        readable = proto.HasField("graph") and bool(proto.graph.node or proto.graph.output)
    except DecodeError:
        readable = False
    if not readable:
        raise not_a_model(source.data, source.where)
    check_text(proto, source.where)
    return proto


def _external(
    tensor: onnx.TensorProto, dtype: np.dtype[np.generic], count: int, files: ExternalFiles | None
) -> Array:
    where = f"initialiser {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if files is None:
        raise ModelError(f"{where} has external data, which a model given as bytes cannot have")
    try:
        offset = int(entries.get("offset", "0") or 0)
        size = count * dtype.itemsize
        length = int(entries.get("length", str(size)) or size)
    except ValueError as error:
        let_interrupts_pass(error)
        raise ModelError(f"{where}: the offset or length of its external data is not a number") from error
    if offset < 0 or length != size:
        raise ModelError(f"{where}: expected {size} bytes of external data, got {length} at offset {offset}")
    data = files.read(entries.get("location", ""), offset, length, where)
    if dtype.kind == "b":
        return _booleans(data)
    if data.ctypes.data % max(dtype.itemsize, 1):  # where a mapped file says so
        data = settled(data)
    return data.view(dtype)


def _booleans(data: bytes | Array) -> Array:
    # A byte other than 0 and 1 is no valid bool in C++.
    return np.frombuffer(data, np.uint8).astype(np.bool_)


def text_of(data: bytes, where: str) -> str:
    """A string of the model.

    Raises
    ------
    ModelError
        If it is not UTF-8; replacing what is wrong could make two strings the same.
    UnsupportedModelError
        If it ends in NUL, which NumPy's strings drop.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ModelError(f"{where} holds a string that is not UTF-8") from None
    if text.endswith("\0"):
        raise UnsupportedModelError(f"{where} holds a string that ends in NUL: it would equal a shorter one")
    return text


def _typed(tensor: onnx.TensorProto, dtype: np.dtype[np.generic], where: str) -> Array:
    """The elements of a tensor that are stored in the field of their type."""
    if dtype == np.float32:
        return np.array(tensor.float_data, np.float32)
    if dtype == np.float64:
        return np.array(tensor.double_data, np.float64)
    if dtype == np.int64:
        return np.array(tensor.int64_data, np.int64)
    if dtype in (np.dtype(np.uint64), np.dtype(np.uint32)):
        wide: Array = np.array(tensor.uint64_data, np.uint64)
    else:
        wide = np.array(tensor.int32_data, np.int32)
    if dtype.kind == "b":
        return wide.astype(np.bool_)
    stored: np.dtype[Any] = np.dtype(np.uint16) if dtype == np.float16 else dtype
    limits = np.iinfo(stored)
    if wide.size and not limits.min <= int(wide.min()) <= int(wide.max()) <= limits.max:
        raise ModelError(f"{where}: expected elements that {dtype} holds, got one that it does not")
    return wide.astype(stored).view(dtype)


def tensor_array(tensor: onnx.TensorProto, files: ExternalFiles | None) -> Array:
    """The value of a tensor, after checking that its data have the size its shape says.

    One of a narrow type (`narrow`) is given in the wider one.

    Raises
    ------
    ModelError
        If the data are shorter or longer than the shape says, or lie where they must not.
    """
    where = f"initialiser {tensor.name!r}"
    narrow = NARROW.get(tensor.data_type)
    dtype = dtype_of(tensor.data_type, where) if narrow is None else narrow.stored
    shape = tuple(tensor.dims)
    if len(shape) > MAX_RANK:
        raise UnsupportedModelError(f"{where} has {len(shape)} axes, expected at most {MAX_RANK}")
    if any(size < 0 for size in shape):
        raise ModelError(f"{where}: expected sizes of at least 0, got shape {list(shape)}")
    if tensor.HasField("segment"):
        raise UnsupportedModelError(f"{where} is stored in segments, which are not supported")
    numbers = math.prod(shape)
    count = numbers if narrow is None else -(-numbers // narrow.share)
    if tensor.data_location == TensorProto.EXTERNAL:
        if dtype.kind == "U":
            raise ModelError(f"{where}: strings cannot be external data")
        found = _external(tensor, dtype, count, files)
    elif dtype.kind == "U":
        found = as_texts([text_of(item, where) for item in tensor.string_data])
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
        if len(data) != count * dtype.itemsize:
            raise ModelError(
                f"{where}: expected {count * dtype.itemsize} bytes for shape {list(shape)}, got {len(data)}"
            )
        found = _booleans(data) if dtype.kind == "b" else settled(np.frombuffer(data, dtype))
    else:
        found = _typed(tensor, dtype, where)
    if found.size != count:
        raise ModelError(f"{where}: expected {count} elements for shape {list(shape)}, got {found.size}")
    if narrow is not None:
        found = narrow.widen(found)[:numbers]
    try:
        return found.reshape(shape)
    except ValueError as error:
        let_interrupts_pass(error)
        raise ModelError(f"{where}: no tensor can have shape {list(shape)}") from None
