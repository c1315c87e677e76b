"""What interrupts Python code: signals whose handlers raise, and exceptions at any step of it."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import pyrec_infer as pi

swallowed = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
"""A signal may come where Python ignores what is raised, as in another library's `__del__`."""


@contextmanager
def handler(number: int, what: Callable[[int, Any], object]) -> Iterator[None]:
    """Handle a signal so; what the handler raises is not swallowed where the collector runs Python: in
    callbacks, as Hypothesis installs one, and in those of weak references, as each thread has one."""
    gc.collect()
    gc.disable()
    previous = signal.signal(number, what)
    try:
        yield
    finally:
        signal.signal(number, previous)
        gc.enable()


CHANGING = tuple(str(Path(pi.__file__).parent / name) for name in ("catalog", "retrieval", "store"))
"""Where the steps of a change are; what is called from there only makes what they commit."""


class Interruption(BaseException):
    """What a signal's handler raises."""


def interrupt_at(number: int, work: Callable[[], object], folders: tuple[str, ...] = CHANGING) -> bool:
    """Run with an exception before one of the steps of the interpreter in some folders; whether it came to
    that."""
    left = number

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        frame.f_trace_opcodes = True
        if event == "opcode" and frame.f_code.co_filename.startswith(folders):
            left -= 1
            if left < 0:
                sys.settrace(None)
                raise Interruption
        return trace

    sys.settrace(trace)
    try:
        work()
    except Interruption:
        return True
    finally:
        sys.settrace(None)
    return False
