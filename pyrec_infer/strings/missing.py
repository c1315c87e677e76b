"""What stands for no value among objects of Python."""

from __future__ import annotations

from typing import Any


def is_absent(value: Any) -> bool:
    """Whether an object is None, or pandas' NA or NaT."""
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def is_missing(value: Any) -> bool:
    """The same, or NaN: where no numbers are wanted it stands for no value too."""
    return is_absent(value) or (isinstance(value, float) and value != value)


__all__ = ["is_absent", "is_missing"]
