"""Forests of ai.onnx.ml's tree ensembles: every form of the operator as flat arrays, validated.

A tree may be a graph: exporters write a test for several categories as a chain of equalities that share
what follows a yes. What is refused is what a walk could not end in: a cycle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array, Node

Indices = NDArray[np.int64]
Label = Callable[[int], str]
"""Names a node of the forest for a message: its tree, and itself as the file calls it."""

LEAF = 7
"""The mode of a leaf; a branch's is its place in `COMPARISONS`."""

COMPARISONS = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)

_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
_EQ = 4
_MEMBER = 6
_MAX_FEATURE = 2**31 - 2


@dataclass(frozen=True)
class Forest:
    """Trees as flat arrays; a node is an index into them.

    No path comes back to a node, so a walk always ends at a leaf; paths may meet.

    Attributes
    ----------
    modes : ndarray of int64
        Index into the comparisons, or `LEAF`.
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


def fail(node: Node, rule: str) -> ModelError:
    """The error for an ensemble that breaks a rule."""
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
        raise fail(node, f"expected {count} values of {key}, got {len(values)}")
    return values


def _refuse_first(node: Node, wrong: NDArray[np.bool_], label: Label, rule: str) -> None:
    if wrong.any():
        raise fail(node, f"{label(int(wrong.argmax()))}: {rule}")


def _targets_checked(node: Node, chosen: Indices, targets: int, names: Callable[[int], str]) -> Indices:
    _refuse_first(
        node, (chosen < 0) | (chosen >= targets), names, f"its vote is not for one of the {targets} targets"
    )
    return chosen


def _parents(true_child: Indices, false_child: Indices, branches: Indices) -> Indices:
    """How many answers lead to each node."""
    children = np.concatenate([true_child[branches], false_child[branches]])
    return np.bincount(children, minlength=len(true_child))


def _refuse_cycles(
    node: Node, true_child: Indices, false_child: Indices, branches: Indices, label: Label
) -> None:
    """Take nodes away that no remaining node leads to; what is left then lies on a cycle or behind one."""
    waiting = _parents(true_child, false_child, branches).tolist()
    children: list[tuple[int, ...]] = [()] * len(waiting)
    for i, yes, no in zip(
        branches.tolist(), true_child[branches].tolist(), false_child[branches].tolist(), strict=True
    ):
        children[i] = (yes, no)
    ready = [i for i, parents in enumerate(waiting) if parents == 0]
    while ready:
        for child in children[ready.pop()]:
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    left = {i for i, parents in enumerate(waiting) if parents > 0}
    if not left:
        return
    # Each of them has a parent among them, so that going up ends in a circle.
    parent = {child: i for i in sorted(left, reverse=True) for child in children[i]}
    at, seen = min(left), dict[int, int]()
    while at not in seen:
        seen[at] = len(seen)
        at = parent[at]
    cycle = [i for i, place in seen.items() if place >= seen[at]]
    raise fail(node, f"{label(min(cycle))}: it is on a cycle")


def _places(node: Node, tree_ids: Indices, node_ids: Indices) -> Callable[[Indices, Indices], Indices]:
    """Finds nodes by tree and id: their places, -1 for none. Refuses an id that occurs twice in a tree."""
    trees, tree_of = np.unique(tree_ids, return_inverse=True)
    ids, id_of = np.unique(node_ids, return_inverse=True)
    keys = tree_of * len(ids) + id_of
    order = np.argsort(keys, kind="stable")
    ranked = keys[order]
    if twice := np.flatnonzero(ranked[1:] == ranked[:-1]).tolist():
        place = order[twice[0] + 1]
        raise fail(node, f"tree {tree_ids[place]}, node {node_ids[place]}: it occurs twice")

    def find(wanted_trees: Indices, wanted_ids: Indices) -> Indices:
        tree, number = np.searchsorted(trees, wanted_trees), np.searchsorted(ids, wanted_ids)
        tree, number = np.minimum(tree, len(trees) - 1), np.minimum(number, len(ids) - 1)
        known = (trees[tree] == wanted_trees) & (ids[number] == wanted_ids)
        key = tree * len(ids) + number
        rank = np.minimum(np.searchsorted(ranked, key), len(ranked) - 1)
        return np.where(known & (ranked[rank] == key), order[rank], -1)

    return find


def _roots_of_lists(node: Node, tree_ids: Indices, parents: Indices, label: Label) -> Indices:
    """The node of each tree that nothing leads to."""
    roots = np.flatnonzero(parents == 0)
    firsts: dict[int, int] = {}
    for root in roots.tolist():
        first = firsts.setdefault(int(tree_ids[root]), root)
        if first != root:
            raise fail(node, f"{label(root)}: its tree has another root, {label(first)}")
    return roots


def forest_of_lists(node: Node, prefix: str, targets: int) -> Forest:
    """The form of versions 1 to 3: nodes and votes as lists of (tree id, node id)."""
    tree_ids = _integers(node, "nodes_treeids")
    count = len(tree_ids)
    if count == 0:
        raise fail(node, "there are no nodes")
    node_ids = _integers(node, "nodes_nodeids", count)

    def label(place: int) -> str:
        return f"tree {tree_ids[place]}, node {node_ids[place]}"

    names = node.attribute("nodes_modes", ())
    thresholds = _reals(node, "nodes_values")
    if len(names) != count or len(thresholds) != count:
        raise fail(
            node, f"expected {count} nodes_modes and nodes_values, got {len(names)} and {len(thresholds)}"
        )
    numbers = {name: index for index, name in enumerate(_MODES)} | {"LEAF": LEAF}
    modes = np.asarray([numbers.get(str(name), -1) for name in names], np.int64)
    _refuse_first(node, modes < 0, label, "its mode is unknown")
    find = _places(node, tree_ids, node_ids)
    branches = np.flatnonzero(modes != LEAF)

    def children(key: str) -> Indices:
        result = np.zeros(count, np.int64)
        found = find(tree_ids[branches], _integers(node, key, count)[branches])
        result[branches] = found
        _refuse_first(node, result < 0, label, "its child is not a node of its tree")
        return result

    true_child, false_child = children("nodes_truenodeids"), children("nodes_falsenodeids")
    features = np.where(modes == LEAF, 0, _integers(node, "nodes_featureids", count))
    _refuse_first(node, (features < 0) | (features > _MAX_FEATURE), label, "its feature id is out of range")
    _refuse_cycles(node, true_child, false_child, branches, label)
    roots = _roots_of_lists(node, tree_ids, _parents(true_child, false_child, branches), label)
    owners, vote_targets, weights = _votes_of_lists(node, prefix, targets, find)
    order = np.argsort(owners, kind="stable")
    vote_start = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))])
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
        _reals(node, "base_values"),
    )


def _votes_of_lists(
    node: Node, prefix: str, targets: int, find: Callable[[Indices, Indices], Indices]
) -> tuple[Indices, Indices, Array]:
    """The place of each vote's node, its target and its weight."""
    trees = _integers(node, f"{prefix}_treeids")
    ids = _integers(node, f"{prefix}_nodeids", len(trees))
    chosen = _integers(node, f"{prefix}_ids", len(trees))
    weights = _reals(node, f"{prefix}_weights")
    if len(weights) != len(trees):
        raise fail(node, f"expected {len(trees)} values of {prefix}_weights, got {len(weights)}")

    def label(vote: int) -> str:
        return f"tree {trees[vote]}, node {ids[vote]}"

    _targets_checked(node, chosen, targets, label)
    owners = find(trees, ids)
    _refuse_first(node, owners < 0, label, "a vote names it, but there is no such node")
    return owners, chosen, weights


