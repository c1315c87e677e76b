"""Forests of decision trees as plain data, valid once made: every walk ends at a leaf."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError
from pyrec_infer.ir.arrays import Array
from pyrec_infer.ir.transforms import MAX_SCORES, require_transform

AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")

MAX_FEATURE = 2**31 - 2

Label: TypeAlias = Callable[[int], str]
"""Names a node of a forest for a message, as its file calls it; empty to say in which tree it is."""


class Comparison(IntEnum):
    """How a branch compares a feature with its threshold; with NaN it is false, but for `UNEQUAL`."""

    LESS_EQUAL = 0
    LESS = 1
    GREATER_EQUAL = 2
    GREATER = 3
    EQUAL = 4
    UNEQUAL = 5
    MEMBER = 6
    """Whether the feature is one of the node's categories."""
    LEAF = 7
    """No comparison: the walk ends here."""


def _none() -> Array:
    return np.empty(0, np.float32)


@dataclass(frozen=True, eq=False)
class Forest:
    """Trees as flat arrays; a node is an index into them. Copied, read-only.

    A tree may be a graph: paths may meet, but none comes back to a node. Roots are not children, and each
    occurs once.

    Attributes
    ----------
    comparisons : ndarray of uint8, shape (nodes,)
        Members of `Comparison`.
    features : ndarray of int32, shape (nodes,)
    thresholds : ndarray of float32 or float64, shape (nodes,)
        Not NaN. float64 means that features are compared, and votes added, in float64.
    yes, no : ndarray of int32, shape (nodes,)
        Where each answer leads; a leaf leads to itself, and its other numbers are 0.
    missing_yes : ndarray of bool, shape (nodes,)
        Whether a feature that is NaN is answered with yes, whatever the comparison says.
    roots : ndarray of int32, shape (trees,)
    vote_start : ndarray of int32, shape (nodes + 1,)
        A walk that ends at node ``i`` gives the votes ``vote_start[i]:vote_start[i + 1]``.
    vote_targets : ndarray of int32, shape (votes,)
        The score that a vote counts for.
    vote_weights : ndarray of float32 or float64, shape (votes,)
    targets : int
        Number of scores.
    base : ndarray of float32 or float64
        Added to the first scores, in their order.
    aggregate : str
        One of `AGGREGATES`.
    transform : str
        One of `TRANSFORMS`.
    category_start : ndarray of int32, shape (nodes + 1,)
        The categories of node ``i`` are ``category_start[i]:category_start[i + 1]``; none if not given.
    categories : ndarray of float32 or float64
        Not NaN.

    Parameters
    ----------
    where : str
        What the forest is called in messages.
    label : callable, optional
        What its nodes are called.

    Raises
    ------
    ModelError
        Names the node and the rule that it breaks.

    Examples
    --------
    >>> leaf = Comparison.LEAF
    >>> stump = Forest([0, leaf, leaf], [2, 0, 0], [0.5, 0.0, 0.0], [1, 0, 0], [2, 0, 0], [0, 0, 0],
    ...                [0], [0, 0, 1, 2], [0, 0], [-1.0, 1.0])
    >>> stump.width, stump.yes.tolist()
    (3, [1, 1, 2])
    """

    comparisons: Array
    features: Array
    thresholds: Array
    yes: Array
    no: Array
    missing_yes: Array
    roots: Array
    vote_start: Array
    vote_targets: Array
    vote_weights: Array
    targets: int = 1
    base: Array = field(default_factory=_none)
    aggregate: str = "SUM"
    transform: str = "NONE"
    category_start: Array = field(default_factory=_none)
    categories: Array = field(default_factory=_none)
    where: InitVar[str] = "the forest"
    label: InitVar[Label | None] = None

    def __post_init__(self, where: str, label: Label | None) -> None:
        check = _Check(self, where, label)
        check.totals()
        check.nodes()
        check.edges()
        check.votes()
        for name, array in check.arrays.items():
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def width(self) -> int:
        """The features that a row must have at least."""
        return int(self.features[self.comparisons != Comparison.LEAF].max(initial=-1)) + 1

    @cached_property
    def chained(self) -> Forest:
        """The same without `Comparison.MEMBER`: a chain of equalities with one last no."""
        return _chained(self) if (self.comparisons == Comparison.MEMBER).any() else self


