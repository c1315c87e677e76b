"""Signed bytes, zeros up to a multiple of 4, then the float32 scale that they are multiplied with."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.codecs.codec import Bytes, Codec, Rows, bytes_of, elements_of

_LEVELS = 127
_SCALE = np.dtype(np.float32)
_LARGEST_SCALE = np.nextafter(np.finfo(np.float32).max / np.float32(_LEVELS), np.float32(0))
"""Times 127 it is still finite."""


def _scale_at(width: int) -> int:
    return -(-width // 4) * 4


def to_int8(values: Rows) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Signed bytes and a scale for each row. A row with a number that is not finite becomes NaN.

    >>> numbers, scales = to_int8(np.asarray([[1, -0.5], [0, 0]], np.float32))
    >>> numbers.tolist(), (scales * 127).tolist()
    ([[127, -64], [0, 0]], [1.0, 0.0])
    """
    largest = np.max(np.abs(values), axis=1, initial=0)
    scales = np.minimum((largest / np.float32(_LEVELS)).astype(np.float32), _LARGEST_SCALE)
    finite = np.isfinite(largest)
    usable = (finite & (scales > 0))[:, None]
    numbers = np.divide(values, scales[:, None], out=np.zeros_like(values), where=usable)
    # The scale of numbers that are hardly more than 0 is rounded coarsely.
    numbers = np.clip(np.rint(numbers), -_LEVELS, _LEVELS)
    return numbers.astype(np.int8), np.where(finite, scales, np.float32(np.nan))


def _encode(rows: Rows) -> Bytes:
    count, width = rows.shape
    numbers, scales = to_int8(rows)
    made = np.zeros((count, _scale_at(width) + 4), np.uint8)
    made[:, :width] = numbers.view(np.uint8)
    made[:, _scale_at(width) :] = bytes_of(scales[:, None])
    return made


def _decode(data: Bytes, width: int) -> Rows:
    scales = elements_of(data[:, _scale_at(width) :], 1, _SCALE)
    return np.asarray(data[:, :width].view(np.int8) * scales, np.float32)


def _bound(rows: Rows) -> NDArray[np.float64]:
    """Half a step of the row, and what rounding the scale and the product adds."""
    largest = np.max(np.abs(rows.astype(np.float64)), axis=1, initial=0, keepdims=True)
    bound = largest * (0.5 / _LEVELS + 2.0**-22) + _LEVELS * 2.0**-149
    return np.broadcast_to(np.where(np.isfinite(largest), bound, np.nan), rows.shape)


def _oracle(row: bytes, width: int) -> NDArray[np.float64]:
    (scale,) = struct.unpack_from("<f", row, _scale_at(width))
    return np.asarray([float(number) * scale for number in struct.unpack_from(f"<{width}b", row)], np.float64)


CODEC = Codec(
    name="i8",
    precision="int8",
    row_bytes=lambda width: _scale_at(width) + 4,
    element=None,
    encode=_encode,
    decode=_decode,
    bound=_bound,
    oracle=_oracle,
)
