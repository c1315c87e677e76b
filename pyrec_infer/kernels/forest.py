"""The leaves of a tree that rows end at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.spec import EXACT, Array, KernelSpec, compiled


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


KERNELS = (
    KernelSpec("find_leaves_u8", _first_kept, find_leaves_u8, EXACT, _find_cases),
    KernelSpec("find_answers_u8", _answers, find_answers_u8, EXACT, _answer_cases),
)
