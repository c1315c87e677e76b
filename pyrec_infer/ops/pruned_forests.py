"""Forests some of whose features are known before the others: what these decide is decided once.

Features become places among their thresholds, which is all that a branch asks for. Of each tree the leaves
stay that the early features leave, and the tests of late ones between them: the pruned forest. For each row
its tests strike leaves out, and the first that is left is the row's.

A pruned forest is a list of words of 16 bits, tree after tree: how many leaves it has, and which of the
tree's these are. If there is more than one, then for each eight of them, the last first, how many tests there
are, and these: a column of ranks; and in one word a limit, a signed byte, and in the upper byte the leaves
that rows keep whose rank is not below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import ModelError
from pyrec_infer.ir import Array, ForestDivision, Info, Node, Shape, fault
from pyrec_infer.ops.core import rows
from pyrec_infer.ops.core.registry import Op, required
from pyrec_infer.ops.core.traits import CLASSIFIES, DISCONTINUOUS, Count
from pyrec_infer.ops.forest import branch_flops, classes_of, forest_of, require_classes, scores_of, votes_of
from pyrec_infer.ops.scores import labels_info, row_count, scores_info

_BYTE_PLACES = 255


def _division(node: Node) -> ForestDivision:
    division = node.attribute("division")
    if not isinstance(division, ForestDivision):
        raise fault(ModelError, node, "expected the division of a forest")
    return division


def _scales(node: Node) -> Iterator[tuple[int, bool, Array]]:
    """Column, strictness and thresholds of each scale."""
    columns, strict, start = (node.attribute(key) for key in ("columns", "strict", "start"))
    thresholds = node.attribute("thresholds")
    for i, column in enumerate(columns.tolist()):
        yield column, bool(strict[i]), thresholds[start[i] : start[i + 1]]


def _place_type(node: Node) -> np.dtype[Any]:
    most = int(np.diff(node.attribute("start")).max(initial=0)) + 1
    return np.dtype(np.uint8 if most <= _BYTE_PLACES else np.uint16)


def _places(node: Node, inputs: Sequence[Any]) -> list[Array]:
    x = required(node, inputs, 0)
    made = np.empty((len(x), len(node.attribute("columns"))), _place_type(node))
    for place, (column, strict, thresholds) in enumerate(_scales(node)):
        values = x[:, column].astype(np.float64)
        found = np.searchsorted(thresholds, values, side="right" if strict else "left")
        made[:, place] = np.where(np.isnan(values), len(thresholds) + 1, found)
    return [made]


def _infer_places(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [Info(_place_type(node), (row_count(node, inputs[0]), len(node.attribute("columns"))))]


def _places_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """One for each comparison of a search."""
    return int(sum(len(thresholds).bit_length() for _, _, thresholds in _scales(node)))


class _Pruner:
    """Prunes the trees of one division for one row."""

    def __init__(self, division: ForestDivision) -> None:
        self.division = division
        self.start = division.tree_start.tolist()
        self.columns = division.entry_columns.tolist()
        self.limits = division.entry_limits.tolist()
        self.following = division.entry_next.tolist()
        # Leaves are counted in their order in the tree.
        self.numbers = (np.cumsum(division.entry_columns < 0) - 1).tolist()

    def words(self, ranks: NDArray[np.int8]) -> list[int]:
        """Of one row's ranks of the early columns."""
        early, found = ranks.tolist(), list[int]()
        for begin in self.start[:-1]:
            leaves, strikes = list[int](), list[tuple[int, int, int, int]]()
            self._prune(begin, early, leaves, strikes)
            first = self.numbers[begin] + (self.columns[begin] >= 0)
            found += (len(leaves), *(leaf - first for leaf in leaves))
            if len(leaves) > 1:
                found += _tests(len(leaves), strikes)
        return found

    def _prune(
        self, entry: int, early: list[int], leaves: list[int], strikes: list[tuple[int, int, int, int]]
    ) -> None:
        column, count = self.columns[entry], self.division.early_columns
        while 0 <= column < count:
            entry += 1 if early[column] < self.limits[entry] else self.following[entry]
            column = self.columns[entry]
        if column < 0:
            leaves.append(self.numbers[entry])
            return
        begin = len(leaves)
        self._prune(entry + 1, early, leaves, strikes)
        middle = len(leaves)
        self._prune(entry + self.following[entry], early, leaves, strikes)
        strikes.append((column - count, self.limits[entry], begin, middle))


