"""XXH32 and XXH64 (Y. Collet, xxHash fast digest algorithm, specification 0.1.1)."""

from __future__ import annotations

from pyrec_infer.hashing.scheme import LONG, UNSEEDED, WORD, Scheme, Seed, rotated, words

_WORD1, _WORD2, _WORD3, _WORD4, _WORD5 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1
LONG1, LONG2, LONG3, LONG4, LONG5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_TURNS = (1, 7, 12, 18)


def xxh32(data: bytes, seed: Seed = UNSEEDED) -> int:
    """XXH32 of bytes, unsigned.

    >>> hex(xxh32(b""))
    '0x2cc5d05'
    """
    start = seed.first & WORD
    state, whole = start + _WORD5, len(data) // 16 * 16
    if whole:
        lanes = [start + _WORD1 + _WORD2, start + _WORD2, start, start - _WORD1]
        for i, word in enumerate(words(data[:whole], 4)):
            sum_ = (lanes[i % 4] + word * _WORD2) & WORD
            lanes[i % 4] = rotated(sum_, 13, WORD) * _WORD1 & WORD
        state = sum(rotated(lane, by, WORD) for lane, by in zip(lanes, _TURNS, strict=True))
    state = (state + len(data)) & WORD
    rest = data[whole:]
    for word in words(rest, 4):
        state = rotated((state + word * _WORD3) & WORD, 17, WORD) * _WORD4 & WORD
    for byte in rest[len(rest) // 4 * 4 :]:
        state = rotated((state + byte * _WORD5) & WORD, 11, WORD) * _WORD1 & WORD
    state = (state ^ state >> 15) * _WORD2 & WORD
    state = (state ^ state >> 13) * _WORD3 & WORD
    return state ^ state >> 16


def _taken(lane: int, word: int) -> int:
    return rotated((lane + word * LONG2) & LONG, 31, LONG) * LONG1 & LONG


def xxh64(data: bytes, seed: Seed = UNSEEDED) -> int:
    """XXH64 of bytes, unsigned.

    >>> hex(xxh64(b""))
    '0xef46db3751d8e999'
    """
    start = seed.first & LONG
    state, whole = start + LONG5, len(data) // 32 * 32
    if whole:
        lanes = [start + LONG1 + LONG2, start + LONG2, start, start - LONG1]
        for i, word in enumerate(words(data[:whole], 8)):
            lanes[i % 4] = _taken(lanes[i % 4], word)
        state = sum(rotated(lane, by, LONG) for lane, by in zip(lanes, _TURNS, strict=True))
        for lane in lanes:
            state = ((state & LONG ^ _taken(0, lane)) * LONG1 + LONG4) & LONG
    state = (state + len(data)) & LONG
    rest = data[whole:]
    for word in words(rest, 8):
        state = (rotated(state ^ _taken(0, word), 27, LONG) * LONG1 + LONG4) & LONG
    rest = rest[len(rest) // 8 * 8 :]
    for word in words(rest, 4):
        state = (rotated(state ^ word * LONG1 & LONG, 23, LONG) * LONG2 + LONG3) & LONG
    for byte in rest[len(rest) // 4 * 4 :]:
        state = rotated(state ^ byte * LONG5 & LONG, 11, LONG) * LONG1 & LONG
    state = (state ^ state >> 33) * LONG2 & LONG
    state = (state ^ state >> 29) * LONG3 & LONG
    return state ^ state >> 32


SCHEMES = (
    Scheme("xxh32", "xxh32", xxh32, 32, seeds="number", seed_bits=32),
    Scheme("xxh64", "xxh64", xxh64, seeds="number"),
)
