"""The compiled extension: the one place that looks whether this build has it."""

from __future__ import annotations

import os
from types import ModuleType

try:
    from pyrec_infer import _native as native
except ImportError:
    native = None  # type: ignore[assignment]

VARIABLE = "PYREC_INFER_BACKEND"
"""The environment variable that names a backend."""


def compiled() -> ModuleType | None:
    """The extension, unless the backend that does without it is asked for."""
    return None if os.environ.get(VARIABLE) == "numba" else native


__all__ = ["VARIABLE", "compiled", "native"]
