"""One hash of what several columns have at each place."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pyrec_infer.errors import DTypeError
from pyrec_infer.hashing import Scheme, Seed
from pyrec_infer.hashing.tf_cross import joined
from pyrec_infer.strings.column import Column
from pyrec_infer.strings.hashes import Hashes, digests, hashes_of, of_numbers, refuse_missing
from pyrec_infer.strings.texts import Texts


def crossed(labels: Sequence[str], columns: Sequence[Column], scheme: Scheme, start: Seed) -> Hashes:
    """The hashes of columns of one shape; labels are for messages."""
    state: Hashes | None = None if scheme.name == "tf_cross_v2" else np.full(1, start.first, np.uint64)
    for label, column in zip(labels, columns, strict=True):
        if scheme.null_is_seed:
            assert state is not None
            state = _chained(label, column, scheme, state)
        else:
            found = _tf_feature(label, column, scheme)
            state = found if state is None else joined(state, found)
    assert state is not None
    return state


def _chained(label: str, column: Column, scheme: Scheme, seeds: Hashes) -> Hashes:
    """Spark's hash of a column by the hashes of those before."""
    if column.numbers is not None:
        made = of_numbers(label, column.numbers, scheme, seeds)
        assert not isinstance(made, Texts)
        return made
    seeds = np.broadcast_to(seeds, math.prod(column.shape))
    found, first = [np.empty(0, np.uint64)], 0
    for part in column.texts:
        own = np.ascontiguousarray(seeds[first : first + len(part)])
        alone = part.plain() if isinstance(part, Texts) else part
        hashes = digests(alone, scheme, Seed(), b"", own)
        found.append(hashes if part.missing is None else np.where(part.missing, own, hashes))
        first += len(part)
    return np.concatenate(found)


def _tf_feature(label: str, column: Column, scheme: Scheme) -> Hashes:
    """What TensorFlow puts together: whole numbers, and fingerprints of strings."""
    if column.numbers is not None:
        if column.numbers.dtype.kind not in "iu":
            raise DTypeError(
                f"{label}: scheme {scheme.name!r} takes strings and whole numbers, got {column.numbers.dtype}"
            )
        return column.numbers.astype(np.int64).view(np.uint64)
    hashes, gone = hashes_of(label, column, scheme, Seed(), b"")
    refuse_missing(label, gone, column.shape)
    return hashes


__all__ = ["crossed"]
