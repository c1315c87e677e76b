"""The arithmetic limit of one core of this machine: ``python -m benchmarks.peak``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".cpp")


@cache
def peak() -> dict[str, float | None]:
    """10^9 operations a second by precision, None where the processor has no instruction for it.

    Empty where there is no compiler.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        return {}
    with tempfile.TemporaryDirectory() as folder:
        program = str(Path(folder) / "peak")
        command = [compiler, "-O3", "-march=native", "-std=c++17", str(SOURCE), "-o", program]
        try:
            subprocess.run(command, check=True, capture_output=True)
            done = subprocess.run([program], check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError):
            return {}
    found: dict[str, float | None] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    print(json.dumps(peak()))
