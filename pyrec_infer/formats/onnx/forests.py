"""Tree ensembles of ai.onnx.ml: every form of the operator as a forest.

A tree may be a graph: exporters write a test for several categories as a chain of equalities that share
what follows a yes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError
from pyrec_infer.formats.onnx.labels import class_labels
from pyrec_infer.formats.onnx.maker import Maker, Rule
from pyrec_infer.ir import AGGREGATES, TRANSFORMS, Array, Comparison, Forest, Label, Node, fault

Indices = NDArray[np.int64]

_MODES: Mapping[str, int] = {
    "BRANCH_LEQ": Comparison.LESS_EQUAL,
    "BRANCH_LT": Comparison.LESS,
    "BRANCH_GTE": Comparison.GREATER_EQUAL,
    "BRANCH_GT": Comparison.GREATER,
    "BRANCH_EQ": Comparison.EQUAL,
    "BRANCH_NEQ": Comparison.UNEQUAL,
    "LEAF": Comparison.LEAF,
}
"""Version 5 has the numbers of `Comparison`, `Comparison.MEMBER` included."""


def _fail(node: Node, rule: str) -> ModelError:
    return fault(ModelError, node, f"{rule}")


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


def _named(node: Node, key: str, names: Sequence[str], default: str) -> str:
    """A choice by name; version 5 gives its number."""
    value = node.attribute(key, default)
    if isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    if value not in names:
        raise _fail(node, f"unknown {key} {value!r}")
    return str(value)


def _targets(node: Node) -> int:
    return int(node.attribute("n_targets", 1))


def _places(node: Node, tree_ids: Indices, node_ids: Indices) -> Callable[[Indices, Indices], Indices]:
    """Finds nodes by tree and id: their places, -1 for none. Refuses an id that occurs twice in a tree."""
    trees, tree_of = np.unique(tree_ids, return_inverse=True)
    ids, id_of = np.unique(node_ids, return_inverse=True)
    keys = tree_of * len(ids) + id_of
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    if twice := np.flatnonzero(ranked[1:] == ranked[:-1]).tolist():
        place = order[twice[0] + 1]
        raise _fail(node, f"tree {tree_ids[place]}, node {node_ids[place]}: it occurs twice")

    def find(wanted_trees: Indices, wanted_ids: Indices) -> Indices:
        tree, number = np.searchsorted(trees, wanted_trees), np.searchsorted(ids, wanted_ids)
        tree, number = np.minimum(tree, len(trees) - 1), np.minimum(number, len(ids) - 1)
        known = (trees[tree] == wanted_trees) & (ids[number] == wanted_ids)
        key = tree * len(ids) + number
        rank = np.minimum(np.searchsorted(ranked, key), len(ranked) - 1)
        return np.where(known & (ranked[rank] == key), order[rank], -1)

    return find


def _roots(node: Node, tree_ids: Indices, children: Indices, label: Label) -> Indices:
    """The node of each tree that nothing leads to."""
    if (children < 0).any():
        return np.empty(0, np.int64)  # `Forest` refuses the child
    roots = np.flatnonzero(np.bincount(children, minlength=len(tree_ids)) == 0)
    firsts: dict[int, int] = {}
    for root in roots.tolist():
        first = firsts.setdefault(int(tree_ids[root]), root)
        if first != root:
            raise _fail(node, f"{label(root)}: its tree has another root, {label(first)}")
    return roots


def forest_of_lists(node: Node, prefix: str, targets: int) -> Forest:
    """The form of versions 1 to 3: nodes and votes as lists of (tree id, node id)."""
    tree_ids = _integers(node, "nodes_treeids")
    count = len(tree_ids)
    if count == 0:
        raise _fail(node, "there are no nodes")
    node_ids = _integers(node, "nodes_nodeids", count)

    def label(place: int) -> str:
        return f"tree {tree_ids[place]}, node {node_ids[place]}"

    names = node.attribute("nodes_modes", ())
    thresholds = _reals(node, "nodes_values")
    if len(names) != count or len(thresholds) != count:
        raise _fail(
            node, f"expected {count} nodes_modes and nodes_values, got {len(names)} and {len(thresholds)}"
        )
    modes = np.asarray([_MODES.get(str(name), -1) for name in names], np.int64)
    find = _places(node, tree_ids, node_ids)
    branch = modes != Comparison.LEAF
    yes, no = (
        np.where(branch, find(tree_ids, _integers(node, key, count)), 0)
        for key in ("nodes_truenodeids", "nodes_falsenodeids")
    )
    owners, chosen, weights = _votes_of_lists(node, prefix, find)
    order = np.argsort(owners, kind="stable")
    return Forest(
        modes,
        _integers(node, "nodes_featureids", count),
        thresholds,
        yes,
        no,
        _integers(node, "nodes_missing_value_tracks_true", count, 0) != 0,
        _roots(node, tree_ids, np.concatenate([yes[branch], no[branch]]), label),
        np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))]),
        chosen[order],
        weights[order],
        targets,
        _reals(node, "base_values"),
        _named(node, "aggregate_function", AGGREGATES, "SUM"),
        _named(node, "post_transform", TRANSFORMS, "NONE"),
        where=node.title,
        label=label,
    )


def _votes_of_lists(
    node: Node, prefix: str, find: Callable[[Indices, Indices], Indices]
) -> tuple[Indices, Indices, Array]:
    """The place of each vote's node, its target and its weight."""
    trees = _integers(node, f"{prefix}_treeids")
    ids = _integers(node, f"{prefix}_nodeids", len(trees))
    chosen = _integers(node, f"{prefix}_ids", len(trees))
    weights = _reals(node, f"{prefix}_weights")
    if len(weights) != len(trees):
        raise _fail(node, f"expected {len(trees)} values of {prefix}_weights, got {len(weights)}")
    owners = find(trees, ids)
    if missing := np.flatnonzero(owners < 0).tolist():
        vote = missing[0]
        raise _fail(node, f"tree {trees[vote]}, node {ids[vote]}: a vote names it, but there is no such node")
    return owners, chosen, weights


