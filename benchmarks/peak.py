"""The arithmetic limit of one core of this machine: ``python -m benchmarks.peak``."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from benchmarks.programs import output_of

SOURCE = Path(__file__).with_suffix(".cpp")


@cache
def peak() -> dict[str, float | None]:
    """10^9 operations a second by precision, None where the processor has no instruction for it.

    Empty where there is no compiler.
    """
    printed = output_of(SOURCE)
    found: dict[str, float | None] = {} if printed is None else json.loads(printed)
    return found


if __name__ == "__main__":
    print(json.dumps(peak()))
