"""Forests whose tests are decided at different times: where leaves lie, and what bytes tests compare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.ir.arrays import Array
from pyrec_infer.ir.forest import Comparison, Forest

MOST_LEAVES = 256
"""Of a tree: a byte counts them."""

MOST_RANK = 255
"""Of places that a byte counts."""

_MOST_COLUMNS = 2**16 - 1
_MOST_THRESHOLDS = 2**16 - 2


class Scale(NamedTuple):
    """The thresholds that one feature is compared with: a number is behind those below it or, if the
    scale is strict, those up to it."""

    feature: int
    strict: bool
    thresholds: NDArray[np.float64]

    @property
    def missing(self) -> int:
        """The place of what is missing; numbers have those below it."""
        return len(self.thresholds) + 1


@dataclass(frozen=True, eq=False)
class ForestDivision:
    """The trees of a forest, some of whose features are known early.

    A tree is a list of entries, its root first: behind a branch come the branch that its first side leads
    to with all below it, and then the other's. The side of fewer leaves is the first. A branch compares a
    byte: a place on its feature's scale, in a column of ranks.

    Attributes
    ----------
    tree_start : ndarray of int32, shape (trees + 1,)
        The entries of tree ``i`` are ``tree_start[i]:tree_start[i + 1]``.
    entry_columns : ndarray of int32, shape (entries,)
        The column that a branch compares; -1 for a leaf.
    entry_limits : ndarray of int8, shape (entries,)
        Rows whose rank is below it take the first side of a branch.
    entry_next : ndarray of int32, shape (entries,)
        Of a branch how many entries behind it the second side begins, of a leaf its node in the forest.
    early_columns : int
        Those before are known early.
    column_scales : ndarray of int32, shape (columns,)
        The scale of a column, among the early or the late ones.
    column_first : ndarray of int32, shape (columns,)
        The place from which on ranks count, up to `MOST_RANK`.
    column_missing : ndarray of int32, shape (columns,)
        The place of what is missing.
    missing_first : ndarray of bool, shape (columns,)
        Whether what is missing has the rank of the least numbers, not that of the largest.
    reversed_ranks : ndarray of bool, shape (columns,)
        Whether ranks count from the end.
    state_words : int
        Most words of a forest that is pruned; see `pyrec.PruneForest`.
    early_scales, late_scales : int
        How many there are.
    """

    tree_start: Array
    entry_columns: Array
    entry_limits: Array
    entry_next: Array
    early_columns: int
    column_scales: Array
    column_first: Array
    column_missing: Array
    missing_first: Array
    reversed_ranks: Array
    state_words: int
    early_scales: int
    late_scales: int

    def ranks(self, places: Array, late: bool) -> NDArray[np.int8]:
        """The columns [rows, columns] of the early or the late features, of places [rows, scales]."""
        own = slice(self.early_columns, None) if late else slice(self.early_columns)
        scales = self.column_scales[own]
        found = places[:, scales].astype(np.int64)
        missing = found == self.column_missing[own]
        rank = np.clip(found - self.column_first[own], 0, MOST_RANK)
        rank = np.where(missing, np.where(self.missing_first[own], 0, MOST_RANK), rank)
        rank = np.where(self.reversed_ranks[own], MOST_RANK - rank, rank)
        return (rank - 128).astype(np.int8)


class _Layout(NamedTuple):
    """All trees' entries: nodes, where second sides begin (0 for a leaf), whether a yes is the first side."""

    start: list[int]
    nodes: NDArray[np.int64]
    skips: NDArray[np.int64]
    yes_first: NDArray[np.bool_]


def _leaf_counts(forest: Forest) -> list[int]:
    """The leaves below each node, one for each path, at most one more than a tree may have."""
    leaf = (forest.comparisons == Comparison.LEAF).tolist()
    yes, no = forest.yes.tolist(), forest.no.tolist()
    counts = [1 if own else 0 for own in leaf]
    for root in forest.roots.tolist():
        pending = [root]
        while pending:
            node = pending[-1]
            below = (yes[node], no[node])
            waits = [] if counts[node] else [child for child in below if not counts[child]]
            pending.extend(waits)
            if not waits:
                counts[node] = counts[node] or min(counts[below[0]] + counts[below[1]], MOST_LEAVES + 1)
                pending.pop()
    return counts


def _lay_out(forest: Forest) -> _Layout | None:
    """None where a tree has too many leaves."""
    counts = _leaf_counts(forest)
    if any(counts[root] > MOST_LEAVES for root in forest.roots.tolist()):
        return None
    leaf = (forest.comparisons == Comparison.LEAF).tolist()
    yes, no = forest.yes.tolist(), forest.no.tolist()
    start, nodes, skips, firsts = [0], [], [], []
    for root in forest.roots.tolist():
        pending = [root]
        while pending:
            node = pending.pop()
            nodes.append(node)
            if leaf[node]:
                skips.append(0)
                firsts.append(False)
                continue
            yes_first = counts[yes[node]] <= counts[no[node]]
            first, second = (yes[node], no[node]) if yes_first else (no[node], yes[node])
            skips.append(2 * counts[first])
            firsts.append(yes_first)
            pending += (second, first)
        start.append(len(nodes))
    return _Layout(start, np.asarray(nodes), np.asarray(skips), np.asarray(firsts, bool))


