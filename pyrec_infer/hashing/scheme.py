"""What a way to hash is: its arithmetic, and what other systems do around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from numpy.typing import NDArray

Modulo: TypeAlias = Literal["unsigned", "floor", "abs"]
"""What is divided: the hash without a sign; with one, as Python's ``%`` and Spark's ``pmod`` do; its size."""

WORD, LONG = 2**32 - 1, 2**64 - 1


class Seed(NamedTuple):
    """What a hash starts from; most look at the first number alone."""

    first: int = 0
    second: int = 0
    key: bytes = b""

    def __repr__(self) -> str:
        # It may be a secret, and what reports errors shows the values of variables.
        return "<seed>"


UNSEEDED = Seed()


@dataclass(frozen=True)
class Scheme:
    """A way to hash strings.

    Parameters
    ----------
    name : str
    algorithm : str
        The native hash.
    digest : callable
        The same in Python: bytes and a seed to an unsigned number.
    bits : int
        Of the hash, 32 or 64.
    signed : bool
        Whether the hash is a number with a sign.
    modulo : str
        See `Modulo`.
    seeds : str
        What a caller may give: nothing, a number, a pair of numbers, or the bytes of a key.
    seed_bits : int
        Of each number of a seed.
    start : int
        The seed where none is given.
    numbers : str
        What numbers are hashed as: whole ones as their decimal digits, Keras's others too, or the bits
        that ``of_numbers`` takes; or not at all.
    names : str
        What the name of a field is: nothing, what stands before ``=`` and the value, or a namespace whose
        hash is the seed.
    of_numbers : callable, optional
        Hashes of numbers and booleans, by a seed for each.
    null_is_seed : bool
        Whether a missing value's hash is the seed; other schemes have none.
    power_of_two : bool
        Whether the number of buckets has to be one.
    """

    name: str
    algorithm: str
    digest: Callable[[bytes, Seed], int]
    bits: int = 64
    signed: bool = False
    modulo: Modulo = "unsigned"
    seeds: Literal["none", "number", "pair", "key"] = "none"
    seed_bits: int = 64
    start: int = 0
    numbers: Literal["refused", "decimal", "keras", "binary"] = "decimal"
    names: Literal["none", "prefix", "namespace"] = "none"
    of_numbers: Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]] | None = None
    null_is_seed: bool = False
    power_of_two: bool = False


def rotated(value: int, by: int, mask: int) -> int:
    """Bits turned to the left inside a mask of ones."""
    width = mask.bit_length()
    return (value << by | value >> (width - by)) & mask


def words(data: bytes, size: int) -> list[int]:
    """Whole numbers of ``size`` bytes, lowest byte first; what is left over is none."""
    return [int.from_bytes(data[i : i + size], "little") for i in range(0, len(data) - size + 1, size)]


__all__ = ["LONG", "UNSEEDED", "WORD", "Modulo", "Scheme", "Seed", "rotated", "words"]
