"""Products of vectors or of their codes of seven or four bits, compared with what a score has to reach."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pyrec_infer.kernels.spec import EXACT, Array, KernelSpec, compiled, shifted

ITEMS = 64
"""Items that a screen takes at once."""


@compiled
def _screen_loop(
    queries: Any, scales: Any, least: Any, codes: Any, start: Any, scale: Any, bias: Any, marks: Any
) -> None:
    for q in range(queries.shape[0]):
        for i in range(codes.shape[0]):
            total = start[i]
            for at in range(queries.shape[1]):
                total += np.int32(queries[q, at]) * np.int32(codes[i, at])
            score = scales[q] * (scale[i] * np.float32(total)) + bias[i]
            marks[q, i] = not score < least[q]


def screen_s7(
    queries: Array, scales: Array, least: Array, codes: Array, start: Array, scale: Array, bias: Array
) -> Array:
    """Whether ``scales * (scale * (start + queries @ codes.T)) + bias`` is not less than ``least``."""
    marks = np.zeros((len(queries), len(codes)), np.uint8)
    _screen_loop(queries, scales, least, codes, start, scale, bias, marks)
    return marks


def _screen(
    queries: Array, scales: Array, least: Array, codes: Array, start: Array, scale: Array, bias: Array
) -> Array:
    sums = start.astype(np.int64) + queries.astype(np.int64) @ codes.astype(np.int64).T
    scores = scales.astype(np.float64)[:, np.newaxis] * (scale.astype(np.float64) * sums) + bias
    return np.asarray(~(scores < least[:, np.newaxis]), np.uint8)


def _screen_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Numbers whose products and sums float32 holds: the comparison is exact, at the bound too."""
    for m in (0, 1, 2, 3, 4, 5, 7, 9, 30):
        for d in (0, 8, 24, 32, 64, 200) if m < 9 else (8, 72):
            queries = rng.integers(0, 127, (m, d), np.uint8, endpoint=True)
            codes = rng.integers(-64, 64, (ITEMS, d), np.int8, endpoint=True)
            if m > 2:
                queries[0], codes[:9] = 127, 64
                codes[9:20] = -64
            start = -64 * codes.sum(axis=1, dtype=np.int32)
            scales, scale = (np.exp2(rng.integers(-3, 3, size)).astype(np.float32) for size in (m, ITEMS))
            bias = rng.integers(-50, 50, ITEMS).astype(np.float32)
            sums = start + queries.astype(np.int32) @ codes.astype(np.int32).T
            scores = scales[:, np.newaxis] * (scale * sums) + bias
            least = scores[np.arange(m), rng.integers(0, ITEMS, m)].astype(np.float32)
            least[1::4], least[3::4] = -np.inf, np.inf
            yield tuple(shifted(array) for array in (queries, scales, least, codes, start, scale, bias))


def screen_rows_s7(
    queries: Array, scales: Array, least: Array, codes: Array, start: Array, scale: Array, bias: Array
) -> Array:
    """`screen_s7` of several blocks, the marks of each one's queries after those of the one before."""
    marks = [screen_s7(queries, scales, *own) for own in zip(least, codes, start, scale, bias, strict=True)]
    return np.concatenate([np.zeros((0, ITEMS), np.uint8), *marks])


def _screen_rows(
    queries: Array, scales: Array, least: Array, codes: Array, start: Array, scale: Array, bias: Array
) -> Array:
    marks = [_screen(queries, scales, *own) for own in zip(least, codes, start, scale, bias, strict=True)]
    return np.concatenate([np.zeros((0, ITEMS), np.uint8), *marks])


