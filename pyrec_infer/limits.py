"""What a model may have at most, and the error for what does not fit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pyrec_infer.errors import PyrecError, ResourceLimitError

MAX_RANK = 8
"""Axes that the executor can address."""


@contextmanager
def typed_memory_errors() -> Iterator[None]:
    """Where the system has no more memory, the error is one of this package; also a decorator."""
    try:
        yield
    except PyrecError:
        raise
    except MemoryError:
        raise ResourceLimitError("the system has no more memory for this") from None


__all__ = ["MAX_RANK", "typed_memory_errors"]
