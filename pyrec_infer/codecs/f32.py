"""float32 numbers as they are."""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.codecs.codec import Bytes, Codec, Rows, bytes_of, elements_of

_ELEMENT = np.dtype(np.float32)


def _decode(data: Bytes, width: int) -> Rows:
    return elements_of(data, width, _ELEMENT)


def _oracle(row: bytes, width: int) -> NDArray[np.float64]:
    return np.asarray(struct.unpack_from(f"<{width}f", row), np.float64)


CODEC = Codec(
    name="f32",
    precision="fp32",
    row_bytes=lambda width: 4 * width,
    element=_ELEMENT,
    encode=bytes_of,
    decode=_decode,
    bound=lambda rows: np.zeros(rows.shape),
    oracle=_oracle,
)
