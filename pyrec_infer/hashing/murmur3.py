"""MurmurHash3 (A. Appleby, 2011): 32 bits, and the first half of the 128 bits for 64-bit machines.

The modulo is that of Python's package ``mmh3``, whose hashes have a sign unless asked for without.
"""

from __future__ import annotations

from pyrec_infer.hashing.scheme import LONG, UNSEEDED, WORD, Scheme, Seed, rotated, words

_FIRST, _SECOND = 0x87C37B91114253D5, 0x4CF5AD432745937F


def scrambled(word: int) -> int:
    """A word of 4 bytes before it is mixed in."""
    return rotated(word * 0xCC9E2D51 & WORD, 15, WORD) * 0x1B873593 & WORD


def mixed(state: int, word: int) -> int:
    """The state behind a word of 4 bytes."""
    return (rotated(state ^ scrambled(word), 13, WORD) * 5 + 0xE6546B64) & WORD


def finished(state: int, size: int) -> int:
    """The hash of that many bytes."""
    state ^= size & WORD
    state = (state ^ state >> 16) * 0x85EBCA6B & WORD
    state = (state ^ state >> 13) * 0xC2B2AE35 & WORD
    return state ^ state >> 16


def murmur3_32(data: bytes, seed: Seed = UNSEEDED) -> int:
    """MurmurHash3_x86_32 of bytes, unsigned.

    >>> murmur3_32(b"hello")
    613153351
    """
    state = seed.first & WORD
    for word in words(data, 4):
        state = mixed(state, word)
    tail = data[len(data) // 4 * 4 :]
    return finished(state ^ scrambled(int.from_bytes(tail, "little")), len(data))


def _mixed_long(state: int) -> int:
    state = (state ^ state >> 33) * 0xFF51AFD7ED558CCD & LONG
    state = (state ^ state >> 33) * 0xC4CEB9FE1A85EC53 & LONG
    return state ^ state >> 33


def murmur3_64(data: bytes, seed: Seed = UNSEEDED) -> int:
    """The first 64 bits of MurmurHash3_x64_128 of bytes, unsigned.

    >>> murmur3_64(b"foo")
    16316970633193145697
    """

    def first(word: int) -> int:
        return rotated(word * _FIRST & LONG, 31, LONG) * _SECOND & LONG

    def second(word: int) -> int:
        return rotated(word * _SECOND & LONG, 33, LONG) * _FIRST & LONG

    a = b = seed.first & LONG
    whole = len(data) // 16 * 16
    pairs = words(data[:whole], 8)
    for low, high in zip(pairs[::2], pairs[1::2], strict=True):
        a = ((rotated(a ^ first(low), 27, LONG) + b) * 5 + 0x52DCE729) & LONG
        b = ((rotated(b ^ second(high), 31, LONG) + a) * 5 + 0x38495AB5) & LONG
    tail = data[whole:]
    b ^= second(int.from_bytes(tail[8:], "little")) ^ len(data)
    a ^= first(int.from_bytes(tail[:8], "little")) ^ len(data)
    a = (a + b) & LONG
    b = (a + b) & LONG
    return (_mixed_long(a) + _mixed_long(b)) & LONG


SCHEMES = (
    Scheme("mmh3_32", "mmh3_32", murmur3_32, 32, signed=True, modulo="floor", seeds="number", seed_bits=32),
    Scheme("mmh3_64", "mmh3_64", murmur3_64, signed=True, modulo="floor", seeds="number", seed_bits=32),
)
