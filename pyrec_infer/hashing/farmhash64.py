"""Fingerprint64 of FarmHash (G. Pike, 2014).

TensorFlow's ``to_hash_bucket_fast`` takes it without a sign; BigQuery's ``FARM_FINGERPRINT`` has the same
bits with one.
"""

from __future__ import annotations

from pyrec_infer.hashing.city_family import K0, K1, K2, State, at, join, shift_mix, turned, upto16, upto32
from pyrec_infer.hashing.scheme import LONG, UNSEEDED, Scheme, Seed

_START = 81


def _upto64(data: bytes) -> int:
    size = len(data)
    factor = K2 + 2 * size
    a, b = at(data, 0) * K2, at(data, 8)
    c, d = at(data, size - 8) * factor, at(data, size - 16) * K2
    y = turned(a + b, 43) + turned(c, 30) + d
    z = join(y, a + turned(b + K2, 18) + c, factor)
    e, f = at(data, 16) * factor, at(data, 24)
    g, h = (y + at(data, size - 32)) * factor, (z + at(data, size - 24)) * factor
    return join(turned(e + f, 43) + turned(g, 30) + h, e + turned(f + a, 18) + g, factor)


def _longer(data: bytes) -> int:
    state = State()
    state.y = (_START * K1 + 113) & LONG
    state.z = shift_mix(state.y * K2 + 113) * K2 & LONG
    state.x = (_START * K2 + at(data, 0)) & LONG
    rest = (len(data) - 1) % 64
    for place in range(0, len(data) - 1 - rest, 64):
        state.take(data, place)
    factor = K1 + ((state.z & 0xFF) << 1)
    first = state.w[0] + rest
    v = state.v[0] + first
    state.v, state.w = (v & LONG, state.v[1]), ((first + v) & LONG, state.w[1])
    state.take(data, len(data) - 64, factor, 9)
    left = join(state.v[0], state.w[0], factor) + shift_mix(state.y) * K0 + state.z
    return join(left, join(state.v[1], state.w[1], factor) + state.x, factor)


def farmhash64(data: bytes, seed: Seed = UNSEEDED) -> int:
    """The fingerprint of bytes, unsigned.

    >>> farmhash64(b"Hello") % 3
    0
    """
    size = len(data)
    if size <= 16:
        return upto16(data)
    if size <= 32:
        return upto32(data)
    return _upto64(data) if size <= 64 else _longer(data)


SCHEMES = (Scheme("farmhash64", "farmhash64", farmhash64),)
