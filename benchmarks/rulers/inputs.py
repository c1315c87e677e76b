"""What the rulers read: fields with Zipf-distributed ids, numbers, users' histories. No PyTorch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.generic]]

USER_VOCABULARIES = (*(1000,) * 6, 100, 50, 20, 10, 7, 3, 24, 7, 50, 2)
ITEM_VOCABULARIES = (1_000_000, 100_000, 20_000, 5000, 1000, 500, 200, 100, 50, 20)
USER_NUMBERS = 8
ITEM_NUMBERS = 5
WIDTH = 16
"""Numbers in an embedding."""
HISTORY = 50
"""Items in a user's history; id 0 pads it."""
SHORTEST_HISTORY = 10
"""Items before the padding, at least; every number up to `HISTORY` is as frequent."""
ZIPF = 1.2
STOCK = 100_000
"""Items in the catalogue."""

RULERS = {"r1": "wide_deep", "r2": "deepfm", "r3": "dlrm", "r4": "dcnv2", "r5": "din"}

DIN_USER_VOCABULARIES = (1000, 100)
DIN_VOCABULARIES = (1_000_000, 5000)
"""Items and categories; a history's ids are from the same vocabularies."""


@dataclass(frozen=True)
class Case:
    """One request and its candidates, which are some rows of the catalogue."""

    request: Arrays
    candidates: Arrays
    rows: NDArray[np.int64]

    def repeated(self) -> Arrays:
        """What a runtime that knows nothing of requests is given: the request's row N times."""
        rows = {name: np.repeat(value, len(self.rows), axis=0) for name, value in self.request.items()}
        return {**rows, **self.candidates}


@lru_cache(maxsize=16)
def _popularity(size: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The distribution function over ranks, and the id of each rank: popular ids lie anywhere."""
    weights = np.arange(1, size + 1, dtype=np.float64) ** -ZIPF
    total = np.cumsum(weights)
    return total / total[-1], np.random.default_rng(size).permutation(size)


def zipf_ids(rng: np.random.Generator, size: int, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Ids below ``size``, the r-th most popular one drawn in proportion to r to the -1.2."""
    levels, ids = _popularity(size)
    return ids[np.minimum(np.searchsorted(levels, rng.random(shape)), size - 1)]


def _fields(rng: np.random.Generator, sizes: Sequence[int], count: int) -> NDArray[np.int64]:
    return np.stack([zipf_ids(rng, size, (count,)) for size in sizes], axis=1)


def _numbers(rng: np.random.Generator, count: int, width: int) -> NDArray[np.float32]:
    return rng.standard_normal((count, width), dtype=np.float32)


def requests(ruler: str, rng: np.random.Generator, count: int) -> Arrays:
    """``count`` rows of the request's inputs."""
    if ruler != "r5":
        width = USER_NUMBERS + (ITEM_NUMBERS if ruler == "r3" else 0)
        return {
            "user_ids": _fields(rng, USER_VOCABULARIES, count),
            "user_numbers": _numbers(rng, count, width),
        }
    valid = np.arange(HISTORY) < rng.integers(SHORTEST_HISTORY, HISTORY + 1, (count, 1))
    items, categories = (1 + zipf_ids(rng, size - 1, (count, HISTORY)) for size in DIN_VOCABULARIES)
    return {
        "user_ids": _fields(rng, DIN_USER_VOCABULARIES, count),
        "history_items": items * valid,
        "history_categories": categories * valid,
    }


def items(ruler: str, rng: np.random.Generator, count: int) -> Arrays:
    """``count`` rows of the candidates' inputs."""
    if ruler == "r5":
        item, category = (1 + zipf_ids(rng, size - 1, (count,)) for size in DIN_VOCABULARIES)
        return {"item": item, "category": category}
    made: Arrays = {"item_ids": _fields(rng, ITEM_VOCABULARIES, count)}
    if ruler != "r3":
        made["item_numbers"] = _numbers(rng, count, ITEM_NUMBERS)
    return made


@lru_cache(maxsize=1)
def stock(ruler: str) -> Arrays:
    """The catalogue's items; the candidates of every case are some of them."""
    return items(ruler, np.random.default_rng(0), STOCK)


def make_cases(ruler: str, count: int, number: int) -> tuple[Case, ...]:
    """``number`` requests of different users, each with ``count`` candidates."""
    rng = np.random.default_rng(count)
    shop = stock(ruler)
    made = []
    for _ in range(number):
        rows = rng.integers(0, STOCK, count)
        made.append(Case(requests(ruler, rng, 1), {name: value[rows] for name, value in shop.items()}, rows))
    return tuple(made)
