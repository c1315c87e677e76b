"""Where numbers lie among thresholds, and the leaves of a tree that rows end at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.spec import EXACT, SPECIAL, Array, Cases, KernelSpec, compiled


@compiled
def _place_loop(keys: Any, x: Any, named: Any, places: Any) -> None:
    for i in range(x.shape[0]):
        low, high = 0, keys.shape[0]
        while low < high:
            middle = (low + high) // 2
            if keys[middle] < x[i]:
                low = middle + 1
            else:
                high = middle
        places[i] = named[1] if x[i] != x[i] else named[0] + low


def find_places_f32(keys: Array, x: Array, named: Array) -> Array:
    """How many of the rising keys are less than each number, from a first place on; NaN has its own."""
    places = np.empty(len(x), np.uint16)
    _place_loop(keys, x, named, places)
    return places


def _searched(keys: Array, x: Array, named: Array) -> Array:
    found: Array = np.searchsorted(keys, x, side="left")
    places: Array = np.where(np.isnan(x), named[1], found + int(named[0]))
    return places


def _place_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    special = np.concatenate(
        [SPECIAL, np.asarray([1e-45, -1e-45, 0.0, -0.0, np.inf, -np.inf, np.nan], np.float32)]
    )
    for count in (0, 1, 7, 8, 15, 16, 17, 33, 64, 65, 255, 256, 257, 272, 4096, 4097, 65535):
        near = rng.standard_normal(count).astype(np.float32)
        for keys in (near, rng.choice(near[: 1 + count // 3], count) if count else near):
            keys = np.sort(np.concatenate([keys, special[~np.isnan(special)]])[: max(count, 1)])
            values = rng.choice(keys, 60)
            x = np.concatenate([special, values, np.nextafter(values, np.float32(np.inf)), -values])
            for rows in (0, 1, 5, 63, 64, 65, len(x)):
                named = np.asarray([0 if count > 65000 else rng.integers(2), 65535], np.uint16)
                yield keys, rng.permutation(x)[:rows].astype(np.float32), named


@compiled
def _rank_loop(places: Any, window: Any, ranks: Any) -> None:
    for i in range(places.shape[0]):
        rank: Any = np.int64(places[i]) - np.int64(window[0])
        rank = min(max(rank, 0), 255)
        if places[i] == window[1]:
            rank = np.int64(window[2])
        ranks[i] = (255 - rank if window[3] else rank) - 128


def rank_places_i8(places: Array, window: Array) -> Array:
    """Places from the window's first on, up to 255, with a rank for what is missing; maybe reversed."""
    ranks = np.empty(len(places), np.int8)
    _rank_loop(places, window, ranks)
    return ranks


def _ranked(places: Array, window: Array) -> Array:
    first, missing, absent, reversed_ranks = window.astype(np.int64)
    rank = np.where(places == missing, absent, np.clip(places.astype(np.int64) - first, 0, 255))
    ranks: Array = np.where(reversed_ranks, 255 - rank, rank) - 128
    return ranks


def _rank_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for first, missing in ((0, 9), (0, 256), (255, 600), (510, 65535)):
        for absent, reversed_ranks in ((0, 0), (255, 0), (0, 1), (255, 1)):
            for rows in (0, 1, 17, 64, 100):
                edges = np.asarray([0, 1, first, first + 254, first + 255, first + 256, missing, 65535])
                places = np.concatenate([edges, rng.integers(0, 1 << 16, rows)])[:rows]
                window = np.asarray([first, missing, absent, reversed_ranks], np.uint16)
                yield places.clip(0, 65535).astype(np.uint16), window


@compiled
def _find_loop(columns: Any, limits: Any, kept: Any, counts: Any, ranks: Any, leaves: Any) -> None:
    planes = counts.shape[0]
    for row in range(leaves.shape[0]):
        test = 0
        for place in range(planes):
            left = 255
            for _ in range(counts[place]):
                if ranks[columns[test], row] >= limits[test]:
                    left &= kept[test]
                test += 1
            if left:
                leaf = 8 * (planes - 1 - place)
                while not left & 1:
                    left >>= 1
                    leaf += 1
                leaves[row] = leaf


def find_leaves_u8(columns: Array, limits: Array, kept: Array, counts: Array, ranks: Array) -> Array:
    """The first leaf that each row keeps; 0 for one that keeps none."""
    leaves = np.zeros(ranks.shape[1], np.uint8)
    _find_loop(columns, limits, kept, counts, ranks, leaves)
    return leaves


