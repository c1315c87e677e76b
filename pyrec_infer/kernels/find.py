"""Where the numbers are that are above a bound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.spec import EXACT, LENGTHS, SPECIAL, Array, KernelSpec, compiled, normal, shifted


@compiled
def _find_loop(x: Any, below: Any, places: Any) -> None:
    count = 0
    for i in range(x.shape[0]):
        if x[i] > below[0]:
            places[count] = i
            count += 1


def find_above_f32(x: Array, below: Array) -> Array:
    """The places of what is above the bound, rising, and -1 up to as many places as there are numbers."""
    places = np.full(len(x), -1, np.int64)
    _find_loop(x, below, places)
    return places


def _places(x: Array, below: Array) -> Array:
    found = np.flatnonzero(x.astype(np.float64) > below.astype(np.float64))
    return np.concatenate([found, np.full(len(x) - len(found), -1)])


def _find_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for bound in SPECIAL:
        yield shifted(np.tile(SPECIAL, 5)), np.full(1, bound)
    for n in LENGTHS:
        x = normal(rng, n)
        for bound in (0.0, 2.5, -10.0, 10.0):
            yield x, np.full(1, bound, np.float32)
        yield x, x[:1] if n else np.zeros(1, np.float32)


KERNELS = (KernelSpec("find_above_f32", _places, find_above_f32, EXACT, _find_cases),)
