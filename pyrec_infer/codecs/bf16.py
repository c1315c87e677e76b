"""bfloat16: the upper halves of float32 numbers."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.codecs.codec import Bytes, Codec, Rows, bytes_of, elements_of

_ELEMENT = np.dtype(np.uint16)
_SMALLEST_NORMAL = np.finfo(np.float32).tiny
_BEYOND = 2.0**128 - 2.0**119
"""The middle between the largest number and the next that there would be."""


def round_bf16(values: NDArray[Any]) -> NDArray[np.uint16]:
    """The upper halves of float32 numbers, rounded to the nearest, ties to even.

    NaN stays NaN, numbers beyond the largest one become infinite, and subnormal numbers become zeros of
    their sign, as the instructions of AVX512-BF16 have it.

    >>> round_bf16(np.asarray([1, 1.00390625, 1.01171875, -1e-40, np.nan], np.float32)).tolist()
    [16256, 16256, 16258, 32768, 32704]
    """
    values = np.ascontiguousarray(values, np.float32)
    bits = values.view(np.uint32)
    upper = bits >> np.uint32(16)
    with np.errstate(over="ignore"):
        rounded = (bits + (np.uint32(0x7FFF) + (upper & np.uint32(1)))) >> np.uint32(16)
    rounded = np.where(np.abs(values) < _SMALLEST_NORMAL, upper & np.uint32(0x8000), rounded)
    return np.where(np.isnan(values), upper | np.uint32(0x40), rounded).astype(np.uint16)


def widen_bf16(halves: NDArray[np.uint16]) -> NDArray[np.float32]:
    """The float32 numbers that these are the upper halves of; the same for each number there is.

    >>> widen_bf16(np.asarray([16256, 32704], np.uint16)).tolist()
    [1.0, nan]
    """
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32)


def _encode(rows: Rows) -> Bytes:
    return bytes_of(round_bf16(rows))


def _decode(data: Bytes, width: int) -> Rows:
    return widen_bf16(elements_of(data, width, _ELEMENT))


def _bound(rows: Rows) -> NDArray[np.float64]:
    """Half of the last of 8 bits, or a subnormal number; what rounds beyond the largest becomes infinite."""
    magnitude = np.abs(rows.astype(np.float64))
    return np.where(magnitude < _BEYOND, 2.0**-8 * magnitude + 2.0**-126, np.inf)


def _oracle(row: bytes, width: int) -> NDArray[np.float64]:
    numbers = [struct.unpack("<f", b"\0\0" + row[2 * i : 2 * i + 2])[0] for i in range(width)]
    return np.asarray(numbers, np.float64)


CODEC = Codec(
    name="bf16",
    precision="bf16",
    row_bytes=lambda width: 2 * width,
    element=_ELEMENT,
    encode=_encode,
    decode=_decode,
    bound=_bound,
    oracle=_oracle,
)
