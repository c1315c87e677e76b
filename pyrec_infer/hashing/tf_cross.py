"""Crosses of TensorFlow: fingerprints of several columns, put together one after another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.hashing.farmhash64 import farmhash64
from pyrec_infer.hashing.scheme import Scheme

Hashes = NDArray[np.uint64]

_V1_KEY = 0xDECAFCAFFE
"""What a cross of the first version starts from unless it has a key of its own."""

_FACTOR = np.uint64(0xC6A4A7935BD1E995)


def _shift_mix(value: Hashes) -> Hashes:
    return value ^ value >> np.uint64(47)


def joined(first: Hashes, second: Hashes) -> Hashes:
    """TensorFlow's ``FingerprintCat64`` of each pair."""
    made = first ^ _FACTOR
    made = (made ^ _shift_mix(second * _FACTOR) * _FACTOR) * _FACTOR
    return _shift_mix(_shift_mix(made) * _FACTOR)


SCHEMES = (
    Scheme("tf_cross_v1", "farmhash64", farmhash64, seeds="number", start=_V1_KEY),
    Scheme("tf_cross_v2", "farmhash64", farmhash64),
)
