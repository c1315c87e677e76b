"""How much memory the tests' process has."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

import pytest


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
