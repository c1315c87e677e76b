"""XGBoost's models: what several versions of the library predict, its decisions, and damaged files."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.damage import refused_or_another_model

import pyrec_infer as pi
from pyrec_infer.errors import ModelError, UnsupportedModelError
from pyrec_infer.formats import import_model

F32 = np.float32
MODELS = Path(__file__).parent / "models"
NAMES = ["user_age", "price", "colour", "size", "hour", "rest"]
REFUSED = ("linear", "vectors")
FILES = sorted(path.name for path in MODELS.glob("xgboost_*"))
CASES = [name for name in FILES if not name.startswith(tuple(f"xgboost_{case}" for case in REFUSED))]


def kept(file: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    name = Path(file).stem.removeprefix("xgboost_")
    with np.load(MODELS / "xgboost.npz") as stored:
        x, predicted, raw = (stored[f"{name}/{key}"] for key in ("x", "predicted", "raw"))
    return x, predicted, raw


def file_of(case: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((MODELS / f"xgboost_{case}_3.2.0.json").read_text())
    return found


def loaded(document: Any) -> pi.Model:
    return pi.load(json.dumps(document).encode())


def test_there_are_models_of_several_versions() -> None:
    assert {Path(name).stem.rpartition("_")[2] for name in CASES} >= {"2.1.4", "3.0.5", "3.2.0"}
    assert {Path(name).suffix for name in CASES} == {".json", ".ubj"}


@pytest.mark.parametrize("file", CASES)
def test_predictions_are_those_of_the_library(file: str) -> None:
    x, predicted, raw = kept(file)
    model = pi.load(MODELS / file)
    made = model.run({"X": x})
    first = model.outputs[0].name
    assert first == ("label" if "softmax" in file else "probabilities" if "softprob" in file else "score")
    np.testing.assert_allclose(made[first], predicted, rtol=2e-6, atol=1e-7)
    np.testing.assert_allclose(made.get("margin", made[first]), raw, rtol=2e-6, atol=5e-7)


def test_both_encodings_are_the_same_model() -> None:
    x, *_ = kept("xgboost_dart_3.2.0.json")
    text, binary = (pi.load(MODELS / f"xgboost_dart_3.2.0.{kind}").run({"X": x}) for kind in ("json", "ubj"))
    np.testing.assert_array_equal(text["score"], binary["score"])


@pytest.mark.parametrize("case", ["logistic", "softprob", "dart", "forest"])
@pytest.mark.parametrize("ends", [True, False])
@pytest.mark.parametrize("rounds", [1, 2, 3])
def test_an_estimator_stops_at_its_best_round(case: str, ends: bool, rounds: int) -> None:
    """As estimators in scikit-learn's manner predict, whose files tell so; of a booster all rounds count."""
    x, *_ = kept(f"xgboost_{case}_3.2.0.json")
    value = file_of(case)
    booster = value["learner"]["gradient_booster"]
    model = booster.get("gbtree", booster)["model"]
    each = model["iteration_indptr"][1]
    if not ends:
        del model["iteration_indptr"]
    value["learner"]["attributes"] = {"best_iteration": str(rounds - 1)}
    everything = loaded(value).run({"X": x})
    value["learner"]["attributes"]["scikit_learn"] = '{"_estimator_type": "classifier"}'
    found = loaded(value).run({"X": x})
    del value["learner"]["attributes"]["scikit_learn"]
    model["trees"], model["tree_info"] = model["trees"][: rounds * each], model["tree_info"][: rounds * each]
    model["gbtree_model_param"]["num_trees"] = str(rounds * each)
    model.pop("iteration_indptr", None)
    if case == "dart":
        booster["weight_drop"] = booster["weight_drop"][: rounds * each]
    expected = loaded(value).run({"X": x})
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
        assert (rounds == 3) == np.array_equal(found[name], everything[name])


@pytest.mark.parametrize("best", ["3", "-1", "all"])
def test_a_best_round_that_is_none_is_refused(best: str) -> None:
    value = file_of("logistic")
    value["learner"]["attributes"] = {"best_iteration": best, "scikit_learn": "{}"}
    with pytest.raises(ModelError, match="best_iteration"):
        loaded(value)
    value["learner"]["attributes"]["best_iteration"] = "0"
    model = value["learner"]["gradient_booster"]["model"]
    for ends in ([], [0], [1, 3], [0, 2, 1, 3], [0, 1, 2]):
        model["iteration_indptr"] = ends
        with pytest.raises(ModelError, match="iteration_indptr"):
            loaded(value)


