"""Gradient-boosted trees from their libraries' files, beside these libraries and onnxruntime.

``python -m benchmarks.trees --folder trees --rows 1000 100000`` trains 500 trees of 63 leaves on 50 features
with LightGBM, and 500 of depth 6 with XGBoost and CatBoost (kept in the folder), compares answers, takes
turns in one process on one thread, and prints median milliseconds and how many times as fast as each peer
ours is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import onnxruntime
import xgboost

import pyrec_infer as pi
from benchmarks.turns import take_turns

TREES, LEAVES, DEPTH, FEATURES, TRAINED = 500, 63, 6, 50, 20_000
NAMES = {"LightGBM": "lightgbm.txt", "onnxruntime": "lightgbm.onnx", "XGBoost": "xgboost.json"}
CATBOOST = ("catboost.cbm", "catboost.onnx")


def train(folder: Path) -> None:
    """The models that are not there yet."""
    random = np.random.default_rng(0)
    x = random.normal(size=(TRAINED, FEATURES)).astype(np.float32)
    y = (x[:, :5].sum(axis=1) + x[:, 5] * x[:, 6] + random.normal(size=TRAINED) > 0).astype(int)
    first, converted, second = (folder / name for name in NAMES.values())
    if not first.exists():
        settings = {"objective": "binary", "num_leaves": LEAVES, "num_threads": 1, "verbose": -1}
        lightgbm.train(settings, lightgbm.Dataset(x, y), TREES).save_model(first)
    if not converted.exists():
        from onnxmltools.convert import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        kinds = [("X", FloatTensorType([None, FEATURES]))]
        booster = lightgbm.Booster(model_file=first)
        proto = convert_lightgbm(booster, initial_types=kinds, zipmap=False, target_opset=15)
        converted.write_bytes(proto.SerializeToString())
    if not second.exists():
        options = {"objective": "binary:logistic", "max_depth": DEPTH, "nthread": 1}
        xgboost.train(options, xgboost.DMatrix(x, y), TREES).save_model(second)
    own, third = (folder / name for name in CATBOOST)
    if not third.exists():
        model = catboost.CatBoostClassifier(
            iterations=TREES, depth=DEPTH, thread_count=1, verbose=0, allow_writing_files=False
        )
        model.fit(x, y)
        model.save_model(own)
        model.save_model(third, format="onnx")


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def contestants(folder: Path, x: np.ndarray) -> dict[str, dict[str, Callable[[], Any]]]:
    """For each of our models, what scores the same rows: ours first."""
    first, converted, second = (folder / name for name in NAMES.values())
    booster, other = lightgbm.Booster(model_file=first), xgboost.Booster(model_file=second)
    other.set_param({"nthread": 1})
    session = _session(converted)
    ours = {path: pi.load(path) for path in (first, converted, second)}

    def score(path: Path) -> Any:
        output = ("probabilities", 1) if path == converted else "score"
        return ours[path].score({}, {"X": x}, output=output)

    return {
        "LightGBM's file": {
            "ours": lambda: score(first),
            "LightGBM": lambda: booster.predict(x, num_threads=1),
            "onnxruntime": lambda: session.run(["probabilities"], {"X": x})[0][:, 1],
        },
        "LightGBM's trees in ONNX": {
            "ours": lambda: score(converted),
            "onnxruntime": lambda: session.run(["probabilities"], {"X": x})[0][:, 1],
        },
        "XGBoost's file": {
            "ours": lambda: score(second),
            "XGBoost": lambda: other.inplace_predict(x),
        },
    }


def of_levels(folder: Path, x: np.ndarray) -> dict[str, dict[str, Callable[[], Any]]]:
    """The same for CatBoost's trees, whose branches of one depth test the same."""
    own, third = (folder / name for name in CATBOOST)
    model = catboost.CatBoostClassifier().load_model(own)
    session, ours = _session(third), pi.load(third)
    return {
        "CatBoost's trees in ONNX": {
            "ours": lambda: ours.score({}, {"features": x}, output=("probabilities", 1)),
            "CatBoost": lambda: model.predict_proba(x, thread_count=1)[:, 1],
            "onnxruntime": lambda: [row[1] for row in session.run(["probabilities"], {"features": x})[0]],
        }
    }


def divided(folder: Path, x: np.ndarray) -> dict[str, dict[str, Callable[[], Any]]]:
    """The same for one request and its candidates: the first half of the features are the request's."""
    half = FEATURES // 2
    x = x.copy()
    x[:, :half] = x[0, :half]
    names = [f"f{i}" for i in range(FEATURES)]
    request = {name: float(x[0, i]) for i, name in enumerate(names[:half])}
    items = {name: x[:, i].copy() for i, name in enumerate(names) if i >= half}
    found = contestants(folder, x)
    for title, file in (("LightGBM's file", NAMES["LightGBM"]), ("XGBoost's file", NAMES["XGBoost"])):
        model = pi.load(folder / file, columns={"X": names})
        found[title]["ours, by side"] = partial(model.score, request, items, output="score")
        found[title]["ours, catalogue"] = partial(model.catalog(items, output="score").score, request)
    return {f"request and items, {title}": runs for title, runs in found.items() if len(runs) > 2}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("trees"))
    parser.add_argument("--rows", type=int, nargs="+", default=[1000])
    parser.add_argument("--turns", type=int, default=9)
    chosen = parser.parse_args()
    chosen.folder.mkdir(exist_ok=True)
    train(chosen.folder)
    for rows in chosen.rows:
        x = np.random.default_rng(1).normal(size=(rows, FEATURES)).astype(np.float32)
        found = [make(chosen.folder, x) for make in (contestants, of_levels, divided)]
        for model, runs in [item for part in found for item in part.items()]:
            ours, *others = [np.asarray(run()) for run in runs.values()]
            for name, answer in zip(list(runs)[1:], others, strict=True):
                # The export rounds thresholds and leaves to float32, and some rows go another way.
                tolerance = 0.05 if name == "onnxruntime" else 1e-5
                np.testing.assert_allclose(ours, answer, atol=tolerance)
            times = take_turns(runs, chosen.turns)
            for name, taken in times.items():
                speed, ratio = rows / taken / 1e6, taken / times["ours"]
                print(f"{rows:7} {model:36} {name:15} {1e3 * taken:9.2f} ms {speed:7.4f} M/s {ratio:5.1f}x")


if __name__ == "__main__":
    main()
