"""Hashes and buckets of what several columns have at each place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import Column, read_column
from pyrec_infer.errors import DTypeError, InputError, RowCountError
from pyrec_infer.fingerprints.hashes import (
    Hashes,
    bucket_count,
    digests,
    hashes_of,
    of_numbers,
    refuse_missing,
    to_buckets,
    with_sign,
)
from pyrec_infer.hashing import CROSSES, Scheme, Seed
from pyrec_infer.hashing.seeds import as_seed
from pyrec_infer.hashing.tf_cross import joined
from pyrec_infer.strings import Texts


def cross_fingerprint(
    columns: Sequence[ArrayLike], *, scheme: str = "tf_cross_v1", seed: int | None = None
) -> NDArray[np.uint64] | NDArray[np.int64]:
    """One hash for the values that several columns have at each place.

    Parameters
    ----------
    columns : sequence of array_like
        As for `fingerprint`, all of one shape.
    scheme : str
        ``"tf_cross_v1"`` is TensorFlow's ``tf.sparse.cross_hashed`` and ``crossed_column``, and Keras's
        HashedCrossing; ``"tf_cross_v2"`` is the operator SparseCrossHashed without strong hashes.
        Whole numbers are put together as they are, strings by their FarmHash. ``"spark_hash"`` and
        ``"spark_xxhash64"`` are Spark's functions of several columns: a missing string leaves the hash as
        it is.
    seed : int, optional
        The ``hash_key`` of the first version, or Spark's seed.

    Returns
    -------
    ndarray of uint64, of Spark's int64, shape of one column
        Of TensorFlow what its modulo is taken of, which is 2^63 - 1 where it has no buckets.

    Raises
    ------
    DTypeError
        A column has values that the scheme does not take; names the column and the row.
    InputError
        A value is missing; `RowCountError` if shapes differ.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> pi.cross_fingerprint([["Spark"], ["rocks"]], scheme="spark_hash").dtype
    dtype('int64')
    """
    chosen, hashes, shape = _crossed(columns, scheme, seed)
    return with_sign(chosen, hashes).reshape(shape)


def cross_to_bucket(
    columns: Sequence[ArrayLike], *, buckets: int, scheme: str = "tf_cross_v1", seed: int | None = None
) -> NDArray[np.int64]:
    """One bucket for the values that several columns have at each place; see `cross_fingerprint`.

    Parameters
    ----------
    columns : sequence of array_like
        As for `fingerprint`, all of one shape.
    buckets : int
        How many there are.
    scheme : str
        As for `cross_fingerprint`.
    seed : int, optional
        As for `cross_fingerprint`.

    Returns
    -------
    ndarray of int64, shape of one column

    Raises
    ------
    InputError
        As for `cross_fingerprint`.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> pi.cross_to_bucket([["a", "b"], [1, 2]], buckets=10).shape
    (2,)
    """
    chosen, hashes, shape = _crossed(columns, scheme, seed)
    count = bucket_count(chosen, buckets)
    return to_buckets(hashes, chosen, None, count, 0).reshape(shape)


def _crossed(
    columns: Sequence[ArrayLike], scheme: str, seed: int | None
) -> tuple[Scheme, Hashes, tuple[int, ...]]:
    chosen = CROSSES.get(scheme)
    if chosen is None:
        raise InputError(f"scheme: expected one of {', '.join(CROSSES)}, got {scheme!r}")
    if isinstance(columns, (str, bytes)) or not len(columns):
        raise InputError("columns: expected at least one")
    start = as_seed(chosen, seed, None)
    shape: tuple[int, ...] | None = None
    state: Hashes | None = None if scheme == "tf_cross_v2" else np.full(1, start.first, np.uint64)
    for number, values in enumerate(columns):
        label = f"column {number}"
        column = read_column(label, values)
        if shape is not None and column.shape != shape:
            raise RowCountError(f"{label}: expected shape {list(shape)}, got {list(column.shape)}")
        shape = column.shape
        if chosen.null_is_seed:
            assert state is not None
            state = _chained(label, column, chosen, state)
        else:
            found = _tf_feature(label, column, chosen)
            state = found if state is None else joined(state, found)
    assert state is not None
    assert shape is not None
    return chosen, state, shape


def _chained(label: str, column: Column, scheme: Scheme, seeds: Hashes) -> Hashes:
    """Spark's hash of a column by the hashes of those before."""
    if column.numbers is not None:
        made = of_numbers(label, column.numbers, scheme, seeds)
        assert not isinstance(made, Texts)
        return made
    seeds = np.broadcast_to(seeds, math.prod(column.shape))
    found, first = [np.empty(0, np.uint64)], 0
    for part in column.texts:
        own = np.ascontiguousarray(seeds[first : first + len(part)])
        hashes = digests(part.plain(), scheme, Seed(), b"", own)
        found.append(hashes if part.missing is None else np.where(part.missing, own, hashes))
        first += len(part)
    return np.concatenate(found)


def _tf_feature(label: str, column: Column, scheme: Scheme) -> Hashes:
    """What TensorFlow puts together: whole numbers, and fingerprints of strings."""
    if column.numbers is not None:
        if column.numbers.dtype.kind not in "iu":
            raise DTypeError(
                f"{label}: scheme {scheme.name!r} takes strings and whole numbers, got {column.numbers.dtype}"
            )
        return column.numbers.astype(np.int64).view(np.uint64)
    hashes, gone = hashes_of(label, column, scheme, Seed(), None)
    refuse_missing(label, gone, column.shape)
    return hashes


__all__ = ["cross_fingerprint", "cross_to_bucket"]
