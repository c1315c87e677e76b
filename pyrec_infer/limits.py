"""What a model may have at most."""

from __future__ import annotations

MAX_RANK = 8
"""Axes that the executor can address."""

__all__ = ["MAX_RANK"]