class _Tests(NamedTuple):
    """What the branches of a layout compare: a threshold's place on a scale, by the scale's number."""

    scales: list[Scale]
    scale_of: NDArray[np.int64]
    places: NDArray[np.int64]


def _tests(forest: Forest, branches: NDArray[np.int64], groups: Sequence[Sequence[int]]) -> _Tests | None:
    """None where a scale is too long."""
    order = {feature: (group, feature) for group, part in enumerate(groups) for feature in part}
    comparisons, features = forest.comparisons[branches], forest.features[branches]
    strict = (comparisons == Comparison.LESS) | (comparisons == Comparison.GREATER_EQUAL)
    thresholds = forest.thresholds[branches].astype(np.float64)
    keys, number = np.unique(2 * features.astype(np.int64) + strict, return_inverse=True)
    ranked = sorted(range(len(keys)), key=lambda i: (*order[int(keys[i]) // 2], int(keys[i]) % 2))
    scale_of = np.argsort(ranked)[number.reshape(-1)]
    places = np.zeros(len(branches), np.int64)
    scales = []
    for own, key in enumerate(keys[ranked].tolist()):
        mine = scale_of == own
        found, place = np.unique(thresholds[mine], return_inverse=True)
        places[mine] = place.reshape(-1)
        scales.append(Scale(key // 2, bool(key % 2), found))
        if len(found) > _MOST_THRESHOLDS:
            return None
    return _Tests(scales, scale_of, places)


def divide_forest(
    forest: Forest, early: Sequence[int], late: Sequence[Sequence[int]]
) -> tuple[ForestDivision, list[Scale]] | None:
    """Lay a forest out for features that are known early and others that are not.

    Parameters
    ----------
    forest : Forest
        Without `Comparison.MEMBER`.
    early : sequence of int
        Features that are known early.
    late : sequence of sequence of int
        The others, in groups; scales are in the order of the groups. Features that no branch compares
        have none.

    Returns
    -------
    tuple of ForestDivision and list of Scale, or None
        None where a branch does not compare by order, or the forest is too large.
    """
    leaf = forest.comparisons == Comparison.LEAF
    if (forest.comparisons[~leaf] > Comparison.GREATER).any() or (layout := _lay_out(forest)) is None:
        return None
    branch = np.flatnonzero(layout.skips)
    branches = layout.nodes[branch]
    tests = _tests(forest, branches, [early, *late])
    if tests is None:
        return None
    below = forest.comparisons[branches] <= Comparison.LESS
    missing_first = below == forest.missing_yes[branches]
    turned = below != layout.yes_first[branch]
    within = tests.places % MOST_RANK
    keys = np.stack([tests.scale_of, tests.places - within, missing_first, turned], axis=1)
    columns, column_of = np.unique(keys, axis=0, return_inverse=True)
    if len(columns) > _MOST_COLUMNS:
        return None
    early_scales = sum(scale.feature in set(early) for scale in tests.scales)
    early_columns = int((columns[:, 0] < early_scales).sum())
    entry_columns = np.full(len(layout.nodes), -1, np.int32)
    entry_columns[branch] = column_of.reshape(-1)
    limits = np.zeros(len(layout.nodes), np.int8)
    limits[branch] = np.where(turned, 127 - within, within - 127)
    after = np.where(layout.skips > 0, layout.skips, layout.nodes)
    missing = np.asarray([scale.missing for scale in tests.scales], np.int32)
    division = ForestDivision(
        tree_start=np.asarray(layout.start, np.int32),
        entry_columns=entry_columns,
        entry_limits=limits,
        entry_next=after.astype(np.int32),
        early_columns=early_columns,
        column_scales=(columns[:, 0] - np.where(columns[:, 0] < early_scales, 0, early_scales)).astype(
            np.int32
        ),
        column_first=columns[:, 1].astype(np.int32),
        column_missing=missing[columns[:, 0]],
        missing_first=columns[:, 2].astype(bool),
        reversed_ranks=columns[:, 3].astype(bool),
        state_words=_most_words(layout, branch, entry_columns, early_columns),
        early_scales=early_scales,
        late_scales=len(tests.scales) - early_scales,
    )
    return division, tests.scales


def _most_words(layout: _Layout, branch: NDArray[np.int64], columns: NDArray[Any], early_columns: int) -> int:
    """A count, the leaves and the planes of each tree, and two words a test and plane."""
    leaves = (np.diff(layout.start) + 1) // 2
    tests = branch[columns[branch] >= early_columns]
    planes = (layout.skips[tests] // 2 + 6) // 8 + 1
    return int((1 + leaves + (leaves + 7) // 8).sum() + 2 * planes.sum())


__all__ = ["MOST_RANK", "ForestDivision", "Scale", "divide_forest"]
