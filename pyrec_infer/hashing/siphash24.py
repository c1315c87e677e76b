"""SipHash-2-4 (J.-P. Aumasson and D. J. Bernstein, 2012), TensorFlow's ``to_hash_bucket_strong``."""

from __future__ import annotations

from pyrec_infer.hashing.scheme import LONG, UNSEEDED, Scheme, Seed, rotated, words


def _rounds(v: list[int], count: int) -> None:
    a, b, c, d = v
    for _ in range(count):
        a, c = (a + b) & LONG, (c + d) & LONG
        b, d = rotated(b, 13, LONG) ^ a, rotated(d, 16, LONG) ^ c
        a = rotated(a, 32, LONG)
        c, a = (c + b) & LONG, (a + d) & LONG
        b, d = rotated(b, 17, LONG) ^ c, rotated(d, 21, LONG) ^ a
        c = rotated(c, 32, LONG)
    v[:] = a, b, c, d


def siphash24(data: bytes, seed: Seed = UNSEEDED) -> int:
    """The hash of bytes, unsigned, by a key of two numbers.

    The vector of the paper's appendix, whose key is the bytes 0 to 15:

    >>> hex(siphash24(bytes(range(15)), Seed(0x0706050403020100, 0x0F0E0D0C0B0A0908)))
    '0xa129ca6149be45e5'
    """
    first, second = seed.first & LONG, seed.second & LONG
    v = [
        first ^ 0x736F6D6570736575,
        second ^ 0x646F72616E646F6D,
        first ^ 0x6C7967656E657261,
        second ^ 0x7465646279746573,
    ]
    whole = len(data) // 8 * 8
    last = int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56
    for word in (*words(data[:whole], 8), last):
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    v[2] ^= 0xFF
    _rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


SCHEMES = (Scheme("siphash24", "siphash24", siphash24, seeds="pair"),)
