"""Reading a model's bytes and its external tensors without trusting the file."""

from __future__ import annotations

import math
import os
import stat
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.importer.check import check_text
from pyrec_infer.ir import Array

_DTYPES: dict[int, np.dtype[np.generic]] = {
    TensorProto.FLOAT: np.dtype(np.float32),
    TensorProto.DOUBLE: np.dtype(np.float64),
    TensorProto.FLOAT16: np.dtype(np.float16),
    TensorProto.INT8: np.dtype(np.int8),
    TensorProto.INT16: np.dtype(np.int16),
    TensorProto.INT32: np.dtype(np.int32),
    TensorProto.INT64: np.dtype(np.int64),
    TensorProto.UINT8: np.dtype(np.uint8),
    TensorProto.UINT16: np.dtype(np.uint16),
    TensorProto.UINT32: np.dtype(np.uint32),
    TensorProto.UINT64: np.dtype(np.uint64),
    TensorProto.BOOL: np.dtype(np.bool_),
    TensorProto.STRING: np.dtype(str),
}

MAX_RANK = 8
"""Axes that the executor can address."""


def dtype_of(elem_type: int, where: str) -> np.dtype[np.generic]:
    """The NumPy type of an ONNX element type.

    Raises
    ------
    UnsupportedModelError
        For types that have no NumPy form (bfloat16, 8-bit and 4-bit floats, complex).
    """
    if elem_type not in _DTYPES:
        known = TensorProto.DataType.values()
        name = TensorProto.DataType.Name(elem_type) if elem_type in known else str(elem_type)
        raise UnsupportedModelError(f"{where} has element type {name}, which is not supported")
    return _DTYPES[elem_type]


def element_type(dtype: np.dtype[np.generic]) -> int:
    """The ONNX element type of a NumPy type."""
    return next(
        code
        for code, known in _DTYPES.items()
        if known.kind == dtype.kind and (known == dtype or dtype.kind == "U")
    )


def read_model(model: str | os.PathLike[str] | bytes) -> tuple[onnx.ModelProto, Path | None]:
    """Parse a model given as a path or as bytes.

    Returns
    -------
    proto : onnx.ModelProto
        External tensors are not loaded.
    folder : Path or None
        Where external tensors may lie; None for bytes.

    Raises
    ------
    ModelError
        If the data are empty, truncated or not an ONNX model.
    """
    folder: Path | None = None
    if isinstance(model, bytes):
        data, where = model, "the model"
    else:
        path = Path(model)
        where, folder = f"model file {path.name!r}", path.parent
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ModelError(f"{where} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise ModelError(f"{where} cannot be read: {error}") from error
    if not data:
        raise ModelError(f"{where} is empty")
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(f"{where} is not an ONNX model, or it is truncated") from error
    if not proto.HasField("graph") or (not proto.graph.node and not proto.graph.output):
        raise ModelError(f"{where} is not an ONNX model: it holds no graph")
    check_text(proto, where)
    return proto, folder


def _external(
    tensor: onnx.TensorProto, dtype: np.dtype[np.generic], count: int, folder: Path | None
) -> Array:
    where = f"initialiser {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    relative = PurePosixPath(location)
    if folder is None:
        raise ModelError(f"{where} has external data, which a model given as bytes cannot have")
    if (
        not location
        or relative.is_absolute()
        or ".." in relative.parts
        or "\\" in location
        or "\0" in location
    ):
        raise ModelError(f"{where}: external data must lie in the model's folder, got a path outside it")
    path = folder
    for part in relative.parts:
        path = path / part
        if path.is_symlink():
            raise ModelError(f"{where}: external data must not be reached through a symbolic link")
    try:
        offset = int(entries.get("offset", "0") or 0)
        size = count * dtype.itemsize
        length = int(entries.get("length", str(size)) or size)
    except ValueError as error:
        raise ModelError(f"{where}: the offset or length of its external data is not a number") from error
    if offset < 0 or length != size:
        raise ModelError(f"{where}: expected {size} bytes of external data, got {length} at offset {offset}")
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise ModelError(f"{where}: its external data cannot be read: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        os.close(descriptor)
        raise ModelError(f"{where}: external data must be a regular file without other links")
    with os.fdopen(descriptor, "rb") as file:
        if offset + length > status.st_size:
            raise ModelError(
                f"{where}: expected {length} bytes at offset {offset}, the file has {status.st_size}"
            )
        if size == 0:
            return np.empty(0, dtype)
        if dtype.kind == "b":
            file.seek(offset)
            return _booleans(file.read(length))
        if offset % max(dtype.itemsize, 1):
            file.seek(offset)
            return np.frombuffer(file.read(length), dtype)
        return np.memmap(file, dtype, mode="r", offset=offset, shape=(count,))


def _booleans(data: bytes) -> Array:
    # A byte other than 0 and 1 is no valid bool in C++.
    return np.frombuffer(data, np.uint8).astype(np.bool_)


def text_of(data: bytes, where: str) -> str:
    """A string of the model.

    Raises
    ------
    ModelError
        If it is not UTF-8; replacing what is wrong could make two strings the same.
    """
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise ModelError(f"{where} holds a string that is not UTF-8") from None


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


def tensor_array(tensor: onnx.TensorProto, folder: Path | None) -> Array:
    """The value of a tensor, after checking that its data have the size its shape says.

    Raises
    ------
    ModelError
        If the data are shorter or longer than the shape says, or lie where they must not.
    """
    where = f"initialiser {tensor.name!r}"
    dtype = dtype_of(tensor.data_type, where)
    shape = tuple(tensor.dims)
    if len(shape) > MAX_RANK:
        raise UnsupportedModelError(f"{where} has {len(shape)} axes, expected at most {MAX_RANK}")
    if any(size < 0 for size in shape):
        raise ModelError(f"{where}: expected sizes of at least 0, got shape {list(shape)}")
    if tensor.HasField("segment"):
        raise UnsupportedModelError(f"{where} is stored in segments, which are not supported")
    count = math.prod(shape)
    if tensor.data_location == TensorProto.EXTERNAL:
        if dtype.kind == "U":
            raise ModelError(f"{where}: strings cannot be external data")
        found = _external(tensor, dtype, count, folder)
    elif dtype.kind == "U":
        found = np.array([text_of(item, where) for item in tensor.string_data], dtype=str)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
        if len(data) != count * dtype.itemsize:
            raise ModelError(
                f"{where}: expected {count * dtype.itemsize} bytes for shape {list(shape)}, got {len(data)}"
            )
        found = _booleans(data) if dtype.kind == "b" else np.frombuffer(data, dtype)
    else:
        found = _typed(tensor, dtype, where)
    if found.size != count:
        raise ModelError(f"{where}: expected {count} elements for shape {list(shape)}, got {found.size}")
    try:
        return found.reshape(shape)
    except ValueError:
        raise ModelError(f"{where}: no tensor can have shape {list(shape)}") from None
