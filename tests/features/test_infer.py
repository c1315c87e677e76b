"""A first schema from a table and a model: what can be told is a schema, what cannot is said."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer import features
from pyrec_infer.errors import InputError

SHAPES: dict[str, Any] = {
    "user": (INT64, ["N"]),
    "city": (INT64, ["N", 1]),
    "price": (FLOAT, ["N"]),
    "title": (TensorProto.STRING, ["N"]),
    "seen": (INT64, ["N", 4]),
    "tags": (INT64, ["N", "L"]),
    "X": (FLOAT, ["N", 2]),
}
COLUMNS: dict[str, Any] = {
    "user": [7, 8, 9],
    "city": ["rome", "oslo", "rome"],
    "price": [1.5, 2.0, 3.0],
    "title": ["a", "b", "c"],
    "seen": [[1, 2], [], [3, 4, 5, 6, 7]],
    "tags": [["x"], ["y", "x"], []],
    "low": [1, 2, 3],
    "high": [0.5, 1.5, 2.5],
    "colour": ["red", "red", "blue"],
}
ROWS = [{name: values[row] for name, values in COLUMNS.items()} for row in range(3)]


def source() -> bytes:
    nodes = [helper.make_node("Identity", [name], [f"{name} out"]) for name in SHAPES]
    outputs = {f"{name} out": shape for name, shape in SHAPES.items()}
    return make_model(nodes, SHAPES, outputs).SerializeToString()


FORMS: dict[str, Callable[[], Any]] = {
    "lists": lambda: COLUMNS,
    "rows": lambda: ROWS,
    "arrays": lambda: {**COLUMNS, "user": np.asarray([7, 8, 9], np.int32), "price": np.asarray([1.5, 2, 3])},
    "pandas": lambda: pd.DataFrame(COLUMNS),
    "polars": lambda: pl.DataFrame(COLUMNS),
    "pyarrow": lambda: pa.table(COLUMNS),
}


@pytest.mark.parametrize("form", FORMS)
def test_columns_become_fields_that_fit_the_model(form: str) -> None:
    model = source()
    made = pi.Schema.infer(
        FORMS[form](), pi.load(model), columns={"X": ["low", "high"]}, sides={"user": "request"}
    )
    own = {item.name: item for item in made.fields}
    assert [*own] == [name for name in COLUMNS if name != "colour"]
    assert own["user"] == features.Field("user", "request", "user", "integer")
    assert own["city"].transforms == (features.Vocabulary(["oslo", "rome"]),)
    assert own["price"].dtype == own["low"].dtype == "number"
    assert (own["low"].to, own["high"].to) == ((("X", 0),), (("X", 1),))
    assert isinstance(own["seen"], features.ListField)
    assert isinstance(own["tags"], features.ListField)
    assert (own["seen"].length, own["tags"].length) == (4, 2)
    again = pi.Schema.from_json(made.to_json())
    assert again == made
    run = pi.load(model, schema=again).run({name: COLUMNS[name] for name in own})
    assert run["city out"].reshape(-1).tolist() == [2, 1, 2]
    assert run["tags out"].tolist() == [[1, 0], [2, 1], [0, 0]]
    assert run["X out"].tolist() == [[1, 0.5], [2, 1.5], [3, 2.5]]
    told = "\n".join(made.notes)
    for text in ("'colour': left out, no input", "'city': its 2 values", "'seen': say which values"):
        assert text in told
    assert "rome" not in told


UNTOLD: dict[str, tuple[str, Any, str]] = {
    "more words than allowed": ("city", ["a", "b", "c"], "'city': left out.*3 values need a Hash"),
    "no words": ("city", [None, None, None], "'city': left out"),
    "numbers for ids": ("user", [0.5, 1.0, 2.0], "'user': left out, it holds numbers.*whole numbers"),
    "words for a number": ("price", ["a", "b", "c"], "'price': left out, it holds strings.*takes numbers"),
    "numbers for words": ("title", [1, 2, 3], "'title': left out, it holds whole numbers.*takes strings"),
    "a list for one value": ("user", [[1], [2], [3]], "'user': left out, it holds lists of whole numbers"),
    "one value for a list": ("seen", [1, 2, 3], r"'seen': left out.*shape \['N', 4\]"),
    "something else": ("user", [{}, {}, {}], "'user': left out, it holds no field's values"),
    "what is missing": ("price", [1.0, None, float("nan")], "'price': 2 rows have no value"),
    "inputs without a field": ("user", [1, 2, 3], r"input 'X' \(float32, shape \['N', 2\]\): no field"),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_what_cannot_be_told_is_said(name: str) -> None:
    column, values, message = UNTOLD[name]
    made = pi.Schema.infer({**COLUMNS, column: values}, source(), words=2)
    assert any(re.search(message, note) for note in made.notes), made.notes
    assert pi.Schema.from_json(made.to_json()) == made


@settings(max_examples=15)
@given(
    st.dictionaries(
        st.sampled_from([*SHAPES, "low"]),
        st.lists(
            st.one_of(
                st.none(),
                st.text(max_size=2),
                st.integers(-(2**70), 2**70),
                st.floats(),
                st.booleans(),
                st.lists(st.integers(0, 3), max_size=2),
            ),
            min_size=1,
            max_size=3,
        ),
    )
)
def test_any_table_gives_a_schema(columns: dict[str, Any]) -> None:
    made = pi.Schema.infer(columns, source())
    assert pi.Schema.from_json(made.to_json()) == made
    told = {item.name for item in made.fields} | {name for name in columns if f"'{name}'" in str(made.notes)}
    assert told == set(columns)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(InputError):
        pi.Schema.infer(3, source())
