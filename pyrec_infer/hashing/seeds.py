"""What a caller gives as a seed, as the scheme takes it."""

from __future__ import annotations

from numbers import Integral
from typing import Any

from pyrec_infer.errors import DTypeError, InputError
from pyrec_infer.hashing.digests import LONGEST_KEY
from pyrec_infer.hashing.scheme import Scheme, Seed, words


def _kind(value: Any) -> str:
    return type(value).__name__


def _number(scheme: Scheme, value: Any) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise DTypeError(f"seed: expected a whole number for scheme {scheme.name!r}, got {_kind(value)}")
    number = int(value)
    bits = scheme.seed_bits
    if not -(2 ** (bits - 1)) <= number < 2**bits:
        raise InputError(f"seed: expected a number of {bits} bits for scheme {scheme.name!r}")
    return int(number & (2**bits - 1))


def as_seed(scheme: Scheme, seed: Any, name: str | None) -> Seed:
    """The seed, which a namespace's name may be part of.

    Raises
    ------
    InputError
        The scheme has no seed or no name, or another kind of it; the value is never shown, as it may be a
        secret.
    """
    if name is not None and (scheme.names == "none" or not isinstance(name, str)):
        raise InputError(
            f"name: scheme {scheme.name!r} has none" if isinstance(name, str) else "name: no string"
        )
    if name is None and scheme.name == "spark_feature_hasher":
        raise InputError(f"name: expected that of the column for scheme {scheme.name!r}")
    if scheme.names == "namespace" and name:
        return Seed(scheme.digest(name.encode(), Seed()))
    if seed is None:
        if scheme.seeds == "pair":
            raise InputError(f"seed: expected the key of scheme {scheme.name!r}, two numbers")
        return Seed(scheme.start)
    if scheme.seeds == "none":
        raise InputError(f"seed: scheme {scheme.name!r} has none")
    if scheme.seeds == "key":
        if not isinstance(seed, bytes) or len(seed) > LONGEST_KEY:
            raise InputError(
                f"seed: expected a key of at most {LONGEST_KEY} bytes for scheme {scheme.name!r}"
            )
        return Seed(key=seed)
    if scheme.seeds == "pair":
        first, second = seed if isinstance(seed, (tuple, list)) and len(seed) == 2 else (seed, seed)
        return Seed(_number(scheme, first), _number(scheme, second))
    return Seed(_number(scheme, seed))


def of_key(scheme: Scheme, key: bytes) -> Seed:
    """The seed of a secret key: its bytes, or two numbers whose lowest bytes come first."""
    if scheme.seeds != "pair":
        return Seed(key=key)
    first, second = words(key, 8)
    return Seed(first, second)


__all__ = ["as_seed", "of_key"]
