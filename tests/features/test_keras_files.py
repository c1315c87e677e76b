"""Files that Keras saved: raw rows score as in Keras, and a FeatureSpace makes the same columns.

``benchmarks/keras_wide_deep.py`` wrote them, with Keras 3.15.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.models import FLOAT, make_model

import pyrec_infer as pi
from pyrec_infer.errors import SchemaError

FILES = Path(__file__).resolve().parents[1] / "data" / "keras"

pytest.importorskip("h5py", reason="h5py is not installed: it holds what Normalization has learnt")


def test_a_trained_wide_and_deep_scores_raw_rows_as_keras_does() -> None:
    schema = pi.Schema.from_keras(FILES / "wide_deep.keras", sides={"city": "request"})
    model = pi.load(FILES / "wide_deep.onnx", schema=schema)
    with np.load(FILES / "wide_deep.npz") as stored:
        rows = {name: stored[name] for name in ("city", "sku", "price")}
        expected = stored["scores"]
    (scores,) = model.run(rows).values()
    np.testing.assert_allclose(scores.reshape(-1), expected, rtol=1e-5, atol=1e-6)
    own = rows["city"] == "rome"
    items = {name: values[own] for name, values in rows.items() if name != "city"}
    catalog = model.catalog(items, ids=np.arange(own.sum()))
    for made in (model.score({"city": "rome"}, items), catalog.score({"city": "rome"})):
        np.testing.assert_allclose(np.reshape(made, -1), expected[own], rtol=1e-5, atol=1e-6)


def space_rows(file: str) -> tuple[dict[str, Any], Any]:
    with np.load(FILES / f"{file}.npz") as stored:
        return {name: stored[name] for name in stored.files if name != "expected"}, stored["expected"]


@pytest.mark.parametrize("file", ["space", "crossed_space"])
def test_a_feature_space_makes_the_columns_of_keras(file: str) -> None:
    rows, expected = space_rows(file)
    schema = pi.Schema.from_keras(FILES / f"{file}.keras", to={"features": "X"})
    report = pi.check_features(schema, rows, {"X": expected})
    assert report.same, report
    crosses = {"sku_X_city", "kind_X_age"} if file == "crossed_space" else set()
    assert {check.field for check in report.checks} == set(rows) | crosses
    node = helper.make_node("Identity", ["X"], ["y"])
    shape: Any = (FLOAT, ["N", expected.shape[1]])
    model = pi.load(make_model([node], {"X": shape}, {"y": shape}).SerializeToString(), schema=schema)
    np.testing.assert_allclose(model.run(rows)["y"], expected, rtol=1e-6, atol=1e-7)
    assert pi.Schema.from_json(schema.to_json()) == schema


def changed(change: Any) -> bytes:
    """The file with another configuration."""
    out = io.BytesIO()
    with zipfile.ZipFile(FILES / "space.keras") as read, zipfile.ZipFile(out, "w") as written:
        for name in read.namelist():
            data = read.read(name)
            if name == "config.json":
                config = json.loads(data)
                change(config["config"])
                data = json.dumps(config).encode()
            written.writestr(name, data)
    return out.getvalue()


def test_a_feature_space_with_outputs_by_name() -> None:
    schema = pi.Schema.from_keras(changed(lambda config: config.update(output_mode="dict")), to={"rate": "r"})
    assert {field.to[0] for field in schema.fields} == {"age", "city", "kind", "price", "r", "sku"}


BAD: dict[str, tuple[Any, str]] = {
    "no cross": (lambda config: config.update(crosses=[{}]), "a cross has no configuration"),
    "a cross of nothing": (
        lambda config: config.update(crosses=[{"config": {"feature_names": ["city", "town"]}}]),
        "a cross: expected the names of several features",
    ),
    "a cross without a size": (
        lambda config: config.update(crosses=[{"config": {"feature_names": ["city", "sku"]}}]),
        "the cross of city, sku",
    ),
    "a cross of numbers": (
        lambda config: config.update(
            crosses=[
                {"config": {"feature_names": ["city", "rate"], "crossing_dim": 9, "output_mode": "one_hot"}}
            ]
        ),
        "got number",
    ),
    "no features": (lambda config: config.update(features=7), "FeatureSpace with features"),
    "no layer": (lambda config: config["features"].update(age={"config": {}}), "feature 'age' has no conf"),
    "an unknown layer": (
        lambda config: config["features"]["age"]["config"]["preprocessor"].update(
            class_name="TextVectorization"
        ),
        "'age'.*none of the layers",
    ),
    "every number the same": (
        lambda config: config["features"]["rate"]["config"]["preprocessor"]["config"].update(scale=0),
        "'rate'.*every number the same",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("name", BAD)
def test_what_is_not_known_is_refused(name: str) -> None:
    change, message = BAD[name]
    with pytest.raises(SchemaError, match=message):
        pi.Schema.from_keras(changed(change))
