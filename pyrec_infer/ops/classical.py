"""Scalers and encoders of ai.onnx.ml.

The output of a ZipMap is the array of its dicts' values: its input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from pyrec_infer.errors import DTypeError, IdRangeError, ModelError, ShapeError
from pyrec_infer.ir import STRING, Array, Info, Node, RowAxis, Size, as_texts, fault, holds_strings, same_size
from pyrec_infer.limits import current_budget
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, required
from pyrec_infer.ops.core.shapes import fresh, product
from pyrec_infer.ops.scores import row_count

Infos = Sequence[Info | None]
Arrays = Sequence[Array | None]
FLOAT32, TEXTS = np.dtype(np.float32), np.dtype(object)


def _fail(node: Node, rule: str) -> ModelError:
    return fault(ModelError, node, rule)


def _floats(node: Node, key: str) -> Array:
    return np.asarray(node.attribute(key, ()), np.float32).reshape(-1)


def _number(x: Array, op: str) -> Array:
    if x.dtype.kind not in "fiub":
        raise DTypeError(f"{op} takes numbers, got {x.dtype}")
    return x


def _matrix(node: Node, x: Array) -> Array:
    if x.ndim not in (1, 2):
        raise fault(ShapeError, node, f"expected rows of features, got {x.ndim} axes")
    return np.atleast_2d(_number(x, node.op)).astype(np.float32)


def _per_column(node: Node, name: str, values: Array, x: Array) -> Array:
    columns = x.shape[-1] if x.ndim else 1
    if values.size not in (1, columns):
        raise fault(ShapeError, node, f"{name}: expected 1 or {columns} values, got {values.size}")
    return values


def _same_shape(dtype: np.dtype[Any] | None) -> Callable[[Node, Infos], list[Info]]:
    """A rule that keeps the shape; without a dtype it keeps that too."""

    def infer(node: Node, inputs: Infos) -> list[Info]:
        info = required(node, inputs, 0)
        return [Info(dtype or info.dtype, info.shape)]

    return infer


def _scaler(node: Node, inputs: Arrays) -> list[Array]:
    x = _number(required(node, inputs, 0), node.op)
    scale, offset = _floats(node, "scale"), _floats(node, "offset")
    scale = _per_column(node, "scale", scale if scale.size else np.ones(1, np.float32), x)
    offset = _per_column(node, "offset", offset if offset.size else np.zeros(1, np.float32), x)
    real = x.astype(np.float64 if x.dtype == np.float64 else np.float32)
    return [((real - offset) * scale).astype(np.float32).reshape(x.shape)]


def _normalizer(node: Node, inputs: Arrays) -> list[Array]:
    x = required(node, inputs, 0)
    matrix = _matrix(node, x)
    kind = node.attribute("norm", "MAX")
    if kind not in ("MAX", "L1", "L2"):
        raise _fail(node, f"unknown norm {kind!r}")
    if not matrix.shape[1]:
        return [matrix.reshape(x.shape)]
    if kind == "MAX":
        norm = matrix.max(axis=1, keepdims=True)
    elif kind == "L1":
        norm = np.abs(matrix).sum(axis=1, keepdims=True)
    else:
        norm = np.sqrt((matrix * matrix).sum(axis=1, keepdims=True))
    return [(matrix / np.where(norm == 0, np.float32(1), norm)).reshape(x.shape)]


def _imputer(node: Node, inputs: Arrays) -> list[Array]:
    x = required(node, inputs, 0)
    key, replaced_key = {
        "f": ("imputed_value_floats", "replaced_value_float"),
        "i": ("imputed_value_int64s", "replaced_value_int64"),
        "U": ("imputed_value_strings", "replaced_value_string"),
    }.get("U" if holds_strings(x) else x.dtype.kind, ("", ""))
    values = node.attribute(key, ())
    if not len(values):
        raise fault(DTypeError, node, f"no imputed values for {x.dtype}")
    if holds_strings(x):
        return [np.where(x == node.attribute(replaced_key, ""), as_texts(values), x)]
    kind = np.float32 if x.dtype.kind == "f" else np.int64
    filled = _per_column(node, "imputed values", np.asarray(values, kind), x)
    replaced = kind(node.attribute(replaced_key, 0))
    hit = np.isnan(x) if np.isnan(replaced) else x == replaced
    return [np.where(hit, filled.astype(x.dtype), x).reshape(x.shape)]


def _binarizer(node: Node, inputs: Arrays) -> list[Array]:
    x = _number(required(node, inputs, 0), node.op)
    return [(x.astype(np.float64) > np.float32(node.attribute("threshold", 0.0))).astype(x.dtype)]


def _categories(node: Node) -> Array:
    texts, numbers = node.attribute("cats_strings", ()), node.attribute("cats_int64s", ())
    if bool(len(texts)) == bool(len(numbers)):
        raise _fail(node, "expected either cats_strings or cats_int64s")
    return as_texts(texts) if len(texts) else np.asarray(numbers, np.int64)


def _one_hot_encoder(node: Node, inputs: Arrays) -> list[Array]:
    x = required(node, inputs, 0)
    categories = _categories(node)
    if holds_strings(x) != holds_strings(categories):
        raise fault(DTypeError, node, f"categories of another type than {x.dtype}")
    if x.dtype.kind == "f":
        x = x.astype(np.int64)
    hot = x[..., None] == categories
    known = hot.any(axis=-1)
    if not node.attribute("zeros", 1) and not known.all():
        row = int(np.argwhere(~known)[0][0]) if x.ndim else None
        raise fault(IdRangeError, node, "a value is not one of the categories", row)
    return [hot.astype(np.float32)]


def _infer_one_hot_encoder(node: Node, inputs: Infos) -> list[Info]:
    info, count = required(node, inputs, 0), len(_categories(node))
    return [Info(FLOAT32, None if info.shape is None else (*info.shape, count))]


def _array_feature_extractor(node: Node, inputs: Arrays) -> list[Array]:
    x, columns = required(node, inputs, 0), required(node, inputs, 1).reshape(-1).astype(np.int64)
    if not x.ndim:
        raise fault(ShapeError, node, "expected rows of features")
    if ((columns < 0) | (columns >= x.shape[-1])).any():
        raise fault(ShapeError, node, f"a column is outside of the {x.shape[-1]} features")
    return [np.atleast_2d(x)[..., columns]]


def _infer_array_feature_extractor(node: Node, inputs: Infos) -> list[Info]:
    x, columns = required(node, inputs, 0), required(node, inputs, 1)
    if x.shape is None or columns.shape is None:
        return [Info(x.dtype, None)]
    count: Size = 1
    for size in columns.shape:
        count = count * size
    lead: tuple[Size, ...] = (1,) if len(x.shape) == 1 else x.shape[:-1]
    return [Info(x.dtype, (*lead, count))]


def _feature_vectorizer(node: Node, inputs: Arrays) -> list[Array]:
    widths = tuple(node.attribute("inputdimensions", ()))
    parts = []
    for index in range(len(inputs)):
        part = _matrix(node, required(node, inputs, index))
        width = widths[index] if index < len(widths) else part.shape[1]
        if width < 0:
            raise _fail(node, "inputdimensions are out of range")
        current_budget().require(FLOAT32.itemsize * len(part) * width)
        padding = np.zeros((len(part), max(0, width - part.shape[1])), np.float32)
        parts.append(np.concatenate([part[:, :width], padding], axis=1))
    if len({len(part) for part in parts}) != 1:
        raise fault(ShapeError, node, "the inputs have different numbers of rows")
    return [np.concatenate(parts, axis=1)]


def _infer_feature_vectorizer(node: Node, inputs: Infos) -> list[Info]:
    widths = tuple(node.attribute("inputdimensions", ()))
    total: Size = sum(widths) if len(widths) == len(inputs) else fresh(node, 0, 1)
    return [Info(FLOAT32, (row_count(node, inputs[0]), total))]


def _encoder_side(node: Node, side: str) -> Array:
    """The keys or the values of a LabelEncoder."""
    tensor = node.attribute(f"{side}_tensor")
    if isinstance(tensor, np.ndarray):
        return tensor.reshape(-1)
    for suffix, dtype in (("strings", TEXTS), ("int64s", np.dtype(np.int64)), ("floats", FLOAT32)):
        items = node.attribute(f"{side}_{suffix}", ())
        if len(items):
            return np.asarray(items, dtype)
    raise _fail(node, f"it has no {side}")


def _encoder_default(node: Node, values: Array) -> Any:
    tensor = node.attribute("default_tensor")
    if isinstance(tensor, np.ndarray) and tensor.size == 1:
        return tensor.reshape(-1)[0]
    if holds_strings(values):
        return node.attribute("default_string", "_Unused")
    if values.dtype.kind == "f":
        return node.attribute("default_float", -0.0)
    return node.attribute("default_int64", -1)


def _key(item: Any) -> Any:
    return "NaN" if isinstance(item, float) and item != item else item


class _Codes(NamedTuple):
    """What a LabelEncoder maps its keys to, made once for a node."""

    kind: str
    found: Mapping[Any, Any]
    default: Any
    dtype: np.dtype[Any]


def _codes(node: Node) -> _Codes:
    made: _Codes | None = node.findings.get(_codes)
    if made is None:
        keys, values = _encoder_side(node, "keys"), _encoder_side(node, "values")
        if len(keys) != len(values):
            raise _fail(node, f"{len(keys)} keys and {len(values)} values")
        found: dict[Any, Any] = {}
        for item, value in zip(keys.tolist(), values.tolist(), strict=True):
            found.setdefault(_key(item), value)
        dtype = TEXTS if holds_strings(values) else values.dtype
        made = node.findings[_codes] = _Codes(_kind(keys), found, _encoder_default(node, values), dtype)
    return made


def _kind(array: Array) -> str:
    return {"U": "strings", "O": "strings", "f": "floats"}.get(array.dtype.kind, "whole numbers")


def _label_encoder(node: Node, inputs: Arrays) -> list[Array]:
    x = required(node, inputs, 0)
    codes = _codes(node)
    if _kind(x) != codes.kind:
        raise fault(DTypeError, node, f"expected {codes.kind}, got {x.dtype}")
    items = x.reshape(-1).tolist()
    if x.dtype.kind == "f":
        items = list(map(_key, items))
    mapped = [codes.found.get(item, codes.default) for item in items]
    return [np.asarray(mapped, codes.dtype).reshape(x.shape)]


def _infer_label_encoder(node: Node, inputs: Infos) -> list[Info]:
    values = _encoder_side(node, "values")
    info = required(node, inputs, 0)
    return [Info(STRING if holds_strings(values) else values.dtype, info.shape)]


def _zip_map(node: Node, inputs: Arrays) -> list[Array]:
    return [required(node, inputs, 0)]


@rows.guarded()
def _rows_of_feature_extractor(node: Node, inputs: rows.Inputs, outputs: rows.Outputs) -> RowAxis | None:
    """ArrayFeatureExtractor: columns of batched rows, or batched positions in a constant."""
    data, positions = inputs[0], inputs[1]
    if data is None or positions is None or data.rank is None or outputs[0].rank is None:
        return None
    if rows.batched(data):
        return data.rows if not rows.batched(positions) and data.rows < data.rank - 1 else None
    # The positions are read as one list: a row's are adjacent in it.
    if positions.shape is None or not same_size(product(positions.shape[: positions.rows]), 1):
        return None
    return outputs[0].rank - 1


_ROW_RULES = {"ArrayFeatureExtractor": _rows_of_feature_extractor, "LabelEncoder": rows.elementwise}


OPS: tuple[Op, ...] = tuple(
    Op(f"ai.onnx.ml.{name}", infer, evaluate, _ROW_RULES.get(name, rows.per_row))
    for name, infer, evaluate in (
        ("ArrayFeatureExtractor", _infer_array_feature_extractor, _array_feature_extractor),
        ("Binarizer", _same_shape(None), _binarizer),
        ("FeatureVectorizer", _infer_feature_vectorizer, _feature_vectorizer),
        ("Imputer", _same_shape(None), _imputer),
        ("LabelEncoder", _infer_label_encoder, _label_encoder),
        ("Normalizer", _same_shape(FLOAT32), _normalizer),
        ("OneHotEncoder", _infer_one_hot_encoder, _one_hot_encoder),
        ("Scaler", _same_shape(FLOAT32), _scaler),
        ("ZipMap", _same_shape(None), _zip_map),
    )
)
