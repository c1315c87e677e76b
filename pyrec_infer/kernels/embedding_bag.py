"""Sums, means and maxima of the rows of one table that stand in ranges of a list of ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from pyrec_infer.kernels.lookup import KINDS, WIDTHS, Part, exact_numbers, numbers_of, random_table
from pyrec_infer.kernels.spec import Array, KernelSpec, compiled, normal, reduction

_MODES: Mapping[tuple[str, bool], int] = {
    ("sum", False): 0,
    ("sum", True): 0,
    ("mean", False): 1,
    ("mean", True): 2,
    ("max", False): 3,
    ("max", True): 3,
}


@compiled
def _bag_loop(
    numbers: Any,
    ids: Any,
    bounds: Any,
    weights: Any,
    mode: Any,
    padded: Any,
    first_padding: Any,
    second_padding: Any,
    strict: Any,
    out: Any,
) -> Any:
    one = np.float32(1)
    for i in range(bounds.shape[0]):
        kept, total = 0, np.float32(0)
        for place in range(bounds[i, 0], bounds[i, 1]):
            row = ids[place]
            if padded and row in (first_padding, second_padding):
                continue
            if row < 0 and not strict:
                row += numbers.shape[0]
            if row < 0 or row >= numbers.shape[0]:
                return place
            weight = weights[place] if weights.size > 0 else one
            for j in range(out.shape[1]):
                x = numbers[row, j]
                if mode < 3:
                    out[i, j] += weight * x
                elif kept == 0 or x > out[i, j] or x != x:
                    out[i, j] = x
            kept += 1
            total += weight
        if kept > 0 and 0 < mode < 3:
            divisor = total if mode == 2 else np.float32(kept)
            for j in range(out.shape[1]):
                out[i, j] /= divisor
    return -1


def embedding_bags(
    numbers: Array,
    ids: Array,
    bounds: Array,
    weights: Array | None,
    mode: str,
    paddings: tuple[int, int] | None,
    weighted_mean: bool,
    strict: bool = False,
) -> tuple[Array, int]:
    """The bags of a float32 table, and the place of the first id, bag by bag, outside it, or -1.

    Negative ids are outside where they are strict; else they count from the table's end. Ids that are one
    of the paddings are left out.
    """
    out = np.zeros((len(bounds), numbers.shape[1]), np.float32)
    factors = np.zeros(0, np.float32) if weights is None else weights
    way = _MODES[mode, bool(weighted_mean)]
    padded, left_out = paddings is not None, paddings or (0, 0)
    wrong = _bag_loop(numbers, ids, bounds, factors, way, padded, *left_out, strict, out)
    return out, int(wrong)


def embedding_bag_f32(
    parts: tuple[Part],
    ids: Array,
    bounds: Array,
    weights: Array | None,
    mode: str,
    padding: int | None,
    weighted_mean: bool,
) -> Array:
    """The bags of one part, whose ids must be in its table; see `embedding_bags`."""
    (part,) = parts
    numbers = numbers_of(part, len(part[0]))[0]
    paddings = None if padding is None else (padding, padding)
    return embedding_bags(numbers, ids, bounds, weights, mode, paddings, weighted_mean)[0]


def _bags(numbers: Array, ids: Array, bounds: Array, weights: Array | None, mode: str, *rest: Any) -> Array:
    padding, weighted_mean = rest
    out = np.zeros((len(bounds), numbers.shape[1]))
    for made, (start, end) in zip(out, bounds.tolist(), strict=True):
        places = [place for place in range(start, end) if padding is None or ids[place] != padding]
        if not places:
            continue
        rows = numbers[ids[places]]
        factors = np.ones(len(places)) if weights is None else weights[places].astype(np.float64)
        made[:] = np.max(rows, axis=0) if mode == "max" else factors @ rows
        if mode == "mean":
            made /= factors.sum() if weighted_mean else len(places)
    return out


def _embedding_bag(parts: tuple[Part], *arguments: Any) -> Array:
    (part,) = parts
    return _bags(exact_numbers(part, len(part[0])), *arguments)


def _scale(parts: tuple[Part], ids: Array, bounds: Array, weights: Array | None, *rest: Any) -> Array:
    (part,) = parts
    magnitudes = np.abs(exact_numbers(part, len(part[0])))
    return _bags(magnitudes, ids, bounds, None if weights is None else np.abs(weights), *rest)


def _cases(rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    ways = (("sum", False), ("mean", False), ("mean", True), ("max", False))
    for number, width in enumerate((*WIDTHS, 32, 64, 65, 128, 200)):
        for i, codec in enumerate(KINDS):
            mode, weighted = ways[(number + i) % 4]
            table, offset = random_table(rng, 9 + number % 2, width, codec)
            part = (table, offset, None, width, "f32" if codec == "matrix" else codec)
            for count, length in ((0, 5), (1, 1), (3, 40), (30, 70)):
                ids = rng.integers(-len(table), len(table), length)
                bounds = np.sort(rng.integers(0, length + 1, (count, 2)), axis=1)
                weights = np.abs(normal(rng, length)) if mode != "max" and count != 3 else None
                padding = None if count == 1 else int(ids[0])
                yield (part,), ids, bounds, weights, mode, padding, weighted


KERNELS = (
    KernelSpec(
        "embedding_bag_f32",
        _embedding_bag,
        embedding_bag_f32,
        reduction(lambda parts, ids, *_: ids.size + 2, _scale),
        _cases,
    ),
)
