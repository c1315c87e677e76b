"""Arguments that NumPy would quietly read as something else: masked arrays, and strings that end in NUL."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from onnx import helper
from support.models import FLOAT, STRING, make_model, ranker
from test_bad_input import COUNT, sides

import pyrec_infer as pi
from pyrec_infer.errors import InputError, UnsupportedModelError


def masked(values: Any) -> Any:
    return np.ma.MaskedArray(values, mask=np.arange(len(values)) == 1)


FORMS: dict[str, Any] = {
    "array": masked,
    "constant in a list": lambda x: [*x[:1], np.ma.masked, *x[2:]],
    "arrays in a list": lambda x: [*x[:1], masked(x[:2])[1:], *x[2:]],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_masked_values_are_refused(form: Any) -> None:
    model = pi.load(ranker().SerializeToString())
    request, candidates = sides()
    given = {**candidates, "item": form(candidates["item"])}
    missing = r"expected a value in each row, got a missing one \(row 1\)"
    with pytest.raises(InputError, match=f"'item': {missing}"):
        model.score(request, given)
    with pytest.raises(InputError, match=f"'item': {missing}"):
        model.catalog(given)
    with pytest.raises(InputError, match=f"ids: {missing}"):
        model.top_k(request, candidates, ids=form(np.arange(COUNT)))
    with pytest.raises(InputError, match=f"ids: {missing}"):
        model.catalog(candidates, ids=form(np.arange(COUNT)))


def test_masked_arrays_by_position() -> None:
    model = pi.load(ranker().SerializeToString())
    request, candidates = sides()
    call = model.prepare([*request], [*candidates])
    with pytest.raises(InputError, match="'item': expected a value in each row, got a missing one"):
        call(*request.values(), masked(candidates["item"]), candidates["dense"])
    whole = np.ma.asarray(candidates["item"])
    expected = call(*request.values(), candidates["item"], candidates["dense"])
    np.testing.assert_array_equal(call(*request.values(), whole, candidates["dense"]), expected)


def words(keys: list[str]) -> pi.Model:
    node = helper.make_node(
        "LabelEncoder",
        ["word"],
        ["y"],
        domain="ai.onnx.ml",
        keys_strings=keys,
        values_floats=[float(i + 1) for i in range(len(keys))],
        default_float=0.0,
    )
    outputs = {"y": (FLOAT, ["N"])}
    proto = make_model([node], {"word": (STRING, ["N"])}, outputs, domains={"ai.onnx.ml": 2})
    return pi.load(proto.SerializeToString())


@pytest.mark.parametrize(
    "given",
    [
        ["a", "a\0"],
        [b"a", b"a\0"],
        [["a"], ["a\0"]],
        pl.Series(["a", "a\0"]),
        pa.array(["a", "a\0"]),
        pd.Series(["a", "a\0"]),
        np.asarray(["a", "a\0"], object),
        np.asarray(["a", "a\0"], np.dtypes.StringDType()),
    ],
)
def test_strings_that_end_in_nul_are_refused(given: Any) -> None:
    with pytest.raises(InputError, match=r"'word': .* ends in NUL.*row 1") as caught:
        words(["a", "b"]).run({"word": given})
    assert "\0" not in str(caught.value)


def test_names_that_end_in_nul() -> None:
    """Stores and results keep them, in arrays of objects; a matrix of characters would not."""
    request, candidates = sides()
    names = [f"shoe {i}" for i in range(COUNT - 1)] + ["shoe 0\0"]
    model = pi.load(ranker().SerializeToString())
    variable = np.asarray(names, np.dtypes.StringDType())
    for given in (names, np.asarray(names, object), variable, pa.array(names)):
        catalog = model.catalog(candidates, ids=given)
        assert sorted(catalog.ids.tolist()) == sorted(names)
        backwards = catalog.score(request, ids=names[::-1])
        np.testing.assert_array_equal(backwards, catalog.score(request)[::-1])
    order = model.top_k(request, candidates, k=COUNT).ids
    for given in (names, np.asarray(names, object), variable):
        found = model.top_k(request, candidates, k=COUNT, ids=given)
        assert found.ids.tolist() == [names[row] for row in order]
    kept = [names[row] for row in order if row]
    assert model.top_k(request, candidates, k=COUNT, ids=names, exclude=["shoe 0"]).ids.tolist() == kept


def test_nul_inside_a_string_stays() -> None:
    np.testing.assert_array_equal(words(["a\0b", "a"]).run({"word": ["a\0b", "a", "b"]})["y"], [1, 2, 0])


def test_models_with_strings_that_end_in_nul_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="ends in NUL"):
        words(["a", "a\0"])
