"""What classifiers and regressors of ai.onnx.ml do to their scores at the end.

Where the standard is silent this follows onnxruntime: a single score gets no transform but PROBIT,
or becomes two where it stands for the second of two classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import STRING, Array, Info, Node, Size, fault, holds_strings
from pyrec_infer.ops.core.shapes import fresh


def logistic(x: Array) -> Array:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small)).astype(x.dtype)


def _probit(x: Array) -> Array:
    """sqrt(2) * erfinv(2x - 1) by Winitzki's formula, which all known implementations use."""
    with np.errstate(all="ignore"):
        y = 2 * x - 1
        log = np.log((1 - y) * (1 + y))
        v = 2 / (np.pi * 0.147) + 0.5 * log
        inverse = np.sign(y) * np.sqrt(-v + np.sqrt(v * v - log / 0.147))
        result: Array = (np.sqrt(2) * inverse).astype(x.dtype)
        return result


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=1, keepdims=True, initial=-np.inf))
    result: Array = e / e.sum(axis=1, keepdims=True)
    return result


def _softmax_zero(x: Array) -> Array:
    """Softmax of the scores that are not 0; those that are stay so."""
    with np.errstate(all="ignore"):
        zero = np.abs(x) <= 1e-7
        top = x.max(axis=1, keepdims=True, initial=-np.inf)
        e = np.where(zero, 0, np.exp(x - top))
        total = e.sum(axis=1, keepdims=True)
        result: Array = np.where(zero, x * np.exp(-top), e) / total
        return result


def apply_transform(transform: str, scores: Array) -> Array:
    """The transform over each row of [rows, scores]."""
    if transform == "PROBIT":
        return _probit(scores)
    if transform == "NONE" or scores.shape[1] < 2:
        return scores
    if transform == "LOGISTIC":
        return logistic(scores)
    return (_softmax if transform == "SOFTMAX" else _softmax_zero)(scores)


def second_score(transform: str, score: Array, complement: bool) -> Array:
    """The scores [rows, 2] of two classes from the one score of the second.

    Without a transform that says it, the first is ``1 - score`` if ``complement``, else ``-score``.
    """
    other = 1 - score if complement else -score
    pair = np.stack([-score if transform == "LOGISTIC" else other, score], axis=1)
    return apply_transform(transform, pair) if transform in ("LOGISTIC", "PROBIT") else pair


def labels_of(node: Node, least: int) -> Array:
    """The labels of a classifier with scores for at least so many classes."""
    labels = node.attribute("labels")
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or len(labels) < least:
        raise fault(ModelError, node, f"expected an array of {least} labels")
    if labels.dtype != np.int64 and not holds_strings(labels):
        raise fault(ModelError, node, f"expected labels of int64 or strings, got {labels.dtype}")
    return labels


def row_count(node: Node, info: Info | None) -> Size:
    """Rows of [rows, features]; a vector is one row."""
    if info is None or info.shape is None or not info.shape:
        return fresh(node, 0, 0)
    return 1 if len(info.shape) == 1 else info.shape[0]


def scores_info(node: Node, info: Info | None, columns: int, dtype: Any = np.float32) -> Info:
    return Info(np.dtype(dtype), (row_count(node, info), columns))


def labels_info(node: Node, info: Info | None, labels: Array) -> Info:
    dtype = STRING if holds_strings(labels) else labels.dtype
    return Info(dtype, (row_count(node, info),))
