"""Operators on strings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from pyrec_infer.errors import DTypeError, ModelError, ShapeError
from pyrec_infer.hashing import SCHEMES, Seed
from pyrec_infer.hashing.murmur3 import murmur3_32
from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import STRING, Array, Info, Node, as_texts, fault, holds_strings, letters_of
from pyrec_infer.limits import current_budget
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, RowFlow, couples, required
from pyrec_infer.ops.core.shapes import broadcast, fresh
from pyrec_infer.ops.core.texts import TEXT_BYTES
from pyrec_infer.strings.column import column_of
from pyrec_infer.strings.hashes import hashes_of
from pyrec_infer.strings.letters import changed_letters

Infos = Sequence[Info | None]
Arrays = Sequence[Array | None]
INT64 = np.dtype(np.int64)


def _text(node: Node, x: Array) -> Array:
    if not holds_strings(x):
        raise fault(DTypeError, node, f"takes strings, got {x.dtype}")
    return x


def _roomy_items(x: Array) -> list[str]:
    """The strings; what repeats few to more than a call may hold is refused before others are made."""
    items: list[str] = x.reshape(-1).tolist()
    current_budget().require(TEXT_BYTES * len(items) + sum(map(len, items)))
    return items


def _category_mapper(node: Node, inputs: Arrays) -> list[Array]:
    x = required(node, inputs, 0)
    texts, numbers = tuple(node.attribute("cats_strings", ())), tuple(node.attribute("cats_int64s", ()))
    if len(texts) != len(numbers):
        raise fault(ModelError, node, f"{len(texts)} strings, {len(numbers)} integers")
    if holds_strings(x):
        to_number = dict(zip(texts, numbers, strict=True))
        default = node.attribute("default_int64", -1)
        mapped = [to_number.get(item, default) for item in x.reshape(-1).tolist()]
        return [np.asarray(mapped, np.int64).reshape(x.shape)]
    to_text = dict(zip(numbers, texts, strict=True))
    unused = node.attribute("default_string", "_Unused")
    names = [to_text.get(item, unused) for item in x.reshape(-1).tolist()]
    return [as_texts(names).reshape(x.shape)]


def _infer_category_mapper(node: Node, inputs: Infos) -> list[Info]:
    info = required(node, inputs, 0)
    return [Info(None if info.dtype is None else INT64 if info.dtype == STRING else STRING, info.shape)]


def _string_normalizer(node: Node, inputs: Arrays) -> list[Array]:
    action = node.attribute("case_change_action", "NONE")
    if action not in ("NONE", "LOWER", "UPPER"):
        raise fault(ModelError, node, f"unknown case_change_action {action!r}")
    x = _text(node, required(node, inputs, 0))
    if x.ndim not in (1, 2) or (x.ndim == 2 and x.shape[0] != 1):
        raise fault(ShapeError, node, f"expected shape [C] or [1, C], got {x.shape}")
    stopwords = {str(word) for word in node.attribute("stopwords", ())}
    items = _roomy_items(x)
    if node.attribute("is_case_sensitive", 0):
        items = [item for item in items if item not in stopwords]
    else:
        lowered = {word.lower() for word in stopwords}
        items = [item for item in items if item.lower() not in lowered]
    if action != "NONE":
        items = [item.lower() if action == "LOWER" else item.upper() for item in items]
    result = as_texts(items or [""] * bool(stopwords))
    return [result[None] if x.ndim == 2 else result]


def _infer_string_normalizer(node: Node, inputs: Infos) -> list[Info]:
    shape = required(node, inputs, 0).shape
    if shape is None or not node.attribute("stopwords", ()):
        return [Info(STRING, shape)]
    size = fresh(node, 0, 0)
    return [Info(STRING, (size,) if len(shape) == 1 else (1, size))]


def _normalizer_rows(node: Node, inputs: Infos, outputs: Sequence[Info]) -> RowFlow:
    """Each string stays where it is, unless some are left out."""
    rule = couples if node.attribute("stopwords", ()) else rows.elementwise
    return rule(node, inputs, outputs)


def _string_concat(node: Node, inputs: Arrays) -> list[Array]:
    a, b = (_text(node, required(node, inputs, index)) for index in range(2))
    try:
        shape = np.broadcast_shapes(a.shape, b.shape)
    except ValueError as error:
        let_interrupts_pass(error)
        raise fault(ShapeError, node, f"shapes {a.shape} and {b.shape} do not broadcast") from None
    count = math.prod(shape)
    letters = sum(letters_of(x) * (count // max(x.size, 1)) for x in (a, b))
    current_budget().require(TEXT_BYTES * count + letters)
    return [np.asarray(np.add(as_texts(a), as_texts(b)), object)]


def _infer_string_concat(node: Node, inputs: Infos) -> list[Info]:
    shapes = [required(node, inputs, index).shape for index in range(2)]
    return [Info(STRING, broadcast(shapes))]


def letter_attributes(node: Node) -> Mapping[str, Any]:
    """What C++ has to know of letters that a node changes; nothing for other nodes."""
    changes: set[str] = set()
    if node.op == "StringNormalizer":
        changes.add(str(node.attribute("case_change_action", "NONE")).lower())
        if node.attribute("stopwords", ()) and not node.attribute("is_case_sensitive", 0):
            changes.add("lower")
    elif node.op == "pyrec.ChangeText":
        changes.add(str(node.attribute("change", "")))
    return {f"{change}_letters": changed_letters(change) for change in changes & {"lower", "upper"}}


_CHANGES: Mapping[str, Callable[[str], str]] = {"lower": str.lower, "upper": str.upper, "strip": str.strip}


def _change_text(node: Node, inputs: Arrays) -> list[Array]:
    x = _text(node, required(node, inputs, 0))
    change = _CHANGES.get(str(node.attribute("change", "")))
    if change is None:
        raise fault(ModelError, node, "unknown change")
    return [as_texts([change(item) for item in _roomy_items(x)]).reshape(x.shape)]


def _infer_change_text(node: Node, inputs: Infos) -> list[Info]:
    return [Info(STRING, required(node, inputs, 0).shape)]


def _murmur_dtype(node: Node) -> np.dtype[np.generic]:
    return np.dtype(np.uint32 if node.attribute("positive", 1) else np.int32)


def _murmur(node: Node, inputs: Arrays) -> list[Array]:
    x = required(node, inputs, 0)
    seed = Seed(int(node.attribute("seed", 0)) % 2**32)
    if holds_strings(x):
        found, _ = hashes_of(node.name, column_of(x), SCHEMES["mmh3_32"], seed, b"")
        hashes = found.astype(np.uint32)
    else:
        data = [item.tobytes() for item in np.ascontiguousarray(x).reshape(-1)]
        hashes = np.asarray([murmur3_32(item, seed) for item in data], np.uint32)
    return [hashes.view(_murmur_dtype(node)).reshape(x.shape)]


def _infer_murmur(node: Node, inputs: Infos) -> list[Info]:
    return [Info(_murmur_dtype(node), required(node, inputs, 0).shape)]


OPS: tuple[Op, ...] = (
    Op("ai.onnx.ml.CategoryMapper", _infer_category_mapper, _category_mapper, rows.per_row),
    Op("StringNormalizer", _infer_string_normalizer, _string_normalizer, _normalizer_rows),
    Op("StringConcat", _infer_string_concat, _string_concat, rows.elementwise),
    Op("pyrec.ChangeText", _infer_change_text, _change_text, rows.elementwise),
    Op("com.microsoft.MurmurHash3", _infer_murmur, _murmur, rows.per_row),
)
