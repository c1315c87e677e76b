"""Checksums and digests of Python's own library: CRC-32, and the first 64 bits of MD5 and BLAKE2b.

The number's hexadecimal digits are the digest's: ``int(hashlib.md5(data).hexdigest()[:16], 16)``.
"""

from __future__ import annotations

import hashlib
import zlib

from pyrec_infer.hashing.scheme import UNSEEDED, WORD, Scheme, Seed

LONGEST_KEY = hashlib.blake2b.MAX_KEY_SIZE


def crc32(data: bytes, seed: Seed = UNSEEDED) -> int:
    """The CRC-32 of zlib (RFC 1952), going on from the seed.

    >>> hex(crc32(b"123456789"))
    '0xcbf43926'
    """
    return zlib.crc32(data, seed.first & WORD)


def md5(data: bytes, seed: Seed = UNSEEDED) -> int:
    """The first 8 bytes of the digest (RFC 1321).

    >>> hex(md5(b""))
    '0xd41d8cd98f00b204'
    """
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest()[:8], "big")


def blake2b(data: bytes, seed: Seed = UNSEEDED) -> int:
    """BLAKE2b with a digest of 8 bytes (RFC 7693), which is not the beginning of a longer digest.

    >>> hex(blake2b(b""))
    '0xe4a6a0577479b2b4'
    """
    return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=seed.key).digest(), "big")


SCHEMES = (
    Scheme("crc32", "crc32", crc32, 32, seeds="number", seed_bits=32),
    Scheme("md5", "md5", md5),
    Scheme("blake2b", "blake2b", blake2b, seeds="key"),
)
