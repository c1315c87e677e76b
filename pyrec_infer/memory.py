"""Memory for rows that are read in no order: whole cache lines, in huge pages."""

from __future__ import annotations

import mmap
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.interrupts import let_interrupts_pass

_ALIGNMENT = 64
_HUGE_PAGE = 1 << 21

Kind = TypeVar("Kind", bound=np.generic)


def allocate(size: int) -> NDArray[np.uint8]:
    """Room for so many bytes, the first at a cache line; in huge pages where the system has them.

    Raises
    ------
    MemoryError
    """
    # A read of whole vectors may pass the last row's end.
    room = size + 2 * _ALIGNMENT
    if room >= _HUGE_PAGE and hasattr(mmap, "MAP_PRIVATE") and hasattr(mmap, "MAP_ANONYMOUS"):
        try:
            pages = mmap.mmap(-1, room, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            let_interrupts_pass(error)
            raise MemoryError(f"the system has no memory for {size} bytes") from error
        if hasattr(mmap, "MADV_HUGEPAGE"):
            try:
                pages.madvise(mmap.MADV_HUGEPAGE)
            except OSError as error:  # some kernels are built without them
                let_interrupts_pass(error)
        memory: NDArray[np.uint8] = np.frombuffer(pages, np.uint8)
    else:
        memory = np.empty(room, np.uint8)
    first = -memory.ctypes.data % _ALIGNMENT
    return memory[first : first + size]


def settled(values: NDArray[Kind]) -> NDArray[Kind]:
    """A read-only copy of a vector in such memory.

    >>> int(settled(np.arange(5)).ctypes.data) % 64
    0
    """
    copy: NDArray[Any] = allocate(values.nbytes).view(values.dtype)
    copy[...] = values
    copy.flags.writeable = False
    return copy


__all__ = ["allocate", "settled"]
