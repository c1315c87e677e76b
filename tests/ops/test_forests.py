"""Trees that are graphs: paths that meet are walked, cycles and shared roots are refused at load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from support.models import FLOAT, make_model

import pyrec_infer as pi
from pyrec_infer.backends.select import VARIABLE, available_backends
from pyrec_infer.errors import ModelError

F32 = np.float32
COLUMNS = 3


def load(op: str, version: int, attributes: Mapping[str, Any]) -> pi.Model:
    node = helper.make_node(op, ["x"], ["y"], name="forest", domain="ai.onnx.ml", **attributes)
    inputs, outputs = {"x": (FLOAT, ["N", COLUMNS])}, {"y": (FLOAT, ["N", 1])}
    proto = make_model([node], inputs, outputs, domains={"ai.onnx.ml": version})
    return pi.load(proto.SerializeToString())


Tree = list[tuple[str, int, float, int, int] | float]
"""Branches (mode, feature, threshold, yes, no) and the values of leaves."""


def as_lists(trees: list[Tree]) -> dict[str, Any]:
    """Attributes of versions 1 to 3; nodes of tree t are called 10 t, 10 t + 1, ..."""
    nodes = [(t, i, node) for t, tree in enumerate(trees) for i, node in enumerate(tree)]
    branches = [node if isinstance(node, tuple) else ("LEAF", 0, 0.0, 0, 0) for _, _, node in nodes]
    leaves = [(t, i, node) for t, i, node in nodes if not isinstance(node, tuple)]
    return {
        "nodes_treeids": [t for t, _, _ in nodes],
        "nodes_nodeids": [10 * t + i for t, i, _ in nodes],
        "nodes_modes": [mode for mode, *_ in branches],
        "nodes_featureids": [branch[1] for branch in branches],
        "nodes_values": [branch[2] for branch in branches],
        "nodes_truenodeids": [10 * t + branch[3] for (t, _, _), branch in zip(nodes, branches, strict=True)],
        "nodes_falsenodeids": [10 * t + branch[4] for (t, _, _), branch in zip(nodes, branches, strict=True)],
        "target_treeids": [t for t, _, _ in leaves],
        "target_nodeids": [10 * t + i for t, i, _ in leaves],
        "target_ids": [0] * len(leaves),
        "target_weights": [value for _, _, value in leaves],
        "n_targets": 1,
    }


def walked(trees: list[Tree], x: np.ndarray) -> np.ndarray:
    tests: dict[str, Callable[[Any, Any], bool]] = {
        "BRANCH_LEQ": lambda a, b: bool(a <= b),
        "BRANCH_EQ": lambda a, b: bool(a == b),
        "BRANCH_GT": lambda a, b: bool(a > b),
    }

    def leaf(tree: Tree, row: np.ndarray) -> float:
        node = tree[0]
        while isinstance(node, tuple):
            mode, feature, threshold, yes, no = node
            node = tree[yes if tests[mode](row[feature], F32(threshold)) else no]
        return node

    return np.asarray([[sum(leaf(tree, row) for tree in trees)] for row in x], F32)


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """A graph of at most 9 nodes: answers lead to later nodes, any of which may have several parents."""
    count = draw(st.integers(1, 9))
    made: Tree = []
    for i in range(count):
        if i == count - 1 or (i > 0 and draw(st.integers(0, 3)) == 0):
            # Whole numbers add up exactly, in any order.
            made.append(float(draw(st.integers(-8, 8))))
            continue
        mode = draw(st.sampled_from(["BRANCH_LEQ", "BRANCH_EQ", "BRANCH_GT"]))
        yes, no = draw(st.integers(i + 1, count - 1)), draw(st.integers(i + 1, count - 1))
        made.append((mode, draw(st.integers(0, COLUMNS - 1)), float(draw(st.integers(-2, 2))), yes, no))
    return reachable(made)


def reachable(tree: Tree) -> Tree:
    """The nodes that the root leads to, renumbered."""
    seen, pending = {0}, [0]
    while pending:
        node = tree[pending.pop()]
        following = {node[3], node[4]} - seen if isinstance(node, tuple) else set()
        seen |= following
        pending.extend(following)
    order = {old: new for new, old in enumerate(sorted(seen))}
    return [
        (*node[:3], order[node[3]], order[node[4]]) if isinstance(node, tuple) else node
        for node in (tree[i] for i in sorted(seen))
    ]


@settings(max_examples=40, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_paths_that_meet_are_walked(forest: list[Tree], seed: int) -> None:
    x = np.random.default_rng(seed).integers(-3, 4, (11, COLUMNS)).astype(F32)
    model = load("TreeEnsembleRegressor", 3, as_lists(forest))
    np.testing.assert_array_equal(model.run({"x": x})["y"], walked(forest, x))


EQ = "BRANCH_EQ"
SAME_LEAF: Tree = [("BRANCH_LEQ", 0, 0.0, 1, 1), 1.0]
CHAIN: Tree = [(EQ, 0, 2.0, 3, 1), (EQ, 0, 5.0, 3, 2), (EQ, 1, 1.0, 4, 3), 7.0, -1.0]
CYCLES: dict[str, tuple[list[Tree], str]] = {
    "to itself": (
        [CHAIN, [(EQ, 0, 1.0, 1, 2), (EQ, 0, 2.0, 1, 2), 1.0]],
        "tree 1, node 11: it is on a cycle",
    ),
    "of two": (
        [[(EQ, 0, 1.0, 3, 1), (EQ, 0, 2.0, 3, 2), (EQ, 0, 3.0, 1, 3), 1.0]],
        "tree 0, node 1: it is on a cycle",
    ),
    "through the root": (
        [SAME_LEAF, [(EQ, 0, 1.0, 1, 2), (EQ, 1, 2.0, 0, 2), 1.0]],
        "tree 1, node 10: it is on",
    ),
    "behind a cycle": (
        [[(EQ, 0, 1.0, 1, 2), (EQ, 0, 2.0, 1, 2), (EQ, 0, 3.0, 3, 4), 1.0, 2.0]],
        "tree 0, node 1: it is on a cycle",
    ),
    "two roots": (
        [CHAIN, [(EQ, 0, 1.0, 2, 2), 5.0, 1.0]],
        "tree 1, node 11: its tree has another root, tree 1, node 10",
    ),
}


@pytest.mark.parametrize("case", CYCLES)
def test_cycles_and_second_roots_are_refused_at_load(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    forest, message = CYCLES[case]
    for backend in available_backends():
        monkeypatch.setenv(VARIABLE, backend)
        with pytest.raises(ModelError) as caught:
            load("TreeEnsembleRegressor", 3, as_lists(forest))
        text = str(caught.value)
        assert f"node 'forest' (ai.onnx.ml.TreeEnsembleRegressor): {message}" in text
        assert "input" not in text


DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "child": ({"nodes_falsenodeids": [9, 2, 3, 0, 0]}, "tree 0, node 0: its child"),
    "mode": ({"nodes_modes": [EQ, EQ, "BRANCH_MAYBE", "LEAF", "LEAF"]}, "tree 0, node 2: its mode"),
    "feature": ({"nodes_featureids": [0, -1, 1, 0, 0]}, "tree 0, node 1: its feature"),
    "feature of int32": ({"nodes_featureids": [0, 2**31, 1, 0, 0]}, "tree 0, node 1: its feature"),
    "node twice": ({"nodes_nodeids": [0, 1, 2, 3, 3]}, "tree 0, node 3: it occurs twice"),
    "vote's node": ({"target_nodeids": [3, 8]}, "tree 0, node 8: a vote names it"),
    "vote's target": ({"target_ids": [0, 1]}, "tree 0, node 4: its vote"),
    "aggregate": ({"aggregate_function": "MEDIAN"}, "aggregate_function"),
    "transform": ({"post_transform": "TWICE"}, "TWICE"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_forests_are_refused_at_load(case: str) -> None:
    changes, message = DAMAGES[case]
    with pytest.raises(ModelError, match=message):
        load("TreeEnsembleRegressor", 3, {**as_lists([CHAIN]), **changes})


def tensor(name: str, values: Any, dtype: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(values, dtype), name)


def ensemble(**changes: Any) -> dict[str, Any]:
    """Version 5: x0 in {2, 5} or x1 <= 1 leads to 7, else -1; then x2 <= 0 leads to 1, else to 2."""
    made = {
        "tree_roots": [0, 2],
        "nodes_modes": tensor("modes", [6, 0, 0], np.uint8),
        "nodes_splits": tensor("splits", [0, 1, 0], F32),
        "nodes_featureids": [0, 1, 2],
        "nodes_truenodeids": [0, 0, 2],
        "nodes_trueleafs": [1, 1, 1],
        "nodes_falsenodeids": [1, 1, 3],
        "nodes_falseleafs": [0, 1, 1],
        "leaf_targetids": [0, 0, 0, 0],
        "leaf_weights": tensor("weights", [7, -1, 1, 2], F32),
        "membership_values": tensor("members", [2, 5, np.nan], F32),
        "n_targets": 1,
        "aggregate_function": 1,
        "post_transform": 0,
    }
    return {**made, **changes}


def test_sets_of_categories() -> None:
    x = np.asarray([[2, 9, 0], [5, 9, 1], [3, 1, 0], [3, 2, 1], [np.nan, 2, 0]], F32)
    found = load("TreeEnsemble", 5, ensemble()).run({"x": x})["y"]
    np.testing.assert_array_equal(found[:, 0], [8, 9, 8, 1, 0])


HOSTILE: dict[str, tuple[dict[str, Any], str]] = {
    "cycle": (
        {"nodes_truenodeids": [0, 0, 2], "nodes_trueleafs": [1, 0, 1]},
        "tree 0: its root, node 0, is the child of a node",
    ),
    "own child": (
        {"nodes_truenodeids": [0, 1, 2], "nodes_trueleafs": [1, 0, 1]},
        "tree 0, node 1: it is on a cycle",
    ),
    "cycle that no tree reaches": (
        {
            "tree_roots": [2],
            "nodes_truenodeids": [1, 0, 2],
            "nodes_trueleafs": [0, 0, 1],
            "nodes_falsenodeids": [1, 1, 3],
        },
        "node 0, which no tree reaches: it is on a cycle",
    ),
    "root of two trees": ({"tree_roots": [0, 2, 0]}, "tree 2: its root, node 0, is the root of tree 0 too"),
    "root that does not exist": ({"tree_roots": [0, 7]}, "tree 1: its root, node 7, does not exist"),
    "child": ({"nodes_truenodeids": [0, 9, 2]}, "node 1: its child does not exist"),
    "mode": ({"nodes_modes": tensor("modes", [6, 0, 9], np.uint8)}, "tree 1, node 2: its mode"),
    "leaf's target": ({"leaf_targetids": [0, 3, 0, 0]}, "leaf 1: its vote"),
    "sets": ({"membership_values": tensor("members", [2, np.nan, 5, np.nan], F32)}, "expected 1 sets.*got 2"),
    "no sets": ({"membership_values": tensor("members", [], F32)}, "expected 1 sets.*got 0"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_ensembles_are_refused_at_load(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, message = HOSTILE[case]
    texts = set()
    for backend in available_backends():
        monkeypatch.setenv(VARIABLE, backend)
        with pytest.raises(ModelError, match=message) as caught:
            load("TreeEnsemble", 5, ensemble(**changes))
        texts.add((type(caught.value), str(caught.value)))
    assert len(texts) == 1
