"""Forests and linear models as plain data: any format can make them, and what breaks a rule is never made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyrec_infer as pi
from pyrec_infer.backends.select import VARIABLE, available_backends
from pyrec_infer.errors import ModelError
from pyrec_infer.formats import Format, Imported, Source, registry
from pyrec_infer.ir import BATCH, Comparison, Dim, Forest, Graph, Info, Linear, Node
from pyrec_infer.ops import OPS

F32 = np.float32
COLUMNS = 3
LEAF, MEMBER = Comparison.LEAF, Comparison.MEMBER


def graph_of(node: Node) -> Graph:
    info = Info(np.dtype(F32), (Dim.symbol(BATCH), COLUMNS), 0)
    return Graph(("x",), tuple(name for name in node.outputs if name), (node,), {}, {"x": info})


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Callable[[Node], pi.Model]:
    """A format of one kind of file, whose contents say nothing but that."""

    def make(node: Node) -> pi.Model:
        def read(source: Source) -> Imported:
            return Imported(graph_of(node))

        kind = Format("plain", lambda data: data.startswith(b"PLAIN"), read)
        monkeypatch.setattr(registry, "FORMATS", (kind, *registry.FORMATS))
        return pi.load(b"PLAIN")

    return make


@dataclass
class Trees:
    """Rows of (comparison, feature, threshold, yes, no, missing yes, categories), and a vote each."""

    rows: list[tuple[int, int, float, int, int, bool, tuple[float, ...]]]
    roots: list[int]
    votes: list[tuple[int, float]]

    def forest(self, **more: Any) -> Forest:
        columns: list[Sequence[Any]] = list(zip(*self.rows, strict=True))
        sizes = [0, *np.cumsum([len(row[6]) for row in self.rows])]
        return Forest(
            *(np.asarray(column, kind) for column, kind in zip(columns, "iifii?", strict=False)),
            np.asarray(self.roots),
            np.arange(len(self.rows) + 1),
            np.asarray([target for target, _ in self.votes]),
            np.asarray([weight for _, weight in self.votes], F32),
            category_start=np.asarray(sizes),
            categories=np.asarray([item for row in self.rows for item in row[6]], F32),
            **more,
        )

    def walked(self, x: np.ndarray, targets: int) -> np.ndarray:
        found = np.zeros((len(x), targets), F32)
        for place, row in enumerate(x):
            for root in self.roots:
                at, steps = root, 0
                while (node := self.rows[at])[0] != LEAF:
                    at = node[3] if answer(node, row[node[1]]) else node[4]
                    steps += 1
                    assert steps < 99
                target, weight = self.votes[at]
                found[place, target] += F32(weight)
        return found


def answer(node: tuple[int, int, float, int, int, bool, tuple[float, ...]], value: Any) -> bool:
    comparison, _, threshold, _, _, missing, categories = node
    if np.isnan(value) and missing:
        return True
    if comparison == MEMBER:
        return any(value == category for category in categories)
    compare = ("less_equal", "less", "greater_equal", "greater", "equal", "not_equal")[comparison]
    return bool(getattr(np, compare)(value, F32(threshold)))


@st.composite
def trees(draw: st.DrawFn, targets: int = 2) -> Trees:
    """Graphs of a few nodes; most answers lead to later nodes, so that some are sound and some are not."""
    count = draw(st.integers(1, 8))
    rows = []
    for place in range(count):
        leaf = place == count - 1 or draw(st.booleans())
        child = st.integers(place + 1, count - 1) if draw(st.integers(0, 9)) else st.integers(-1, count)
        comparison = LEAF if leaf else draw(st.integers(0, MEMBER))
        threshold = draw(st.sampled_from([-1.0, 0.0, 2.0, np.inf]))
        categories = st.lists(st.sampled_from([0.0, 1.0, 2.0]), max_size=3)
        rows.append(
            (
                int(comparison),
                draw(st.integers(0, COLUMNS - 1)),
                threshold,
                0 if leaf else draw(child),
                0 if leaf else draw(child),
                draw(st.booleans()),
                tuple(draw(categories)) if comparison == MEMBER else (),
            )
        )
    children = {row[side] for row in rows if row[0] != LEAF for side in (3, 4)}
    roots = [place for place in range(count) if place not in children]
    votes = [(draw(st.integers(0, targets - 1)), float(draw(st.integers(-8, 8)))) for _ in rows]
    return Trees(rows, roots, votes)


@settings(max_examples=60)
@given(trees(), st.integers(0, 2**32 - 1))
def test_a_forest_is_refused_or_every_walk_ends_where_it_says(made: Trees, seed: int) -> None:
    children = [
        (place, row[side]) for place, row in enumerate(made.rows) if row[0] != LEAF for side in (3, 4)
    ]
    sound = all(place < child < len(made.rows) for place, child in children)
    x = np.random.default_rng(seed).choice(np.asarray([-1, 0, 1, 2, np.nan], F32), (9, COLUMNS))
    try:
        forest = made.forest(targets=2)
    except ModelError:
        assert not sound
        return
    node = Node("pyrec.Forest", ("x",), ("y",), {"forest": forest})
    np.testing.assert_array_equal(OPS[node.op].evaluate(node, [x])[0], made.walked(x, 2))


SAMPLE = Trees(
    [
        (MEMBER, 0, 9.0, 1, 2, False, (2.0, 0.0)),
        (Comparison.LESS, 1, 1.0, 3, 4, True, ()),
        (MEMBER, 2, 0.0, 3, 4, True, ()),
        (LEAF, 0, 0.0, 0, 0, False, ()),
        (LEAF, 0, 0.0, 0, 0, False, ()),
        (Comparison.UNEQUAL, 2, 1.0, 6, 7, False, ()),
        (LEAF, 0, 0.0, 0, 0, False, ()),
        (LEAF, 0, 0.0, 0, 0, False, ()),
    ],
    [0, 5],
    [(0, 0.0), (0, 0.0), (0, 0.0), (0, 2.0), (1, 4.0), (0, 0.0), (1, -1.0), (0, 8.0)],
)
X = np.random.default_rng(5).choice(np.asarray([-1, 0, 1, 2, np.nan], F32), (40, COLUMNS))


@pytest.mark.parametrize("backend", available_backends())
def test_a_model_of_a_forest_without_onnx(
    load: Callable[[Node], pi.Model], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, backend)
    forest = SAMPLE.forest(targets=2, base=np.asarray([0.5], F32), aggregate="AVERAGE")
    model = load(Node("pyrec.Forest", ("x",), ("y",), {"forest": forest}))
    expected = SAMPLE.walked(X, 2) / 2 + np.asarray([0.5, 0], F32)
    np.testing.assert_array_equal(model.run({"x": X})["y"], expected)
    np.testing.assert_array_equal(model.score({}, {"x": X}, output=("y", 1)), expected[:, 1])


def stumps(thresholds: Sequence[float], comparison: Comparison, missing: Sequence[bool]) -> Forest:
    """A tree for each threshold of feature 0, which adds 1 for a yes."""
    count = len(thresholds)
    branch, leaves = np.arange(count), count + np.arange(2 * count)
    return Forest(
        np.concatenate([np.full(count, comparison), np.full(2 * count, LEAF)]),
        np.zeros(3 * count, np.int64),
        np.concatenate([thresholds, np.zeros(2 * count)]).astype(F32),
        np.concatenate([leaves[::2], leaves]),
        np.concatenate([leaves[1::2], leaves]),
        np.concatenate([missing, np.zeros(2 * count)]) != 0,
        branch,
        np.concatenate([np.zeros(count, np.int64), np.arange(2 * count + 1)]),
        np.zeros(2 * count, np.int64),
        np.tile(np.asarray([1, 0], F32), count),
    )


@pytest.mark.parametrize("backend", available_backends())
@pytest.mark.parametrize("comparison", [Comparison.LESS, Comparison.LESS_EQUAL, Comparison.GREATER])
def test_branches_that_all_compare_in_the_same_way(
    load: Callable[[Node], pi.Model], comparison: Comparison, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, backend)
    thresholds = np.asarray([2, -np.inf, 0, -0.0, 1e-40, np.inf, 2, np.nextafter(F32(2), F32(3)), -1], F32)
    missing = np.arange(len(thresholds)) % 3 == 0
    forest = stumps(thresholds.tolist(), comparison, missing.tolist())
    around = [np.nextafter(thresholds, F32(side)) for side in (-np.inf, np.inf)]
    values = np.concatenate([thresholds, *around, np.asarray([np.nan, 7], F32)])
    # Some rows less than those that are walked together, and some more.
    for rows in (1, 7, len(values), 64, 150):
        x = np.resize(values, (rows, 1))
        compare = {"LESS": np.less, "LESS_EQUAL": np.less_equal, "GREATER": np.greater}[comparison.name]
        expected = np.where(np.isnan(x), missing, compare(x, thresholds)).sum(axis=1)
        model = load(Node("pyrec.Forest", ("x",), ("y",), {"forest": forest}))
        np.testing.assert_array_equal(model.run({"x": np.repeat(x, COLUMNS, axis=1)})["y"][:, 0], expected)


@pytest.mark.parametrize("count", [65_534, 65_535])
def test_a_feature_of_more_thresholds_than_16_bits_number(
    load: Callable[[Node], pi.Model], count: int
) -> None:
    forest = stumps(range(count), Comparison.LESS_EQUAL, [False] * count)
    values = np.asarray([-1, 0, 1, 65_532, 65_533.5, 65_534, 70_000, np.nan], F32)
    found = load(Node("pyrec.Forest", ("x",), ("y",), {"forest": forest})).run(
        {"x": np.repeat(values[:, None], COLUMNS, 1)}
    )
    expected = [(value <= np.arange(count)).sum() for value in values]
    np.testing.assert_array_equal(found["y"][:, 0], np.asarray(expected, F32))


@pytest.mark.parametrize("backend", available_backends())
def test_a_model_of_linear_functions_without_onnx(
    load: Callable[[Node], pi.Model], backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, backend)
    linear = Linear(np.asarray([[1, 2, -4], [0.5, 0, 8]]), np.asarray([0.25, -1]))
    labels = np.asarray(["no", "yes"])
    model = load(Node("pyrec.LinearClassifier", ("x",), ("l", "p"), {"linear": linear, "labels": labels}))
    x = np.nan_to_num(X)
    expected = x @ linear.coefficients.T + linear.intercepts
    found = model.run({"x": x})
    np.testing.assert_allclose(found["p"], expected, rtol=1e-6)
    np.testing.assert_array_equal(found["l"], labels[expected.argmax(axis=1)])
    np.testing.assert_allclose(model.score({}, {"x": x}), expected[:, 1], rtol=1e-6)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "threshold": ({"thresholds": np.asarray([np.nan, 0, 0], F32)}, "tree 0, node 0: its threshold is NaN"),
    "category": (
        {"categories": np.asarray([np.nan], F32), "category_start": np.asarray([0, 1, 1, 1])},
        "is NaN",
    ),
    "categories of a leaf": (
        {"categories": np.asarray([1], F32), "category_start": np.asarray([0, 0, 1, 1])},
        "tree 0, node 1: it tests no categories",
    ),
    "child": ({"yes": np.asarray([3, 0, 0])}, "tree 0, node 0: its child does not exist"),
    "child of 64 bits": ({"yes": np.asarray([2**32 + 1, 0, 0])}, "node 0: its child does not exist"),
    "mode": ({"comparisons": np.asarray([8, 7, 7])}, "tree 0, node 0: its mode is unknown"),
    "feature": ({"features": np.asarray([2**31, 0, 0])}, "tree 0, node 0: its feature id is out of range"),
    "root": ({"roots": np.asarray([3])}, "tree 0: its root, node 3, does not exist"),
    "roots": ({"roots": np.asarray([0, 0])}, "the root of tree 0 too"),
    "no roots": ({"roots": np.asarray([], np.int64)}, "there are no trees"),
    "votes": ({"vote_start": np.asarray([0, 0, 1, 3])}, "vote_start: expected numbers that grow from 0 to 2"),
    "falling votes": ({"vote_start": np.asarray([0, 2, 1, 2])}, "vote_start: expected numbers that grow"),
    "target": (
        {"vote_targets": np.asarray([0, 1])},
        "node 2: its vote is not for one of the 1 targets",
    ),
    "targets": ({"targets": 0}, "got 0"),
    "length": ({"no": np.asarray([2, 0])}, "expected 3 values of no"),
    "kind": ({"yes": np.asarray([1.0, 0.0, 0.0])}, "yes: expected whole numbers"),
    "kind of reals": ({"vote_weights": np.asarray([1, 2])}, "vote_weights: expected reals"),
    "base": ({"base": np.asarray([1, 2], F32)}, "expected at most 1 base values, got 2"),
    "aggregate": ({"aggregate": "MEDIAN"}, "unknown aggregate_function 'MEDIAN'"),
    "transform": ({"transform": "TWICE"}, "unknown post_transform 'TWICE'"),
}


def stump(**changes: Any) -> Forest:
    parts: dict[str, Any] = {
        "comparisons": np.asarray([0, LEAF, LEAF]),
        "features": np.asarray([0, 0, 0]),
        "thresholds": np.asarray([0.5, np.nan, 0], F32),
        "yes": np.asarray([1, 99, 0]),
        "no": np.asarray([2, 0, 0]),
        "missing_yes": np.zeros(3, np.bool_),
        "roots": np.asarray([0]),
        "vote_start": np.asarray([0, 0, 1, 2]),
        "vote_targets": np.asarray([0, 0]),
        "vote_weights": np.asarray([-1, 1], F32),
    }
    return Forest(**{**parts, **changes})


@pytest.mark.parametrize("case", BROKEN)
def test_what_breaks_a_rule_is_no_forest(case: str) -> None:
    changes, message = BROKEN[case]
    with pytest.raises(ModelError, match=message):
        stump(**changes)


def test_a_forest_shares_nothing_that_can_change() -> None:
    thresholds = np.asarray([0.5, 0, 0], F32)
    forest = stump(thresholds=thresholds)
    thresholds[0] = np.nan
    assert forest.thresholds[0] == F32(0.5)
    assert not any(value.flags.writeable for value in vars(forest).values() if isinstance(value, np.ndarray))


@pytest.mark.parametrize(
    ("coefficients", "intercepts", "transform", "message"),
    [
        (np.ones(3), np.ones(1), "NONE", "coefficients"),
        (np.ones((0, 3)), np.ones(0), "NONE", "coefficients"),
        (np.ones((2, 3)), np.ones(3), "NONE", "expected 2 intercepts, got 3"),
        (np.ones((2, 3)), np.ones(2), "TWICE", "unknown post_transform 'TWICE'"),
    ],
)
def test_what_breaks_a_rule_is_no_linear_model(
    coefficients: np.ndarray, intercepts: np.ndarray, transform: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        Linear(coefficients, intercepts, transform)


@pytest.mark.parametrize("kind", ["Forest", "ForestClassifier", "Linear", "LinearClassifier"])
def test_a_node_without_its_model_is_refused(load: Callable[[Node], pi.Model], kind: str) -> None:
    with pytest.raises(ModelError, match="expected a"):
        load(Node(f"pyrec.{kind}", ("x",), ("l", "p") if kind.endswith("Classifier") else ("y",)))


def test_a_forest_has_a_label_for_each_class(load: Callable[[Node], pi.Model]) -> None:
    for labels in (np.arange(1), np.arange(3)):
        with pytest.raises(ModelError, match="labels"):
            load(Node("pyrec.ForestClassifier", ("x",), ("l", "p"), {"forest": stump(), "labels": labels}))
