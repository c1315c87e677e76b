"""From columns to hashes and from hashes to buckets, natively or in Python."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError, IdRangeError, InputError
from pyrec_infer.extension import compiled
from pyrec_infer.hashing import Modulo, Scheme, Seed
from pyrec_infer.strings.column import Column
from pyrec_infer.strings.texts import Texts, of_integers, of_objects
from pyrec_infer.strings.viewed import Viewed

Hashes: TypeAlias = NDArray[np.uint64]
Flags: TypeAlias = NDArray[np.bool_]


def name_in_front(scheme: Scheme, name: str | None) -> bytes:
    """What a scheme hashes of a column's name in front of each of its strings."""
    return f"{name}=".encode() if scheme.names == "prefix" and name is not None else b""


def hashes_of(
    label: str, column: Column, scheme: Scheme, seed: Seed, prefix: bytes
) -> tuple[Hashes, Flags | None]:
    """Hashes one after another, and which values are missing; None if none is, or each has a hash."""
    parts = column.texts
    if column.numbers is not None:
        made = of_numbers(label, column.numbers, scheme, np.full(1, seed.first, np.uint64))
        if not isinstance(made, Texts):
            return made, None
        parts = [made]
    found = [part.spread(digests(part, scheme, seed, prefix, None)) for part in parts]
    hashes = found[0] if len(found) == 1 else np.concatenate([np.empty(0, np.uint64), *found])
    if all(part.missing is None for part in parts):
        return hashes, None
    gone = np.concatenate([part.gone() for part in parts])
    if not gone.any():
        return hashes, None
    if not scheme.null_is_seed:
        return hashes, gone
    hashes[gone] = seed.first
    return hashes, None


def digests(texts: Texts | Viewed, scheme: Scheme, seed: Seed, prefix: bytes, seeds: Hashes | None) -> Hashes:
    """The hash of each word, by the seed or by seeds of their own."""
    native = compiled()
    if native is None:
        words = texts.words()
        starts = [seed] * len(words) if seeds is None else [Seed(int(first)) for first in seeds]
        digests = [scheme.digest(prefix + word, start) for word, start in zip(words, starts, strict=True)]
        return np.asarray(digests, np.uint64)
    how = (seed[:2], seed.key, prefix, seeds)
    made: Hashes
    if isinstance(texts, Viewed):
        made = native.hash_views(scheme.algorithm, texts.views, texts.buffers, texts.missing, *how)
    else:
        made = native.hash_texts(scheme.algorithm, texts.offsets, texts.data, *how)
    return made


def of_numbers(label: str, numbers: NDArray[Any], scheme: Scheme, seeds: Hashes) -> Texts | Hashes:
    """Numbers as the strings that the scheme hashes, or their hashes."""
    kind = numbers.dtype.kind
    if scheme.of_numbers is not None and (kind in "bi" or (kind == "f" and numbers.itemsize in (4, 8))):
        return scheme.of_numbers(numbers, np.broadcast_to(seeds, numbers.shape))
    if scheme.numbers == "keras" and kind == "b":
        return of_objects([b"true" if number else b"false" for number in numbers.tolist()], 0, False)
    if scheme.numbers == "keras" and kind == "f":
        with np.errstate(invalid="ignore"):
            fits = (numbers >= -(2.0**63)) & (numbers < 2.0**63)
        if not fits.all():
            raise IdRangeError(f"{label}: expected numbers of 64 bits", int(np.flatnonzero(~fits)[0]))
        return of_integers(numbers.astype(np.int64))
    if scheme.numbers in ("decimal", "keras") and kind in "iu":
        return of_integers(numbers)
    raise DTypeError(f"{label}: scheme {scheme.name!r} does not take {numbers.dtype}: turn it into strings")


def refuse_missing(label: str, gone: Flags | None, shape: tuple[int, ...]) -> None:
    """Refuse missing values.

    Raises
    ------
    InputError
        Names the first row of one.
    """
    if gone is not None:
        place = int(np.flatnonzero(gone)[0])
        row = f" (row {np.unravel_index(place, shape)[0]})" if shape else ""
        raise InputError(f"{label}: expected a value in each row, got a missing one{row}")


def _signed(scheme: Scheme, hashes: Hashes) -> NDArray[np.int64]:
    if scheme.bits == 32:
        return hashes.astype(np.uint32).view(np.int32).astype(np.int64)
    return hashes.view(np.int64)


def with_sign(scheme: Scheme, hashes: Hashes) -> NDArray[np.uint64] | NDArray[np.int64]:
    """The hashes as the scheme's users know them."""
    return _signed(scheme, hashes) if scheme.signed else hashes


def to_buckets(
    hashes: Hashes, scheme: Scheme, modulo: Modulo | None, buckets: int, first: int
) -> NDArray[np.int64]:
    """Buckets from ``first`` on, in the memory of the hashes where native code makes them."""
    rule = scheme.modulo if modulo is None else modulo
    if rule not in ("unsigned", "floor", "abs"):
        raise InputError(f"modulo: expected 'unsigned', 'floor' or 'abs', got {modulo!r}")
    native = compiled()
    if native is not None:
        native.to_buckets(hashes, rule, scheme.bits == 32, buckets, first)
        return hashes.view(np.int64)
    if rule == "unsigned":
        return (hashes % np.uint64(buckets)).astype(np.int64) + first
    numbers = _signed(scheme, hashes)
    if rule == "floor":
        return numbers % np.int64(buckets) + first
    sizes = np.where(numbers < 0, np.uint64(0) - numbers.view(np.uint64), numbers.view(np.uint64))
    return (sizes % np.uint64(buckets)).astype(np.int64) + first


__all__ = ["digests", "hashes_of", "name_in_front", "of_numbers", "refuse_missing", "to_buckets", "with_sign"]