def _tensor(node: Node, key: str) -> Array:
    value = node.attribute(key)
    if not isinstance(value, np.ndarray):
        raise _fail(node, f"attribute {key} is missing")
    return value.reshape(-1)


def _categories(node: Node, modes: Array) -> tuple[Array, Array]:
    """Where the categories of each node begin, and all of them; the file ends each set with NaN."""
    given = node.attribute("membership_values")
    values = given.reshape(-1) if isinstance(given, np.ndarray) else np.empty(0, np.float32)
    ends = np.flatnonzero(np.isnan(values))
    kept = values[~np.isnan(values)]
    if len(values) and not np.isnan(values[-1]):
        ends = np.append(ends, len(values))
    members = np.flatnonzero(modes == Comparison.MEMBER)
    if len(ends) != len(members):
        raise _fail(node, f"expected {len(members)} sets of membership_values, got {len(ends)}")
    sizes = np.zeros(len(modes), np.int64)
    sizes[members] = np.diff(ends, prepend=-1) - 1
    return np.concatenate([[0], np.cumsum(sizes)]), kept


def _children_of_tensors(node: Node, side: str, count: int, leaves: int) -> Indices:
    """Places of children, -1 for those that do not exist. Leaves stand after all branches and have none."""
    ids = _integers(node, f"nodes_{side}nodeids", count)
    is_leaf = _integers(node, f"nodes_{side}leafs", count) != 0
    known = (ids >= 0) & (ids < np.where(is_leaf, leaves, count))
    places = np.where(is_leaf, ids + count, ids)
    return np.concatenate([np.where(known, places, -1), np.zeros(leaves, np.int64)])


def forest_of_tensors(node: Node) -> Forest:
    """The form of version 5: branches and leaves apart, children by position."""
    modes = _tensor(node, "nodes_modes").astype(np.int64)
    thresholds = _tensor(node, "nodes_splits")
    weights = _tensor(node, "leaf_weights")
    count, leaves = len(modes), len(weights)
    if len(thresholds) != count:
        raise _fail(node, f"expected {count} nodes_splits, got {len(thresholds)}")
    modes[modes == Comparison.LEAF] = -1  # not a mode of branches

    def padded(values: Any, fill: int = 0) -> Array:
        return np.concatenate([values, np.full(leaves, fill, values.dtype)])

    modes = padded(modes, Comparison.LEAF)
    category_start, categories = _categories(node, modes)
    return Forest(
        modes,
        padded(_integers(node, "nodes_featureids", count)),
        padded(thresholds),
        _children_of_tensors(node, "true", count, leaves),
        _children_of_tensors(node, "false", count, leaves),
        padded(_integers(node, "nodes_missing_value_tracks_true", count, 0) != 0),
        _integers(node, "tree_roots"),
        np.concatenate([np.zeros(count, np.int64), np.arange(leaves + 1)]),
        _integers(node, "leaf_targetids", leaves),
        weights,
        _targets(node),
        aggregate=_named(node, "aggregate_function", AGGREGATES, "SUM"),
        transform=_named(node, "post_transform", TRANSFORMS, "NONE"),
        category_start=category_start,
        categories=categories,
        where=node.title,
        label=lambda place: f"leaf {place - count}" if place >= count else "",
    )


def _regressor(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    forest = forest_of_lists(node, "target", _targets(node))
    if len(forest.base) not in (0, forest.targets):
        raise _fail(node, f"expected {forest.targets} base_values, got {len(forest.base)}")
    return [replace(node, op="pyrec.Forest", attributes={"forest": forest, "dtype": "float32"})]


def _ensemble(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    return [replace(node, op="pyrec.Forest", attributes={"forest": forest_of_tensors(node)})]


def _classifier(node: Node, opset: int, make: Maker) -> Sequence[Node]:
    labels = class_labels(node, "classlabels_int64s")
    forest = forest_of_lists(node, "class", len(labels))
    # One class is a yes or no: the labels are then 0 and 1.
    attributes = {"forest": forest, "labels": labels if len(labels) > 1 else np.arange(2)}
    return [replace(node, op="pyrec.ForestClassifier", attributes=attributes)]


RULES: Mapping[str, Rule] = {
    "ai.onnx.ml.TreeEnsemble": _ensemble,
    "ai.onnx.ml.TreeEnsembleClassifier": _classifier,
    "ai.onnx.ml.TreeEnsembleRegressor": _regressor,
}

__all__ = ["RULES"]
