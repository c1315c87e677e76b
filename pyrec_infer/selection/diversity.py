"""Diversity among the best items: maximal marginal relevance, and determinantal point processes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import as_array, as_count
from pyrec_infer.errors import DTypeError, InputError, ShapeError
from pyrec_infer.extension import native
from pyrec_infer.ir import Array
from pyrec_infer.store import Attribute, Rows64

Doubles = NDArray[np.float64]

_LEAST_GAIN = 1e-10
"""What is left of an item beside the chosen ones, in proportion to what it was: less is rounding."""


@dataclass(frozen=True, eq=False)
class _Diversity:
    by: Any = None
    diversity: float = 0.5
    pool: int = 1000

    def __post_init__(self) -> None:
        number = self.diversity
        if isinstance(number, bool) or not isinstance(number, (int, float, np.floating, np.integer)):
            raise DTypeError(f"diversity: expected a number from 0 to 1, got {type(number).__name__}")
        if not 0 <= number <= 1:
            raise InputError(f"diversity: expected a number from 0 to 1, got {number}")
        as_count("pool", self.pool, 1)
        if isinstance(self.by, (int, float, np.number)):
            raise DTypeError(f"by: expected attributes, vectors or None, got {type(self.by).__name__}")


class MMR(_Diversity):
    """Maximal marginal relevance: each item is the one with the largest ``(1 - diversity) * score -
    diversity * likeness``, the likeness with the most alike of those chosen before. The first is the best.

    Parameters
    ----------
    by : str, array_like, callable, or None
        What likeness is of. The name of an attribute, or a list of names: the share of them that are equal; a
        missing value is equal to none. Vectors, one for each of the items of the call, shape (N, D), or a
        callable that gives them for ids: the cosine, 0 where it is less. None: those that a
        retriever or a catalogue has.
    diversity : float
        From 0, the best items alone, to 1, likeness alone. Scores count as they are: where they are far from
        numbers of 0 to 1, it has to follow.
    pool : int
        The best so many items are chosen among, and never fewer than k.

    Notes
    -----
    Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing
    summaries", SIGIR 1998. In float64; of equal ones the better item is first. An item whose score is no
    number comes after all others.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> shop = pi.Retriever([[1.0], [0.9], [0.7]], attributes={"seller": ["a", "a", "b"]})
    >>> shop.top_k([1.0], 2, diversity=pi.MMR("seller")).ids.tolist()
    [[0, 2]]
    """


class DPP(_Diversity):
    """A determinantal point process, greedily: each item is the one that adds most to the determinant of the
    kernel ``w[i] * likeness(i, j) * w[j]`` of those chosen, ``w = exp((1 - diversity) * score)``.

    Parameters
    ----------
    by, diversity, pool
        As for `MMR`, but that cosines of vectors may be less than 0.

    Notes
    -----
    Chen, Zhang and Zhou, "Fast greedy MAP inference for determinantal point process to improve recommendation
    diversity", NeurIPS 2018. In float64. Where nothing can be added, because the items that are left are made
    of those chosen, the best of them follow in order. Of equal ones the better item is first.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> shop = pi.Retriever([[1.0, 0.0], [0.9, 0.1], [0.0, 0.7]])
    >>> shop.top_k([1.0, 1.0], 2, diversity=pi.DPP()).ids.tolist()
    [[0, 2]]
    """


Diversity: TypeAlias = MMR | DPP


def require_diversity(given: Any) -> Diversity:
    """Refuse what is none.

    Raises
    ------
    DTypeError
    """
    if not isinstance(given, (MMR, DPP)):
        raise DTypeError(f"diversity: expected MMR or DPP, got {type(given).__name__}")
    return given


def given_vectors(by: Any, total: int) -> NDArray[np.float32] | None:
    """The vectors that a diversity is told by, one for each of so many items; None where it is by others.

    Raises
    ------
    ShapeError
        If there is not one for each.
    """
    if by is None or callable(by) or isinstance(by, str):
        return None
    if isinstance(by, (list, tuple)) and by and all(isinstance(name, str) for name in by):
        return None
    vectors = as_array("diversity", by, np.dtype(np.float32))
    if vectors.ndim != 2 or len(vectors) != total:
        raise ShapeError(f"diversity: expected vectors of shape [{total}, *], got {list(vectors.shape)}")
    return vectors.astype(np.float32, copy=False)


@dataclass(frozen=True, eq=False)
class Likeness:
    """How alike items are: 1 of an item and itself.

    Attributes
    ----------
    own : ndarray of float64, shape (n,)
        That of each item and itself: 0 of a vector of zeros.
    to : callable
        That of all with one.
    units : ndarray of float64, shape (n, D), or None
        The vectors whose products it is.
    values, there : ndarray of int64 and bool, shape (n, A), or None
        Or the values of whose equality it is the share, and which are not missing.
    """

    own: Doubles
    to: Callable[[int], Doubles]
    units: Doubles | None = None
    values: NDArray[np.int64] | None = None
    there: NDArray[np.bool_] | None = None

    def of_first(self, count: int) -> tuple[Array | None, ...]:
        """Units, values and which are there, of the first items."""
        return tuple(None if each is None else each[:count] for each in (self.units, self.values, self.there))


def of_vectors(given: Array, count: int) -> Likeness:
    """The cosines of vectors.

    Raises
    ------
    ShapeError
        If there is not one for each of ``count`` items; `InputError` if a number is not finite.
    """
    given = np.asarray(given)
    vectors = np.asarray(given, np.float64)
    if vectors.ndim != 2 or len(vectors) != count:
        raise ShapeError(f"diversity: expected vectors of shape [{count}, *], got {list(vectors.shape)}")
    if given.dtype != np.float32:
        # Numbers of at most 1: no square is too large, nor that of the largest too small.
        largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
        _require_finite(largest)
        vectors = np.divide(vectors, largest, out=np.zeros_like(vectors), where=largest > 0)
    lengths = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    # A sum of squares of float32 in double precision is finite where they are.
    _require_finite(lengths)
    # One of zeros stays as it is.
    units = vectors / np.where(lengths > 0, lengths, 1)[:, np.newaxis]
    return Likeness((lengths > 0).astype(np.float64), lambda one: units @ units[one], units)


def _require_finite(numbers: Doubles) -> None:
    if not np.isfinite(numbers).all():
        raise InputError("diversity: expected vectors of finite numbers")


def of_attributes(columns: Sequence[tuple[Attribute, Array]]) -> Likeness:
    """The share of attributes that are equal; what is missing is equal to none but itself."""
    shape = len(columns[0][1]), len(columns)
    values, there = np.empty(shape, np.int64), np.empty(shape, np.bool_)
    for number, (attribute, stored) in enumerate(columns):
        values[:, number] = _as_whole(stored)
        there[:, number] = ~attribute.is_absent(stored)

    def to(one: int) -> Doubles:
        alike: Doubles = np.mean((values == values[one]) & there, axis=1)
        alike[one] = 1
        return alike

    return Likeness(np.ones(len(values)), to, None, values, there)


def _as_whole(stored: Array) -> NDArray[np.int64]:
    """Whole numbers that are equal where values are."""
    if stored.dtype.kind != "f":
        return stored.astype(np.int64)
    # Zeros of both signs are the same.
    return (stored.astype(np.float64) + 0.0).view(np.int64)


def diversify(how: Diversity, scores: NDArray[np.float32], k: int, likeness: Likeness) -> Rows64:
    """Which of the ranked items are chosen, in the order in which they are."""
    # What is no number is ranked last, so it is never compared.
    numbers = int((~np.isnan(scores)).sum())
    wanted = min(k, len(scores))
    choose = _by_relevance if isinstance(how, MMR) else _by_determinant
    own = scores[:numbers].astype(np.float64)
    chosen = choose(own, likeness, min(wanted, numbers), float(how.diversity))
    return np.asarray([*chosen, *range(numbers, numbers + wanted - len(chosen))], np.int64)


def _by_relevance(scores: Doubles, likeness: Likeness, k: int, diversity: float) -> list[int]:
    count = len(scores)
    # Nothing times infinity is nothing here.
    worth = (1 - diversity) * scores if diversity < 1 else np.zeros(count)
    if native is not None:
        first: list[int] = native.choose_relevant(
            scores, worth, diversity, k, *likeness.of_first(count)
        ).tolist()
        return first
    chosen: list[int] = []
    most_alike = np.zeros(count)
    left = np.ones(count, np.bool_)
    while len(chosen) < k:
        values = worth - diversity * most_alike if chosen else scores
        best = int(np.flatnonzero(left)[np.argmax(values[left])])
        chosen.append(best)
        left[best] = False
        most_alike = np.maximum(most_alike, likeness.to(best)[:count])
    return chosen


def _by_determinant(scores: Doubles, likeness: Likeness, k: int, diversity: float) -> list[int]:
    count = len(scores)
    if not np.isfinite(scores).all():
        raise InputError("diversity: expected scores that are finite numbers for DPP")
    # A factor of all weights changes no choice.
    weights = np.exp((1 - diversity) * (scores - scores.max(initial=-np.inf)))
    if native is not None:
        first: list[int] = native.choose_determinate(
            weights, likeness.own[:count], _LEAST_GAIN, k, *likeness.of_first(count)
        ).tolist()
        return first
    own = np.square(weights) * likeness.own[:count]
    gains, left = own.copy(), np.ones(count, np.bool_)
    parts = np.zeros((k, count))
    chosen: list[int] = []
    for step in range(k):
        values = np.where(left & (gains > _LEAST_GAIN * own), gains, -np.inf)
        best = int(np.argmax(values))
        if values[best] == -np.inf:
            return [*chosen, *np.flatnonzero(left)[: k - step].tolist()]
        chosen.append(best)
        left[best] = False
        alike = weights * likeness.to(best)[:count] * weights[best]
        parts[step] = (alike - parts[:step, best] @ parts[:step]) / np.sqrt(gains[best])
        gains = gains - np.square(parts[step])
    return chosen


__all__ = [
    "DPP",
    "MMR",
    "Diversity",
    "Likeness",
    "diversify",
    "of_attributes",
    "of_vectors",
    "require_diversity",
]