def test_features_are_inputs_by_name() -> None:
    x, predicted, raw = kept("xgboost_logistic_3.2.0.json")
    model = pi.load(MODELS / "xgboost_logistic_3.2.0.json")
    assert [(item.name, item.dtype) for item in model.inputs] == [(name, "float32") for name in NAMES]
    columns = {name: x[:, place] for place, name in enumerate(NAMES)}
    np.testing.assert_allclose(model.score({}, columns), predicted, rtol=2e-6)
    np.testing.assert_allclose(model.score({}, columns, output="logit"), raw, rtol=2e-6, atol=5e-7)
    request = {"user_age": float(x[0, 0]), "hour": float(x[0, 4])}
    items = {name: values for name, values in columns.items() if name not in request}
    same = x.copy()
    same[:, [0, 4]] = x[0, [0, 4]]
    np.testing.assert_array_equal(model.score(request, items), model.run({"X": same})["score"])
    nameless = file_of("logistic")
    nameless["learner"]["feature_names"] = []
    assert [(item.name, item.shape) for item in loaded(nameless).inputs] == [("X", ("N", 6))]


def test_numbers_as_no_json_has_them() -> None:
    x, predicted, _ = kept("xgboost_base_score_3.2.0.json")
    value = file_of("base_score")
    value["learner"]["learner_model_param"]["base_score"] = "[00.3]"
    np.testing.assert_allclose(loaded(value).run({"X": x})["score"], predicted, rtol=2e-6)


def test_a_label_is_not_what_ranks() -> None:
    x, predicted, _ = kept("xgboost_softmax_3.2.0.json")
    model = pi.load(MODELS / "xgboost_softmax_3.2.0.json")
    scores = [model.score({}, {"X": x}, output=("probabilities", column)) for column in range(3)]
    np.testing.assert_array_equal(np.argmax(scores, axis=0), predicted)
    with pytest.raises(pi.InputError, match="name a column"):
        model.top_k({}, {"X": x}, 3)


@pytest.mark.parametrize("file", [name for name in FILES if name not in CASES])
def test_other_boosters_are_refused(file: str) -> None:
    with pytest.raises(UnsupportedModelError, match=r"gblinear|multi_strategy='one_output_per_tree'"):
        pi.load(MODELS / file)


@st.composite
def trees(draw: st.DrawFn, place: int) -> dict[str, Any]:
    """A tree over three features as the file has it; pruned nodes stay where they were."""
    branches = draw(st.integers(0, 5))
    count = 2 * branches + 1
    left, right = [-1] * count, [-1] * count
    leaves = [0]
    for branch in range(branches):
        node = leaves.pop(draw(st.integers(0, len(leaves) - 1)))
        left[node], right[node] = 2 * branch + 1, 2 * branch + 2
        leaves += [left[node], right[node]]
    kinds = [int(left[node] >= 0 and draw(st.booleans())) for node in range(count)]
    sets = [sorted(draw(st.sets(st.integers(0, 40), max_size=6))) if kind else [] for kind in kinds]
    numbers = st.sampled_from([-2.0, 0.0, 1e-40, float(F32(0.1)), 1.0, 3.0])
    chosen = [node for node in range(count) if kinds[node]]
    sizes = [len(sets[node]) for node in chosen]
    return {
        "id": place,
        "left_children": left,
        "right_children": right,
        "split_indices": [draw(st.integers(0, 2)) for _ in range(count)],
        "split_conditions": [
            draw(numbers) if child >= 0 else float(draw(st.integers(-8, 8))) for child in left
        ],
        "default_left": [int(draw(st.booleans())) for _ in range(count)],
        "split_type": kinds,
        "categories": [member for node in chosen for member in sets[node]],
        "categories_nodes": chosen,
        "categories_segments": [sum(sizes[:i]) for i in range(len(sizes))],
        "categories_sizes": sizes,
        "tree_param": {
            "num_deleted": "0",
            "num_feature": "3",
            "num_nodes": str(count),
            "size_leaf_vector": "1",
        },
    }


def document(made: list[dict[str, Any]]) -> dict[str, Any]:
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(made))},
        "tree_info": [0] * len(made),
        "trees": made,
    }
    learner = {
        "feature_names": [],
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {"base_score": "0E0", "num_class": "0", "num_feature": "3", "num_target": "1"},
        "objective": {"name": "reg:squarederror"},
    }
    return {"learner": learner, "version": [3, 2, 0]}