def _tensor(node: Node, key: str) -> Array:
    value = node.attribute(key)
    if not isinstance(value, np.ndarray):
        raise fail(node, f"attribute {key} is missing")
    return value.reshape(-1)


def _member_sets(node: Node, count: int) -> list[Array]:
    """The NaN-delimited sets of the membership tests."""
    value = node.attribute("membership_values")
    values = value.reshape(-1) if isinstance(value, np.ndarray) else np.empty(0, np.float32)
    ends = np.flatnonzero(np.isnan(values)).tolist()
    if len(values) and (not ends or ends[-1] != len(values) - 1):
        ends.append(len(values))
    starts = [0, *(end + 1 for end in ends[:-1])] if ends else []
    if len(ends) != count:
        raise fail(node, f"expected {count} sets of membership_values, got {len(ends)}")
    return [values[start:end] for start, end in zip(starts, ends, strict=True)]


@dataclass
class _Branches:
    """Nodes as growing lists, while tests of membership are spelled out."""

    modes: list[int]
    features: list[int]
    thresholds: list[float]
    true_child: list[int]
    false_child: list[int]
    missing: list[bool]

    def chain(self, place: int, members: Sequence[float]) -> None:
        """A test of membership as a chain of equalities with one last no; an empty set equals nothing."""
        self.modes[place] = _EQ
        self.thresholds[place] = members[0] if len(members) else float("nan")
        last, at = self.false_child[place], place
        for member in members[1:]:
            self.false_child[at] = len(self.modes)
            at = len(self.modes)
            self.modes.append(_EQ)
            self.features.append(self.features[place])
            self.thresholds.append(member)
            self.true_child.append(self.true_child[place])
            self.false_child.append(last)
            self.missing.append(self.missing[place])


