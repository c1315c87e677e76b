"""CityHash64 of version 1.1 (G. Pike and J. Alakuijala, 2013)."""

from __future__ import annotations

from pyrec_infer.hashing.city_family import K1, K2, State, at, join, shift_mix, turned, upto16, upto32, weak
from pyrec_infer.hashing.scheme import LONG, UNSEEDED, Scheme, Seed

_FACTOR = 0x9DDFEA08EB382D69


def _swapped(value: int) -> int:
    return int.from_bytes((value & LONG).to_bytes(8, "little"), "big")


def _upto64(data: bytes) -> int:
    size = len(data)
    factor = K2 + 2 * size
    a, b = at(data, 0) * K2, at(data, 8)
    c, d = at(data, size - 24), at(data, size - 32)
    e, f = at(data, 16) * K2, at(data, 24) * 9
    g, h = at(data, size - 8), at(data, size - 16) * factor
    u = turned(a + g, 43) + (turned(b, 30) + c) * 9
    v = (((a + g) ^ d) + f + 1) & LONG
    w = _swapped((u + v) * factor) + h
    x = turned(e + f, 42) + c
    y = (_swapped((v + w) * factor) + g) * factor
    z = e + f + c
    p = _swapped((x + z) * factor + y) + b
    return (shift_mix((z + p) * factor + d + h) * factor + x) & LONG


def _longer(data: bytes) -> int:
    size = len(data)
    state = State()
    state.x = at(data, size - 40)
    state.y = (at(data, size - 16) + at(data, size - 56)) & LONG
    state.z = join(at(data, size - 48) + size, at(data, size - 24), _FACTOR)
    state.v = weak(data, size - 64, size, state.z)
    state.w = weak(data, size - 32, state.y + K1, state.x)
    state.x = (state.x * K1 + at(data, 0)) & LONG
    for place in range(0, (size - 1) // 64 * 64, 64):
        state.take(data, place)
    left = join(state.v[0], state.w[0], _FACTOR) + shift_mix(state.y) * K1 + state.z
    return join(left, join(state.v[1], state.w[1], _FACTOR) + state.x, _FACTOR)


def cityhash64(data: bytes, seed: Seed = UNSEEDED) -> int:
    """The hash of bytes, unsigned.

    >>> hex(cityhash64(b""))
    '0x9ae16a3b2f90404f'
    """
    size = len(data)
    if size <= 16:
        return upto16(data)
    if size <= 32:
        return upto32(data)
    return _upto64(data) if size <= 64 else _longer(data)


SCHEMES = (Scheme("cityhash64", "cityhash64", cityhash64),)
