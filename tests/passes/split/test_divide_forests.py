"""Forests divided by when features are known: scores keep every bit, and what cannot be divided stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from support.random_forests import COLUMNS, ORDERED, Grower, rows

import pyrec_infer as pi
from pyrec_infer.backends.select import make_executor, make_pool, select_backend
from pyrec_infer.execution.planning import plan_graph
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import AGGREGATES, BATCH, Array, Comparison, Dim, Forest, Graph, Info, Node, divide_forest
from pyrec_infer.limits import default_max_bytes
from pyrec_infer.ops import OPS
from pyrec_infer.passes import Context
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.divide_forests import divide_forests

NAMES = [f"f{i}" for i in range(COLUMNS)]
MODES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ"]


def exported(forest: Forest, kind: Any, classes: int) -> pi.Model:
    """A file of the forest's trees over one input for each feature."""
    count = len(forest.comparisons)
    tree = np.searchsorted(forest.roots, np.arange(count), side="right") - 1
    leaf = forest.comparisons == Comparison.LEAF
    owner = np.repeat(np.arange(count), np.diff(forest.vote_start))
    part, votes = ("class", "class") if classes else ("target", "target")
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    wide = kind == np.float64

    def numbers(name: str, values: Array) -> dict[str, Any]:
        if not wide:
            return {name: values.tolist()}
        return {f"{name}_as_tensor": helper.make_tensor(name, element, values.shape, values.tolist())}

    attributes: dict[str, Any] = {
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": list(range(count)),
        "nodes_featureids": forest.features.tolist(),
        "nodes_modes": ["LEAF" if how == Comparison.LEAF else MODES[how] for how in forest.comparisons],
        "nodes_truenodeids": np.where(leaf, 0, forest.yes).tolist(),
        "nodes_falsenodeids": np.where(leaf, 0, forest.no).tolist(),
        "nodes_missing_value_tracks_true": forest.missing_yes.astype(int).tolist(),
        **numbers("nodes_values", forest.thresholds),
        f"{part}_treeids": tree[owner].tolist(),
        f"{part}_nodeids": owner.tolist(),
        f"{part}_ids": forest.vote_targets.tolist(),
        **numbers(f"{votes}_weights", forest.vote_weights),
    }
    if classes:
        outputs = ["label", "y"]
        attributes |= {"classlabels_int64s": list(range(classes)), "post_transform": "SOFTMAX"}
    else:
        outputs = ["y"]
        attributes |= {"n_targets": forest.targets, "aggregate_function": forest.aggregate}
    op = "TreeEnsembleClassifier" if classes else "TreeEnsembleRegressor"
    nodes = [
        helper.make_node("Concat", NAMES, ["x"], axis=1),
        helper.make_node(op, ["x"], outputs, domain="ai.onnx.ml", **attributes),
    ]
    inputs = [helper.make_tensor_value_info(name, element, [None, 1]) for name in NAMES]
    made = [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, None])]
    graph = helper.make_graph(nodes, "g", inputs, made)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return pi.load(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def grown(seed: int, kind: Any, ordered: bool = True) -> tuple[Forest, np.random.Generator, Array]:
    rng = np.random.default_rng(seed)
    # More thresholds of a feature than a byte numbers, in half of the cases.
    values = rng.standard_normal(2000 if seed % 2 else 6).astype(kind)
    values[:3] = 0.0, np.inf, -0.0
    choices = [ORDERED, ORDERED[:1], ORDERED[1:2], ORDERED[2:]][seed % 4]
    grower = Grower(rng, values, choices if ordered else [*choices, Comparison.EQUAL])
    for size in rng.permutation((1, 2, 3, 8, 9, 17, 64, 65, 256))[:6]:
        grower.tree(int(size), float(rng.choice([0.01, 0.2, 0.5])))
    targets, votes = (1, 3)[seed % 3 == 0], ("one", "some")[seed % 5 == 1]
    return grower.forest(kind, targets, (*AGGREGATES, "SUM", "SUM")[seed % 6], votes), rng, values


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_the_whole_forest(seed: int, kind: Any) -> None:
    forest, rng, values = grown(seed, kind)
    # A classifier's file says nothing of sums.
    classes = 3 if forest.targets == 3 and forest.aggregate == "SUM" else 0
    model = exported(forest, kind, classes)
    for early in (1 + seed % 2, 3 + seed % 2):
        request_names = rng.permutation(NAMES)[:early].tolist()
        for count in (0, 1, 65):
            x = rows(rng, count + 1, kind, values)
            request = {name: x[:1, i : i + 1] for i, name in enumerate(NAMES) if name in request_names}
            items = {name: x[1:, i : i + 1] for i, name in enumerate(NAMES) if name not in request}
            both = {name: np.repeat(request[name], count, axis=0) for name in request} | items
            expected = model.run({name: both[name] for name in NAMES})["y"]
            column = None if expected.shape[1] == 1 else ("y", 1)
            expected = expected[:, 0 if column is None else 1]
            np.testing.assert_array_equal(model.score(request, items, output=column), expected)
            if count:
                found = model.catalog(items, output=column).score(request)
                np.testing.assert_array_equal(found, expected)


def test_what_runs_when() -> None:
    forest, rng, values = grown(8, np.float32)
    model = exported(forest, np.float32, 0)
    x = rows(rng, 70, np.float32, values)
    request = {name: x[:1, i : i + 1] for i, name in enumerate(NAMES[:2])}
    items = {name: x[:, i : i + 1] for i, name in enumerate(NAMES) if name not in request}
    catalog = model.catalog(items)
    catalog.score(request)
    shown = str(catalog.explain(request))
    assert "pyrec.PruneForest" in shown
    assert "pyrec.PrunedForest" in shown


def executed(node: Node, inputs: dict[str, Array]) -> Array:
    """What the backend makes of rows."""
    infos = {
        name: Info(value.dtype, (Dim.symbol(BATCH), *value.shape[1:]), 0) for name, value in inputs.items()
    }
    plan = plan_graph(Graph(tuple(inputs), node.outputs, (node,), {}, infos), Context())
    backend = select_backend()
    executor = make_executor(plan, backend, make_pool(backend, 1), {}, default_max_bytes())
    rows_given = len(next(iter(inputs.values())))
    return ReadyPlan(plan, executor).run(inputs, (), rows_given)[node.outputs[0]]


@pytest.mark.parametrize("seed", range(4))
def test_each_row_may_have_a_pruned_forest_of_its_own(seed: int) -> None:
    forest, rng, _ = grown(seed, np.float64)
    early, late = [0, 3], [[2, 4], [1]]
    made = divide_forest(forest, early, late)
    assert made is not None
    division, scales = made
    known = [scale for scale in scales if scale.feature in early]
    first = np.stack([rng.integers(0, scale.missing + 1, 9) for scale in known], 1).astype(np.uint16)
    others = [scale for scale in scales if scale.feature not in early]
    second = np.stack([rng.integers(0, scale.missing + 1, 9) for scale in others], 1).astype(np.uint16)
    prune = Node("pyrec.PruneForest", ("p",), ("s",), {"forest": forest, "division": division})
    state = executed(prune, {"p": first})
    np.testing.assert_array_equal(state, OPS[prune.op].evaluate(prune, [first])[0])
    attributes = {"forest": forest, "division": division, "dtype": "float64", "compares": "float64"}
    score = Node("pyrec.PrunedForest", ("s", "q"), ("y",), attributes)
    found = executed(score, {"s": state, "q": second})
    np.testing.assert_array_equal(found, OPS[score.op].evaluate(score, [state, second])[0])
    each = [executed(score, {"s": state[i : i + 1], "q": second[i : i + 1]}) for i in range(9)]
    np.testing.assert_array_equal(found, np.concatenate(each))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_places(kind: Any) -> None:
    rng = np.random.default_rng(3)
    thresholds = [
        np.unique(rng.standard_normal(count).astype(kind)).astype(np.float64) for count in (0, 7, 300)
    ]
    attributes: dict[str, Any] = {
        "columns": np.asarray([2, 0, 0], np.int32),
        "strict": np.asarray([False, True, False]),
        "start": np.cumsum([0, *map(len, thresholds)]).astype(np.int32),
        "thresholds": np.concatenate(thresholds),
    }
    x = rng.choice(np.asarray([*thresholds[2], *thresholds[1], np.nan, np.inf], kind), (130, 3))
    node = Node("pyrec.Places", ("x",), ("y",), attributes)
    found = executed(node, {"x": x})
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, OPS[node.op].evaluate(node, [x])[0])
    assert found[0, 1] == (8 if np.isnan(x[0, 0]) else (x[0, 0] >= thresholds[1]).sum())


