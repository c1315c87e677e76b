"""Writing a file of tensors, whole or not at all."""

from __future__ import annotations

import json
import math
import os
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from pyrec_infer.errors import ResourceLimitError, SaveError
from pyrec_infer.formats.tensors.layout import (
    LINE,
    MAX_HEADER,
    NAMES,
    PADDING,
    TAIL,
    VERSION,
    checksum_span,
    digits_of,
    header_checksum,
)
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array

_PORTION = 1 << 24
"""Bytes that are written at once."""


@dataclass(frozen=True, eq=False, slots=True)
class Portions:
    """A tensor that is made part by part.

    Attributes
    ----------
    dtype : numpy.dtype
    shape : tuple of int
    make : callable
        The parts, along the first axis.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    make: Callable[[], Iterator[Array]]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _parts(tensor: Array | Portions) -> Iterator[memoryview]:
    for array in (tensor,) if isinstance(tensor, np.ndarray) else tensor.make():
        flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for begin in range(0, len(flat), _PORTION):
            yield flat[begin : begin + _PORTION].data


def _header(
    kind: str, content: str, tensors: Mapping[str, Array | Portions], checksums: Mapping[str, str]
) -> tuple[bytes, list[int]]:
    """The header without its own checksum, and the bytes that fill up each tensor's last line."""
    entries: dict[str, Any] = {
        "__metadata__": {
            "pyrec_infer": VERSION,
            "header_crc32": digits_of(0),
            "kind": kind,
            "content": content,
            "crc32": json.dumps(checksums, separators=(",", ":")),
        }
    }
    at, gaps = 0, []

    def add(name: str, dtype: np.dtype[Any], shape: tuple[int, ...], size: int) -> None:
        nonlocal at
        entries[name] = {"dtype": NAMES[dtype], "shape": list(shape), "data_offsets": [at, at + size]}
        at += size

    for number, (name, tensor) in enumerate(tensors.items(), start=1):
        add(name, tensor.dtype, tensor.shape, tensor.nbytes)
        gap = -at % LINE + (TAIL if number == len(tensors) else 0)
        gaps.append(gap)
        if gap:
            add(f"{PADDING}{number}", np.dtype(np.uint8), (gap,), gap)
    text = json.dumps(entries, ensure_ascii=True, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % LINE)
    if len(text) > MAX_HEADER:
        raise ResourceLimitError(f"the file's header has {len(text)} bytes, expected at most {MAX_HEADER}")
    return text, gaps


def _write(file: IO[bytes], kind: str, content: str, tensors: Mapping[str, Array | Portions]) -> None:
    checksums = {name: digits_of(0) for name in tensors}
    header, gaps = _header(kind, content, tensors, checksums)
    file.write(len(header).to_bytes(8, "little") + header)
    for (name, tensor), gap in zip(tensors.items(), gaps, strict=True):
        checksum, left = 0, tensor.nbytes
        for part in _parts(tensor):
            checksum = zlib.crc32(part, checksum)
            left -= file.write(part)
        assert left == 0
        checksums[name] = digits_of(checksum)
        file.write(bytes(gap))
    header, _ = _header(kind, content, tensors, checksums)
    begin, end = checksum_span()
    own = header_checksum(header).encode()
    file.seek(8)
    file.write(header[:begin] + own + header[end:])
    file.flush()
    os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file beside a path that takes its name at the end; if anything is raised, nothing is left of it."""
    if path.exists() and not path.is_file():
        raise SaveError(f"{path.name!r} cannot be written: it is no regular file")
    beside = path.with_name(f".{path.name[:64]}.{secrets.token_hex(8)}.part")
    try:
        with beside.open("xb") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def write_tensors(
    path: str | os.PathLike[str], kind: str, content: Any, tensors: Mapping[str, Array | Portions]
) -> None:
    """Write a file of tensors; equal contents give equal bytes.

    Parameters
    ----------
    path : path
        A regular file there is replaced in one step, once all is on the disk; else it stays as it was. Of a
        symbolic link the file that it leads to is replaced.
    kind : str
        What the file holds.
    content : plain data
        Stored as JSON.
    tensors : mapping of str to ndarray or Portions
        None of them may be named as padding is.

    Raises
    ------
    SaveError
        If the system cannot write it.
    ResourceLimitError
        If the plain data are more than a header may hold.
    """
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    name = os.path.basename(os.fspath(path))
    try:
        target = Path(path).resolve()
        with _replacing(target) as file:
            _write(file, kind, text, tensors)
        _sync(target.parent)
    except SaveError:
        raise
    except (OSError, ValueError) as error:
        let_interrupts_pass(error)
        reason = error.strerror if isinstance(error, OSError) else error
        raise SaveError(f"{name!r} cannot be written: {reason}") from error


__all__ = ["Portions", "write_tensors"]
