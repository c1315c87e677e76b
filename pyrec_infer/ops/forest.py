"""Forests of trees: their evaluation over flat arrays.

Scores follow onnxruntime where the standard of ai.onnx.ml is silent: how one score of a binary classifier
becomes two, and which label it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError, ModelError, ShapeError
from pyrec_infer.ir import Array, Comparison, Forest, Info, Node, Shape, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, element_type
from pyrec_infer.ops.core.traits import CLASSIFIES, DISCONTINUOUS, Count
from pyrec_infer.ops.scores import apply_transform, labels_info, labels_of, scores_info, second_score

_COMPARISONS = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)
"""By the number that `Comparison` has for each."""


def forest_of(node: Node) -> Forest:
    """The node's forest, with every test of categories as a chain of comparisons."""
    forest = node.attribute("forest")
    if not isinstance(forest, Forest):
        raise fault(ModelError, node, "expected a forest")
    return forest.chained


def _check(node: Node) -> None:
    forest_of(node)
    if element_type(node, "dtype", "float32").kind != "f":
        raise fault(ModelError, node, "dtype: expected scores of floating type")


def _matrix(forest: Forest, x: Array) -> Array:
    """The features as the type the thresholds are compared in."""
    if x.ndim not in (1, 2):
        raise ShapeError(f"a tree ensemble takes rows of features, got {x.ndim} axes")
    if x.dtype.kind not in "fiu":
        raise DTypeError(f"a tree ensemble takes numbers, got {x.dtype}")
    wide = x.dtype == np.float64 or forest.thresholds.dtype == np.float64
    matrix = np.atleast_2d(x).astype(np.float64 if wide else np.float32)
    if matrix.shape[1] < forest.width:
        raise ShapeError(f"expected at least {forest.width} features, got {matrix.shape[1]}")
    return matrix


def leaves_of(forest: Forest, matrix: Array) -> Array:
    """The leaf each row ends at in each tree."""
    row = np.arange(len(matrix))[:, None]
    at = np.broadcast_to(forest.roots, (len(matrix), len(forest.roots))).copy()
    while (forest.comparisons[at] != Comparison.LEAF).any():
        value = matrix[row, forest.features[at]]
        threshold = forest.thresholds[at]
        comparison = forest.comparisons[at]
        answer = np.isnan(value) & forest.missing_yes[at]
        for index, compare in enumerate(_COMPARISONS):
            answer |= (comparison == index) & compare(value, threshold)
        at = np.where(answer, forest.yes[at], forest.no[at])
    return at


def votes_of(forest: Forest, leaves: Array, dtype: np.dtype[Any]) -> tuple[Array, NDArray[np.bool_]]:
    """The aggregated votes [rows, targets] of leaves [rows, trees], and which of them got any vote."""
    count = len(leaves)
    scores = np.zeros((count, forest.targets), dtype)
    voted = np.zeros((count, forest.targets), np.bool_)
    for tree in range(leaves.shape[1]):
        start, end = forest.vote_start[leaves[:, tree]], forest.vote_start[leaves[:, tree] + 1]
        for offset in range(int((end - start).max(initial=0))):
            row = np.flatnonzero(start + offset < end)
            vote = start[row] + offset
            target = forest.vote_targets[vote]
            weight = forest.vote_weights[vote].astype(dtype)
            before = scores[row, target]
            if forest.aggregate in ("MIN", "MAX"):
                better = np.minimum if forest.aggregate == "MIN" else np.maximum
                scores[row, target] = np.where(voted[row, target], better(before, weight), weight)
            else:
                scores[row, target] = before + weight
            voted[row, target] = True
    if forest.aggregate == "AVERAGE":
        scores /= dtype.type(len(forest.roots))
    return scores, voted


def scores_of(forest: Forest, votes: tuple[Array, NDArray[np.bool_]]) -> Array:
    """The scores of rows with such votes."""
    scores, _ = votes
    scores[:, : len(forest.base)] += forest.base.astype(scores.dtype)
    return apply_transform(forest.transform, scores)


def _votes(forest: Forest, x: Array) -> tuple[Array, NDArray[np.bool_]]:
    matrix = _matrix(forest, x)
    return votes_of(forest, leaves_of(forest, matrix), matrix.dtype)


def _evaluate(node: Node, inputs: Sequence[Any]) -> list[Any]:
    forest = forest_of(node)
    dtype = node.attribute("dtype", inputs[0].dtype)
    return [scores_of(forest, _votes(forest, inputs[0])).astype(dtype)]


def _two_classes(forest: Forest, scores: Array) -> tuple[Array, Array]:
    """Positions of the labels, and the scores, where there are two classes or one."""
    transform = forest.transform
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


def classes_of(node: Node, votes: tuple[Array, NDArray[np.bool_]]) -> list[Array]:
    """The labels and the scores of rows with such votes."""
    forest, labels = forest_of(node), require_classes(node)
    scores, voted = votes
    if forest.targets <= 2:
        position, scores = _two_classes(forest, scores)
    else:
        based = len(forest.base)
        scores[:, :based] += forest.base.astype(scores.dtype)
        voted[:, :based] = True
        position = np.where(voted, scores, -np.inf).argmax(axis=1)
        scores = apply_transform(forest.transform, scores)
    return [labels[position], scores.astype(np.float32)]


def _classify(node: Node, inputs: Sequence[Any]) -> list[Any]:
    return classes_of(node, _votes(forest_of(node), inputs[0]))


def _infer(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    info = inputs[0]
    given = np.float32 if info is None or info.dtype is None else info.dtype
    return [scores_info(node, info, forest_of(node).targets, node.attribute("dtype", given))]


def require_classes(node: Node) -> Array:
    """One score for each label, but one for the two of a yes or no."""
    forest = forest_of(node)
    labels = labels_of(node, max(forest.targets, 2))
    if len(labels) > max(forest.targets, 2):
        raise fault(ModelError, node, f"{len(labels)} labels for {forest.targets} scores")
    return labels


def _infer_classes(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    labels = labels_info(node, inputs[0], require_classes(node))
    return [labels, scores_info(node, inputs[0], forest_of(node).targets)]


def branch_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """One for each branch and each vote."""
    forest = forest_of(node)
    return int((forest.comparisons != Comparison.LEAF).sum()) + len(forest.roots)


OPS: tuple[Op, ...] = (
    # Attributes: the forest, and the dtype of the scores if it is not that of the features.
    Op(
        "pyrec.Forest",
        _infer,
        _evaluate,
        rows.per_row,
        traits=DISCONTINUOUS,
        flops=branch_flops,
        check=_check,
        given={"forest": Forest, "dtype": str},
    ),
    # Attributes: the forest, a target for each class, and their labels.
    Op(
        "pyrec.ForestClassifier",
        _infer_classes,
        _classify,
        rows.per_row,
        traits=CLASSIFIES | DISCONTINUOUS,
        flops=branch_flops,
        check=require_classes,
        given={"forest": Forest, "labels": np.ndarray},
    ),
)
