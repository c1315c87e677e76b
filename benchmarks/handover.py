"""How long two CPUs take to hand a line of memory over: ``python -m benchmarks.handover``.

Where they share a cache that is a fifth of what it is where they do not, and a virtual machine's CPUs may be
moved from the one to the other at any time.
"""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks.programs import output_of

SOURCE = Path(__file__).with_suffix(".cpp")


def handover() -> float:
    """Nanoseconds one way between the first two CPUs of this process; NaN where it cannot be measured."""
    cpus = sorted(os.sched_getaffinity(0))[:2] if hasattr(os, "sched_getaffinity") else []
    printed = output_of(SOURCE, *cpus) if len(cpus) == 2 else None
    return float("nan") if printed is None else float(printed)


if __name__ == "__main__":
    print(handover())
