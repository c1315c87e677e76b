"""Hashes and buckets of the values of one column."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyrec_infer import strings
from pyrec_infer.arguments import as_count, read_column
from pyrec_infer.errors import DTypeError, InputError
from pyrec_infer.hashing import Modulo, Scheme, find_scheme
from pyrec_infer.hashing.seeds import as_seed
from pyrec_infer.strings.column import Column
from pyrec_infer.strings.hashes import hashes_of, name_in_front, refuse_missing, to_buckets, with_sign

SeedLike: TypeAlias = int | tuple[int, int] | bytes | None

_LABEL = "values"


def bucket_count(scheme: Scheme, buckets: Any) -> int:
    """How many buckets there are.

    Raises
    ------
    InputError
        The scheme cannot have so many.
    """
    count = as_count("buckets", buckets, 1)
    if scheme.power_of_two and count & (count - 1):
        raise InputError(f"buckets: expected a power of two for scheme {scheme.name!r}, got {count}")
    return count


def fingerprint(
    values: ArrayLike, *, scheme: str = "farmhash64", seed: SeedLike = None, name: str | None = None
) -> NDArray[np.uint64] | NDArray[np.int64]:
    """The hash of each value, equal to that of another system bit for bit.

    Parameters
    ----------
    values : array_like
        Strings or bytes: an array of any kind, lists, a pandas, polars or Arrow column, borrowed and read
        where it lies if it has Arrow's layout. Bytes are hashed as they are, strings as UTF-8. Numbers and
        booleans as the scheme says.
    scheme : str
        See `hash_to_bucket`.
    seed : int, pair of int or bytes, optional
        See `hash_to_bucket`.
    name : str, optional
        See `hash_to_bucket`.

    Returns
    -------
    ndarray of uint64, or of int64 where the scheme's hashes have a sign, shape of ``values``
        Hashes of 32 bits are widened.

    Raises
    ------
    DTypeError
        The scheme does not take such values, or a string is not UTF-8; names the row.
    InputError
        A value is missing, an argument is none that the scheme has, or Arrow structures contradict
        themselves.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> pi.fingerprint(["Hello", "world"], scheme="mmh3_32")
    array([316307400, -74040069])
    """
    chosen = _chosen(scheme, seed)
    start = as_seed(chosen, seed, name)
    column = read_column(_LABEL, values)
    hashes, gone = hashes_of(_LABEL, column, chosen, start, name_in_front(chosen, name))
    refuse_missing(_LABEL, gone, column.shape)
    return with_sign(chosen, hashes).reshape(column.shape)


def hash_to_bucket(
    values: ArrayLike,
    *,
    buckets: int,
    scheme: str = "farmhash64",
    seed: SeedLike = None,
    name: str | None = None,
    mask_value: object = None,
    null: Literal["error", "mask"] = "error",
    modulo: Modulo | None = None,
) -> NDArray[np.int64]:
    """The bucket of each value, equal to that of another system bit for bit.

    Parameters
    ----------
    values : array_like
        As for `fingerprint`.
    buckets : int
        How many there are. Vowpal Wabbit's schemes take powers of two.
    scheme : str
        ``"farmhash64"`` is TensorFlow's ``to_hash_bucket_fast``, ``"siphash24"`` its
        ``to_hash_bucket_strong``, ``"keras"`` the layer Hashing. ``"sklearn"`` is the column that
        scikit-learn's FeatureHasher takes; the sign of its entry is that of `fingerprint`. ``"vw"`` and
        ``"vw_all"`` are Vowpal Wabbit's ``--hash strings`` and ``all``. ``"spark_hash"`` and
        ``"spark_xxhash64"`` are Spark's SQL functions with ``pmod``, ``"spark_hashing_tf"`` and
        ``"spark_feature_hasher"`` its transformers. Algorithms are ``"mmh3_32"`` and ``"mmh3_64"`` (the
        first half of x64_128), ``"xxh32"``, ``"xxh64"``, ``"cityhash64"``, ``"crc32"``, and the first 64
        bits of ``"md5"`` and of ``"blake2b"`` with a digest of 8 bytes.

        Whole numbers are hashed as their decimal digits. Not by scikit-learn's and Spark's FeatureHasher,
        whose numbers are weights and not hashed; Spark's other schemes hash the bits of numbers and
        booleans, as int or long by the dtype. Floats and booleans are else refused, but that Keras drops
        what floats have behind the point, and has ``"true"`` and ``"false"``.
    seed : int, pair of int or bytes, optional
        A number for mmh3, xxhash, crc32 and Spark's functions (0 by default, of Spark 42); SipHash's key as
        two numbers, or one that is both; BLAKE2b's key as bytes; for Keras its ``salt``.
    name : str, optional
        Of the field: the namespace for Vowpal Wabbit; for the two FeatureHashers ``name=value`` is hashed,
        and without a name the value alone, which Spark's never does.
    mask_value : optional
        A value whose bucket is 0, as in Keras: all others are ``1 + hash % (buckets - 1)`` then.
    null : str
        What a missing string is: an error, or the same as the mask. Of Spark's ``hash``, ``xxhash64`` and
        HashingTF its hash is the seed instead.
    modulo : str, optional
        In place of the scheme's own: ``"unsigned"``; ``"floor"``, never negative, of the hash as a number
        with a sign, as Python's ``%`` and Spark's ``pmod`` do; ``"abs"``, of that number's size, as in
        scikit-learn, or BigQuery's ``MOD(ABS(FARM_FINGERPRINT(x)), n)``.

    Returns
    -------
    ndarray of int64, shape of ``values``

    Raises
    ------
    DTypeError
        The scheme does not take such values, or a string is not UTF-8; names the row.
    InputError
        A value is missing, an argument is none that the scheme has, or Arrow structures contradict
        themselves; `IdRangeError` for a float that is no 64-bit number for Keras.

    Examples
    --------
    >>> import pyrec_infer as pi
    >>> pi.hash_to_bucket(["Hello", "TensorFlow", "2.x"], buckets=3)
    array([0, 2, 2])
    >>> pi.hash_to_bucket([7, 8], buckets=3, scheme="keras", mask_value=7).tolist()[0]
    0
    """
    chosen = _chosen(scheme, seed)
    count = bucket_count(chosen, buckets)
    if null not in ("error", "mask"):
        raise InputError(f"null: expected 'error' or 'mask', got {null!r}")
    start = as_seed(chosen, seed, name)
    column = read_column(_LABEL, values)
    masked = None if mask_value is None else _equal(column, mask_value)
    hashes, gone = hashes_of(_LABEL, column, chosen, start, name_in_front(chosen, name))
    if null == "mask":
        masked = gone if masked is None else masked if gone is None else masked | gone
        masked = np.zeros(len(hashes), np.bool_) if masked is None else masked
    else:
        refuse_missing(_LABEL, gone, column.shape)
    first = 0 if masked is None or count == 1 else 1
    made = to_buckets(hashes, chosen, modulo, count - first, first)
    if masked is not None:
        made[masked] = 0
    return made.reshape(column.shape)


def _chosen(name: str, seed: SeedLike) -> Scheme:
    """The scheme; Keras hashes by a key where it has a salt."""
    return find_scheme("keras_salted" if name == "keras" and seed is not None else name)


def _equal(column: Column, value: Any) -> NDArray[np.bool_]:
    """Which values are equal to the mask's."""
    if column.numbers is not None:
        if isinstance(value, (str, bytes)) or not isinstance(value, (int, float, np.number, np.bool_)):
            raise DTypeError(f"mask_value: expected a number as the values are, got {type(value).__name__}")
        return np.asarray(column.numbers == value)
    if not isinstance(value, (str, bytes)):
        raise DTypeError(f"mask_value: expected a string as the values are, got {type(value).__name__}")
    (text,) = strings.of_objects([value], 0, False).words()
    return np.concatenate([np.empty(0, np.bool_), *(part.equal(text) for part in column.texts)])


__all__ = ["bucket_count", "fingerprint", "hash_to_bucket"]