def _screen_rows_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Those of `screen_s7` of as many queries and numbers, as blocks of one call."""
    alike: dict[tuple[int, ...], list[tuple[Any, ...]]] = {}
    for _ in range(4):
        for case in _screen_cases(rng):
            alike.setdefault(case[0].shape, []).append(case)
    for at, cases in enumerate(alike.values()):
        queries, scales = cases[0][:2]
        count = 4 - at % 5
        parts = [np.stack([case[part] for case in cases])[:count] for part in range(2, 7)]
        yield (queries, scales, *(shifted(part) for part in parts))


@compiled
def _scores_loop(
    queries: Any, scales: Any, codes: Any, start: Any, scale: Any, bias: Any, scores: Any
) -> None:
    for block in range(codes.shape[0]):
        for q in range(queries.shape[0]):
            for i in range(codes.shape[1]):
                total = start[block, i]
                for at in range(queries.shape[1]):
                    total += np.int32(queries[q, at]) * np.int32(codes[block, i, at])
                scores[block, q, i] = scales[q] * (scale[block, i] * np.float32(total)) + bias[block, i]


def score_rows_s7(
    queries: Array, scales: Array, codes: Array, start: Array, scale: Array, bias: Array
) -> Array:
    """``scales * (scale * (start + queries @ codes.T)) + bias`` of each block."""
    scores = np.empty((len(codes), len(queries), ITEMS), np.float32)
    _scores_loop(queries, scales, codes, start, scale, bias, scores)
    return scores


def _score_rows(
    queries: Array, scales: Array, codes: Array, start: Array, scale: Array, bias: Array
) -> Array:
    sums = np.einsum("qd,bid->bqi", queries.astype(np.int64), codes.astype(np.int64)) + start[:, np.newaxis]
    whole = scale.astype(np.float64)[:, np.newaxis] * sums
    return np.asarray(scales.astype(np.float64)[:, np.newaxis] * whole + bias[:, np.newaxis], np.float32)


def score_s7(queries: Array, scales: Array, codes: Array, start: Array, scale: Array, bias: Array) -> Array:
    """Those of `score_rows_s7`, a row for each query."""
    return _by_query(score_rows_s7(queries, scales, codes, start, scale, bias))


def _score(queries: Array, scales: Array, codes: Array, start: Array, scale: Array, bias: Array) -> Array:
    return _by_query(_score_rows(queries, scales, codes, start, scale, bias))


def _by_query(scores: Array) -> Array:
    count, queries, items = scores.shape
    return np.ascontiguousarray(scores.transpose(1, 0, 2)).reshape(queries, count * items)


def _score_rows_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    for queries, scales, _, *items in _screen_rows_cases(rng):
        yield (queries, scales, *items)


@compiled
def _panels_loop(
    queries: Any,
    starts: Any,
    scales: Any,
    sizes: Any,
    least: Any,
    codes: Any,
    scale: Any,
    left: Any,
    bias: Any,
    marks: Any,
) -> None:
    half = queries.shape[1] // 2
    for block in range(codes.shape[0]):
        for q in range(queries.shape[0]):
            for i in range(scale.shape[1]):
                total = starts[q]
                for at in range(half):
                    both = codes[block, at // 4, 4 * i + at % 4]
                    total += np.int32(queries[q, at]) * np.int32(both & 15)
                    total += np.int32(queries[q, half + at]) * np.int32(both >> 4)
                rest = sizes[q] * left[block, i] + bias[block, i]
                score = scales[q] * (scale[block, i] * np.float32(total)) + rest
                marks[block * queries.shape[0] + q, i] = not score < least[block, q]


def _known(details: Array) -> tuple[Array, Array]:
    """The two numbers of bfloat16 in each: that of the upper half and that of the lower one."""
    both = details.view(np.uint32)
    return (both & np.uint32(0xFFFF0000)).view(np.float32), (both << np.uint32(16)).view(np.float32)


def screen_u4(
    queries: Array,
    starts: Array,
    scales: Array,
    sizes: Array,
    least: Array,
    codes: Array,
    details: Array,
    bias: Array,
) -> Array:
    """Whether ``scales * (scale * (starts + queries @ numbers.T)) + (sizes * left + bias)`` is not less than
    ``least``, of each block: groups of four bytes of each item, whose lower halves are the first numbers, the
    upper ones the others; scale and left are in the upper and lower halves of the details."""
    marks = np.zeros((len(codes) * len(queries), ITEMS), np.uint8)
    _panels_loop(queries, starts, scales, sizes, least, codes, *_known(details), bias, marks)
    return marks


def _panels_scores(
    queries: Array, starts: Array, scales: Array, sizes: Array, codes: Array, details: Array, bias: Array
) -> Array:
    scale, left = (part.astype(np.float64)[:, np.newaxis] for part in _known(details))
    groups = codes.reshape(len(codes), -1, ITEMS, 4).transpose(0, 2, 1, 3).reshape(len(codes), ITEMS, -1)
    numbers = np.concatenate([groups & 15, groups >> 4], axis=2).astype(np.int64)
    sums = np.einsum("qd,bid->bqi", queries.astype(np.int64), numbers) + starts[:, np.newaxis]
    rest = sizes[:, np.newaxis] * left + bias[:, np.newaxis]
    return np.asarray(scales[:, np.newaxis] * (scale * sums) + rest)


def _panels(
    queries: Array,
    starts: Array,
    scales: Array,
    sizes: Array,
    least: Array,
    codes: Array,
    details: Array,
    bias: Array,
) -> Array:
    scores = _panels_scores(queries, starts, scales, sizes, codes, details, bias)
    return np.asarray(~(scores < least[:, :, np.newaxis]), np.uint8).reshape(-1, ITEMS)


def _panels_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Numbers whose products and sums float32 holds: the comparison is exact, at the bound too."""
    some = ((0, 16, 1), (1, 16, 1), (1, 64, 4), (2, 48, 3), (3, 80, 2), (5, 304, 4), (1, 0, 1), (4, 256, 9))
    for m, d, count in some:
        queries = rng.integers(-127, 127, (m, d), np.int8, endpoint=True)
        codes = rng.integers(0, 255, (count, d // 8, 4 * ITEMS), np.uint8, endpoint=True)
        if m > 2:
            queries[0], queries[1], codes[:, :, :36] = 127, -127, 255
        starts = -8 * queries.sum(axis=1, dtype=np.int32)
        scales, sizes = (np.exp2(rng.integers(-3, 3, m)).astype(np.float32) for _ in range(2))
        scale, left = (
            np.exp2(rng.integers(-3, 3, (count, ITEMS))).astype(np.float32).view(np.uint32) for _ in range(2)
        )
        details = (scale | left >> np.uint32(16)).view(np.int32)
        bias = rng.integers(-50, 50, (count, ITEMS)).astype(np.float32)
        scores = _panels_scores(queries, starts, scales, sizes, codes, details, bias)
        least = scores[:, :, 5].astype(np.float32)
        least[:, 1:2], least[:1, 3:4] = -np.inf, np.inf
        given = queries, starts, scales, sizes, least, codes, details, bias
        yield tuple(shifted(array) for array in given)


@compiled
def _vectors_loop(queries: Any, least: Any, vectors: Any, bias: Any, marks: Any) -> None:
    for block in range(vectors.shape[0]):
        for q in range(queries.shape[0]):
            for i in range(vectors.shape[1]):
                score = bias[block, i]
                for at in range(queries.shape[1]):
                    score += queries[q, at] * vectors[block, i, at]
                marks[block * queries.shape[0] + q, i] = not score < least[block, q]


def screen_rows_f32(queries: Array, least: Array, vectors: Array, bias: Array) -> Array:
    """Whether ``queries @ vectors.T + bias`` is not less than ``least``, of each block."""
    marks = np.zeros((len(vectors) * len(queries), ITEMS), np.uint8)
    _vectors_loop(queries, least, vectors, bias, marks)
    return marks


def _vectors(queries: Array, least: Array, vectors: Array, bias: Array) -> Array:
    scores = np.einsum("qd,bid->bqi", queries.astype(np.float64), vectors) + bias[:, np.newaxis]
    return np.asarray(~(scores < least[:, :, np.newaxis]), np.uint8).reshape(-1, ITEMS)


def _vectors_cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    """Whole numbers whose sums float32 holds in any order."""
    some = ((0, 8, 1), (1, 1, 1), (1, 64, 4), (2, 37, 3), (3, 7, 2), (5, 300, 4), (1, 0, 1), (2, 8, 0))
    for m, d, count in some:
        shapes = (m, d), (count, ITEMS, d), (count, ITEMS)
        queries, vectors, bias = (rng.integers(-9, 9, shape).astype(np.float32) for shape in shapes)
        least = (vectors[:, :1] @ queries.T)[:, 0] + bias[:, :1]
        least[:, 1:2], least[:1, 3:4] = -np.inf, np.inf
        yield tuple(shifted(array) for array in (queries, least, vectors, bias))


KERNELS = (
    KernelSpec("screen_s7", _screen, screen_s7, EXACT, _screen_cases),
    KernelSpec("score_s7", _score, score_s7, EXACT, _score_rows_cases),
    KernelSpec("screen_rows_s7", _screen_rows, screen_rows_s7, EXACT, _screen_rows_cases),
    KernelSpec("score_rows_s7", _score_rows, score_rows_s7, EXACT, _score_rows_cases),
    KernelSpec("screen_u4", _panels, screen_u4, EXACT, _panels_cases),
    KernelSpec("screen_rows_f32", _vectors, screen_rows_f32, EXACT, _vectors_cases),
)
