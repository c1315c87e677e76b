"""Matrix inputs whose columns have names, each on its own side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.graphs import XZ, graph_of
from support.models import COLUMNS, ITEMS, matrix_ranker, matrix_rows

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError, InputError, MissingInputError, ShapeError, UnexpectedInputError
from pyrec_infer.ir import Node
from pyrec_infer.passes.load.split_columns import split_columns

NAMES = tuple(dict.fromkeys(COLUMNS))


@pytest.fixture(scope="module")
def data() -> bytes:
    return matrix_ranker().SerializeToString()


@pytest.fixture(scope="module")
def named(data: bytes) -> pi.Model:
    return pi.load(data, columns={"X": COLUMNS})


def split(rows: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The columns by name; of several with one name the matrix."""
    made = {}
    for name in NAMES:
        places = [i for i, other in enumerate(COLUMNS) if other == name]
        made[name] = rows[:, places] if len(places) > 1 else rows[:, places[0]]
    return made


def test_names_become_inputs(named: pi.Model) -> None:
    assert [(info.name, info.shape) for info in named.inputs] == [
        ("user", ("N",)),
        ("city", ("N",)),
        ("item", ("N",)),
        ("price", ("N",)),
        ("history", ("N", 3)),
    ]


def test_matrix_given_whole(data: bytes, named: pi.Model) -> None:
    rows = matrix_rows(9)
    expected = pi.load(data).run({"X": rows})["score"]
    np.testing.assert_allclose(named.run({"X": rows})["score"], expected, rtol=1e-6)
    np.testing.assert_allclose(named.run(split(rows))["score"], expected, rtol=1e-6)
    np.testing.assert_allclose(named.score({}, {"X": rows}), expected[:, 0], rtol=1e-6)


