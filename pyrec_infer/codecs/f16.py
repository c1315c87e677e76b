"""float16 numbers; a finite one beyond the largest is refused, not made infinite."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.codecs.codec import Bytes, Codec, OutOfRangeError, Rows, bytes_of, elements_of

_ELEMENT = np.dtype(np.float16)
_LARGEST = np.float32(65504)


def _encode(rows: Rows) -> Bytes:
    beyond = (np.abs(rows) > _LARGEST) & np.isfinite(rows)
    if beyond.any():
        row, column = np.argwhere(beyond)[0].tolist()
        raise OutOfRangeError(row, column, f"numbers from -{_LARGEST:.0f} to {_LARGEST:.0f}, as float16 has")
    with np.errstate(all="ignore"):
        return bytes_of(rows.astype(_ELEMENT))


def _decode(data: Bytes, width: int) -> Rows:
    with np.errstate(invalid="ignore"):
        return elements_of(data, width, _ELEMENT).astype(np.float32)


def _bound(rows: Rows) -> NDArray[np.float64]:
    """Half of the last of 11 bits, or of the smallest number."""
    return 2.0**-11 * np.abs(rows.astype(np.float64)) + 2.0**-25


def _oracle(row: bytes, width: int) -> NDArray[np.float64]:
    return np.asarray(struct.unpack_from(f"<{width}e", row), np.float64)


CODEC = Codec(
    name="f16",
    precision="fp16",
    row_bytes=lambda width: 2 * width,
    element=_ELEMENT,
    encode=_encode,
    decode=_decode,
    bound=_bound,
    oracle=_oracle,
)
