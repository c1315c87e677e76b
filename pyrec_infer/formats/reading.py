"""Reading regular files, and only those, into memory that no one else can change."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError, ResourceLimitError
from pyrec_infer.formats.identify import describe_folder
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.memory import allocate

MAX_MODEL_BYTES = (2 << 30) - 1
"""A protobuf message cannot be longer."""

MAX_COPIED_BYTES = 1 << 30
"""External data of one model that are copied; more have to be mapped on request."""

HEAD = 1 << 10
"""Bytes that tell of some kinds of files which they are."""

Stamp: TypeAlias = tuple[int, int, int, int]
"""Which file was read, and in which state."""

_OPEN = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0)
# Opening a FIFO waits for its other end without this.
_OPEN_FILE = _OPEN | getattr(os, "O_NONBLOCK", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_FOLDER = getattr(os, "O_DIRECTORY", 0)

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _refuse(where: str, error: OSError | ValueError) -> ModelError:
    if isinstance(error, ValueError):
        return ModelError(f"{where} cannot be read: {error}")
    if error.errno in (errno.ELOOP, errno.EMLINK, errno.ENOTDIR):
        return ModelError(f"{where} cannot be read: a symbolic link or a file is in the way")
    return ModelError(f"{where} cannot be read: {error.strerror}")


def _require_regular(descriptor: int, where: str) -> os.stat_result:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        kind = next((name for test, name in _KINDS if test(status.st_mode)), "no regular file")
        raise ModelError(f"{where} is {kind}, expected a regular file")
    return status


@contextmanager
def _reading(descriptor: int, length: int, where: str) -> Iterator[None]:
    """Around the reading of so many bytes: a file that others change meanwhile is an error."""
    before = os.fstat(descriptor)
    try:
        yield
    except MemoryError:
        raise ResourceLimitError(f"{where}: the system has no memory for {length} bytes") from None
    after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        raise ModelError(f"{where} was changed while it was read")


def _shortened(where: str) -> ModelError:
    return ModelError(f"{where} became shorter while it was read")


def _read_whole(descriptor: int, length: int, where: str) -> bytes:
    parts: list[bytes] = []
    done = 0
    with _reading(descriptor, length, where):
        while done < length:
            parts.append(os.pread(descriptor, length - done, done))
            if not parts[-1]:
                raise _shortened(where)
            done += len(parts[-1])
        # One part, as nearly always, is not copied.
        return b"".join(parts)


def read_part(descriptor: int, offset: int, length: int, where: str) -> NDArray[np.uint8]:
    """A copy of some bytes of an open file, at a cache line; read-only.

    Raises
    ------
    ModelError
        If the file has fewer, or is changed meanwhile.
    """
    done = 0
    with _reading(descriptor, length, where):
        data = allocate(length)
        while done < length:
            count = os.preadv(descriptor, [data[done:].data], offset + done)
            if count == 0:
                raise _shortened(where)
            done += count
    data.flags.writeable = False
    return data


@contextmanager
def opened(path: str | os.PathLike[str], where: str) -> Iterator[tuple[int, int]]:
    """A descriptor of a regular file and the file's size.

    Parameters
    ----------
    path : path
    where : str
        What the file is called in messages.

    Raises
    ------
    ModelError
        If there is no such file, or it is no regular one: a folder, a FIFO, a device or a socket; also where
        the system fails while it is read.
    """
    try:
        descriptor = os.open(path, _OPEN_FILE)
    except (OSError, ValueError) as error:
        let_interrupts_pass(error)
        raise _refuse(where, error) from error
    try:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise ModelError(f"{where} is {describe_folder(os.listdir(descriptor))}")
        yield descriptor, _require_regular(descriptor, where).st_size
    except OSError as error:
        let_interrupts_pass(error)
        raise _refuse(where, error) from error
    finally:
        os.close(descriptor)


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def stamp_of(descriptor: int) -> Stamp:
    """Which file is open, and in which state."""
    return _stamp(os.fstat(descriptor))


def read_file(
    path: str | os.PathLike[str], where: str, suffices: Callable[[bytes], bool]
) -> tuple[bytes, Stamp]:
    """The contents of a model's file, and its stamp.

    Parameters
    ----------
    path : path
    where : str
        What the file is called in messages.
    suffices : callable
        Whether the first `HEAD` bytes are enough of a file that begins with them.

    Raises
    ------
    ModelError
        As `opened`.
    ResourceLimitError
        If it has more than 2 GiB, as no ONNX model without external data can have.
    """
    with opened(path, where) as (descriptor, size):
        stamp, head = stamp_of(descriptor), os.pread(descriptor, HEAD, 0)
        if suffices(head):
            return head, stamp
        if size > MAX_MODEL_BYTES:
            raise ResourceLimitError(f"{where} has {size} bytes, expected at most {MAX_MODEL_BYTES}")
        return _read_whole(descriptor, size, where), stamp


class ExternalFiles:
    """The files beside a model that hold its large tensors.

    Parameters
    ----------
    folder : Path
        All of them lie in it; no symbolic link leads out of it, because none is followed.
    mapped : bool
        Map them instead of copying what is needed. A mapped file must not change as long as the model
        is in use: its numbers would change with it, and a file that becomes shorter ends the process.

    Attributes
    ----------
    stamps : dict of str to tuple
        Of the files that were read, by their paths.
    """

    def __init__(self, folder: Path, mapped: bool) -> None:
        self.folder = folder
        self.mapped = mapped
        self._copied = 0
        self.stamps: dict[str, Stamp] = {}

    def _open(self, relative: PurePosixPath, where: str) -> int:
        """Walks down folder by folder, so that nothing can be exchanged between a check and the opening."""
        *folders, name = relative.parts
        try:
            parent = os.open(self.folder, _OPEN | _FOLDER)
            try:
                for part in folders:
                    inner = os.open(part, _OPEN | _FOLDER | _NO_LINK, dir_fd=parent)
                    os.close(parent)
                    parent = inner
                return os.open(name, _OPEN_FILE | _NO_LINK, dir_fd=parent)
            finally:
                os.close(parent)
        except (OSError, ValueError) as error:
            let_interrupts_pass(error)
            raise _refuse(where, error) from error

    def read(self, location: str, offset: int, length: int, where: str) -> NDArray[np.uint8]:
        """Bytes of a file: a copy at a cache line, or a view of the mapped file.

        Parameters
        ----------
        location : str
            Relative to the folder, with forward slashes.
        offset, length : int
        where : str
            What the bytes are called in messages.

        Raises
        ------
        ModelError
            If the file is outside of the folder, no regular one, has other links or is too short.
        ResourceLimitError
            If the copies of one model would have more than a gibibyte.
        """
        relative = PurePosixPath(location)
        if not location or relative.is_absolute() or ".." in relative.parts or set(location) & {"\\", "\0"}:
            raise ModelError(f"{where}: external data must lie in the model's folder, got a path outside it")
        if not relative.parts:
            raise ModelError(f"{where}: external data must lie in the model's folder, got the folder itself")
        named = f"{where}: its external data"
        descriptor = self._open(relative, named)
        try:
            status = _require_regular(descriptor, named)
            if status.st_nlink > 1:
                raise ModelError(f"{named} must be a regular file without other links")
            self.stamps[location] = _stamp(status)
            if offset < 0 or length < 0 or offset + length > status.st_size:
                raise ModelError(
                    f"{where}: expected {length} bytes at offset {offset}, the file has {status.st_size}"
                )
            if length == 0:
                return np.empty(0, np.uint8)
            if self.mapped:
                with os.fdopen(os.dup(descriptor), "rb") as file:
                    return np.memmap(file, np.uint8, mode="r", offset=offset, shape=(length,))
            self._copied += length
            if self._copied > MAX_COPIED_BYTES:
                raise ResourceLimitError(
                    f"{where}: the model's external data have more than {MAX_COPIED_BYTES} bytes, which are "
                    "not copied. Load it with mmap=True; the file must not change then"
                )
            return read_part(descriptor, offset, length, named)
        except OSError as error:
            let_interrupts_pass(error)
            raise _refuse(named, error) from error
        finally:
            os.close(descriptor)


__all__ = [
    "HEAD",
    "MAX_COPIED_BYTES",
    "MAX_MODEL_BYTES",
    "ExternalFiles",
    "Stamp",
    "opened",
    "read_file",
    "read_part",
    "stamp_of",
]
