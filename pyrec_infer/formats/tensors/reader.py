"""Reading a file of tensors without trusting it."""

from __future__ import annotations

import math
import mmap
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError, ResourceLimitError, UnsupportedModelError
from pyrec_infer.formats.json_text import parse_strict
from pyrec_infer.formats.reading import Stamp, opened, read_part, stamp_of
from pyrec_infer.formats.tensors.layout import (
    DTYPES,
    LINE,
    MAX_HEADER,
    PADDING,
    VERSION,
    checksum_span,
    header_checksum,
    is_tensor_file,
    version_of,
)
from pyrec_infer.formats.tensors.plain import members, texts_of, whole_of
from pyrec_infer.ir import Array
from pyrec_infer.limits import MAX_RANK, machine_memory
from pyrec_infer.memory import settled

_MOST = 1 << 62

_PORTION = 1 << 20
"""Bytes that are copied at once where a tensor is read in parts."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tensor of a file: its elements, and which bytes behind the header they are."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    end: int


class Bytes:
    """Where the bytes of a file come from: the contents themselves, or a file that is open.

    Parameters
    ----------
    where : str
        What the file is called in messages.
    data : bytes, optional
        The contents.
    descriptor : int, optional
        Of the file.
    size : int
    mapped : bool
        Whether a file is mapped instead of copied.
    """

    def __init__(
        self, where: str, size: int, data: bytes | None = None, descriptor: int = -1, mapped: bool = False
    ) -> None:
        self.where, self.size = where, size
        self._data, self._descriptor = data, descriptor
        self._pages: NDArray[np.uint8] | None = None
        if mapped and data is None:
            pages = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
            self._pages = np.frombuffer(pages, np.uint8)

    @property
    def stamp(self) -> Stamp | None:
        """Which file it is, and in which state; None for contents in memory."""
        return stamp_of(self._descriptor) if self._data is None else None

    @property
    def copies(self) -> bool:
        """Whether arrays are copies."""
        return self._pages is None

    def copied(self, begin: int, end: int) -> NDArray[np.uint8]:
        """A copy of some bytes, at a cache line; read-only."""
        if self._data is not None:
            return settled(np.frombuffer(self._data, np.uint8)[begin:end])
        return read_part(self._descriptor, begin, end - begin, self.where)

    def array(self, begin: int, end: int) -> NDArray[np.uint8]:
        """Some bytes, copied or mapped; read-only."""
        return self.copied(begin, end) if self._pages is None else self._pages[begin:end]


class TensorFile:
    """A file of tensors whose header has been checked. Its arrays are read one by one.

    Parameters
    ----------
    source : Bytes

    Attributes
    ----------
    kind : str
        What the file holds.
    content : plain data
    entries : mapping of str to Entry
        The tensors by name, without those that are padding.
    padding : list of Entry
    checksums : mapping of str to str
        Of each tensor.

    Raises
    ------
    ModelError
        If the header breaks a rule of the layout; `UnsupportedModelError` if it is of another version.
    """

    def __init__(self, source: Bytes) -> None:
        self.source, self.where = source, source.where
        header = self._header()
        plain = parse_strict(header, ModelError, f"the header of {self.where}")
        metadata = plain.pop("__metadata__", None) if type(plain) is dict else None
        names = dict.fromkeys(("pyrec_infer", "header_crc32", "kind", "content", "crc32"), str)
        *_, self.kind, content, checksums = members(metadata, f"the header of {self.where}", **names)
        self.first = 8 + len(header)
        entries = {name: self._entry(name, entry) for name, entry in plain.items()}
        self._require_whole(entries)
        self.entries = {name: entry for name, entry in entries.items() if not name.startswith(PADDING)}
        self.padding = [entry for name, entry in entries.items() if name.startswith(PADDING)]
        for name, entry in self.entries.items():
            if entry.begin % LINE:
                raise ModelError(f"{self.where}, tensor {name!r}: it does not begin at a cache line")
        self.content = parse_strict(content, ModelError, f"the content of {self.where}")
        self.checksums = self._checksums(checksums)
        self._used: set[str] = set()

    def _header(self) -> bytes:
        source = self.source
        if source.size < 8 + LINE:
            raise ModelError(f"{self.where}: expected at least {8 + LINE} bytes, got {source.size}")
        length = int.from_bytes(source.copied(0, 8).tobytes(), "little")
        if not checksum_span()[1] <= length <= min(MAX_HEADER, source.size - 8) or (8 + length) % LINE:
            raise ModelError(f"{self.where}: its header has no such length, {length} bytes")
        whole = source.copied(0, 8 + length).tobytes()
        if not is_tensor_file(whole):
            raise ModelError(f"{self.where}: its header does not begin as it has to")
        header = whole[8:]
        version = version_of(header)
        if version != VERSION:
            raise UnsupportedModelError(
                f"{self.where} has version {version!r} of its format, this release reads {VERSION!r}"
            )
        begin, end = checksum_span()
        if header[begin:end] != header_checksum(header).encode():
            raise ModelError(f"{self.where} is damaged: the checksum of its header is another one")
        return header

    def _entry(self, name: str, plain: Any) -> Entry:
        where = f"{self.where}, tensor {name!r}"
        kind, shape, offsets = members(plain, where, dtype=str, shape=list, data_offsets=list)
        if kind not in DTYPES:
            raise ModelError(f"{where}: unknown element type {kind!r}")
        if len(shape) > MAX_RANK or len(offsets) != 2:
            raise ModelError(f"{where}: expected at most {MAX_RANK} axes and two offsets")
        sizes = tuple(whole_of(size, f"{where}, shape", 0, _MOST) for size in shape)
        begin, end = (whole_of(place, f"{where}, data_offsets", 0, _MOST) for place in offsets)
        needed = math.prod(sizes) * DTYPES[kind].itemsize
        # No array can have a shape whose other sizes are beyond memory, even if one is zero.
        if math.prod(size for size in sizes if size) * DTYPES[kind].itemsize > _MOST:
            raise ModelError(f"{where}: no tensor can have shape {list(sizes)}")
        if end - begin != needed:
            raise ModelError(f"{where}: expected {needed} bytes for its shape, got {end - begin}")
        return Entry(DTYPES[kind], sizes, begin, end)

    def _require_whole(self, entries: Mapping[str, Entry]) -> None:
        """Every byte behind the header is of one tensor."""
        at = 0
        for name, entry in sorted(entries.items(), key=lambda item: (item[1].begin, item[1].end)):
            if entry.begin != at:
                raise ModelError(
                    f"{self.where}, tensor {name!r}: expected it to begin at {at}, the end of another, "
                    f"got {entry.begin}"
                )
            at = entry.end
        if self.first + at != self.source.size:
            raise ModelError(
                f"{self.where}: expected {self.first + at} bytes, the header and all tensors, "
                f"got {self.source.size}"
            )

    def _checksums(self, text: str) -> dict[str, str]:
        plain = parse_strict(text, ModelError, f"the checksums of {self.where}")
        if type(plain) is not dict or plain.keys() != self.entries.keys():
            raise ModelError(f"{self.where}: expected a checksum of each tensor")
        texts_of(list(plain.values()), f"the checksums of {self.where}")
        return plain

    def require_kind(self, kind: str) -> None:
        """Refuse a file that holds something else."""
        if self.kind != kind:
            raise ModelError(f"{self.where}: expected a {kind}, it holds a {self.kind[:64]}")

    def array(self, name: str, where: str) -> Array:
        """A tensor's elements, copied or mapped; read-only.

        Raises
        ------
        ModelError
            If there is no tensor of that name, or it holds booleans that are none.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise ModelError(f"{where}: there is no tensor {name!r}")
        self._used.add(name)
        data = self.source.array(self.first + entry.begin, self.first + entry.end)
        if entry.dtype.kind == "b" and data.max(initial=0) > 1:
            raise ModelError(f"{where}: tensor {name!r} holds booleans that are neither 0 nor 1")
        return data.view(entry.dtype).reshape(entry.shape)

    def rows(self, name: str, width: int, where: str) -> tuple[int, Iterator[NDArray[np.uint8]]]:
        """How many rows of so many bytes a tensor has, and these in portions, copied one after another.

        Raises
        ------
        ModelError
            If there is no tensor of that name, or it is no such matrix.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise ModelError(f"{where}: there is no tensor {name!r}")
        if entry.dtype != np.uint8 or len(entry.shape) != 2 or entry.shape[1] != width:
            raise ModelError(f"{where}: expected rows of {width} bytes, got shape {list(entry.shape)}")
        self._used.add(name)
        return entry.shape[0], self._portions(entry, width)

    def _portions(self, entry: Entry, width: int) -> Iterator[NDArray[np.uint8]]:
        begin, end = self.first + entry.begin, self.first + entry.end
        step = max(1, _PORTION // width) * width
        for at in range(begin, end, step):
            yield self.source.copied(at, min(at + step, end)).reshape(-1, width)

    def require_room(self, among: Callable[[str], bool] = bool, instead: str = "") -> None:
        """Refuse to copy tensors, those whose names are chosen, that take more than half of the machine's
        memory; what else can be done is added to the message.

        Raises
        ------
        ResourceLimitError
        """
        sizes = (entry.end - entry.begin for name, entry in self.entries.items() if among(name))
        total, most = sum(sizes), machine_memory() // 2
        if self.source.copies and total > most:
            raise ResourceLimitError(
                f"{self.where}: its tensors have {total} bytes, of which at most {most} are copied{instead}"
            )

    def require_used(self, among: Callable[[str], bool] = bool) -> None:
        """Refuse a file with tensors, of those whose names are chosen, that its plain data do not mention."""
        unused = sorted(filter(among, self.entries.keys() - self._used))
        if unused:
            raise ModelError(f"{self.where}: tensor {unused[0]!r} belongs to nothing")


@contextmanager
def open_tensors(
    model: str | os.PathLike[str] | bytes, where: str, mapped: bool = False
) -> Iterator[TensorFile]:
    """A file of tensors; its arrays are read inside.

    Parameters
    ----------
    model : path or bytes
        The file, or its contents.
    where : str
        What it is called in messages.
    mapped : bool
        Map it, so that processes share it, instead of copying what is read. A mapped file must not change
        as long as its arrays are in use.

    Raises
    ------
    ModelError
        If there is no such file, or its header breaks a rule.
    """
    if isinstance(model, bytes):
        yield TensorFile(Bytes(where, len(model), model))
        return
    with opened(model, where) as (descriptor, size):
        if size == 0:
            raise ModelError(f"{where} is empty")
        yield TensorFile(Bytes(where, size, None, descriptor, mapped))


__all__ = ["Bytes", "Entry", "TensorFile", "open_tensors"]