def _label_of_tensors(roots: Indices, true_child: Indices, false_child: Indices, count: int) -> Label:
    """Names a node with the first tree that holds it; for messages only, because it searches."""

    def label(place: int) -> str:
        if place >= count:
            return f"leaf {place - count}"
        for tree, root in enumerate(roots.tolist()):
            seen, pending = {root}, [root]
            while pending:
                at = pending.pop()
                if at == place:
                    return f"tree {tree}, node {place}"
                following = {int(true_child[at]), int(false_child[at])} if at < count else set()
                pending.extend(following - seen)
                seen |= following
        return f"node {place}, which no tree reaches"

    return label


def _roots_of_tensors(node: Node, roots: Indices, parents: Indices, count: int) -> None:
    if not len(roots):
        raise fail(node, "there are no trees")
    owners: dict[int, int] = {}
    for tree, root in enumerate(roots.tolist()):
        if not 0 <= root < count:
            raise fail(node, f"tree {tree}: its root, node {root}, does not exist")
        first = owners.setdefault(root, tree)
        if first != tree:
            raise fail(node, f"tree {tree}: its root, node {root}, is the root of tree {first} too")
        if parents[root]:
            raise fail(node, f"tree {tree}: its root, node {root}, is the child of a node")


def _children_of_tensors(node: Node, side: str, count: int, leaves: int) -> Indices:
    ids = _integers(node, f"nodes_{side}nodeids", count)
    is_leaf = _integers(node, f"nodes_{side}leafs", count) != 0
    wrong = (ids < 0) | (ids >= np.where(is_leaf, leaves, count))
    _refuse_first(node, wrong, "node {}".format, "its child does not exist")
    return np.where(is_leaf, ids + count, ids)


def forest_of_tensors(node: Node) -> Forest:
    """The form of version 5: branches and leaves apart, children by position."""
    modes = _tensor(node, "nodes_modes").astype(np.int64)
    thresholds = _tensor(node, "nodes_splits")
    weights = _tensor(node, "leaf_weights")
    count, leaves = len(modes), len(weights)
    targets = int(node.attribute("n_targets", 1))
    if len(thresholds) != count or not 1 <= targets < 2**31:
        raise fail(node, f"expected {count} nodes_splits and a positive n_targets")
    leaf_targets = _targets_checked(
        node, _integers(node, "leaf_targetids", leaves), targets, "leaf {}".format
    )
    missing = _integers(node, "nodes_missing_value_tracks_true", count, 0) != 0
    padding = np.zeros(leaves, np.int64)
    true_child, false_child = (
        np.concatenate([_children_of_tensors(node, side, count, leaves), padding])
        for side in ("true", "false")
    )
    roots = _integers(node, "tree_roots")
    label = _label_of_tensors(roots, true_child, false_child, count)
    branches = np.arange(count)
    _roots_of_tensors(node, roots, _parents(true_child, false_child, branches), count)
    _refuse_cycles(node, true_child, false_child, branches, label)
    _refuse_first(node, (modes < 0) | (modes > _MEMBER), label, "its mode is unknown")
    features = _integers(node, "nodes_featureids", count)
    _refuse_first(node, (features < 0) | (features > _MAX_FEATURE), label, "its feature id is out of range")
    made = _Branches(
        [*modes.tolist(), *[LEAF] * leaves],
        [*features.tolist(), *[0] * leaves],
        [*thresholds.tolist(), *[0.0] * leaves],
        true_child.tolist(),
        false_child.tolist(),
        [*missing.tolist(), *[False] * leaves],
    )
    members = np.flatnonzero(modes == _MEMBER).tolist()
    for place, values in zip(members, _member_sets(node, len(members)), strict=True):
        made.chain(place, values.tolist())
    starts = np.concatenate(
        [np.zeros(count, np.int64), np.arange(leaves + 1), np.full(len(made.modes) - count - leaves, leaves)]
    )
    return Forest(
        np.asarray(made.modes, np.int64),
        np.asarray(made.features, np.int64),
        np.asarray(made.thresholds, thresholds.dtype),
        np.asarray(made.true_child, np.int64),
        np.asarray(made.false_child, np.int64),
        np.asarray(made.missing, np.bool_),
        roots,
        starts,
        leaf_targets,
        weights,
        targets,
        np.empty(0, weights.dtype),
    )
