"""Hashes and buckets of what several columns have at each place."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer.arguments import read_column
from pyrec_infer.errors import InputError, RowCountError
from pyrec_infer.fingerprints.values import bucket_count
from pyrec_infer.hashing import CROSSES, Scheme
from pyrec_infer.hashing.seeds import as_seed
from pyrec_infer.strings.column import Column
from pyrec_infer.strings.crosses import crossed
from pyrec_infer.strings.hashes import Hashes, to_buckets, with_sign


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
    read: list[Column] = []
    for number, values in enumerate(columns):
        column = read_column(f"column {number}", values)
        if read and column.shape != read[0].shape:
            raise RowCountError(
                f"column {number}: expected shape {list(read[0].shape)}, got {list(column.shape)}"
            )
        read.append(column)
    return chosen, crossed([f"column {i}" for i in range(len(read))], read, chosen, start), read[0].shape


__all__ = ["cross_fingerprint", "cross_to_bucket"]