def decided(tree: dict[str, Any], row: np.ndarray) -> float:
    """The value of the leaf that a row ends at, by XGBoost's rules one after the other."""
    node = 0
    while tree["left_children"][node] >= 0:
        value = row[tree["split_indices"][node]]
        if np.isnan(value):
            left = bool(tree["default_left"][node])
        elif tree["split_type"][node]:
            at = tree["categories_nodes"].index(node)
            start = tree["categories_segments"][at]
            members = tree["categories"][start : start + tree["categories_sizes"][at]]
            left = bool(value < 0 or value >= 2**24) or int(value) not in members
        else:
            left = bool(value < F32(tree["split_conditions"][node]))
        node = tree["left_children" if left else "right_children"][node]
    return float(tree["split_conditions"][node])


@settings(max_examples=40)
@given(
    st.integers(1, 3).flatmap(lambda count: st.tuples(*map(trees, range(count)))), st.integers(0, 2**32 - 1)
)
def test_every_decision_is_as_the_rules_say(made: tuple[dict[str, Any], ...], seed: int) -> None:
    near = [np.nextafter(F32(value), F32(side)) for value in (-2, 0, 0.1, 1, 3) for side in (-9, 9)]
    special = [np.nan, *near, -2, 0, -0.0, 1e-40, -1e-40, 0.1, 1, 3, -0.5, 3.7, 40.5, 41, 2**24, 1e30, -1e30]
    x = np.random.default_rng(seed).choice(np.asarray([*special, np.inf, -np.inf], F32), (25, 3))
    expected = [sum(decided(tree, row) for tree in made) for row in x]
    found = loaded(document(list(made))).run({"X": x})["score"]
    np.testing.assert_array_equal(found, np.asarray(expected, F32))


