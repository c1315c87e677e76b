"""The layout of a file: a safetensors file in which every tensor begins at a cache line.

Eight bytes with the length of the header, the header as JSON, spaces up to a cache line, the tensors. No byte
lies between tensors that is of none, so what fills a line up is a tensor too. The header's first entry holds
the version and the checksum of the header, at the same place in every file.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

VERSION = "1"
"""Of the layout and of the plain data in it; files of another one are refused."""

DTYPES: Mapping[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "U8": np.dtype(np.uint8),
    "I8": np.dtype(np.int8),
    "U16": np.dtype(np.uint16),
    "I16": np.dtype(np.int16),
    "F16": np.dtype(np.float16),
    "U32": np.dtype(np.uint32),
    "I32": np.dtype(np.int32),
    "F32": np.dtype(np.float32),
    "U64": np.dtype(np.uint64),
    "I64": np.dtype(np.int64),
    "F64": np.dtype(np.float64),
}
"""Element types by their names in safetensors files."""

NAMES: Mapping[np.dtype[Any], str] = {dtype: name for name, dtype in DTYPES.items()}

LINE = 64

TAIL = 2 * LINE
"""Bytes behind the last tensor: a read of whole vectors may pass a row's end, which may be that of a page."""

PADDING = "padding/"
"""What names of tensors begin with that only fill lines up; their bytes are zero."""

MAX_HEADER = 100_000_000
"""Bytes; what the safetensors package reads."""

PREFIX = b'{"__metadata__":{"pyrec_infer":"'
_CHECKSUM = b'","header_crc32":"'
_DIGITS = 8
_LONGEST_VERSION = 8


def digits_of(checksum: int) -> str:
    """A checksum as it is written."""
    return f"{checksum:0{_DIGITS}x}"


def is_tensor_file(data: bytes) -> bool:
    """Whether contents begin as `write_tensors` begins them.

    Examples
    --------
    >>> is_tensor_file(b"\\x08\\0\\0\\0\\0\\0\\0\\0{}      ")
    False
    """
    return data[8 : 8 + len(PREFIX)] == PREFIX


def version_of(header: bytes) -> str:
    """The version that a header's first entry names."""
    found = header[len(PREFIX) : len(PREFIX) + _LONGEST_VERSION].split(b'"')[0]
    return found.decode("ascii", "replace")


def checksum_span() -> tuple[int, int]:
    """Where the checksum stands in a header of this version."""
    begin = len(PREFIX) + len(VERSION) + len(_CHECKSUM)
    return begin, begin + _DIGITS


def header_checksum(header: bytes) -> str:
    """The checksum of a header, in which there are zeros in its own place."""
    begin, end = checksum_span()
    blank = zlib.crc32(header[:begin] + b"0" * _DIGITS)
    return digits_of(zlib.crc32(header[end:], blank))


__all__ = [
    "DTYPES",
    "LINE",
    "MAX_HEADER",
    "NAMES",
    "PADDING",
    "PREFIX",
    "TAIL",
    "VERSION",
    "checksum_span",
    "digits_of",
    "header_checksum",
    "is_tensor_file",
    "version_of",
]
