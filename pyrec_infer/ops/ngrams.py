"""Counts of n-grams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError, ModelError, ShapeError
from pyrec_infer.ir import Array, Dim, Info, Node, as_texts, fault, holds_strings
from pyrec_infer.limits import current_budget
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowFlow, couples, required
from pyrec_infer.ops.core.traits import FILLS
from pyrec_infer.ops.tokens import tokens_of

Grams: TypeAlias = dict[tuple[Any, ...], int]

_MODES = ("TF", "IDF", "TFIDF")


def _lengths(node: Node) -> tuple[int, int, int]:
    """Items of the shortest and the longest n-gram, and how many may be skipped between two of them."""
    shortest, longest = int(node.attribute("min_gram_length", 1)), int(node.attribute("max_gram_length", 1))
    skips = int(node.attribute("max_skip_count", 0))
    if not 1 <= shortest <= longest <= len(node.attribute("ngram_counts", ())) or skips < 0:
        raise fault(ModelError, node, "lengths of n-grams that do not fit ngram_counts")
    return shortest, longest, skips


def _columns(node: Node) -> NDArray[np.int64]:
    """Where the count of each n-gram of the pool goes."""
    columns = np.asarray(node.attribute("ngram_indexes", ()), np.int64)
    if not columns.size or columns.min() < 0 or columns.max() >= 2**31 - 1:
        raise fault(ModelError, node, "ngram_indexes do not fit the pool")
    return columns


def _width(node: Node) -> int:
    return int(_columns(node).max()) + 1


def _weights(node: Node, columns: NDArray[np.int64]) -> list[np.float32]:
    given = tuple(node.attribute("weights", ())) or (1.0,) * len(columns)
    if len(given) != len(columns):
        raise fault(ModelError, node, "weights do not fit ngram_indexes")
    weights = [np.float32(weight) for weight in given]
    if node.attribute("mode", "TF") == "IDF":
        # Where n-grams share a column, which of them was found would decide.
        known: dict[int, np.float32] = {}
        for column, weight in zip(columns.tolist(), weights, strict=True):
            first = known.setdefault(column, weight)
            if first is not weight and first != weight:
                raise fault(ModelError, node, "one column has several weights")
    return weights


def _grams(node: Node, columns: NDArray[np.int64]) -> Grams:
    """The number of each n-gram of the pool that is counted."""
    texts, numbers = tuple(node.attribute("pool_strings", ())), tuple(node.attribute("pool_int64s", ()))
    if bool(texts) == bool(numbers):
        raise fault(ModelError, node, "expected either pool_strings or pool_int64s")
    pool, starts = texts or numbers, tuple(node.attribute("ngram_counts", ()))
    shortest, longest, _ = _lengths(node)
    found: Grams = {}
    number = 0
    for length, (start, end) in enumerate(zip(starts, (*starts[1:], len(pool)), strict=True), start=1):
        if not 0 <= start <= end <= len(pool) or (end - start) % length:
            raise fault(ModelError, node, "ngram_counts do not fit the pool")
        for at in range(start, end, length):
            if number >= len(columns):
                raise fault(ModelError, node, "ngram_indexes do not fit the pool")
            if shortest <= length <= longest:
                if pool[at : at + length] in found:
                    raise fault(ModelError, node, "an n-gram is in the pool twice")
                found[pool[at : at + length]] = number
            number += 1
    return found


def _windows(items: Sequence[Any], lengths: tuple[int, int, int]) -> Iterator[tuple[Any, ...]]:
    shortest, longest, skips = lengths
    for length in range(shortest, longest + 1):
        # A single item has no gaps, so skipping would count it again.
        for step in range(1, (min(skips, len(items)) if length > 1 else 0) + 2):
            for start in range(len(items) - (length - 1) * step):
                yield tuple(items[start : start + (length - 1) * step + 1 : step])


def _tfidf(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = required(node, inputs, 0)
    mode, columns = node.attribute("mode", "TF"), _columns(node)
    lengths, grams, weights = _lengths(node), _grams(node, columns), _weights(node, columns)
    if mode not in _MODES:
        raise fault(ModelError, node, "unknown mode")
    texts = bool(node.attribute("pool_strings", ()))
    if texts != holds_strings(x) or not (texts or x.dtype in (np.int32, np.int64)):
        wanted = "str" if texts else "int32 or int64"
        raise fault(DTypeError, node, f"expected {wanted}, got {'str' if holds_strings(x) else x.dtype}")
    if x.ndim not in (1, 2):
        raise fault(ShapeError, node, f"expected 1 or 2 axes, got {x.ndim}")
    matrix = np.atleast_2d(x)
    result = np.zeros((len(matrix), int(columns.max()) + 1), np.float32)
    for row, items in zip(result, matrix.tolist(), strict=True):
        found = Counter(grams[window] for window in _windows(items, lengths) if window in grams)
        for gram, count in sorted(found.items()):
            if mode == "IDF":
                row[columns[gram]] = weights[gram]
            else:
                row[columns[gram]] += np.float32(count) * (weights[gram] if mode == "TFIDF" else 1)
    return [result[0] if x.ndim == 1 else result]


def _infer_tfidf(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    shape = required(node, inputs, 0).shape
    width = _width(node)
    lead: tuple[int | Dim, ...] = () if shape is None else shape[:-1]
    return [Info(np.dtype(np.float32), None if shape is None else (*lead, width))]


def _tfidf_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    """A vector is one row, whatever its elements are."""
    rank = required(node, inputs, 0).rank
    return (rows.per_row if rank == 2 else couples)(node, inputs, outputs)


def _token_counts(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    """The counts of each text's tokens; what fills rows up is counted nowhere."""
    x = required(node, inputs, 0)
    texts, width = tokens_of(node, x), _width(node)
    current_budget().require(4 * width * len(texts))
    counts = [_tfidf(node, [as_texts(text)])[0] for text in texts]
    return [np.stack(counts) if counts else np.zeros((0, width), np.float32)]


def _infer_token_counts(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    shape = required(node, inputs, 0).shape
    width = _width(node)
    return [Info(np.dtype(np.float32), None if shape is None else (shape[0], width))]


OPS: tuple[Op, ...] = (
    Op("TfIdfVectorizer", _infer_tfidf, _tfidf, _tfidf_rows, traits=FILLS),
    Op("pyrec.TokenCounts", _infer_token_counts, _token_counts, rows.per_row, traits=FILLS),
)