class _Check:
    """Makes the arrays of a forest from what was given, by rules that are checked one after the other."""

    def __init__(self, given: Forest, where: str, label: Label | None) -> None:
        self.given, self.where = given, where
        self.named = label
        self.count = len(np.atleast_1d(given.comparisons))
        self.arrays: dict[str, Array] = {}
        self.roots = self.whole("roots", None)

    def fail(self, rule: str) -> ModelError:
        return ModelError(f"{self.where}: {rule}")

    def refuse(self, wrong: NDArray[np.bool_], rule: str) -> None:
        if wrong.any():
            raise self.fail(f"{self.label(int(wrong.argmax()))}: {rule}")

    def label(self, node: int) -> str:
        """A node as its file calls it, or by the first tree that holds it, which takes a search."""
        if self.named and (text := self.named(node)):
            return text
        yes, no = (self.arrays[name].tolist() for name in ("yes", "no"))
        for tree, root in enumerate(self.roots.tolist()):
            seen, pending = {root}, [root]
            while pending:
                at = pending.pop()
                if at == node:
                    return f"tree {tree}, node {node}"
                following = {yes[at], no[at]} - seen if 0 <= at < self.count else set()
                pending.extend(following)
                seen |= following
        return f"node {node}, which no tree reaches"

    def whole(self, name: str, count: int | None) -> NDArray[np.int64]:
        given = np.asarray(getattr(self.given, name))
        if given.ndim != 1 or (count is not None and len(given) != count) or len(given) >= 2**31:
            expected = f"{count} values" if count is not None else "a list"
            raise self.fail(f"expected {expected} of {name}, got shape {list(given.shape)}")
        if given.size and given.dtype.kind not in "iub":
            raise self.fail(f"{name}: expected whole numbers, got {given.dtype}")
        return given.astype(np.int64)

    def real(self, name: str, count: int | None) -> Array:
        given = np.asarray(getattr(self.given, name))
        if given.ndim != 1 or (count is not None and len(given) != count):
            expected = f"{count} values" if count is not None else "a list"
            raise self.fail(f"expected {expected} of {name}, got shape {list(given.shape)}")
        if given.size and given.dtype.kind != "f":
            raise self.fail(f"{name}: expected reals, got {given.dtype}")
        return np.array(given, np.float64 if given.dtype == np.float64 else np.float32)

    def starts(self, name: str, total: int) -> Array:
        start = self.whole(name, self.count + 1)
        if start[0] != 0 or start[-1] != total or (np.diff(start) < 0).any():
            raise self.fail(f"{name}: expected numbers that grow from 0 to {total}")
        return start.astype(np.int32)

    def totals(self) -> None:
        given = self.given
        if not self.count:
            raise self.fail("there are no nodes")
        if not 1 <= given.targets <= MAX_SCORES:
            raise self.fail(f"expected 1 to {MAX_SCORES} targets, got {given.targets}")
        if given.aggregate not in AGGREGATES:
            raise self.fail(f"unknown aggregate_function {given.aggregate!r}")
        require_transform(given.transform, self.where)
        base = self.arrays["base"] = self.real("base", None)
        if len(base) > given.targets:
            raise self.fail(f"expected at most {given.targets} base values, got {len(base)}")

    def nodes(self) -> None:
        """What branches compare; a leaf compares nothing and leads to itself."""
        comparisons = self.whole("comparisons", self.count)
        leaf = comparisons == Comparison.LEAF
        place = np.arange(self.count)
        yes, no = (np.where(leaf, place, self.whole(name, self.count)) for name in ("yes", "no"))
        self.arrays.update(yes=yes, no=no)
        self.refuse((comparisons < 0) | (comparisons > Comparison.LEAF), "its mode is unknown")
        for child in (yes, no):
            self.refuse((child < 0) | (child >= self.count), "its child does not exist")
        features = np.where(leaf, 0, self.whole("features", self.count))
        self.refuse((features < 0) | (features > MAX_FEATURE), "its feature id is out of range")
        thresholds = self.real("thresholds", self.count)
        thresholds[leaf | (comparisons == Comparison.MEMBER)] = 0
        self.refuse(np.isnan(thresholds), "its threshold is NaN")
        missing = (self.whole("missing_yes", self.count) != 0) & ~leaf
        categories = self.real("categories", None)
        if np.isnan(categories).any():
            raise self.fail("a category is NaN")
        start = np.zeros(self.count + 1, np.int32)
        if len(self.given.category_start):
            start = self.starts("category_start", len(categories))
            self.refuse((np.diff(start) > 0) & (comparisons != Comparison.MEMBER), "it tests no categories")
        self.arrays.update(
            comparisons=comparisons.astype(np.uint8),
            features=features.astype(np.int32),
            thresholds=thresholds,
            yes=yes.astype(np.int32),
            no=no.astype(np.int32),
            missing_yes=missing,
            category_start=start,
            categories=categories,
        )

    def edges(self) -> None:
        """No path comes back to a node, and no path leads to a root."""
        branches = np.flatnonzero(self.arrays["comparisons"] != Comparison.LEAF)
        children = np.stack([self.arrays["yes"][branches], self.arrays["no"][branches]], axis=1)
        parents = np.bincount(children.reshape(-1), minlength=self.count)
        owners: dict[int, int] = {}
        for tree, root in enumerate(self.roots.tolist()):
            if not 0 <= root < self.count:
                raise self.fail(f"tree {tree}: its root, node {root}, does not exist")
            first = owners.setdefault(root, tree)
            if first != tree:
                raise self.fail(f"tree {tree}: its root, node {root}, is the root of tree {first} too")
            if parents[root]:
                raise self.fail(f"tree {tree}: its root, node {root}, is the child of a node")
        self.circles(dict(zip(branches.tolist(), map(tuple, children.tolist()), strict=True)), parents)
        if not len(self.roots):
            raise self.fail("there are no trees")
        self.arrays["roots"] = self.roots.astype(np.int32)

    def circles(self, children: dict[int, tuple[int, ...]], parents: Array) -> None:
        """Take nodes away that no remaining node leads to; what is left lies on a cycle or behind one."""
        waiting = parents.tolist()
        ready = np.flatnonzero(parents == 0).tolist()
        while ready:
            for child in children.get(ready.pop(), ()):
                waiting[child] -= 1
                if waiting[child] == 0:
                    ready.append(child)
        left = {i for i, count in enumerate(waiting) if count > 0}
        if not left:
            return
        # Each of them has a parent among them, so that going up ends in a circle.
        parent = {child: i for i in sorted(left, reverse=True) for child in children.get(i, ())}
        at, seen = min(left), dict[int, int]()
        while at not in seen:
            seen[at] = len(seen)
            at = parent[at]
        circle = [i for i, rank in seen.items() if rank >= seen[at]]
        raise self.fail(f"{self.label(min(circle))}: it is on a cycle")

    def votes(self) -> None:
        targets, weights = self.whole("vote_targets", None), self.real("vote_weights", None)
        if len(targets) != len(weights):
            raise self.fail(f"expected {len(targets)} vote_weights, got {len(weights)}")
        start = self.starts("vote_start", len(targets))
        wrong = np.flatnonzero((targets < 0) | (targets >= self.given.targets))
        if wrong.size:
            owner = int(np.searchsorted(start, wrong[0], side="right")) - 1
            rule = f"its vote is not for one of the {self.given.targets} targets"
            raise self.fail(f"{self.label(owner)}: {rule}")
        self.arrays.update(vote_start=start, vote_targets=targets.astype(np.int32), vote_weights=weights)


