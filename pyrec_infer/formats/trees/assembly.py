"""Binary trees of one comparison, put after one another into a forest; whatever is no tree is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError, ResourceLimitError
from pyrec_infer.ir import Array, Comparison, Forest

MAX_NODES = 1 << 25
"""Nodes of a forest, those that stand for sets of categories included."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """A test of a feature that no single comparison says: what it answers between bounds.

    Attributes
    ----------
    bounds : sequence of float
        Growing; a feature goes to the first for which the comparison is true, or behind all of them.
    first : bool
        The answer before the first bound; each further bound turns it around.
    missing : bool
        The answer for NaN.
    """

    bounds: Sequence[float]
    first: bool
    missing: bool


@dataclass(frozen=True, eq=False, slots=True)
class Tree:
    """One tree as its file gives it: nodes by number, of which the first is the root.

    Attributes
    ----------
    leaf : ndarray of bool, shape (nodes,)
    features : ndarray of int, shape (nodes,)
    thresholds : ndarray of float, shape (nodes,)
    yes, no : ndarray of int, shape (nodes,)
        Where the answers lead.
    missing_yes : ndarray of bool, shape (nodes,)
    values : ndarray of float, shape (nodes,)
        What leaves add to the score.
    ranges : dict of int to Ranges
        The tests of nodes that have no threshold.
    target : int
        The score that the tree adds to.
    """

    leaf: NDArray[np.bool_]
    features: Array
    thresholds: Array
    yes: Array
    no: Array
    missing_yes: NDArray[np.bool_]
    values: Array
    ranges: dict[int, Ranges] = field(default_factory=dict)
    target: int = 0


def _require_tree(tree: Tree, where: str) -> None:
    """Every node but the root has one parent, which with `Forest`'s rule of no cycles makes it a tree."""
    count = len(tree.leaf)
    if not count:
        raise ModelError(f"{where}: it has no nodes")
    children = np.concatenate([tree.yes[~tree.leaf], tree.no[~tree.leaf]])
    if ((children < 0) | (children >= count)).any():
        raise ModelError(f"{where}: a node's child does not exist")
    parents = np.bincount(children, minlength=count)
    wrong = np.flatnonzero(parents != (np.arange(count) > 0))
    if wrong.size:
        place = int(wrong[0])
        if place == 0:
            raise ModelError(f"{where}, node 0: the root is the child of a node")
        raise ModelError(f"{where}, node {place}: it has {parents[place]} parents, expected 1")


class Assembly:
    """Makes a forest of trees that are added one by one.

    Parameters
    ----------
    comparison : Comparison
        Of every branch: `LESS_EQUAL` or `LESS`.
    dtype : type
        Of thresholds and values: that in which features are compared and leaves added.
    width : int
        Features that a row has.
    where : str
        What the file is called in messages.
    """

    def __init__(self, comparison: Comparison, dtype: type[np.floating[Any]], width: int, where: str) -> None:
        self._comparison, self._dtype, self._width, self._where = comparison, dtype, width, where
        self._parts: list[dict[str, Array]] = []
        self._roots: list[int] = []
        self._count = 0

    def add(self, tree: Tree) -> None:
        """Append a tree.

        Raises
        ------
        ModelError
            If it is none, or reads a feature that rows do not have.
        ResourceLimitError
            If the forest then has more than `MAX_NODES` nodes.
        """
        where = f"{self._where}: tree {len(self._roots)}"
        _require_tree(tree, where)
        branch = ~tree.leaf
        features = np.where(branch, tree.features, 0)
        outside = np.flatnonzero((features < 0) | (features >= self._width))
        if outside.size and self._width:
            expected = f"expected one of the {self._width} features"
            raise ModelError(f"{where}, node {outside[0]}: it tests no feature, {expected}")
        size = len(tree.leaf) + sum(len(ranges.bounds) - 1 for ranges in tree.ranges.values())
        if self._count + size > MAX_NODES:
            raise ResourceLimitError(f"{where}: the trees need more than {MAX_NODES} nodes")
        parts = {
            "leaf": tree.leaf,
            "features": features,
            "thresholds": np.where(branch, tree.thresholds, 0).astype(self._dtype),
            "yes": np.where(branch, tree.yes, 0),
            "no": np.where(branch, tree.no, 0),
            "missing_yes": tree.missing_yes & branch,
            "values": np.where(branch, 0, tree.values).astype(self._dtype),
            "targets": np.full(len(tree.leaf), tree.target),
        }
        if tree.ranges:
            parts = _searched(parts, tree.ranges)
        parts["yes"] = parts["yes"] + self._count
        parts["no"] = parts["no"] + self._count
        self._parts.append(parts)
        self._roots.append(self._count)
        self._count += len(parts["leaf"])

    def forest(self, targets: int, base: Array) -> Forest:
        """The forest of all trees; one leaf of 0 where there are none.

        Parameters
        ----------
        targets : int
            Number of scores.
        base : ndarray of float
            Added to the scores.
        """
        if not self._parts:
            none = np.zeros(1, np.int64)
            zero = np.zeros(1, self._dtype)
            self.add(Tree(none == 0, none, zero, none, none, none > 0, zero))
        whole = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        leaf = whole["leaf"]
        return Forest(
            np.where(leaf, Comparison.LEAF, self._comparison).astype(np.uint8),
            whole["features"],
            whole["thresholds"],
            whole["yes"],
            whole["no"],
            whole["missing_yes"],
            np.asarray(self._roots),
            np.concatenate([[0], np.cumsum(leaf)]),
            whole["targets"][leaf],
            whole["values"][leaf],
            targets,
            np.asarray(base, self._dtype),
            where=self._where,
        )


def _searched(parts: dict[str, Array], ranges: dict[int, Ranges]) -> dict[str, Array]:
    """The nodes with a balanced search for each test of ranges, whose further nodes stand behind all others.

    Paths meet again at the two children.
    """
    lists: dict[str, list[Any]] = {name: array.tolist() for name, array in parts.items()}
    thresholds, yes, no, missing = (lists[name] for name in ("thresholds", "yes", "no", "missing_yes"))
    for place, test in ranges.items():
        answers = (no[place], yes[place])
        # NaN goes to one of the first two ranges, which answer differently.
        wanted = 0 if test.first == test.missing else 1
        pending = [(place, 0, len(test.bounds))]
        while pending:
            at, low, high = pending.pop()
            middle = (low + high) // 2
            sides = []
            for begin, end in ((low, middle), (middle + 1, high)):
                if begin == end:
                    sides.append(answers[test.first ^ bool(begin & 1)])
                    continue
                sides.append(len(yes))
                pending.append((len(yes), begin, end))
                for values in lists.values():
                    values.append(values[place])
            thresholds[at] = test.bounds[middle]
            yes[at], no[at] = sides
            missing[at] = wanted <= middle
    return {name: np.asarray(values, parts[name].dtype) for name, values in lists.items()}


def runs_of(members: NDArray[np.int64]) -> list[tuple[int, int]]:
    """The first and the last number of each run in growing whole numbers.

    Examples
    --------
    >>> runs_of(np.asarray([2, 3, 4, 7]))
    [(2, 4), (7, 7)]
    """
    if not len(members):
        return []
    starts = np.flatnonzero(np.diff(members, prepend=members[0] - 2) != 1)
    edges = [*starts.tolist(), len(members)]
    return [(int(members[begin]), int(members[end - 1])) for begin, end in pairwise(edges)]


__all__ = ["MAX_NODES", "Assembly", "Ranges", "Tree", "runs_of"]
