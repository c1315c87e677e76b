"""Contestants that take turns in one process."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from statistics import median


def take_turns(runs: Mapping[str, Callable[[], object]], turns: int) -> dict[str, float]:
    """Median seconds of each; in an order by chance, as who is last warms the caches for the next."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    order, chance = list(runs.items()), random.Random(0)
    for _ in range(turns):
        chance.shuffle(order)
        for name, run in order:
            begin = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - begin)
    return {name: median(taken) for name, taken in times.items()}
