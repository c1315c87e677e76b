"""Fitted transformers of scikit-learn as schemas: the same matrix for rows that were and were not seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError, SchemaError

compose = pytest.importorskip("sklearn.compose", reason="scikit-learn is not installed")
impute = pytest.importorskip("sklearn.impute")
pipeline = pytest.importorskip("sklearn.pipeline")
preprocessing = pytest.importorskip("sklearn.preprocessing")

SEEN = pd.DataFrame(
    {
        "city": ["rome", "oslo", "rome", "bern"],
        "shop": [3, 1, 3, 7],
        "price": [1.0, 2.5, -4.0, 8.0],
        "weight": [0.5, np.nan, 2.0, 1.0],
        "size": [10.0, 20.0, 30.0, 50.0],
        "clicks": [0.0, 5.0, 1e6, 2.0],
        "unused": [1, 2, 3, 4],
        "member": [True, False, False, True],
        "rank": [1.0, np.nan, 2.0, 2.0],
        "share": [0.5, 0.25, 0.5, 1.0],
    }
)
LATER = pd.DataFrame(
    {
        "city": ["bern", "kyiv"],
        "shop": [1, 2],
        "price": [100.0, -3.0],
        "weight": [np.nan, 9.0],
        "size": [20.0, -5.0],
        "clicks": [3.0, 0.0],
        "unused": [0, 0],
        "member": [True, True],
        "rank": [np.nan, 9.0],
        "share": [0.5, 0.75],
    }
)


def matrix(width: int) -> bytes:
    node = helper.make_node("Identity", ["X"], ["y"])
    kind = (TensorProto.FLOAT, ["N", width])
    return make_model([node], {"X": kind}, {"y": kind}).SerializeToString()


def fitted(*transformers: Any, **more: Any) -> Any:
    return compose.ColumnTransformer(list(transformers), sparse_threshold=0, **more).fit(SEEN)


def check(transformer: Any, *tables: pd.DataFrame) -> None:
    schema = pi.Schema.from_sklearn(transformer, to="X", sides={"city": "request"})
    for table in tables:
        expected = transformer.transform(table).astype(np.float32)
        model = pi.load(matrix(expected.shape[1]), schema=schema)
        names = [field.name for field in schema.fields]
        np.testing.assert_allclose(model.run(table[names])["y"], expected, rtol=1e-6, atol=1e-7)
    assert pi.Schema.from_json(schema.to_json()) == schema


def test_scalers() -> None:
    p = preprocessing
    check(
        fitted(
            ("a", p.StandardScaler(), ["price", "size"]),
            ("b", p.MinMaxScaler((-1, 1), clip=True), ["clicks"]),
        ),
        SEEN,
        LATER,
    )
    check(
        fitted(
            ("a", p.RobustScaler(), ["price"]),
            ("b", p.MaxAbsScaler(), slice(4, 5)),
            ("c", p.FunctionTransformer(np.log1p), ["clicks"]),
            ("d", "passthrough", ["unused"]),
            ("e", p.StandardScaler(with_mean=False), ["shop"]),
        ),
        SEEN,
        LATER,
    )


@pytest.mark.parametrize("standardize", [True, False])
def test_powers(standardize: bool) -> None:
    powers = preprocessing.PowerTransformer(standardize=standardize)
    after = pipeline.make_pipeline(preprocessing.StandardScaler(), powers)
    check(fitted(("a", powers, ["price", "clicks", "size"]), ("b", after, ["shop"])), SEEN, LATER)


def test_encoders_and_imputers() -> None:
    p = preprocessing
    steps = pipeline.make_pipeline(impute.SimpleImputer(), p.StandardScaler())
    check(
        fitted(
            ("a", p.OneHotEncoder(handle_unknown="ignore"), ["city", "shop"]),
            ("b", p.KBinsDiscretizer(3, encode="ordinal", strategy="uniform"), ["size"]),
            ("c", steps, ["weight"]),
        ),
        SEEN,
        LATER,
    )
    check(
        fitted(
            ("a", p.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["city", "shop"]),
            ("b", p.KBinsDiscretizer(3, encode="onehot-dense", strategy="uniform"), ["size"]),
        ),
        SEEN,
        LATER,
    )


def test_infrequent_categories_share_a_code() -> None:
    """Also where unknown values are among them, have no column, or a code of their own."""
    p, columns = preprocessing, ["city", "shop"]
    for rule in ("ignore", "infrequent_if_exist"):
        encoder = p.OneHotEncoder(handle_unknown=rule, min_frequency=2)
        check(fitted(("a", encoder, columns)), SEEN, LATER)
    check(fitted(("a", p.OneHotEncoder(max_categories=2), columns)), SEEN)
    for unknown in (-1, 9):
        own = {"handle_unknown": "use_encoded_value", "unknown_value": unknown}
        check(fitted(("a", p.OrdinalEncoder(min_frequency=2, **own), columns)), SEEN, LATER)
    check(fitted(("a", p.OrdinalEncoder(max_categories=2), columns)), SEEN)


def test_means_of_a_target_and_thresholds() -> None:
    p = preprocessing
    target = p.TargetEncoder(target_type="continuous", cv=2)
    steps = [("a", target, ["city", "shop"]), ("b", p.Binarizer(threshold=1.0), ["price", "weight"])]
    made = compose.ColumnTransformer(steps).fit(SEEN.fillna(1.0), [1.0, 0.0, 3.0, 2.0])
    check(made, SEEN.fillna(1.0), LATER.fillna(1.0))


def test_another_mark_of_what_is_missing_is_refused() -> None:
    with pytest.raises(SchemaError, match="field 'price': SimpleImputer takes another value"):
        pi.Schema.from_sklearn(fitted(("a", impute.SimpleImputer(missing_values=-4.0), ["price"])), to="X")


def test_a_category_without_a_column_and_unknown_ones_behind_all() -> None:
    p = preprocessing
    count = SEEN["city"].nunique()
    last = p.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=count)
    check(fitted(("a", last, ["city"])), SEEN, LATER)
    check(fitted(("a", p.OneHotEncoder(drop="first"), ["shop", "city"])), SEEN)
    model = pi.load(
        matrix(count - 1),
        schema=pi.Schema.from_sklearn(fitted(("a", p.OneHotEncoder(drop=["oslo"]), ["city"])), "X"),
    )
    with pytest.raises(IdRangeError, match="city"):
        model.run({"city": ["kyiv"]})


def test_unknown_categories_that_are_errors_there_are_in_no_table_here() -> None:
    transformer = fitted(("a", preprocessing.OrdinalEncoder(), ["city"]))
    check(transformer, SEEN)
    nodes = [
        helper.make_node("Cast", ["X"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["t", "i"], ["y"]),
    ]
    kind = (TensorProto.FLOAT, ["N", 1])
    proto = make_model(nodes, {"X": kind}, {"y": kind}, {"t": np.ones(3, np.float32)})
    model = pi.load(proto.SerializeToString(), schema=pi.Schema.from_sklearn(transformer, "X"))
    with pytest.raises(IdRangeError, match="city"):
        model.run({"city": ["kyiv"]})


def test_categories_that_are_booleans_and_whole_floats() -> None:
    p = preprocessing
    ignore = p.OneHotEncoder(handle_unknown="ignore")
    filled = pipeline.Pipeline([("i", impute.SimpleImputer(strategy="most_frequent")), ("e", ignore)])
    steps = [("a", p.OneHotEncoder(drop="if_binary"), ["member", "size"]), ("b", filled, ["rank"])]
    check(fitted(*steps), SEEN)
    check(fitted(("a", ignore, ["member", "size"]), ("b", filled, ["rank"])), SEEN, LATER)


def test_a_column_that_several_transformers_take() -> None:
    p = preprocessing
    bins = p.KBinsDiscretizer(2, encode="onehot-dense")
    steps = [("a", p.StandardScaler(), ["price", "clicks"]), ("b", bins, ["price"])]
    check(fitted(*steps, ("c", "passthrough", ["price", "size"])), SEEN, LATER)
    coded = p.OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    check(
        fitted(("a", p.OneHotEncoder(handle_unknown="ignore"), ["city"]), ("b", coded, ["city"])), SEEN, LATER
    )


def test_what_is_not_known_is_refused() -> None:
    p = preprocessing
    for transformer, message in (
        (
            fitted(("a", p.QuantileTransformer(n_quantiles=4), ["price"])),
            "'price': QuantileTransformer is not known",
        ),
        (
            fitted(("a", p.PowerTransformer(method="box-cox"), ["size"])),
            "'size': PowerTransformer computes Box",
        ),
        (fitted(("a", p.FunctionTransformer(np.square), ["price"])), "another function"),
        (fitted(("a", p.OneHotEncoder(min_frequency=2, drop="first"), ["city"])), "and drops one"),
        (
            fitted(("a", p.StandardScaler(), ["shop"]), ("b", p.OneHotEncoder(), ["shop"])),
            "'shop': transformers take it as values of different types",
        ),
        (
            fitted(("a", impute.SimpleImputer(), ["weight"]), ("b", p.StandardScaler(), ["weight"])),
            "'weight': .*missing in different ways",
        ),
        (fitted(("a", p.OneHotEncoder(), ["weight"])), "'weight': .*a category for what is missing"),
        (fitted(("a", p.OneHotEncoder(), ["share"])), "'share': .*neither strings nor whole numbers"),
        (fitted(("a", impute.SimpleImputer(add_indicator=True), ["weight"])), "tell what was missing"),
        (compose.ColumnTransformer([("a", p.StandardScaler(), ["price"])]), "not fitted"),
        (p.StandardScaler(), "expected a fitted ColumnTransformer"),
    ):
        with pytest.raises(SchemaError, match=message):
            pi.Schema.from_sklearn(transformer, "X")
