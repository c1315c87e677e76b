"""Numbers that stand for strings, equal to those of other systems bit for bit.

A module for each algorithm, and the list of the schemes that systems make of them. Plain Python; native
code computes the same.
"""

from __future__ import annotations

from collections.abc import Mapping

from pyrec_infer.errors import InputError
from pyrec_infer.hashing import (
    cityhash64,
    digests,
    farmhash64,
    keras,
    murmur3,
    siphash24,
    sklearn,
    spark,
    tf_cross,
    vowpal_wabbit,
    xxhash,
)
from pyrec_infer.hashing.scheme import Modulo, Scheme, Seed

SCHEMES: Mapping[str, Scheme] = {
    scheme.name: scheme
    for module in (
        farmhash64,
        siphash24,
        keras,
        cityhash64,
        murmur3,
        xxhash,
        digests,
        sklearn,
        vowpal_wabbit,
        spark,
    )
    for scheme in module.SCHEMES
}


CROSSES: Mapping[str, Scheme] = {
    scheme.name: scheme for scheme in (*tf_cross.SCHEMES, SCHEMES["spark_hash"], SCHEMES["spark_xxhash64"])
}
"""Those that put several columns together."""


def find_scheme(name: str) -> Scheme:
    """The scheme of this name.

    Raises
    ------
    InputError
        There is none.
    """
    found = SCHEMES.get(name) if isinstance(name, str) else None
    if found is None:
        raise InputError(f"scheme: expected one of {', '.join(SCHEMES)}, got {name!r}")
    return found


__all__ = ["CROSSES", "SCHEMES", "Modulo", "Scheme", "Seed", "find_scheme"]
