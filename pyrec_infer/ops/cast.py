"""Conversion between element types."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import IdRangeError, InputError, ModelError
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Info, Node, as_texts, fault, holds_strings
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowFlow, boolean, element_type, required
from pyrec_infer.ops.core.traits import ELEMENTWISE, no_flops

_INTEGER = re.compile(r"\s*[+-]?\d+", re.ASCII)
_MOST_DIGITS = 4096
"""Far more than a number of 64 bits has, and no more than Python turns into one."""

_SPECIAL = {"nan": "NaN", "inf": "INF", "-inf": "-INF"}


def _truncate_signed(x: Array, dtype: np.dtype[Any]) -> Array:
    smallest = np.iinfo(dtype).min
    low = x.dtype.type(smallest)
    fits = (x >= low) & (x < -low)
    return np.where(fits, np.where(fits, x, 0).astype(dtype), smallest).astype(dtype)


def to_integer(x: Array, dtype: np.dtype[Any]) -> Array:
    """Floats as integers: truncated, and outside of the type what x86-64 gives.

    NaN and out of range become the smallest int32 or int64; 8 and 16 bits are the low bits of the int32.
    NumPy's own conversion is like this on x86-64 only.
    """
    wide = x.astype(np.float32) if x.dtype == np.float16 else x
    if dtype.itemsize < 4:
        return _truncate_signed(wide, np.dtype(np.int32)).astype(dtype)
    signed = np.dtype(f"i{dtype.itemsize}")
    if dtype.kind == "i":
        return _truncate_signed(wide, dtype)
    half_range = -wide.dtype.type(np.iinfo(signed).min)
    upper = wide >= half_range
    low = _truncate_signed(np.where(upper, wide - half_range, wide).astype(wide.dtype), signed)
    top_bit = np.array(8 * dtype.itemsize - 1, dtype)
    return np.asarray(low.astype(dtype) ^ (upper.astype(dtype) << top_bit))


def _parse_integer(text: str, dtype: np.dtype[Any]) -> int:
    """A number of 64 bits, of which narrower types take the low ones."""
    found = _INTEGER.match(text)
    if found is None or len(found.group().strip()) > _MOST_DIGITS:
        raise ValueError
    value = int(found.group())
    if not -(2**63) <= value < 2 ** (64 if dtype.kind == "u" else 63):
        raise ValueError
    return value


def _parse_float(text: str) -> float:
    # Python also takes other digits, and underscores between them.
    if "_" in text or not text.isascii():
        raise ValueError
    return float(text)


def _from_strings(node: Node, x: Array, dtype: np.dtype[Any]) -> Array:
    texts = [str(item) for item in x.reshape(-1)]
    try:
        if dtype.kind == "f":
            floats = np.array([_parse_float(text) for text in texts], np.float64)
            return floats.astype(np.float32 if dtype.itemsize == 2 else dtype).astype(dtype).reshape(x.shape)
        values = [_parse_integer(text, dtype) for text in texts]
    except ValueError as error:
        let_interrupts_pass(error)
        raise fault(InputError, node, "a string is not a number") from None
    if dtype.kind == "b":
        return np.array([value != 0 for value in values], np.bool_).reshape(x.shape)
    bits = 8 * dtype.itemsize
    wrapped = np.array([value % (1 << bits) for value in values], f"u{dtype.itemsize}")
    return wrapped.astype(dtype).reshape(x.shape)


def _to_strings(x: Array) -> Array:
    def text(item: Any) -> str:
        if x.dtype.kind != "f":
            return str(int(item))
        plain = f"{float(item):.8g}"
        return _SPECIAL.get(plain, plain)

    return as_texts([text(item) for item in x.reshape(-1)]).reshape(x.shape)


def convert(node: Node, x: Array, dtype: np.dtype[Any]) -> Array:
    """ONNX Cast of an array."""
    if x.dtype.kind == "O" and x.size and not isinstance(x.flat[0], str):
        if dtype not in (np.int64, np.int32):
            raise fault(ModelError, node, f"a symbolic size as {dtype}")
        return x
    if dtype.kind == "U":
        return x if holds_strings(x) else _to_strings(x)
    if holds_strings(x):
        return _from_strings(node, x, dtype)
    if x.dtype.kind == "f" and dtype.kind in "iu":
        return to_integer(x, dtype)
    if dtype == np.float16 and x.dtype != np.float32:
        return x.astype(np.float32).astype(np.float16)
    return x.astype(dtype)


def whole_numbers_rule(dtype: np.dtype[Any], missing: bool, reason: str = "") -> str:
    """For errors: what floats have to be to stand for whole numbers, and what was found."""
    held = "" if missing else f" that {dtype} holds exactly"
    got = "a missing value, NaN" if missing else "one that is not"
    return f"expected whole numbers{held}{reason}, got {got}"


def _require_integral(node: Node, x: Array) -> None:
    limit = 2.0 ** (np.finfo(x.dtype).nmant + 1)
    exact = (np.abs(x) < limit) & (np.trunc(x) == x)
    if not exact.all():
        place = tuple(np.argwhere(~exact)[0])
        rule = whole_numbers_rule(x.dtype, bool(np.isnan(x[place])))
        raise fault(IdRangeError, node, rule, int(place[0]) if place else 0)


def _require_finite(node: Node, x: Array, made: Array) -> None:
    """Refuse finite numbers that another type makes infinite."""
    wrong = np.isinf(made)
    if x.dtype.kind == "f":
        wrong &= np.isfinite(x)
    if wrong.any():
        place = tuple(np.argwhere(wrong)[0])
        rule = f"expected numbers that {made.dtype} holds, got a larger one"
        raise fault(IdRangeError, node, rule, int(place[0]) if place else 0)


def _infer_cast(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [Info(element_type(node, "to"), required(node, inputs, 0).shape)]


def _cast(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    x = required(node, inputs, 0)
    with np.errstate(all="ignore"):
        if boolean(node.attribute("require_integral", 0)) and x.dtype.kind == "f":
            _require_integral(node, x)
        made = convert(node, x, element_type(node, "to"))
        if boolean(node.attribute("require_finite", 0)) and made.dtype.kind == "f":
            _require_finite(node, x, made)
        return [made]


def _infer_cast_like(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [Info(required(node, inputs, 1).dtype, required(node, inputs, 0).shape)]


def _cast_like(node: Node, inputs: Sequence[Array | None]) -> list[Array]:
    with np.errstate(all="ignore"):
        return [convert(node, required(node, inputs, 0), required(node, inputs, 1).dtype)]


def _like_rows(node: Node, inputs: Sequence[Info | None], outputs: Sequence[Info]) -> RowFlow:
    """Only the type of the second input matters."""
    return rows.elementwise(node, inputs[:1], outputs)


OPS: tuple[Op, ...] = (
    Op("Cast", _infer_cast, _cast, rows.elementwise, True, ELEMENTWISE, no_flops),
    Op("CastLike", _infer_cast_like, _cast_like, _like_rows),
)