def change(*path: Any, to: Any) -> Callable[[Any], None]:
    def apply(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        if to is KeyError:
            del value[path[-1]]
        else:
            value[path[-1]] = to

    return apply


LEARNER, MODEL = ("learner",), ("learner", "gradient_booster", "model")
SETTINGS = (*LEARNER, "learner_model_param")
TREE = (*MODEL, "trees", 0)
DAMAGES: dict[str, tuple[Callable[[Any], None], str]] = {
    "version": (change("version", to=[9, 0, 0]), "expected a version of 1 to 3, got 9"),
    "version's kind": (change("version", to="3.2"), "version: expected a list of numbers"),
    "objective": (change(*LEARNER, "objective", "name", to="reg:magic"), "objective 'reg:magic' is unknown"),
    "objective of classes": (change(*LEARNER, "objective", "name", to="multi:softprob"), "several classes"),
    "classes": (change(*SETTINGS, "num_class", to="-1"), "num_class and num_target"),
    "classes and targets": (
        lambda value: value["learner"]["learner_model_param"].update(num_class="2", num_target="2"),
        "num_class and num_target: expected one of them",
    ),
    "number": (change(*SETTINGS, "num_feature", to="6_0"), "num_feature: expected a whole number"),
    "features": (change(*SETTINGS, "num_feature", to="2"), "it tests no feature, expected one of the 2"),
    "names": (change(*LEARNER, "feature_names", to=["a"]), "feature_names: expected 6 names"),
    "base score": (change(*SETTINGS, "base_score", to="0x1"), "base_score: expected a number"),
    "base score's brackets": (change(*SETTINGS, "base_score", to="[5E-1"), "base_score: expected a number"),
    "base score's size": (change(*SETTINGS, "base_score", to="[1E999]"), "predicts no such number"),
    "base scores": (change(*SETTINGS, "base_score", to="[5E-1,5E-1]"), "expected 1 or 1 numbers, got 2"),
    "base score's range": (change(*SETTINGS, "base_score", to="1E0"), "predicts no such number"),
    "no learner": (change("learner", to=[]), "learner: expected an object"),
    "no booster": (change(*LEARNER, "gradient_booster", to=KeyError), "it has no field 'gradient_booster'"),
    "trees": (change(*MODEL, "gbtree_model_param", "num_trees", to="4"), "trees: expected 4, got 3"),
    "groups": (change(*MODEL, "tree_info", to=[0, 1, 0]), "tree_info: expected numbers below 1"),
    "nodes": (change(*TREE, "tree_param", "num_nodes", to="14"), "num_nodes: expected"),
    "child": (change(*TREE, "left_children", 0, to=99), "tree 0: a node's child does not exist"),
    "half a leaf": (change(*TREE, "left_children", 0, to=-1), "tree 0: a node's child does not exist"),
    "root": (change(*TREE, "left_children", 0, to=0), "nodes are not reached"),
    "two parents": (change(*TREE, "left_children", 0, to=2), "nodes are not reached"),
    "feature": (change(*TREE, "split_indices", 0, to=6), "it tests no feature"),
    "lengths": (change(*TREE, "default_left", to=[0]), "default_left: expected"),
    "kinds": (change(*TREE, "split_indices", 0, to=0.5), "split_indices: expected whole numbers"),
    "strings": (change(*TREE, "split_conditions", 0, to="1"), "split_conditions: expected a list of numbers"),
    "lists": (change(*TREE, "split_conditions", 0, to=[1]), "split_conditions: expected a list of numbers"),
    "threshold": (
        change(*TREE, "split_conditions", to=[float("nan")] * 13),
        "split_conditions: expected numbers",
    ),
    "leaf": (change(*TREE, "split_conditions", -1, to=float("inf")), "which are finite in leaves"),
    "overflow": (change(*TREE, "split_conditions", -1, to=1e39), "too large for float32"),
    "huge": (change(*TREE, "split_indices", 0, to=10**30), "split_indices: expected whole numbers"),
    "kind of split": (change(*TREE, "split_type", 0, to=2), "split_type: expected 0 or 1"),
}


@pytest.mark.once
@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_files_are_refused(case: str) -> None:
    damage, message = DAMAGES[case]
    value = copy.deepcopy(file_of("logistic"))
    damage(value)
    with pytest.raises(ModelError, match=message):
        import_model(json.dumps(value).encode())


CATEGORIES: dict[str, tuple[dict[str, Any], str]] = {
    "no set": ({"categories_nodes": [1]}, "each node that tests categories once"),
    "set of a leaf": (
        {"categories_nodes": [0, 1], "categories_segments": [0, 2], "categories_sizes": [2, 0]},
        "node 1 tests no categories",
    ),
    "segments": ({"categories_segments": [1]}, "one behind the other"),
    "sizes": ({"categories_sizes": [9]}, "one behind the other"),
    "negative": ({"categories": [-1, 2]}, "categories: expected numbers below"),
    "large": ({"categories": [1, 1 << 24]}, "categories: expected numbers below"),
}


@pytest.mark.once
@pytest.mark.parametrize("case", CATEGORIES)
def test_damaged_categories_are_refused(case: str) -> None:
    tree = {
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "split_indices": [0, 0, 0],
        "split_conditions": [0.0, 1.0, 2.0],
        "default_left": [0, 0, 0],
        "split_type": [1, 0, 0],
        "categories": [1, 2],
        "categories_nodes": [0],
        "categories_segments": [0],
        "categories_sizes": [2],
        "tree_param": {"num_nodes": "3"},
    }
    import_model(json.dumps(document([tree])).encode())
    changes, message = CATEGORIES[case]
    with pytest.raises(ModelError, match=message):
        import_model(json.dumps(document([{**tree, **changes}])).encode())


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"learner": {"a": 1, "a": 2}}', "gives a name twice"),
        ('{"learner": {', "is no JSON from character 13"),
        ('{"learner": ' + "[" * 100000, "nested too deep"),
        ('{"learner": ' + "1" * 5000 + "}", "a number has too many digits"),
        ('{"learner": "\xff"}', "is not in UTF-8"),
    ],
)
def test_what_is_no_json_is_refused(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        import_model(text.encode("latin-1"))


@pytest.mark.once
def test_truncated_files_are_refused() -> None:
    for file in ("xgboost_dart_3.2.0.json", "xgboost_dart_3.2.0.ubj"):
        data = (MODELS / file).read_bytes()
        for length in range(30, len(data), 11):
            with pytest.raises(ModelError):
                import_model(data[:length])


@given(st.sampled_from(["json", "ubj"]), st.integers(0, 2**32 - 1))
def test_changed_bytes_are_refused_or_make_another_model(kind: str, seed: int) -> None:
    data = (MODELS / f"xgboost_dart_3.2.0.{kind}").read_bytes()
    refused_or_another_model(data, seed, b'0123456789-.eE[]{}",:$#LlUidD\0\x01\x7f\xff', 6)