def _tests(leaves: int, strikes: Sequence[tuple[int, int, int, int]]) -> list[int]:
    counts, tests = list[int](), list[int]()
    for plane in range((leaves + 7) // 8 - 1, -1, -1):
        count = 0
        for column, limit, begin, end in strikes:
            low, high = max(begin - 8 * plane, 0), min(end - 8 * plane, 8)
            if low < high:
                kept = 255 - (((1 << (high - low)) - 1) << low)
                tests += (column, (limit & 255) | kept << 8)
                count += 1
        counts.append(count)
    return counts + tests


def _prune(node: Node, inputs: Sequence[Any]) -> list[Array]:
    division, places = _division(node), required(node, inputs, 0)
    ranks = division.ranks(places, late=False)
    state = np.zeros((len(ranks), 1, division.state_words), np.uint16)
    pruner = _Pruner(division)
    for row, own in enumerate(ranks):
        words = pruner.words(own)
        state[row, 0, : len(words)] = words
    return [state]


_ALONE = 24
"""What a branch takes that one row is led by, where one that many rows compare in a vector takes 1."""


def _prune_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    return _ALONE * branch_flops(node, shapes, made, count)


def _infer_prune(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [Info(np.dtype(np.uint16), (row_count(node, inputs[0]), 1, _division(node).state_words))]


def _leaves_left(division: ForestDivision, words: Array, ranks: NDArray[np.int8]) -> Array:
    """The leaves [rows, trees] of rows that share one pruned forest, as nodes."""
    found = np.empty((len(ranks), len(division.tree_start) - 1), np.int32)
    nodes = division.entry_next[division.entry_columns < 0]
    first = at = 0
    for tree, entries in enumerate(np.diff(division.tree_start).tolist()):
        count = int(words[at])
        leaves = nodes[first + words[at + 1 : at + 1 + count].astype(np.int64)]
        at += 1 + count
        place = np.zeros(len(ranks), np.int64)
        if count > 1:
            planes = (count + 7) // 8
            counts = words[at : at + planes].astype(np.int64)
            at += planes
            tests = words[at : at + 2 * int(counts.sum())].reshape(-1, 2)
            place = _first_left(counts, tests, ranks)
            at += tests.size
        found[:, tree] = leaves[place]
        first += (entries + 1) // 2
    return found


def _first_left(counts: NDArray[np.int64], tests: Array, ranks: NDArray[np.int8]) -> NDArray[np.int64]:
    limits = (tests[:, 1] & 255).astype(np.uint8).view(np.int8)
    kept = np.where(ranks[:, tests[:, 0]] < limits, 255, tests[:, 1] >> 8)
    place, end = np.zeros(len(ranks), np.int64), 0
    for plane, count in zip(range(len(counts) - 1, -1, -1), counts.tolist(), strict=True):
        left = np.bitwise_and.reduce(kept[:, end : end + count], axis=1, initial=255).astype(np.int64)
        lowest = np.log2(np.maximum(left & -left, 1)).astype(np.int64)
        place = np.where(left > 0, 8 * plane + lowest, place)
        end += count
    return place


def _pruned_votes(node: Node, inputs: Sequence[Any]) -> tuple[Array, NDArray[np.bool_]]:
    """Votes of rows that share a state, or have one each."""
    division, state = _division(node), required(node, inputs, 0)
    ranks = division.ranks(np.concatenate([places.astype(np.uint16) for places in inputs[1:]], 1), late=True)
    if len(state) <= 1 or state.strides[0] == 0:
        leaves = _leaves_left(division, state[0, 0], ranks) if len(ranks) else np.empty((0, 1), np.int32)
    else:
        each = [_leaves_left(division, own[0], ranks[row : row + 1]) for row, own in enumerate(state)]
        leaves = np.concatenate(each)
    return votes_of(forest_of(node), leaves, np.dtype(str(node.attribute("compares"))))


def _scores(node: Node, inputs: Sequence[Any]) -> list[Array]:
    scores = scores_of(forest_of(node), _pruned_votes(node, inputs))
    return [scores.astype(str(node.attribute("dtype")))]


def _classify(node: Node, inputs: Sequence[Any]) -> list[Array]:
    return classes_of(node, _pruned_votes(node, inputs))


def _infer_scores(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    return [scores_info(node, _rows_info(inputs), forest_of(node).targets, node.attribute("dtype"))]


def _infer_classes(node: Node, inputs: Sequence[Info | None]) -> list[Info]:
    info = _rows_info(inputs)
    labels = labels_info(node, info, require_classes(node))
    return [labels, scores_info(node, info, forest_of(node).targets)]


def _rows_info(inputs: Sequence[Info | None]) -> Info | None:
    """The places of late features, which there always are."""
    return inputs[1]


def _pruned_flops(node: Node, shapes: Sequence[Shape | None], made: int, count: Count) -> int:
    """One for each branch that is left, and each vote, if early features decide their share of the branches
    of each level: then each level multiplies the leaves by one and the share of the others."""
    division = _division(node)
    branches = max(int((division.entry_columns >= 0).sum()), 1)
    share = int((division.entry_columns >= division.early_columns).sum()) / branches
    leaves = (np.diff(division.tree_start) + 1) / 2
    return int((leaves ** np.log2(1 + share)).sum())


OPS: tuple[Op, ...] = (
    # Where numbers lie among thresholds, which rise: how many they are behind, and for NaN one more than
    # there are. Input x [N, K]. Attributes, one for each column of the result: columns (ints) of x; strict
    # (bools), whether numbers are behind thresholds that they equal; and start (ints), from which of the
    # `thresholds` (float64) on its own begin. Results are bytes where all fit, else words of 16 bits.
    Op("pyrec.Places", _infer_places, _places, rows.per_row, traits=DISCONTINUOUS, flops=_places_flops),
    # The forest that early features leave, as words [N, 1, W]: of places [N, early scales]. Attributes: the
    # forest and its division.
    Op("pyrec.PruneForest", _infer_prune, _prune, rows.per_row, flops=_prune_flops, check=_division),
    # As pyrec.Forest and pyrec.ForestClassifier, of a pruned forest and the places of late features, which
    # may come in several parts. Attributes: theirs; the division; compares, the float type of the votes.
    Op(
        "pyrec.PrunedForest",
        _infer_scores,
        _scores,
        rows.per_row,
        traits=DISCONTINUOUS,
        flops=_pruned_flops,
        check=_division,
    ),
    Op(
        "pyrec.PrunedForestClassifier",
        _infer_classes,
        _classify,
        rows.per_row,
        traits=CLASSIFIES | DISCONTINUOUS,
        flops=_pruned_flops,
        check=_division,
    ),
)
