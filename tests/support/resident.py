"""How much memory the tests' process has."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

Made = TypeVar("Made")


def resident_bytes() -> int:
    """Memory of this process that is in RAM."""
    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("AddressSanitizer keeps freed memory")
    gc.collect()
    # What the C library keeps for later allocations is in use by nobody.
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        pytest.skip("no /proc here")
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def in_fresh_process(measure: Callable[[], Made]) -> Made:
    """What a function of a module makes, or raises, where nothing was allocated before.

    In an old process huge pages come back, for a few bytes each, where others have freed memory.
    """
    resident_bytes()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply_async(measure).get(timeout=120)
