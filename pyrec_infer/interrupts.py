"""Telling an exception that a signal's handler raised from one of the code that the signal interrupted."""

from __future__ import annotations

from inspect import CO_VARARGS
from types import FrameType, TracebackType
from typing import Any


def _is_handler(frame: FrameType) -> bool:
    """Whether a frame was given the frame that it interrupts, as Python gives it to handlers only."""
    code = frame.f_code
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & CO_VARARGS)
    given: list[Any] = []
    for name in code.co_varnames[:count]:
        value = frame.f_locals.get(name)
        given.extend(value if isinstance(value, tuple) else (value,))
    return any(isinstance(value, FrameType) and value is frame.f_back for value in given)


def let_interrupts_pass(error: BaseException) -> None:
    """Raise an exception again that a signal's handler raised.

    To be called first wherever exceptions of Python's own types are caught: what a handler raises, like a
    TimeoutError (an OSError) of an alarm, is the caller's and says nothing of the code that it ended.

    Parameters
    ----------
    error : BaseException
        That is being handled.

    Examples
    --------
    >>> import signal
    >>> def handler(number, frame):
    ...     raise TimeoutError
    >>> before = signal.signal(signal.SIGINT, handler)
    >>> try:
    ...     signal.raise_signal(signal.SIGINT)
    ... except Exception as error:
    ...     let_interrupts_pass(error)
    Traceback (most recent call last):
    TimeoutError
    >>> _ = signal.signal(signal.SIGINT, before)
    """
    part: TracebackType | None = error.__traceback__
    while part is not None:
        if _is_handler(part.tb_frame):
            raise error
        part = part.tb_next


__all__ = ["let_interrupts_pass"]
