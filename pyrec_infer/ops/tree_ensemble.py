"""Tree ensembles of ai.onnx.ml: their evaluation over flat arrays.

Scores follow onnxruntime where the standard is silent: how one score of a binary classifier becomes two,
and which label it stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError, ShapeError
from pyrec_infer.ir import Array, Info, Node
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Evaluate, Infer, Op
from pyrec_infer.ops.core.traits import DISCONTINUOUS
from pyrec_infer.ops.forest import (
    COMPARISONS,
    LEAF,
    Forest,
    Indices,
    fail,
    forest_of_lists,
    forest_of_tensors,
)
from pyrec_infer.ops.scores import (
    apply_transform,
    class_labels,
    labels_info,
    scores_info,
    second_score,
    transform_of,
)

_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


def _matrix(forest: Forest, x: Array) -> Array:
    """The features as the type the thresholds are compared in."""
    if x.ndim not in (1, 2):
        raise ShapeError(f"a tree ensemble takes rows of features, got {x.ndim} axes")
    if x.dtype.kind not in "fiu":
        raise DTypeError(f"a tree ensemble takes numbers, got {x.dtype}")
    wide = x.dtype == np.float64 or forest.thresholds.dtype == np.float64
    matrix = np.atleast_2d(x).astype(np.float64 if wide else np.float32)
    needed = int(forest.features.max(initial=-1)) + 1
    if matrix.shape[1] < needed:
        raise ShapeError(f"expected at least {needed} features, got {matrix.shape[1]}")
    return matrix


def leaves_of(forest: Forest, matrix: Array) -> Indices:
    """The leaf each row ends at in each tree."""
    row = np.arange(len(matrix))[:, None]
    at = np.broadcast_to(forest.roots, (len(matrix), len(forest.roots))).copy()
    while (forest.modes[at] != LEAF).any():
        value = matrix[row, forest.features[at]]
        threshold = forest.thresholds[at]
        mode = forest.modes[at]
        answer = np.isnan(value) & forest.missing_true[at]
        for index, compare in enumerate(COMPARISONS):
            answer |= (mode == index) & compare(value, threshold)
        following = np.where(answer, forest.true_child[at], forest.false_child[at])
        at = np.where(mode == LEAF, at, following)
    return at


def scores_of(forest: Forest, matrix: Array, aggregate: str) -> tuple[Array, NDArray[np.bool_]]:
    """The aggregated votes [rows, targets], and which of them got any vote."""
    count = len(matrix)
    scores = np.zeros((count, forest.targets), matrix.dtype)
    voted = np.zeros((count, forest.targets), np.bool_)
    leaves = leaves_of(forest, matrix)
    for tree in range(leaves.shape[1]):
        start, end = forest.vote_start[leaves[:, tree]], forest.vote_start[leaves[:, tree] + 1]
        for offset in range(int((end - start).max(initial=0))):
            row = np.flatnonzero(start + offset < end)
            vote = start[row] + offset
            target = forest.vote_targets[vote]
            weight = forest.vote_weights[vote].astype(matrix.dtype)
            before = scores[row, target]
            if aggregate in ("MIN", "MAX"):
                better = np.minimum if aggregate == "MIN" else np.maximum
                scores[row, target] = np.where(voted[row, target], better(before, weight), weight)
            else:
                scores[row, target] = before + weight
            voted[row, target] = True
    if aggregate == "AVERAGE":
        scores /= matrix.dtype.type(len(forest.roots))
    return scores, voted


def _aggregate_of(node: Node) -> str:
    value = node.attribute("aggregate_function", "SUM")
    name = _AGGREGATES[value] if isinstance(value, int) and 0 <= value < 4 else str(value)
    if name not in _AGGREGATES:
        raise fail(node, f"unknown aggregate_function {name}")
    return name


def _regressor_forest(node: Node) -> Forest:
    targets = int(node.attribute("n_targets", 1))
    if not 1 <= targets < 2**31:
        raise fail(node, f"n_targets is {targets}")
    forest = forest_of_lists(node, "target", targets)
    if len(forest.base) not in (0, targets):
        raise fail(node, f"expected {targets} base_values, got {len(forest.base)}")
    return forest


def _regress(node: Node, forest: Forest, inputs: Sequence[Any], dtype: Any) -> list[Any]:
    matrix = _matrix(forest, inputs[0])
    scores, _ = scores_of(forest, matrix, _aggregate_of(node))
    if len(forest.base):
        scores += forest.base.astype(scores.dtype)
    return [apply_transform(transform_of(node), scores).astype(dtype)]


def _evaluate_regressor(node: Node, inputs: Sequence[Any]) -> list[Any]:
    return _regress(node, _regressor_forest(node), inputs, np.float32)


def _evaluate_ensemble(node: Node, inputs: Sequence[Any]) -> list[Any]:
    return _regress(node, forest_of_tensors(node), inputs, inputs[0].dtype)


def _two_classes(forest: Forest, scores: Array, transform: str) -> tuple[Array, Array]:
    """Positions of the labels, and the scores, where there are two classes or one."""
    base = np.zeros(2, scores.dtype)
    base[: len(forest.base)] = forest.base
    scores = scores + base[: scores.shape[1]]
    classes = set(forest.vote_targets.tolist())
    if len(classes) > 1:
        return scores.argmax(axis=1), apply_transform(transform, scores)
    # Every vote is for the same class: its score decides.
    positive = bool((forest.vote_weights >= 0).all())
    second = classes == {1}
    score = scores[:, 1 if second else 0]
    label = (score > (0.5 if positive and scores.shape[1] == 2 else 0)).astype(np.int64)
    if scores.shape[1] == 1:
        return label, apply_transform(transform, scores)
    if second or len(forest.base) == 2:
        scores[:, 0 if second else 1] = 0
        return label, apply_transform(transform, scores)
    return label, second_score(transform, score, positive)


def _classifier_parts(node: Node) -> tuple[Forest, Array]:
    labels = class_labels(node, "classlabels_int64s")
    count = len(labels)
    forest = forest_of_lists(node, "class", count)
    if len(forest.base) > count:
        raise fail(node, f"expected {count} base_values, got {len(forest.base)}")
    # One class is a yes or no: the labels are then 0 and 1.
    return forest, labels if count > 1 else np.arange(2)


def _evaluate_classifier(node: Node, inputs: Sequence[Any]) -> list[Any]:
    forest, labels = _classifier_parts(node)
    matrix = _matrix(forest, inputs[0])
    scores, voted = scores_of(forest, matrix, "SUM")
    transform = transform_of(node)
    if forest.targets <= 2:
        position, scores = _two_classes(forest, scores, transform)
    else:
        based = len(forest.base)
        scores[:, :based] += forest.base.astype(scores.dtype)
        voted[:, :based] = True
        position = np.where(voted, scores, -np.inf).argmax(axis=1)
        scores = apply_transform(transform, scores)
    return [labels[position], scores.astype(np.float32)]


def _infer_regressor(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [scores_info(node, inputs[0], int(node.attribute("n_targets", 1)))]


def _infer_ensemble(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    info = inputs[0]
    dtype = np.float32 if info is None or info.dtype is None else info.dtype
    return [scores_info(node, info, int(node.attribute("n_targets", 1)), dtype)]


def _infer_classifier(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    labels = class_labels(node, "classlabels_int64s")
    known = labels if len(labels) > 1 else np.arange(2)
    return [labels_info(node, inputs[0], known), scores_info(node, inputs[0], len(labels))]


def _check_regressor(node: Node) -> None:
    _regressor_forest(node), _aggregate_of(node), transform_of(node)


def _check_classifier(node: Node) -> None:
    _classifier_parts(node), transform_of(node)


def _check_ensemble(node: Node) -> None:
    forest_of_tensors(node), _aggregate_of(node), transform_of(node)


def _ensemble(name: str, infer: Infer, evaluate: Evaluate, check: Callable[[Node], object]) -> Op:
    return Op(f"ai.onnx.ml.{name}", infer, evaluate, rows.per_row, traits=DISCONTINUOUS, check=check)


OPS: tuple[Op, ...] = (
    _ensemble("TreeEnsembleRegressor", _infer_regressor, _evaluate_regressor, _check_regressor),
    _ensemble("TreeEnsembleClassifier", _infer_classifier, _evaluate_classifier, _check_classifier),
    _ensemble("TreeEnsemble", _infer_ensemble, _evaluate_ensemble, _check_ensemble),
)
