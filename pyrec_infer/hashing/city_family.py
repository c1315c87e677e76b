"""What CityHash64 (G. Pike and J. Alakuijala, 2013) and FarmHash's Fingerprint64 have in common."""

from __future__ import annotations

from pyrec_infer.hashing.scheme import LONG, rotated

K0, K1, K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def at(data: bytes, place: int, size: int = 8) -> int:
    """The number at a place, lowest byte first."""
    return int.from_bytes(data[place : place + size], "little")


def turned(value: int, by: int) -> int:
    """The lowest 64 bits, turned to the right."""
    return rotated(value & LONG, 64 - by, LONG)


def shift_mix(value: int) -> int:
    value &= LONG
    return value ^ value >> 47


def join(u: int, v: int, factor: int) -> int:
    """Two numbers as one."""
    a = shift_mix(((u ^ v) & LONG) * factor)
    return shift_mix(((v & LONG) ^ a) * factor) * factor & LONG


def upto16(data: bytes) -> int:
    size = len(data)
    factor = K2 + 2 * size
    if size >= 8:
        a, b = at(data, 0) + K2, at(data, size - 8)
        return join(turned(b, 37) * factor + a, (turned(a, 25) + b) * factor, factor)
    if size >= 4:
        return join(size + (at(data, 0, 4) << 3), at(data, size - 4, 4), factor)
    if size == 0:
        return K2
    y, z = data[0] + (data[size // 2] << 8), size + (data[-1] << 2)
    return shift_mix(y * K2 & LONG ^ z * K0 & LONG) * K2 & LONG


def upto32(data: bytes) -> int:
    size = len(data)
    factor = K2 + 2 * size
    a, b = at(data, 0) * K1, at(data, 8)
    c, d = at(data, size - 8) * factor, at(data, size - 16) * K2
    return join(turned(a + b, 43) + turned(c, 30) + d, a + turned(b + K2, 18) + c, factor)


def weak(data: bytes, place: int, a: int, b: int) -> tuple[int, int]:
    """32 bytes from a place on, mixed with two numbers."""
    a += at(data, place)
    b = turned(b + a + at(data, place + 24), 21)
    before = a
    a += at(data, place + 8) + at(data, place + 16)
    return (a + at(data, place + 24)) & LONG, (b + turned(a, 44) + before) & LONG


class State:
    """What is carried along a text of more than 64 bytes."""

    x = y = z = 0
    v = w = (0, 0)

    def take(self, data: bytes, place: int, factor: int = K1, times: int = 1) -> None:
        """Mix 64 bytes; the last round of FarmHash has factors of its own."""
        x = turned(self.x + self.y + self.v[0] + at(data, place + 8), 37) * factor
        y = turned(self.y + self.v[1] + at(data, place + 48), 42) * factor
        x = (x ^ self.w[1] * times) & LONG
        y = (y + self.v[0] * times + at(data, place + 40)) & LONG
        z = turned(self.z + self.w[0], 33) * factor & LONG
        self.v = weak(data, place, self.v[1] * factor, x + self.w[0])
        self.w = weak(data, place + 32, z + self.w[1], y + at(data, place + 16))
        self.x, self.y, self.z = z, y, x


__all__ = ["K0", "K1", "K2", "State", "at", "join", "shift_mix", "turned", "upto16", "upto32", "weak"]
