"""Whether a file of tensors is as it was written."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from pyrec_infer.errors import ModelError
from pyrec_infer.formats.tensors.layout import digits_of
from pyrec_infer.formats.tensors.reader import Entry, TensorFile, open_tensors

_PORTION = 1 << 22
"""Bytes that are read at once."""


def _checksum(file: TensorFile, entry: Entry) -> int:
    found = 0
    for begin in range(entry.begin, entry.end, _PORTION):
        part = file.source.copied(file.first + begin, file.first + min(begin + _PORTION, entry.end))
        found = zlib.crc32(part.data, found)
    return found


def verify_file(path: str | os.PathLike[str]) -> str:
    """Read a saved file whole, and compare the checksum of each tensor with that in its header.

    Parameters
    ----------
    path : path
        What `Model.save` or another method ``save`` has written.

    Returns
    -------
    str
        What it holds.

    Raises
    ------
    ModelError
        If the file is damaged; names the tensor.
    """
    with open_tensors(path, f"file {Path(path).name!r}") as file:
        verify_tensors(file)
        kind: str = file.kind
    return kind


def verify_tensors(file: TensorFile) -> None:
    """The same of a file that is open."""
    for name, entry in file.entries.items():
        if digits_of(_checksum(file, entry)) != file.checksums[name]:
            raise ModelError(f"{file.where} is damaged: the checksum of tensor {name!r} is another one")
    for entry in file.padding:
        begin, end = file.first + entry.begin, file.first + entry.end
        if file.source.copied(begin, end).any():
            raise ModelError(f"{file.where} is damaged: what fills up a line is not zero")


__all__ = ["verify_file", "verify_tensors"]
