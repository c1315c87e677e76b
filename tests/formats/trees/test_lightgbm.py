"""LightGBM's text models: what the library predicts, its decisions to the last bit, and damaged files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.damage import refused_or_another_model

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.errors import InputError, ModelError, UnsupportedModelError
from pyrec_infer.formats import import_model

MODELS = Path(__file__).parent / "models"
NAMES = ["user_age", "price", "colour", "size", "hour", "rest"]
SMALL = float(np.float32(1e-35))
CASES = sorted(path.stem.removeprefix("lightgbm_") for path in MODELS.glob("lightgbm_*.txt"))


def file_of(case: str) -> bytes:
    return (MODELS / f"lightgbm_{case}.txt").read_bytes()


def kept(case: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with np.load(MODELS / "lightgbm.npz") as stored:
        x, predicted, raw = (stored[f"{case}/{name}"] for name in ("x", "predicted", "raw"))
    # The library averages for predictions alone.
    averaged = b"\naverage_output\n" in file_of(case)
    return x, predicted, raw / file_of(case).count(b"Tree=") if averaged else raw


def test_there_are_models() -> None:
    assert {"regression", "zero_as_missing", "binary", "multiclass", "lambdarank"} <= set(CASES)


@pytest.mark.parametrize("case", CASES)
def test_predictions_are_those_of_the_library(case: str) -> None:
    x, predicted, raw = kept(case)
    made = pi.load(file_of(case)).run({"X": x})
    name = "probabilities" if predicted.ndim == 2 else "score"
    np.testing.assert_allclose(made[name], predicted, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(made.get("margin", made[name]), raw, rtol=1e-6, atol=1e-7)
    assert made[name].dtype == np.float32


def test_features_are_inputs_by_name() -> None:
    model = pi.load(file_of("binary"))
    assert [item.name for item in model.inputs] == NAMES
    x, predicted, _ = kept("binary")
    items = {name: x[:, place] for place, name in enumerate(NAMES) if place not in (0, 4)}
    request = {"user_age": 0.25, "hour": -1}
    same = x.copy()
    same[:, 0], same[:, 4] = 0.25, -1
    whole = model.run({"X": same})
    np.testing.assert_array_equal(model.score(request, items), whole["score"])
    np.testing.assert_array_equal(model.score(request, items, output="margin"), whole["margin"])
    np.testing.assert_array_equal(model.score(request, items, output="logit"), whole["margin"])
    catalog = model.catalog({name: items[name] for name in ("price", "colour", "size")}, candidates=["rest"])
    found = catalog.score(request, np.arange(len(x)), candidates={"rest": items["rest"]})
    np.testing.assert_array_equal(found, whole["score"])
    best = catalog.top_k(request, 5, candidates={"rest": items["rest"]})
    np.testing.assert_array_equal(best.scores, np.sort(whole["score"])[::-1][:5])
    np.testing.assert_allclose(model.run({n: x[:, i] for i, n in enumerate(NAMES)})["score"], predicted, 1e-6)


def test_the_sigmoid_parameter_is_part_of_the_logit() -> None:
    x, _, raw = kept("sigmoid")
    model = pi.load(file_of("sigmoid"))
    np.testing.assert_allclose(model.score({}, {"X": x}, output="logit"), 2.5 * raw, rtol=1e-5, atol=1e-6)


def test_columns_that_the_caller_names() -> None:
    x, _, raw = kept("regression")
    names = ["a", "a", "b", "c", "d", "e"]
    model = pi.load(file_of("regression"), columns={"X": names})
    assert [(item.name, item.shape) for item in model.inputs][:2] == [("a", ("N", 2)), ("b", ("N",))]
    found = model.score({}, {"a": x[:, :2], **{name: x[:, 2 + i] for i, name in enumerate("bcde")}})
    np.testing.assert_allclose(found, raw, rtol=1e-6)


def test_names_that_the_library_made_up_are_none() -> None:
    names = b"feature_names=" + " ".join(NAMES).encode()
    made_up = b"feature_names=" + " ".join(f"Column_{i}" for i in range(6)).encode()
    model = pi.load(file_of("regression").replace(names, made_up))
    assert [(item.name, item.dtype, item.shape) for item in model.inputs] == [("X", "float64", ("N", 6))]


def test_outputs_give_way_to_features() -> None:
    renamed = file_of("binary").replace(b"=user_age price", b"=score X")
    model = pi.load(renamed)
    assert [item.name for item in model.outputs] == ["score_", "margin"]
    x, predicted, _ = kept("binary")
    np.testing.assert_allclose(model.run({"X_": x})["score_"], predicted, rtol=1e-6)


def test_classes_need_a_column() -> None:
    x, predicted, _ = kept("multiclass")
    model = pi.load(file_of("multiclass"))
    found = model.score({}, {"X": x}, output=("probabilities", 2))
    np.testing.assert_allclose(found, predicted[:, 2], rtol=1e-6)
    with pytest.raises(InputError, match="name a column"):
        model.top_k({}, {"X": x}, 3)


def test_a_schema_feeds_features_by_name() -> None:
    colours = features.Vocabulary(["red", "blue"], oov_last=True)
    schema = pi.Schema(
        [
            features.Field("user_age", "request", to="user_age", dtype="number"),
            features.Field("colour", "item", to="colour", transforms=[colours]),
            features.Field("price", "item", to="price", dtype="number", nan="keep"),
            *(features.Field(name, "item", to=name, dtype="number") for name in ("size", "hour", "rest")),
        ]
    )
    rows = [
        {"price": 0.5, "colour": "red", "size": 1, "hour": 0.5, "rest": -1},
        {"price": np.nan, "colour": "blue", "size": 3, "hour": -0.5, "rest": 1},
        {"price": 0.75, "colour": "green", "size": 2, "hour": 0.5, "rest": 0},
    ]
    found = pi.load(file_of("regression"), schema=schema).score({"user_age": 0.3}, rows)
    plain = {name: [row[name] for row in rows] for name in NAMES[1:]}
    plain["colour"] = [0, 1, 2]
    np.testing.assert_array_equal(found, pi.load(file_of("regression")).score({"user_age": 0.3}, plain))
    inferred = pi.Schema.infer(plain | {"user_age": [0.3] * 3}, file_of("regression"))
    assert {item.name for item in inferred.fields} == set(NAMES)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, list[dict[str, Any]], list[list[int]]]:
    """A file of random trees over three features, its trees and its sets of categories."""
    trees, texts, sets = [], [], []
    numbers = st.sampled_from([-2.0, -SMALL, 0.0, 1e-36, SMALL, np.inf, 0.1, float(np.float32(0.1)), 1.0])
    for place in range(draw(st.integers(1, 3))):
        leaves = draw(st.integers(1, 6))
        children = [[0, 0] for _ in range(leaves - 1)]
        # As LightGBM grows trees: a leaf becomes a branch with that leaf and a new one.
        spots: dict[int, tuple[int, int]] = {}
        for node in range(leaves - 1):
            leaf = draw(st.integers(0, node))
            if node:
                parent, side = spots[leaf]
                children[parent][side] = node
            children[node] = [~leaf, ~(node + 1)]
            spots[leaf], spots[node + 1] = (node, 0), (node, 1)
        kinds = [draw(st.sampled_from([0, 2, 4, 6, 8, 10, 1, 9])) for _ in children]
        own = [sorted(draw(st.sets(st.integers(0, 70), max_size=5))) for kind in kinds if kind & 1]
        thresholds, words, edges = [], [], [0]
        for kind in kinds:
            thresholds.append(float(len(edges) - 1) if kind & 1 else draw(numbers))
            if kind & 1:
                chosen = own[len(edges) - 1]
                bits = sum(1 << member for member in chosen)
                words += [bits >> 32 * word & 0xFFFFFFFF for word in range(3)]
                edges.append(len(words))
        tree = {
            "features": [draw(st.integers(0, 2)) for _ in children],
            "kinds": kinds,
            "thresholds": thresholds,
            "children": children,
            "values": [draw(st.integers(-8, 8)) for _ in range(leaves)],
            "sets": own,
        }
        trees.append(tree)

        def joined(values: Any) -> str:
            return " ".join(map(repr, values))

        lines = [
            f"Tree={place}",
            f"num_leaves={leaves}",
            f"num_cat={len(own)}",
            f"split_feature={joined(tree['features'])}",
            f"threshold={joined(thresholds)}",
            f"decision_type={joined(kinds)}",
            f"left_child={joined(left for left, _ in children)}",
            f"right_child={joined(right for _, right in children)}",
            f"leaf_value={joined(tree['values'])}",
        ]
        if own:
            lines += [f"cat_boundaries={joined(edges)}", f"cat_threshold={joined(words)}"]
        texts.append("\n".join([*lines, "is_linear=0", "shrinkage=1", "", ""]))
    head = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=2\n"
    head += "objective=regression\nfeature_names=a b c\nfeature_infos=none none none\n\n"
    return head + "\n".join(texts) + "\nend of trees\n", trees, sets


def decided(tree: dict[str, Any], row: np.ndarray) -> int:
    """The value of the leaf that a row ends at, by LightGBM's rules one after the other."""
    node = 0 if tree["children"] else ~0
    while node >= 0:
        value, kind = float(row[tree["features"][node]]), tree["kinds"][node]
        if abs(value) <= SMALL:
            value = 0.0
        if kind & 1:
            chosen = tree["sets"][int(tree["thresholds"][node])]
            left = -1 < value < 1e9 and int(value) in chosen
        else:
            missing = kind >> 2
            if np.isnan(value) and missing != 2:
                value = 0.0
            if (missing == 1 and value == 0) or (missing == 2 and np.isnan(value)):
                left = bool(kind & 2)
            else:
                left = value <= tree["thresholds"][node]
        node = tree["children"][node][0 if left else 1]
    return tree["values"][~node]  # type: ignore[no-any-return]


