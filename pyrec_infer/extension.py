"""The compiled extension: the one place that looks whether this build has it."""

from __future__ import annotations

try:
    from pyrec_infer import _native as native
except ImportError:
    native = None  # type: ignore[assignment]

__all__ = ["native"]
