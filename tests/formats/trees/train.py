"""Trains the small models of `models/`, and keeps what their library predicts.

    python tests/formats/trees/train.py lightgbm
    python tests/formats/trees/train.py xgboost
    python tests/formats/trees/train.py xgboost logistic poisson

The last trains some cases alone, as was done with older versions. Each model of a library's version is a file
there; `lightgbm.npz` holds rows and, for each file, what `predict` gives for them with and without
``raw_score``; `xgboost.npz` the same with ``output_margin``. Models of other versions stay as they are.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MODELS = Path(__file__).parent / "models"
ROWS = 400
NAMES = ["user_age", "price", "colour", "size", "hour", "rest"]
CATEGORIES = (2, 3)
"""Columns that hold categories."""


def rows(seed: int) -> np.ndarray:
    """Numbers and categories, of which some are missing and some are zero."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(ROWS, len(NAMES)))
    x[:, 2], x[:, 3] = random.integers(0, 70, ROWS), random.integers(0, 5, ROWS)
    x[random.random(x.shape) < 0.1] = 0
    x[random.random(x.shape) < 0.1] = np.nan
    return x


def hard_rows(x: np.ndarray, thresholds: list[tuple[int, float]], seed: int) -> np.ndarray:
    """Rows that hold thresholds, their neighbours, and numbers that are no category."""
    random = np.random.default_rng(seed)
    small = float(np.float32(1e-35))
    special = [np.nan, 0, small, -small, np.nextafter(small, 1), 1e-36, -0.5, 3.7, 1e10, -1, np.inf, -np.inf]
    made = x.copy()
    for column in range(x.shape[1]):
        own = np.asarray([value for feature, value in thresholds if feature == column])
        chosen = np.concatenate([own, np.nextafter(own, np.inf), np.nextafter(own, -np.inf), special])
        picked = random.random(len(x)) < 0.4
        made[:, column] = np.where(picked, random.choice(chosen, len(x)), x[:, column])
    return made


def labels(x: np.ndarray) -> dict[str, np.ndarray]:
    signal = np.nan_to_num(x[:, 0]) + (np.nan_to_num(x[:, 2]) % 3 == 0) + 0.5 * np.nan_to_num(x[:, 3], nan=2)
    return {
        "real": signal,
        "positive": np.abs(signal) + 0.1,
        "share": 1 / (1 + np.exp(-signal)),
        "yes": (signal > 1).astype(int),
        "class": np.digitize(signal, [0.5, 1.5]),
    }


LIGHTGBM: dict[str, tuple[str, dict[str, Any]]] = {
    "regression": ("real", {}),
    "zero_as_missing": ("real", {"zero_as_missing": True}),
    "no_missing": ("real", {"use_missing": False}),
    "sqrt": ("real", {"reg_sqrt": True}),
    **{
        name: ("real", {"objective": name}) for name in ("regression_l1", "huber", "fair", "quantile", "mape")
    },
    **{name: ("positive", {"objective": name}) for name in ("poisson", "gamma", "tweedie")},
    "binary": ("yes", {"objective": "binary"}),
    "sigmoid": ("yes", {"objective": "binary", "sigmoid": 2.5}),
    "dart": ("yes", {"objective": "binary", "boosting": "dart", "drop_rate": 0.5}),
    "forest": ("yes", {"objective": "binary", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5}),
    "constant": ("yes", {"objective": "binary", "min_gain_to_split": 1e9}),
    "cross_entropy": ("share", {"objective": "cross_entropy"}),
    "cross_entropy_lambda": ("share", {"objective": "cross_entropy_lambda"}),
    "multiclass": ("class", {"objective": "multiclass", "num_class": 3}),
    "multiclassova": ("class", {"objective": "multiclassova", "num_class": 3}),
    "lambdarank": ("yes", {"objective": "lambdarank"}),
    "rank_xendcg": ("yes", {"objective": "rank_xendcg"}),
}


def lightgbm_thresholds(node: dict[str, Any]) -> Iterator[tuple[int, float]]:
    if node.get("decision_type") == "<=":
        yield node["split_feature"], node["threshold"]
    for side in ("left_child", "right_child"):
        if side in node:
            yield from lightgbm_thresholds(node[side])


