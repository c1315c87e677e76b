"""Signals whose handlers raise, sent while Python code runs."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

swallowed = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
"""A signal may come where Python ignores what is raised, as in another library's `__del__`."""


@contextmanager
def handler(number: int, what: Callable[[int, Any], object]) -> Iterator[None]:
    """Handle a signal so; what the handler raises is not swallowed by a callback of the collector."""
    callbacks = gc.callbacks[:]
    # Hypothesis installs one. Before the handler, so that none is left to run when a signal comes.
    gc.callbacks.clear()
    previous = signal.signal(number, what)
    try:
        yield
    finally:
        signal.signal(number, previous)
        gc.callbacks[:] = callbacks
