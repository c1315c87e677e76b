"""Small programs of C++ beside the benchmarks, compiled where there is a compiler."""

from __future__ import annotations

import atexit
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path


@cache
def _compiled(source: Path) -> Path | None:
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return None
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = Path(folder) / source.stem
    command = [compiler, "-O3", "-march=native", "-std=c++17", "-pthread", str(source), "-o", str(program)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return program


def output_of(source: Path, *arguments: object) -> str | None:
    """What a program prints; None where it cannot be compiled or ends with an error."""
    program = _compiled(source)
    if program is None:
        return None
    try:
        command = [str(program), *map(str, arguments)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
