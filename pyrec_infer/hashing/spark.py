"""Hashes of Apache Spark: the SQL functions ``hash`` and ``xxhash64``, and the ML library's transformers.

The SQL functions mix each byte behind the last word of 4 as a number of its own with its sign; the ML
library does as MurmurHash3 says since Spark 3.0. Numbers are hashed by their bits: those of at most 4 bytes
as an int, others as a long, and NaN as one NaN. Of the SQL functions a missing value's hash is the seed, and
the hash of one column is the seed of the next.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.hashing.murmur3 import finished, mixed, murmur3_32
from pyrec_infer.hashing.scheme import UNSEEDED, WORD, Scheme, Seed, words
from pyrec_infer.hashing.xxhash import LONG1, LONG2, LONG3, LONG4, LONG5, xxh64

Hashes = NDArray[np.uint64]

_START = 42


def spark_hash(data: bytes, seed: Seed = UNSEEDED) -> int:
    """Spark's own MurmurHash3 of bytes, unsigned.

    >>> [spark_hash(text, Seed(42)) == murmur3_32(text, Seed(42)) for text in (b"abcd", b"abc")]
    [True, False]
    """
    state = seed.first & WORD
    for word in words(data, 4):
        state = mixed(state, word)
    for byte in data[len(data) // 4 * 4 :]:
        state = mixed(state, (byte - 256 if byte > 127 else byte) & WORD)
    return finished(state, len(data))


def _bits(numbers: NDArray[Any], one_zero: bool) -> NDArray[Any]:
    """What Java has for the numbers: int32 or int64."""
    if numbers.dtype.kind == "b":
        return numbers.astype(np.int32)
    if numbers.dtype.kind == "f":
        if numbers.itemsize < 4:
            numbers = numbers.astype(np.float32)
        plain = np.where(np.isnan(numbers), np.asarray(np.nan, numbers.dtype), numbers)
        if one_zero:
            plain += np.asarray(0, numbers.dtype)
        return plain.view(np.int32 if numbers.itemsize == 4 else np.int64)
    return numbers.astype(np.int64 if numbers.itemsize == 8 else np.int32)


def _murmur(numbers: NDArray[Any], seeds: Hashes, one_zero: bool) -> Hashes:
    bits = _bits(numbers, one_zero)
    halves = bits.reshape(-1, 1).view(np.uint32)
    state = seeds.astype(np.uint32)

    def turned(value: NDArray[np.uint32], by: int) -> NDArray[np.uint32]:
        return value << np.uint32(by) | value >> np.uint32(32 - by)

    for half in halves.T:
        state ^= turned(half * np.uint32(0xCC9E2D51), 15) * np.uint32(0x1B873593)
        state = turned(state, 13) * np.uint32(5) + np.uint32(0xE6546B64)
    state ^= np.uint32(bits.itemsize)
    state = (state ^ state >> np.uint32(16)) * np.uint32(0x85EBCA6B)
    state = (state ^ state >> np.uint32(13)) * np.uint32(0xC2B2AE35)
    return (state ^ state >> np.uint32(16)).astype(np.uint64)


def _xxhash(numbers: NDArray[Any], seeds: Hashes) -> Hashes:
    bits = _bits(numbers, True)
    state = seeds + np.uint64(LONG5 + bits.itemsize)

    def turned(value: Hashes, by: int) -> Hashes:
        return value << np.uint64(by) | value >> np.uint64(64 - by)

    if bits.itemsize == 4:
        word = bits.view(np.uint32).astype(np.uint64)
        state = turned(state ^ word * np.uint64(LONG1), 23) * np.uint64(LONG2) + np.uint64(LONG3)
    else:
        word = turned(bits.view(np.uint64) * np.uint64(LONG2), 31) * np.uint64(LONG1)
        state = turned(state ^ word, 27) * np.uint64(LONG1) + np.uint64(LONG4)
    state = (state ^ state >> np.uint64(33)) * np.uint64(LONG2)
    state = (state ^ state >> np.uint64(29)) * np.uint64(LONG3)
    return state ^ state >> np.uint64(32)


_spark = partial(Scheme, signed=True, modulo="floor", start=_START)


SCHEMES = (
    _spark(
        "spark_hash",
        "spark_hash",
        spark_hash,
        32,
        seeds="number",
        seed_bits=32,
        numbers="binary",
        of_numbers=partial(_murmur, one_zero=True),
        null_is_seed=True,
    ),
    _spark(
        "spark_xxhash64",
        "xxh64",
        xxh64,
        seeds="number",
        numbers="binary",
        of_numbers=_xxhash,
        null_is_seed=True,
    ),
    _spark(
        "spark_hashing_tf",
        "mmh3_32",
        murmur3_32,
        32,
        numbers="binary",
        of_numbers=partial(_murmur, one_zero=False),
        null_is_seed=True,
    ),
    _spark(
        "spark_feature_hasher",
        "mmh3_32",
        murmur3_32,
        32,
        numbers="refused",
        names="prefix",
    ),
)