def _first_kept(columns: Array, limits: Array, kept: Array, counts: Array, ranks: Array) -> Array:
    planes = len(counts)
    passed = ranks[columns] < limits[:, np.newaxis]
    bits = np.unpackbits(kept[:, np.newaxis], axis=1, bitorder="little").astype(bool)
    keeps = passed[:, :, np.newaxis] | bits[:, np.newaxis]
    parts = np.split(keeps, np.cumsum(counts.astype(np.int64))[:-1]) if planes else []
    alive = np.zeros((ranks.shape[1], 8 * planes + 1), bool)
    for place, part in enumerate(parts):
        begin = 8 * (planes - 1 - place)
        alive[:, begin : begin + 8] = part.all(axis=0)
    return np.where(alive.any(axis=1), alive.argmax(axis=1), 0)


def _find_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for planes, rows in ((0, 64), (1, 1), (2, 16), (7, 17), (8, 32), (8, 33), (9, 64), (32, 40)):
        for most in (0, 1, 5, 40):
            counts = rng.integers(0, most + 1, planes).astype(np.uint16)
            total = int(counts.sum())
            ranks = rng.integers(-128, 128, (9, rows)).astype(np.int8)
            ranks[0, 0], ranks[1, 0] = -128, 127
            columns = rng.integers(0, 9, total).astype(np.uint16)
            limits = rng.choice(np.asarray([-127, -60, 0, 90, 127]), total).astype(np.int8)
            kept = rng.choice(np.asarray([0, 1, 127, 128, 254, 0b11100111]), total).astype(np.uint8)
            yield columns, limits, kept, counts, ranks


@compiled
def _answer_loop(columns: Any, limits: Any, kept: Any, ranks: Any, answers: Any) -> None:
    for row in range(answers.shape[0]):
        for test in range(columns.shape[0]):
            if ranks[columns[test], row] < limits[test]:
                answers[row] |= kept[test]


def find_answers_u8(columns: Array, limits: Array, kept: Array, ranks: Array) -> Array:
    """The bits of all tests whose limits the row's ranks are below."""
    answers = np.zeros(ranks.shape[1], np.uint8)
    _answer_loop(columns, limits, kept, ranks, answers)
    return answers


def _answers(columns: Array, limits: Array, kept: Array, ranks: Array) -> Array:
    below = ranks[columns] < limits[:, np.newaxis]
    found: Array = np.bitwise_or.reduce(np.where(below, kept[:, np.newaxis], 0), axis=0, initial=0)
    return found


def _answer_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for count, rows in ((0, 64), (1, 1), (6, 16), (8, 17), (8, 33), (5, 64)):
        ranks = rng.integers(-128, 128, (9, rows)).astype(np.int8)
        ranks[0, 0], ranks[1, 0] = -128, 127
        columns = rng.integers(0, 9, count).astype(np.uint16)
        limits = rng.choice(np.asarray([-127, -60, 0, 90, 127]), count).astype(np.int8)
        yield columns, limits, (1 << np.arange(count)).astype(np.uint8), ranks


@compiled
def _vote_loop(weights: Any, leaves: Any, sums: Any) -> None:
    for row in range(sums.shape[0]):
        sums[row] += weights[leaves[row]]


def add_votes(weights: Array, leaves: Array, scores: Array) -> Array:
    """Each row's score and its leaf's weight."""
    sums = scores.copy()
    _vote_loop(weights, leaves, sums)
    return sums


def _summed(weights: Array, leaves: Array, scores: Array) -> Array:
    found: Array = scores + weights[leaves]
    return found


def _vote_cases(kind: type[np.floating[Any]]) -> Cases:
    def cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
        for count in (1, 2, 16, 31, 32, 33, 64, 65, 128, 129, 255, 256):
            for rows in (0, 1, 8, 15, 16, 17, 63, 64):
                leaves = rng.integers(0, count, rows)
                leaves[:1] = count - 1
                weights = rng.standard_normal(count).astype(kind)
                yield weights, leaves.astype(np.uint8), rng.standard_normal(rows).astype(kind)

    return cases


KERNELS = (
    KernelSpec("find_places_f32", _searched, find_places_f32, EXACT, _place_cases),
    KernelSpec("rank_places_i8", _ranked, rank_places_i8, EXACT, _rank_cases),
    KernelSpec("find_leaves_u8", _first_kept, find_leaves_u8, EXACT, _find_cases),
    KernelSpec("find_answers_u8", _answers, find_answers_u8, EXACT, _answer_cases),
    KernelSpec("add_votes_f32", _summed, add_votes, EXACT, _vote_cases(np.float32)),
    KernelSpec("add_votes_f64", _summed, add_votes, EXACT, _vote_cases(np.float64)),
)
