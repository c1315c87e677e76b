"""Features of Vowpal Wabbit (J. Langford and others, VW 9), for ``--hash strings`` and ``--hash all``."""

from __future__ import annotations

from pyrec_infer.hashing.murmur3 import murmur3_32
from pyrec_infer.hashing.scheme import LONG, UNSEEDED, Scheme, Seed

_BLANKS = bytes(range(0x21))


def vowpal_wabbit(data: bytes, seed: Seed = UNSEEDED) -> int:
    """A number in decimal digits plus the seed; of any other text, without blanks around it, the hash.

    >>> vowpal_wabbit(b" 12 ", Seed(77))
    89
    """
    text = data.strip(_BLANKS)
    if all(0x30 <= byte <= 0x39 for byte in text):
        number = 0
        for byte in text:
            number = (10 * number + byte - 0x30) & LONG
        return (number + seed.first) & LONG
    return murmur3_32(text, seed)


SCHEMES = (
    Scheme("vw", "vw", vowpal_wabbit, names="namespace", power_of_two=True),
    Scheme("vw_all", "mmh3_32", murmur3_32, names="namespace", power_of_two=True),
)