def _chained(forest: Forest) -> Forest:
    nodes = {
        name: getattr(forest, name).tolist()
        for name in ("comparisons", "features", "thresholds", "yes", "no", "missing_yes")
    }
    comparisons, thresholds, no = nodes["comparisons"], nodes["thresholds"], nodes["no"]
    for place in np.flatnonzero(forest.comparisons == Comparison.MEMBER).tolist():
        start, end = forest.category_start[place : place + 2].tolist()
        first, *others = forest.categories[start:end].tolist() or [None]
        # Nothing is less than minus infinity, as nothing is in an empty set.
        comparisons[place] = Comparison.LESS if first is None else Comparison.EQUAL
        thresholds[place] = -np.inf if first is None else first
        last, at = no[place], place
        for category in others:
            no[at] = at = len(no)
            for values in nodes.values():
                values.append(values[place])
            thresholds[at], no[at] = category, last
    start = np.full(len(no) + 1, forest.vote_start[-1])
    start[: len(forest.vote_start)] = forest.vote_start
    arrays: dict[str, Any] = {name: np.asarray(values) for name, values in nodes.items()}
    arrays["thresholds"] = arrays["thresholds"].astype(forest.thresholds.dtype)
    return Forest(
        **arrays,
        roots=forest.roots,
        vote_start=start,
        vote_targets=forest.vote_targets,
        vote_weights=forest.vote_weights,
        targets=forest.targets,
        base=forest.base,
        aggregate=forest.aggregate,
        transform=forest.transform,
    )


__all__ = ["AGGREGATES", "MAX_FEATURE", "Comparison", "Forest", "Label"]