def graph_of_forest(forest: Forest, dtype: Any) -> Graph:
    infos = {name: Info(np.dtype(dtype), (Dim.symbol(BATCH), 1), 0) for name in NAMES}
    nodes = (
        Node("Concat", tuple(NAMES), ("x",), {"axis": 1}),
        Node("pyrec.Forest", ("x",), ("y",), {"forest": forest}),
    )
    return Graph(tuple(NAMES), ("y",), nodes, {}, infos)


@pytest.mark.once
def test_what_stays() -> None:
    forest, _, _ = grown(2, np.float32)
    divided = Sides(frozenset(NAMES[:2]))
    graph = graph_of_forest(forest, np.float32)
    assert divide_forests(graph, divided) is not graph
    for sides in (Sides(), Sides(frozenset(NAMES)), Sides(frozenset(), frozenset(NAMES))):
        assert divide_forests(graph, sides) is graph
    whole = graph_of_forest(forest, np.int64)
    assert divide_forests(whole, divided) is whole
    other = graph_of_forest(grown(4, np.float32, ordered=False)[0], np.float32)
    assert divide_forests(other, divided) is other
    rng = np.random.default_rng(0)
    grower = Grower(rng, rng.standard_normal(50).astype(np.float32), ORDERED)
    grower.tree(257, 0.5)
    large = graph_of_forest(grower.forest(np.float32, 1, "SUM", "one"), np.float32)
    assert divide_forests(large, divided) is large
