"""Numbers that the model's type does not hold: never an infinity without a word, in any form of raw rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from onnx import TensorProto, helper
from support.models import make_model

import pyrec_infer as pi
from pyrec_infer.features import Field, ListField, Log1p

FLOAT, HALF, DOUBLE = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE
LARGEST = 3.4028235677973362e38
"""The largest float64 that becomes a finite float32."""


def model(*fields: Any, code: int = FLOAT) -> pi.Model:
    """The sum of a matrix, a list with weights, and a request's number."""
    nodes = [
        helper.make_node("ReduceSum", ["x", "axis"], ["x/sum"], keepdims=0),
        helper.make_node("Mul", ["l", "w"], ["l/w"]),
        helper.make_node("ReduceSum", ["l/w", "axis"], ["l/sum"], keepdims=0),
        helper.make_node("Sum", ["x/sum", "l/sum", "q"], ["score"]),
    ]
    inputs: dict[str, Any] = {"x": (code, ["N", 2]), "l": (code, ["N", 2]), "w": (code, ["N", 2])}
    graph = make_model(
        nodes, {**inputs, "q": (code, ["N"])}, {"score": (code, ["N"])}, {"axis": np.asarray([1])}
    )
    plain: list[Any] = [
        Field("price", "item", to=("x", 0), dtype="number"),
        Field("size", "item", to=("x", 1), dtype="number", transforms=[Log1p()]),
        ListField("list", "item", "l", "number", length=2, weights="by", weights_to="w"),
        Field("age", "request", to="q", dtype="number"),
    ]
    own = {field.name: field for field in fields}
    return pi.load(graph.SerializeToString(), schema=pi.Schema([own.get(f.name, f) for f in plain]))


@pytest.fixture(scope="module")
def loaded() -> pi.Model:
    return model()


def rows(**changed: Any) -> dict[str, list[Any]]:
    """Three rows, the last of them changed."""
    made: dict[str, list[Any]] = {"price": [1.0] * 3, "size": [0.0] * 3}
    made |= {"list": [[1.0, 2.0]] * 3, "by": [[1.0, 1.0]] * 3}
    return {name: [*values[:2], changed.get(name, values[2])] for name, values in made.items()}


FORMS: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "dict": dict,
    "rows": lambda given: [dict(zip(given, row, strict=True)) for row in zip(*given.values(), strict=True)],
    "numpy": lambda given: {name: np.asarray(values) for name, values in given.items()},
    "arrow": pa.table,
}
CALLS: dict[str, Callable[[pi.Model, Any], Any]] = {
    "score": lambda model, items: model.score({"age": 1.0}, items),
    "best": lambda model, items: model.top_k({"age": 1.0}, items, k=1),
    "catalog": lambda model, items: model.catalog(items),
    "upsert": lambda model, items: model.catalog(rows()).upsert(items, [3, 4, 5]),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("changed", [{"price": -1e300}, {"list": [0.0, 4e38]}, {"by": [1e39, 0.0]}])
def test_numbers_that_float32_does_not_hold_are_refused(
    loaded: pi.Model, form: str, changed: dict[str, Any]
) -> None:
    (name,) = changed
    for call in CALLS.values():
        with pytest.raises(pi.IdRangeError, match=rf"'{name}': .*float32 holds, .*\(row 2\)") as told:
            call(loaded, FORMS[form](rows(**changed)))
        assert not any(text in str(told.value) for text in ("e+", "1e", "4e", "inf"))
    good = FORMS[form](rows(price=LARGEST, size=1e300))
    assert np.isfinite(loaded.score({"age": 1.0}, good)).all()


@pytest.mark.parametrize("value", [1e300, -4e38, np.float64(1e300), np.asarray([1e39])])
def test_requests_are_refused_too(loaded: pi.Model, value: Any) -> None:
    catalog = loaded.catalog(rows())
    for _ in range(2):
        with pytest.raises(pi.IdRangeError, match=r"'age': .*float32 holds"):
            catalog.score({"age": value}, [0, 1])
        assert np.isfinite(catalog.score({"age": 1.0}, [0, 1])).all()


def test_the_rule_for_infinity_decides() -> None:
    free = model(Field("price", "item", to=("x", 0), dtype="number", infinity="keep"))
    scores = free.score({"age": 1.0}, rows(price=1e300))
    assert np.isinf(scores[2])
    assert np.isfinite(scores[:2]).all()
    with pytest.raises(pi.IdRangeError, match="'age'"):
        free.score({"age": 1e300}, rows())


def test_other_types_hold_other_numbers(loaded: pi.Model) -> None:
    assert model(code=DOUBLE).run({**rows(price=1e300), "age": [1.0] * 3})["score"].max() == 1e300
    with pytest.raises(pi.IdRangeError, match=r"'price': .*float16 holds.*row 2"):
        model(code=HALF).run({**rows(price=65520.0), "age": [1.0] * 3})
    np.testing.assert_array_equal(
        loaded.run({**rows(price=0.1), "age": [1e-300] * 3})["score"], np.float32([4, 4, 3.1])
    )
