"""A process that tries models one after another, so that what kills it kills no more."""

from __future__ import annotations

import faulthandler
import os
import resource
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import NamedTemporaryFile
from time import monotonic

SECONDS = 10.0
BYTES = 2 << 30

PAUSE = 0.25
"""Seconds between two looks at how much memory a process has."""


@dataclass(frozen=True)
class Trial:
    """A model and the seed of the calls; without a model, the seed of a schema and of rows."""

    model: bytes
    calls: int


@dataclass(frozen=True)
class Verdict:
    """What came of a trial; ``kind`` is empty where nothing is wrong."""

    kind: str
    text: str
    outcomes: Mapping[str, int]


def sanitized() -> bool:
    """Whether a sanitizer's library is loaded, whose shadow memory is beyond every address limit."""
    return "asan" in os.environ.get("LD_PRELOAD", "") or "tsan" in os.environ.get("LD_PRELOAD", "")


def _status(process: int, field: str) -> int:
    """Bytes of a field of a process's status; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(field)), 0)


def _limit_memory() -> None:
    if not sanitized():
        most = _status(os.getpid(), "VmSize") + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def serve(connection: Connection, errors: str) -> None:
    """Try what comes, until the other side closes."""
    descriptor = os.open(errors, os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    faulthandler.enable()
    # It ends the process at some models, and is not what is tested.
    sys.modules["onnxruntime"] = None  # type: ignore[assignment]
    from .exercise import FindingError, exercise, other_backends

    _limit_memory()
    others = other_backends()
    connection.send(None)
    while True:
        try:
            trial = connection.recv()
        except EOFError:
            return
        try:
            if trial.model:
                outcomes = exercise(trial.model, trial.calls, others if trial.calls % 3 == 0 else ())
            else:
                # What tables need takes long to import.
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
                from .rows import exercise_rows

                _limit_memory()
                outcomes = exercise_rows(trial.calls)
            verdict = Verdict("", "", outcomes)
        except FindingError as error:
            verdict = Verdict(error.kind, f"{error}\n{traceback.format_exc()}", {})
        connection.send(verdict)


class Worker:
    """Hands trials to a process, and starts another where one ended."""

    def __init__(self) -> None:
        self._context = get_context("spawn")
        self._start()

    def _start(self) -> None:
        with NamedTemporaryFile(delete=False) as file:
            self._errors = Path(file.name)
        self._connection, far = self._context.Pipe()
        self._process = self._context.Process(target=serve, args=(far, str(self._errors)), daemon=True)
        self._process.start()
        far.close()
        self._connection.recv()
        self._tried = 0

    def _stop(self) -> str:
        self._process.kill()
        self._process.join()
        self._connection.close()
        text = self._errors.read_text(errors="replace")
        self._errors.unlink()
        return text

    def end(self) -> None:
        """End the process, as a crash would."""
        self._process.kill()
        self._process.join()

    def close(self) -> None:
        """End the process for good."""
        self._stop()

    def try_one(self, trial: Trial) -> Verdict:
        """The verdict on a trial, within the limits of time and memory."""
        if self._tried >= 400:
            self._stop()
            self._start()
        self._tried += 1
        with suppress(BrokenPipeError):
            self._connection.send(trial)
        begin = monotonic()
        seconds = SECONDS * (4 if sanitized() else 1)
        kind = ""
        while not kind and not self._connection.poll(PAUSE):
            if monotonic() - begin > seconds:
                kind = "timeout"
            elif _status(self._process.pid or 0, "VmRSS") > 2 * BYTES:
                kind = "memory"
        if not kind:
            try:
                found: Verdict = self._connection.recv()
            except (EOFError, ConnectionResetError):
                self._process.join()
                kind = f"crash {self._process.exitcode}"
            else:
                return found
        text = self._stop()
        self._start()
        return Verdict(kind, text[-20_000:], {})
