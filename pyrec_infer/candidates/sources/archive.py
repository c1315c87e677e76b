"""Arrays of a NumPy archive (.npz): plain numbers and texts alone, of the sizes that the archive has."""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterable
from typing import IO

import numpy as np

from pyrec_infer.errors import ModelError, ResourceLimitError
from pyrec_infer.formats.reading import opened
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array
from pyrec_infer.limits import default_max_bytes

_HEADER = 1 << 14
"""Bytes of the description of an array that are read at most."""


def read_archive(path: str | os.PathLike[str], names: Iterable[str]) -> dict[str, Array]:
    """Those of some arrays that a file has.

    Raises
    ------
    ModelError
        If it is no such archive, or damaged, or an array holds objects, whose reading would run code.
    ResourceLimitError
        If unpacked arrays have more bytes than a call may hold and than the file has.
    """
    with opened(path, "the archive") as (descriptor, size):
        room = max(size, default_max_bytes())
        try:
            with os.fdopen(os.dup(descriptor), "rb") as file, zipfile.ZipFile(file) as archive:
                members = {info.filename: info for info in archive.infolist()}
                found: dict[str, Array] = {}
                for name in names:
                    info = members.get(f"{name}.npy")
                    if info is None:
                        continue
                    room -= info.file_size
                    if room < 0:
                        raise ResourceLimitError(f"the archive's array {name!r} is larger than is read")
                    with archive.open(info) as member:
                        found[name] = _read_array(member, name, info.file_size)
        except ModelError:
            raise
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError) as error:
            let_interrupts_pass(error)
            raise ModelError("the archive is damaged, or no NumPy archive (.npz)") from None
        except RuntimeError as error:
            let_interrupts_pass(error)
            raise ModelError("the archive is encrypted") from None
    return found


def _read_array(member: IO[bytes], name: str, size: int) -> Array:
    """One array, after a look at what it says it is."""
    version = np.lib.format.read_magic(member)
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    if version not in readers:
        raise ModelError(f"the archive's array {name!r} has an unknown form")
    shape, by_columns, dtype = readers[version](member, max_header_size=_HEADER)
    if dtype.hasobject or dtype.kind not in "iufbUS":
        raise ModelError(f"the archive's array {name!r} holds objects, which are not read")
    count = math.prod(shape)
    if any(axis < 0 for axis in shape) or dtype.itemsize * count != size - member.tell():
        raise ModelError(f"the archive's array {name!r} has another size than it says")
    data = member.read()
    if len(data) != dtype.itemsize * count:
        raise ModelError(f"the archive's array {name!r} is truncated")
    flat = np.frombuffer(data, dtype, count) if dtype.itemsize else np.empty(count, dtype)
    return flat.reshape(shape, order="F" if by_columns else "C")


__all__ = ["read_archive"]