@pytest.mark.parametrize(
    "request_side", [*[(name,) for name in NAMES], ("user", "city", "history"), NAMES[:-1]]
)
def test_every_split_equals_the_full_run(data: bytes, named: pi.Model, request_side: tuple[str, ...]) -> None:
    rows = matrix_rows(300)
    shared = [i for i, name in enumerate(COLUMNS) if name in request_side]
    rows[:, shared] = rows[0, shared]
    expected = pi.load(data).run({"X": rows})["score"][:, 0]
    parts = split(rows)
    request = {name: parts.pop(name)[:1] for name in request_side}
    np.testing.assert_allclose(named.score(request, parts), expected, rtol=1e-5)
    call = named.prepare(list(request), list(parts))
    np.testing.assert_allclose(call(*request.values(), *parts.values()), expected, rtol=1e-5)
    # Without the request's row axis, and columns with one of their own.
    bare = {name: value[0] for name, value in request.items()}
    upright = {name: value.reshape(len(value), -1) for name, value in parts.items()}
    np.testing.assert_allclose(named.score(bare, upright), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"Z": COLUMNS}, "no input 'Z'"),
        ({"X": COLUMNS[:-1]}, "matrix of 6 columns"),
        ({"X": (*COLUMNS, "more")}, "matrix of 8 columns"),
        ({"X": ("a", "b", "a", "c", "d", "e", "f")}, "'a' .* not side by side"),
        ({"X": ("X", *COLUMNS[1:])}, "'X' .* that of an input"),
        ({"X": ()}, "matrix of 0 columns"),
        ({"X": ("score", *COLUMNS[1:])}, "'score' .* another input or an output"),
        ({"X": "abcdefg"}, "expected several names"),
        (["X"], "expected names of columns"),
    ],
)
def test_names_that_do_not_fit(data: bytes, columns: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pi.load(data, columns=columns)


def test_calls_that_do_not_fit(named: pi.Model) -> None:
    parts = split(matrix_rows(4))
    user = {"user": parts.pop("user")[:1]}
    with pytest.raises(MissingInputError, match="'city' is missing"):
        named.score(user, {name: value for name, value in parts.items() if name != "city"})
    with pytest.raises(UnexpectedInputError, match="'town'"):
        named.score(user, {**parts, "town": parts["city"]})
    with pytest.raises(InputError, match=r"'user'.*both"):
        named.score(user, {**parts, "user": parts["city"]})
    with pytest.raises(ShapeError, match="'history': expected size 3"):
        named.score(user, {**parts, "history": parts["history"][:, :2]})
    with pytest.raises(ShapeError, match="'X': expected 7 columns"):
        named.score({}, {"X": matrix_rows(4)[:, :6]})
    with pytest.raises(InputError, match=r"'user'.*'X'"):
        named.run({"X": matrix_rows(4), "user": parts["city"]})
    with pytest.raises(InputError, match="'X': its columns are inputs"):
        named.prepare([], ["X"])


def test_ids_outside_their_table_name_the_column(data: bytes, named: pi.Model) -> None:
    rows = matrix_rows(5)
    rows[3, 2] = ITEMS
    with pytest.raises(IdRangeError, match=r"'item'.*row 3"):
        named.score({}, split(rows))
    with pytest.raises(IdRangeError, match=r"'X' column 2.*row 3"):
        pi.load(data).score({}, {"X": rows})
    rows[3, 2] = 0.5
    with pytest.raises(IdRangeError, match=r"'item'.*row 3"):
        named.score({}, split(rows))
    with pytest.raises(IdRangeError, match=r"'X' column 2.*row 3"):
        pi.load(data).score({}, {"X": rows})


@pytest.mark.parametrize("name", ["dctrtorch_DeepFM_ts", "dctrtorch_DIN_dice_ts", "dctrtorch_WDL_dynamo"])
def test_models_of_the_zoo_by_column(name: str, shared: Path) -> None:
    folder = shared / "zoo" / "models" / name
    if not folder.is_dir():
        pytest.skip(f"no model {name}")
    with np.load(folder / "inputs.npz") as stored:
        matrix = stored["X"][:40]
    names = [f"c{i}" for i in range(matrix.shape[1])]
    whole, by_column = pi.load(folder / "model.onnx"), pi.load(folder / "model.onnx", columns={"X": names})
    for i, label in enumerate(names):
        rows = matrix.copy()
        rows[:, i] = rows[0, i]
        expected = next(iter(whole.run({"X": rows}).values())).reshape(-1)
        others = {other: rows[:, j] for j, other in enumerate(names) if j != i}
        np.testing.assert_allclose(
            by_column.score({label: rows[0, i]}, others), expected, rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("name", ["user_table", "ids_0", "user_table/inside", "X/columns/axes"])
def test_values_inside_the_model_give_their_names_to_columns(data: bytes, name: str) -> None:
    plain = pi.load(data, columns={"X": COLUMNS})
    named = pi.load(data, columns={"X": (name, *COLUMNS[1:])})
    x = np.abs(np.random.default_rng(0).integers(0, 3, (4, len(COLUMNS)))).astype(np.float32)
    np.testing.assert_array_equal(named.run({"X": x})["score"], plain.run({"X": x})["score"])
    own = {name: x[:1, 0]}
    late = {label: x[:, i] for i, label in enumerate(COLUMNS) if 0 < i < 4}
    late["history"] = x[:, 4:]
    expected = plain.score({COLUMNS[0]: x[:1, 0]}, late)
    np.testing.assert_array_equal(named.score(own, late), expected)


@pytest.mark.once
def test_split_columns() -> None:
    graph = graph_of([Node("Sub", ("x", "z"), ("y",))], **XZ)
    found = split_columns(graph, {"x": ("user", "item", "item", "price")})
    assert found.inputs == ("user", "item", "price", "z")
    assert [found.infos[name].rank for name in found.inputs] == [1, 2, 1, 2]
    with pytest.raises(InputError, match="expected a matrix of 3 columns"):
        split_columns(graph, {"x": ("user", "item", "price")})
    with pytest.raises(InputError, match="side by side"):
        split_columns(graph, {"x": ("user", "item", "user", "price")})
