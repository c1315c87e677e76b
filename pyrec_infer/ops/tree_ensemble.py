"""Tree ensembles of ai.onnx.ml: their validation, and their evaluation over flat arrays.

Every form of the operator becomes one `Forest`. Scores follow onnxruntime where the standard is
silent: how one score of a binary classifier becomes two, and which label it stands for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import DTypeError, ModelError, ShapeError
from pyrec_infer.ir import Array, Info, Node
from pyrec_infer.ops import rows
from pyrec_infer.ops.registry import Op
from pyrec_infer.ops.scores import (
    apply_transform,
    class_labels,
    labels_info,
    scores_info,
    second_score,
    transform_of,
)
from pyrec_infer.ops.traits import DISCONTINUOUS

Indices = NDArray[np.int64]

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
_MEMBER = 6
_LEAF = 7
_EQ = 4
_COMPARE = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


@dataclass(frozen=True)
class Forest:
    """Trees as flat arrays; a node is an index into them.

    From each root every node is reached by one path, so a walk always ends at a leaf.

    Attributes
    ----------
    modes : ndarray of int64
        Index into the comparisons, or `_LEAF`.
    features, thresholds, true_child, false_child, missing_true
        Of a branch: what it compares, and where each answer leads.
    roots : ndarray of int64
    vote_start : ndarray of int64
        The votes of node ``i`` are ``vote_start[i]:vote_start[i + 1]``.
    vote_targets, vote_weights
    targets : int
        Number of scores.
    base : ndarray
        Added to each score; empty for none.
    """

    modes: Indices
    features: Indices
    thresholds: Array
    true_child: Indices
    false_child: Indices
    missing_true: NDArray[np.bool_]
    roots: Indices
    vote_start: Indices
    vote_targets: Indices
    vote_weights: Array
    targets: int
    base: Array


def _fail(node: Node, rule: str) -> ModelError:
    return ModelError(f"node {node.name!r} ({node.op}): {rule}")


def _reals(node: Node, key: str) -> Array:
    """A list of reals, as float32, or as its own type if it is given as a tensor."""
    tensor = node.attribute(f"{key}_as_tensor")
    if isinstance(tensor, np.ndarray):
        return tensor.reshape(-1)
    return np.asarray(node.attribute(key, ()), np.float32).reshape(-1)


def _integers(node: Node, key: str, count: int | None = None, fallback: int | None = None) -> Indices:
    values = np.asarray(node.attribute(key, ()), np.int64).reshape(-1)
    if count is None:
        return values
    if fallback is not None and not values.size:
        return np.full(count, fallback, np.int64)
    if len(values) != count:
        raise _fail(node, f"expected {count} values of {key}, got {len(values)}")
    return values


def _parents(
    node: Node, true_child: Indices, false_child: Indices, branches: Indices, checked: int
) -> Indices:
    """Number of parents of each node; one at most of each of the first ``checked``."""
    both = true_child[branches] != false_child[branches]
    children = np.concatenate([true_child[branches], false_child[branches][both]])
    parents = np.bincount(children, minlength=len(true_child))
    if (parents[:checked] > 1).any():
        raise _fail(node, "a node is the child of two nodes")
    return parents


def _check_features(node: Node, features: Indices) -> None:
    if ((features < 0) | (features > 2**31 - 1)).any():
        raise _fail(node, "a feature id is out of range")


def _forest_of_lists(node: Node, prefix: str, targets: int) -> Forest:
    """The form of versions 1 to 3: nodes and votes as lists of (tree id, node id)."""
    tree_ids = _integers(node, "nodes_treeids")
    count = len(tree_ids)
    if count == 0:
        raise _fail(node, "there are no nodes")
    node_ids = _integers(node, "nodes_nodeids", count)
    names = node.attribute("nodes_modes", ())
    thresholds = _reals(node, "nodes_values")
    if len(names) != count or len(thresholds) != count:
        raise _fail(
            node, f"expected {count} nodes_modes and nodes_values, got {len(names)} and {len(thresholds)}"
        )
    numbers = {name: index for index, name in enumerate(_MODES)} | {"LEAF": _LEAF}
    try:
        modes = np.asarray([numbers[str(name)] for name in names], np.int64)
    except KeyError as error:
        raise _fail(node, f"unknown mode {error}") from None
    where = {key: i for i, key in enumerate(zip(tree_ids.tolist(), node_ids.tolist(), strict=True))}
    if len(where) != count:
        raise _fail(node, "a node id occurs twice in a tree")
    branches = np.flatnonzero(modes != _LEAF)

    def children(key: str) -> Indices:
        ids = _integers(node, key, count)
        result = np.zeros(count, np.int64)
        for i in branches.tolist():
            child = where.get((int(tree_ids[i]), int(ids[i])))
            if child is None:
                raise _fail(node, "a child is not a node of its tree")
            result[i] = child
        return result

    true_child, false_child = children("nodes_truenodeids"), children("nodes_falsenodeids")
    parents = _parents(node, true_child, false_child, branches, count)
    features = _integers(node, "nodes_featureids", count)
    features = np.where(modes == _LEAF, 0, features)
    _check_features(node, features)
    roots = np.flatnonzero(parents == 0)
    if len(roots) != len(np.unique(tree_ids)) or len(np.unique(tree_ids[roots])) != len(roots):
        raise _fail(node, "a tree does not have one root")
    reached, level = 0, roots
    while level.size:
        reached += len(level)
        inner = level[modes[level] != _LEAF]
        level = np.unique(np.concatenate([true_child[inner], false_child[inner]]))
    if reached != count:
        raise _fail(node, "a node is not reached from the root of its tree")

    vote_trees = _integers(node, f"{prefix}_treeids")
    votes = len(vote_trees)
    vote_nodes = _integers(node, f"{prefix}_nodeids", votes)
    vote_targets = _integers(node, f"{prefix}_ids", votes)
    weights = _reals(node, f"{prefix}_weights")
    if len(weights) != votes:
        raise _fail(node, f"expected {votes} values of {prefix}_weights, got {len(weights)}")
    if ((vote_targets < 0) | (vote_targets >= targets)).any():
        raise _fail(node, f"a vote is not for one of the {targets} targets")
    vote_of = []
    for key in zip(vote_trees.tolist(), vote_nodes.tolist(), strict=True):
        if key not in where:
            raise _fail(node, "a vote names a node that does not exist")
        vote_of.append(where[key])
    owners = np.asarray(vote_of, np.int64)
    order = np.argsort(owners, kind="stable")
    vote_start = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))])
    base = _reals(node, "base_values")
    return Forest(
        modes,
        features,
        thresholds,
        true_child,
        false_child,
        _integers(node, "nodes_missing_value_tracks_true", count, 0) != 0,
        roots,
        vote_start.astype(np.int64),
        vote_targets[order],
        weights[order],
        targets,
        base,
    )


def _tensor(node: Node, key: str) -> Array:
    value = node.attribute(key)
    if not isinstance(value, np.ndarray):
        raise _fail(node, f"attribute {key} is missing")
    return value.reshape(-1)


def _member_sets(node: Node, count: int) -> list[Array]:
    """The NaN-delimited sets of the membership tests."""
    value = node.attribute("membership_values")
    values = value.reshape(-1) if isinstance(value, np.ndarray) else np.empty(0, np.float32)
    ends = np.flatnonzero(np.isnan(values)).tolist()
    if not ends or ends[-1] != len(values) - 1:
        ends.append(len(values))
    starts = [0, *(end + 1 for end in ends[:-1])]
    sets = [values[start:end] for start, end in zip(starts, ends, strict=True)]
    if len(sets) != count and count:
        raise _fail(node, f"expected {count} sets of membership_values, got {len(sets)}")
    return sets


def _forest_of_tensors(node: Node) -> Forest:
    """The form of version 5: branches and leaves apart, children by position."""
    modes = _tensor(node, "nodes_modes").astype(np.int64)
    thresholds = _tensor(node, "nodes_splits")
    weights = _tensor(node, "leaf_weights")
    count, leaves = len(modes), len(weights)
    targets = int(node.attribute("n_targets", 1))
    if len(thresholds) != count or not 1 <= targets < 2**31:
        raise _fail(node, f"expected {count} nodes_splits and a positive n_targets")
    if ((modes < 0) | (modes > _MEMBER)).any():
        raise _fail(node, "unknown mode")
    leaf_targets = _integers(node, "leaf_targetids", leaves)
    if ((leaf_targets < 0) | (leaf_targets >= targets)).any():
        raise _fail(node, f"a leaf is not for one of the {targets} targets")
    features = _integers(node, "nodes_featureids", count)
    _check_features(node, features)
    missing = _integers(node, "nodes_missing_value_tracks_true", count, 0) != 0

    def children(side: str) -> Indices:
        ids = _integers(node, f"nodes_{side}nodeids", count)
        is_leaf = _integers(node, f"nodes_{side}leafs", count) != 0
        if ((ids < 0) | (ids >= np.where(is_leaf, leaves, count))).any():
            raise _fail(node, "a child does not exist")
        return np.where(is_leaf, ids + count, ids)

    true_child, false_child = children("true"), children("false")
    padding = np.zeros(leaves, np.int64)
    true_child = np.concatenate([true_child, padding])
    false_child = np.concatenate([false_child, padding])
    parents = _parents(node, true_child, false_child, np.arange(count), count)
    roots = _integers(node, "tree_roots")
    if not len(roots) or ((roots < 0) | (roots >= count)).any() or len(np.unique(roots)) != len(roots):
        raise _fail(node, "tree_roots are not distinct nodes")
    if parents[roots].any():
        raise _fail(node, "a root is the child of a node")
    modes = np.concatenate([modes, np.full(leaves, _LEAF, np.int64)])
    features = np.concatenate([features, padding])
    thresholds = np.concatenate([thresholds, np.zeros(leaves, thresholds.dtype)])
    missing = np.concatenate([missing, padding != 0])
    starts = np.concatenate([np.zeros(count, np.int64), np.arange(leaves + 1)])
    members = np.flatnonzero(modes == _MEMBER)
    extra: list[tuple[int, int, float, int, int, bool]] = []
    for index, values in zip(members.tolist(), _member_sets(node, len(members)), strict=False):
        # A chain of equalities with one false child; an empty set compares with NaN.
        chain = values.tolist() or [float("nan")]
        modes[index] = _EQ
        thresholds[index] = chain[0]
        last = int(false_child[index])
        previous = index
        for value in chain[1:]:
            link = len(modes) + len(extra)
            if previous == index:
                false_child[index] = link
            else:
                extra[-1] = (*extra[-1][:4], link, extra[-1][5])
            extra.append(
                (_EQ, int(features[index]), value, int(true_child[index]), last, bool(missing[index]))
            )
            previous = link
    if extra:
        columns = list(zip(*extra, strict=True))
        modes = np.concatenate([modes, np.asarray(columns[0], np.int64)])
        features = np.concatenate([features, np.asarray(columns[1], np.int64)])
        thresholds = np.concatenate([thresholds, np.asarray(columns[2], thresholds.dtype)])
        true_child = np.concatenate([true_child, np.asarray(columns[3], np.int64)])
        false_child = np.concatenate([false_child, np.asarray(columns[4], np.int64)])
        missing = np.concatenate([missing, np.asarray(columns[5], np.bool_)])
        starts = np.concatenate([starts, np.full(len(extra), leaves, np.int64)])
    return Forest(
        modes,
        features,
        thresholds,
        true_child,
        false_child,
        missing,
        roots,
        starts,
        leaf_targets,
        weights,
        targets,
        np.empty(0, weights.dtype),
    )


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
    while (forest.modes[at] != _LEAF).any():
        value = matrix[row, forest.features[at]]
        threshold = forest.thresholds[at]
        mode = forest.modes[at]
        answer = np.isnan(value) & forest.missing_true[at]
        for index, compare in enumerate(_COMPARE):
            answer |= (mode == index) & compare(value, threshold)
        following = np.where(answer, forest.true_child[at], forest.false_child[at])
        at = np.where(mode == _LEAF, at, following)
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
        raise _fail(node, f"unknown aggregate_function {name}")
    return name


def _regressor_forest(node: Node) -> Forest:
    targets = int(node.attribute("n_targets", 1))
    if not 1 <= targets < 2**31:
        raise _fail(node, f"n_targets is {targets}")
    forest = _forest_of_lists(node, "target", targets)
    if len(forest.base) not in (0, targets):
        raise _fail(node, f"expected {targets} base_values, got {len(forest.base)}")
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
    return _regress(node, _forest_of_tensors(node), inputs, inputs[0].dtype)


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
    forest = _forest_of_lists(node, "class", count)
    if len(forest.base) > count:
        raise _fail(node, f"expected {count} base_values, got {len(forest.base)}")
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


OPS: tuple[Op, ...] = (
    Op(
        "ai.onnx.ml.TreeEnsembleRegressor",
        _infer_regressor,
        _evaluate_regressor,
        rows.per_row,
        traits=DISCONTINUOUS,
    ),
    Op(
        "ai.onnx.ml.TreeEnsembleClassifier",
        _infer_classifier,
        _evaluate_classifier,
        rows.per_row,
        traits=DISCONTINUOUS,
    ),
    Op("ai.onnx.ml.TreeEnsemble", _infer_ensemble, _evaluate_ensemble, rows.per_row, traits=DISCONTINUOUS),
)