def train_lightgbm() -> None:
    import lightgbm

    x = rows(1)
    wanted = labels(x)
    kept: dict[str, np.ndarray] = {}
    for name, (label, options) in LIGHTGBM.items():
        settings = {
            "objective": "regression",
            "num_leaves": 6,
            "min_data_in_leaf": 5,
            "min_data_per_group": 5,
            "cat_smooth": 1,
            "max_cat_to_onehot": 2,
            "verbose": -1,
            **options,
        }
        ranked = {"group": [ROWS // 2] * 2} if label == "yes" and "rank" in name else {}
        data = lightgbm.Dataset(
            x, wanted[label], categorical_feature=list(CATEGORIES), feature_name=NAMES, **ranked
        )
        model = lightgbm.train(settings, data, 4)
        text = model.model_to_string()
        # The settings of training, which nothing reads.
        text = text[: text.index("\nparameters:")] + "\npandas_categorical:null\n"
        (MODELS / f"lightgbm_{name}.txt").write_text(text)
        thresholds = [
            found
            for tree in model.dump_model()["tree_info"]
            for found in lightgbm_thresholds(tree["tree_structure"])
        ]
        hard = hard_rows(x, thresholds, 2)[:80]
        kept |= {
            f"{name}/x": hard,
            f"{name}/predicted": np.asarray(model.predict(hard)),
            f"{name}/raw": np.asarray(model.predict(hard, raw_score=True)),
        }
    np.savez_compressed(MODELS / "lightgbm.npz", **kept)  # type: ignore[arg-type]


XGBOOST: dict[str, tuple[str, dict[str, Any]]] = {
    "squarederror": ("real", {}),
    "one_hot": ("real", {"max_cat_to_onehot": 100}),
    "forest": ("real", {"num_parallel_tree": 2, "subsample": 0.5}),
    "pruned": ("real", {"gamma": 8.0, "tree_method": "exact"}),
    "targets": ("both", {}),
    "quantiles": ("real", {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.7]}),
    **{name: ("real", {"objective": f"reg:{name}"}) for name in ("pseudohubererror", "absoluteerror")},
    **{name: ("positive", {"objective": f"reg:{name}"}) for name in ("squaredlogerror", "gamma", "tweedie")},
    "poisson": ("positive", {"objective": "count:poisson"}),
    **{name: ("positive", {"objective": f"survival:{name}"}) for name in ("cox", "aft")},
    "reg_logistic": ("share", {"objective": "reg:logistic"}),
    "logistic": ("yes", {"objective": "binary:logistic"}),
    "base_score": ("yes", {"objective": "binary:logistic", "base_score": 0.3}),
    **{name: ("yes", {"objective": f"binary:{name}"}) for name in ("logitraw", "hinge")},
    "dart": ("yes", {"objective": "binary:logistic", "booster": "dart", "rate_drop": 0.5}),
    **{name: ("class", {"objective": f"multi:{name}", "num_class": 3}) for name in ("softprob", "softmax")},
    **{name: ("yes", {"objective": f"rank:{name}"}) for name in ("ndcg", "pairwise", "map")},
    "vectors": ("both", {"multi_strategy": "multi_output_tree", "tree_method": "hist"}),
    "linear": ("real", {"booster": "gblinear"}),
}
BINARY = ("logistic", "softprob", "dart")
"""Those that are kept as UBJSON too."""


def train_xgboost(chosen: list[str]) -> None:
    import xgboost

    x = np.float32(rows(1))
    wanted = labels(x)
    wanted["both"] = np.stack([wanted["real"], -wanted["positive"]], axis=1)
    kinds = ["c" if place in CATEGORIES else "q" for place in range(len(NAMES))]
    path = MODELS / "xgboost.npz"
    kept = dict(np.load(path)) if path.exists() else {}
    for case, (label, options) in XGBOOST.items():
        if chosen and case not in chosen:
            continue
        plain = case in ("linear", "vectors", "pruned")
        ranked = {"group": [ROWS // 2] * 2} if case in ("ndcg", "pairwise", "map") else {}
        data = xgboost.DMatrix(
            x,
            wanted[label],
            feature_names=NAMES,
            feature_types=None if plain else kinds,
            enable_categorical=not plain,
            **ranked,
        )
        if case == "aft":
            data.set_float_info("label_lower_bound", wanted[label])
            data.set_float_info("label_upper_bound", wanted[label] + 1)
        settings = {} if case == "linear" else {"max_depth": 3, "max_cat_to_onehot": 6}
        model = xgboost.train({**settings, **options}, data, 3)
        name = f"{case}_{xgboost.__version__}"
        text = bytes(model.save_raw("json"))
        (MODELS / f"xgboost_{name}.json").write_bytes(text)
        if case in BINARY:
            (MODELS / f"xgboost_{name}.ubj").write_bytes(bytes(model.save_raw("ubj")))
        if case in ("linear", "vectors"):
            continue
        booster = json.loads(text)["learner"]["gradient_booster"]
        thresholds = [
            (feature, threshold)
            for tree in booster.get("gbtree", booster)["model"]["trees"]
            for feature, threshold, left in zip(
                tree["split_indices"], tree["split_conditions"], tree["left_children"], strict=True
            )
            if left >= 0
        ]
        hard = hard_rows(x, thresholds, 2)[:80]
        hard[np.isinf(hard)] = 1e30
        found = {
            key: np.asarray(model.inplace_predict(hard, predict_type=kind, validate_features=False))
            for key, kind in (("predicted", "value"), ("raw", "margin"))
        }
        kept |= {f"{name}/x": hard, **{f"{name}/{key}": value for key, value in found.items()}}
    np.savez_compressed(path, **kept)


def main() -> None:
    MODELS.mkdir(exist_ok=True)
    library, *chosen = sys.argv[1:]
    if library == "lightgbm":
        train_lightgbm()
    else:
        train_xgboost(chosen)


if __name__ == "__main__":
    main()
