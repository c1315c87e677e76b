"""How tables hold the numbers of their rows: a module for each codec, and the list of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.codecs import bf16, f16, f32, i8
from pyrec_infer.codecs.codec import Codec
from pyrec_infer.errors import InputError, UnsupportedModelError

CODECS: Mapping[str, Codec] = {codec.name: codec for codec in (f32.CODEC, bf16.CODEC, f16.CODEC, i8.CODEC)}

PrecisionName: TypeAlias = Literal["fp32", "bf16", "fp16", "int8"]
"""Those of the codecs, in their order."""

PRECISIONS: tuple[PrecisionName, ...] = get_args(PrecisionName)

_BY_PRECISION = {codec.precision: codec for codec in CODECS.values()}


def find_codec(name: str) -> Codec:
    """The codec of this name.

    Raises
    ------
    UnsupportedModelError
        There is none.
    """
    found = CODECS.get(name)
    if found is None:
        raise UnsupportedModelError(f"codec {name!r}, expected one of {', '.join(CODECS)}")
    return found


def require_precision(precision: str) -> PrecisionName:
    """The name itself, if it is one of `PRECISIONS`.

    Raises
    ------
    InputError
        It is not.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise InputError(f"precision: expected one of {', '.join(PRECISIONS)}, got {precision!r}")
    return PRECISIONS[PRECISIONS.index(precision)]


def codec_of(precision: str) -> Codec:
    """The codec that stores wide values at a precision.

    Raises
    ------
    InputError
        There is no such precision.
    """
    return _BY_PRECISION[require_precision(precision)]


def decode(table: NDArray[Any], offset: int, width: int, codec: str) -> NDArray[np.float32]:
    """The float32 numbers that the rows of a table hold from a byte on.

    ``table`` is a matrix of float32, of which the result is a view, or one of bytes.
    """
    found = find_codec(codec)
    if table.dtype == np.float32:
        return table[:, offset // 4 : offset // 4 + width]
    return found.decode(table[:, offset:], width)


__all__ = [
    "CODECS",
    "PRECISIONS",
    "Codec",
    "PrecisionName",
    "codec_of",
    "decode",
    "find_codec",
    "require_precision",
]