@settings(max_examples=40)
@given(files(), st.integers(0, 2**32 - 1))
def test_every_decision_is_as_the_rules_say(made: Any, seed: int) -> None:
    text, trees, _ = made
    special = [
        np.nan,
        0,
        -0.0,
        SMALL,
        -SMALL,
        np.nextafter(SMALL, 1),
        np.nextafter(-SMALL, -1),
        1e-36,
        5e-324,
    ]
    special += [-2, np.nextafter(-2, 0), 0.1, np.float32(0.1), np.nextafter(0.1, 1), 1, -1, -0.5, 70.5, 71]
    special += [31, 32, 63, 64, 2.0**31, 2.0**32 + 3, 1e300, np.inf, -np.inf]
    x = np.random.default_rng(seed).choice(np.asarray(special, float), (25, 3))
    expected = [sum(decided(tree, row) for tree in trees) for row in x]
    np.testing.assert_array_equal(
        pi.load(text.encode()).run({"X": x})["score"], np.asarray(expected, np.float32)
    )


DAMAGES: dict[str, tuple[str, str, str]] = {
    "version": ("version=v4", "version=v9", "expected a version of v2, v3, v4, got 'v9'"),
    "objective": ("objective=regression", "objective=magic", "its objective 'magic' is unknown"),
    "option": ("objective=regression", "objective=regression power:3", "unknown option 'power'"),
    "classes": ("num_class=1", "num_class=2", "as many trees an iteration as the 2 classes"),
    "features": ("max_feature_idx=5", "max_feature_idx=6", "expected 7 names, got 6"),
    "many features": ("max_feature_idx=5", "max_feature_idx=999999999999", "names, got 6"),
    "header": ("label_index=0", "scale_output=2", "its entry 'scale_output' is unknown"),
    "entry": ("shrinkage=1\n", "extra=1\n", "tree 0: its entry 'extra' is unknown"),
    "entry twice": ("num_cat=2\n", "num_cat=2\nnum_cat=2\n", "tree 0: its entry 'num_cat' occurs twice"),
    "no entry": ("num_cat=2\n", "", "tree 0: it has no entry 'num_cat'"),
    "linear": ("is_linear=0", "is_linear=1", "tree 0: its leaves hold linear models"),
    "order": ("Tree=1\n", "Tree=2\n", "expected tree 1 in line"),
    "end": ("end of trees", "end of", "does not say where its trees end"),
    "sizes": ("tree_sizes=", "tree_sizes=5 ", "tree_sizes: expected 4 numbers, got 5"),
    "leaves": ("num_leaves=6", "num_leaves=7", "tree 0: leaf_value: expected 7 numbers, got 6"),
    "no leaves": ("num_leaves=6", "num_leaves=0", "tree 0: it has no leaves"),
    "child": ("left_child=1", "left_child=9", "tree 0: left_child: a child does not exist"),
    "number": ("threshold=", "threshold=0x", "tree 0: threshold: expected numbers"),
    "nan": ("threshold=", "threshold=nan ", "tree 0: threshold: expected numbers"),
    "underscore": ("threshold=0.", "threshold=1_0.", "tree 0: threshold: expected numbers"),
    "overflow": ("leaf_value=", "leaf_value=1e999 ", "tree 0: leaf_value: a number is too large"),
    "kind": ("decision_type=", "decision_type=1", "tree 0: decision_type: an unknown kind"),
    "digits": ("num_cat=2", "num_cat=" + "9" * 5000, "tree 0: num_cat: expected whole numbers"),
    "sets": ("num_cat=2", "num_cat=1", "tree 0: cat_boundaries: expected 2 numbers, got 3"),
    "boundaries": ("cat_boundaries=0 1", "cat_boundaries=0 9", "cat_boundaries: expected numbers that grow"),
    "words": (
        "cat_threshold=",
        "cat_threshold=42949672960",
        "tree 0: cat_threshold: expected numbers of 32 bits",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("case", DAMAGES)
def test_damaged_files_are_refused(case: str) -> None:
    old, new, message = DAMAGES[case]
    text = file_of("regression").decode()
    assert old in text
    with pytest.raises(ModelError, match=message):
        import_model(text.replace(old, new, 1).replace("Tree=0\n\n", "Tree=0\n").encode())


def renumbered(children: str) -> bytes:
    lines = file_of("regression").decode().split("\n")
    place = next(i for i, line in enumerate(lines) if line.startswith("left_child="))
    lines[place] = f"left_child={children}"
    return "\n".join(lines).encode()


@pytest.mark.once
@pytest.mark.parametrize(
    ("children", "message"),
    [
        ("0 -1 -3 4 -2", "tree 0, node 0: the root is the child of a node"),
        ("1 1 -3 4 -2", "tree 0, node 1: it has 2 parents, expected 1"),
        ("1 -1 -1 4 -2", "tree 0, node 5: it has 2 parents, expected 1"),
    ],
)
def test_what_is_no_tree_is_refused(children: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        import_model(renumbered(children))


@pytest.mark.once
@pytest.mark.parametrize("number", ["inf", "-1", "2", "0.5", "1"])
def test_a_set_of_categories_is_one_nodes(number: str) -> None:
    lines = file_of("regression").decode().split("\n")
    place = next(i for i, line in enumerate(lines) if line.startswith("threshold="))
    assert lines[place].count(" 0 ") == 1
    assert lines[place].endswith(" 1")
    lines[place] = lines[place].replace(" 0 ", f" {number} ")
    with pytest.raises(ModelError, match=r"tree 0: node [0-9]: expected a set of categories of its own"):
        import_model("\n".join(lines).encode())


@pytest.mark.once
def test_a_cycle_that_no_root_reaches_is_refused() -> None:
    head, _, rest = file_of("constant").decode().partition("Tree=0\n")
    tree = "Tree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 0\nthreshold=0 0\ndecision_type=0 0\n"
    tree += "left_child=-1 1\nright_child=-2 -3\nleaf_value=1 2 3\n\n"
    end = rest[rest.index("end of trees") :]
    with pytest.raises(ModelError, match=r"node 1, which no tree reaches"):
        import_model((head + tree + end).encode())


@pytest.mark.once
def test_truncated_files_are_refused() -> None:
    data = file_of("regression")
    end = data.index(b"end of trees")
    for length in range(30, end, 7):
        with pytest.raises(ModelError):
            import_model(data[:length])


@given(st.integers(0, 2**32 - 1))
def test_changed_bytes_are_refused_or_make_another_model(seed: int) -> None:
    refused_or_another_model(file_of("regression"), seed, b"0123456789-=. eE\n\0\xff", 6)


def test_windows_line_ends() -> None:
    x, predicted, _ = kept("binary")
    data = file_of("binary").replace(b"\n", b"\r\n")
    np.testing.assert_allclose(pi.load(data).run({"X": x})["score"], predicted, rtol=1e-6)


@pytest.mark.once
def test_unsupported_is_not_damaged() -> None:
    with pytest.raises(UnsupportedModelError, match="linear_tree=false"):
        import_model(file_of("regression").replace(b"is_linear=0", b"is_linear=1"))


@pytest.mark.once
def test_loading_imports_no_library_of_trees() -> None:
    path = MODELS / "lightgbm_binary.txt"
    code = "import sys, pyrec_infer as pi; pi.load(sys.argv[1]); print(*sys.modules)"
    run = [sys.executable, "-c", code, str(path)]
    loaded = subprocess.run(run, capture_output=True, check=True, text=True).stdout.split()
    assert not {"lightgbm", "xgboost", "catboost", "sklearn"} & set(loaded)
