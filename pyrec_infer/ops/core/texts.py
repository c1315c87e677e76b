"""Which operators on strings run in a plan's phases, beside those on numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyrec_infer.ir import Info, Node

TEXT_BYTES = 64
"""Bytes that a string takes beside its letters."""

MOVING = frozenset(
    {
        "Concat",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Identity",
        "Reshape",
        "Shape",
        "Size",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
        "Where",
        "ai.onnx.ml.ArrayFeatureExtractor",
        "ai.onnx.ml.ZipMap",
        "pyrec.PadLists",
    }
)
"""Operators that move elements without a look at them."""

READING = frozenset(
    {
        "Equal",
        "RegexFullMatch",
        "StringConcat",
        "StringNormalizer",
        "StringSplit",
        "TfIdfVectorizer",
        "ai.onnx.ml.CategoryMapper",
        "ai.onnx.ml.LabelEncoder",
        "ai.onnx.ml.OneHotEncoder",
        "com.microsoft.MurmurHash3",
        "com.microsoft.Tokenizer",
        "pyrec.ChangeText",
        "pyrec.CrossBucket",
        "pyrec.HashBucket",
        "pyrec.TokenCounts",
    }
)
"""Operators that read strings, or make them."""


PARTLY_NATIVE = frozenset(
    {
        "Cast",
        "CastLike",
        "RegexFullMatch",
        "StringNormalizer",
        "com.microsoft.Tokenizer",
        "pyrec.ChangeText",
        "pyrec.CrossBucket",
        "pyrec.HashBucket",
        "pyrec.TokenCounts",
    }
)
"""Operators whose C++ form leaves some values to the reference: floats as text, letters that change
by others around them, regular expressions with groups."""


def is_text(info: Info | None) -> bool:
    """Whether a value is a tensor of strings."""
    return info is not None and info.dtype is not None and info.dtype.kind in "UO"


def touches_texts(node: Node, infos: Mapping[str, Info]) -> bool:
    """Whether a node reads or makes strings."""
    if any(isinstance(value, np.ndarray) and value.dtype.kind in "UO" for value in node.attributes.values()):
        return True
    return any(is_text(infos[name]) for name in (*node.inputs, *node.outputs) if name)


def runs_in_phases(node: Node, infos: Mapping[str, Info]) -> bool:
    """Whether a node that touches strings runs in the phases of a plan; others run before or after."""
    if node.op in MOVING or node.op in READING:
        return True
    if node.op not in ("Cast", "CastLike"):
        return False
    given, made = infos[node.inputs[0]], infos[node.outputs[0]]
    return is_text(made) and (is_text(given) or _whole(given.dtype))


def _whole(dtype: np.dtype[Any] | None) -> bool:
    return dtype is not None and dtype.kind in "biu"


__all__ = ["MOVING", "PARTLY_NATIVE", "READING", "TEXT_BYTES", "is_text", "runs_in_phases", "touches_texts"]
