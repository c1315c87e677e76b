"""Trains the small models of `models/`, and keeps what their library predicts.

    python tests/formats/trees/train.py lightgbm
    python tests/formats/trees/train.py xgboost

Each model of a library's version is a file there; `lightgbm.npz` holds rows and, for each file, what
`predict` gives for them with and without ``raw_score``; `xgboost.npz` the same with ``output_margin``. Models
of other versions stay as they are, so that each version is run where it is installed.
"""

from __future__ import annotations

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


def main() -> None:
    MODELS.mkdir(exist_ok=True)
    {"lightgbm": train_lightgbm}[sys.argv[1]]()


if __name__ == "__main__":
    main()
