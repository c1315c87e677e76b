"""Forests of trees of any size and form, and rows that come near their thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyrec_infer.ir import Array, Comparison, Forest

COLUMNS = 5
ORDERED = [Comparison.LESS_EQUAL, Comparison.LESS, Comparison.GREATER_EQUAL, Comparison.GREATER]


class Grower:
    """Makes trees node by node."""

    def __init__(self, rng: np.random.Generator, values: Array, comparisons: list[Comparison]) -> None:
        self.rng, self.values, self.choices = rng, values, comparisons
        self.nodes: list[list[Any]] = []
        self.roots: list[int] = []

    def tree(self, leaves: int, balance: float) -> None:
        self.roots.append(self.grow(leaves, balance))

    def grow(self, leaves: int, balance: float) -> int:
        place = len(self.nodes)
        self.nodes.append([Comparison.LEAF, 0, 0.0, place, place, False])
        if leaves > 1:
            first = min(max(round(leaves * balance), 1), leaves - 1)
            first = first if self.rng.random() < 0.5 else leaves - first
            how, feature = self.rng.choice(self.choices), self.rng.integers(COLUMNS)
            children = self.grow(first, balance), self.grow(leaves - first, balance)
            self.nodes[place] = [
                how,
                feature,
                self.rng.choice(self.values),
                *children,
                self.rng.random() < 0.4,
            ]
        return place

    def levels(self, depth: int, early: float) -> None:
        """A tree whose branches of one depth test the same; a share of its paths ends early."""
        tests = [
            [
                self.rng.choice(self.choices),
                self.rng.integers(COLUMNS),
                self.rng.choice(self.values),
                self.rng.random() < 0.4,
            ]
            for _ in range(depth)
        ]
        self.roots.append(self._below(tests, early))

    def _below(self, tests: list[list[Any]], early: float) -> int:
        place = len(self.nodes)
        self.nodes.append([Comparison.LEAF, 0, 0.0, place, place, False])
        if tests and self.rng.random() >= early:
            (how, feature, threshold, missing), *others = tests
            children = self._below(others, early), self._below(others, early)
            self.nodes[place] = [how, feature, threshold, *children, missing]
        return place

    def forest(self, kind: Any, targets: int, aggregate: str, votes: str) -> Forest:
        columns = [np.asarray(column) for column in zip(*self.nodes, strict=True)]
        leaf = columns[0] == Comparison.LEAF
        if votes == "one":
            counts = leaf.astype(np.int64)
            # One target for each tree, as boosting of several classes has them.
            tree = np.searchsorted(self.roots, np.flatnonzero(leaf), side="right") - 1
            chosen = tree % targets
        elif votes == "all":
            counts = np.where(leaf, targets, 0)
            chosen = np.tile(np.arange(targets), leaf.sum())
        else:
            counts = np.where(leaf, self.rng.integers(0, 3, len(leaf)), 0)
            chosen = self.rng.integers(0, targets, counts.sum())
        weights = self.rng.standard_normal(counts.sum()).astype(kind)
        columns[2] = columns[2].astype(kind)
        start = np.concatenate([[0], np.cumsum(counts)])
        roots = np.asarray(self.roots)
        return Forest(*columns, roots, start, chosen, weights, targets=targets, aggregate=aggregate)


def rows(rng: np.random.Generator, count: int, kind: Any, values: Array) -> Array:
    """Thresholds, their neighbours and what is missing."""
    near = np.concatenate([values, np.nextafter(values, kind(np.inf)), np.nextafter(values, kind(-np.inf))])
    special = np.asarray([np.nan, np.inf, -np.inf, 0.0, -0.0], kind)
    x: Array = rng.choice(np.concatenate([near, special, special]), (count, COLUMNS))
    return x
