"""Ids as ids: negative ones are refused but in `run`, and messages name the input and its column."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import helper
from support.models import FLOAT, INT64, ITEMS, make_model, ranker

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError

Array = NDArray[Any]

ROWS = 10
TABLE = np.random.default_rng(0).standard_normal((ROWS, 4)).astype(np.float32)


def load(proto: onnx.ModelProto, **options: Any) -> pi.Model:
    return pi.load(proto.SerializeToString(), **options)


def through(*nodes: onnx.NodeProto, ids: Mapping[str, Any], **constants: Any) -> pi.Model:
    """A model that looks ``last`` up in a table, after some nodes on its ids."""
    ending = [
        helper.make_node("Gather", ["table", "last"], ["rows"], name="model/emb/GatherV2"),
        helper.make_node("Flatten", ["rows"], ["flat"]),
        helper.make_node("ReduceSum", ["flat", "one"], ["sum"], keepdims=0),
        helper.make_node("Add", ["sum", "x"], ["y"]),
    ]
    inputs = {**ids, "x": (FLOAT, ["N"])}
    known = {"table": TABLE, "one": np.asarray([1]), **{k: np.asarray(v) for k, v in constants.items()}}
    return load(make_model([*nodes, *ending], inputs, {"y": (FLOAT, ["N"])}, known))


def node(op: str, inputs: str, outputs: str = "last", **attributes: Any) -> onnx.NodeProto:
    """A node; a dash is an input that is left out."""
    return helper.make_node(op, inputs.replace("-", "").split(" "), outputs.split(), **attributes)


VECTOR = {"id": (INT64, ["N"])}
MATRIX = {"X": (INT64, ["N", 5])}
FLOATS = {"X": (FLOAT, ["N", 5])}

PATHS: dict[str, tuple[Any, str]] = {
    "plain": (lambda: through(node("Identity", "id"), ids=VECTOR), "input 'id'"),
    "cast and reshape": (
        lambda: through(node("Cast", "id", "a", to=6), node("Reshape", "a shape"), ids=VECTOR, shape=[-1, 1]),
        "input 'id'",
    ),
    "clip from above": (
        lambda: through(node("Clip", "id - most"), ids=VECTOR, most=np.int64(9)),
        "input 'id'",
    ),
    "padding replaced by a later id": (
        lambda: through(
            node("Equal", "id pad", "is"), node("Where", "is zero id"), ids=VECTOR, pad=-7, zero=0
        ),
        "input 'id'",
    ),
    "column by Gather": (
        lambda: through(node("Gather", "X two", axis=1), ids=MATRIX, two=2),
        "input 'X' column 2",
    ),
    "column by Slice": (
        lambda: through(
            node("Slice", "X b e axis", "s"), node("Squeeze", "s axis"), ids=MATRIX, b=[2], e=[3], axis=[1]
        ),
        "input 'X' column 2",
    ),
    "column by Split": (
        lambda: through(node("Split", "X sizes", "a last b", axis=1), ids=MATRIX, sizes=[2, 1, 2]),
        "input 'X' column 2",
    ),
    "float column": (
        lambda: through(node("Gather", "X two", "c", axis=1), node("Cast", "c", to=INT64), ids=FLOATS, two=2),
        "input 'X' column 2",
    ),
    "columns in another order": (
        lambda: through(node("Gather", "X some", axis=1), ids=MATRIX, some=[4, 2]),
        "input 'X' column",
    ),
    "a range of columns": (
        lambda: through(
            node("Slice", "X b e axis", "s"), node("Unsqueeze", "s axis"), ids=MATRIX, b=[1], e=[4], axis=[1]
        ),
        "input 'X' column",
    ),
    "the wider of two": (
        lambda: through(
            node("Gather", "X two", "c", axis=1), node("Max", "c id"), ids={**MATRIX, **VECTOR}, two=2
        ),
        "input 'X' column 2 and input 'id'",
    ),
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("side", ["request", "candidates"])
@pytest.mark.parametrize(("bad", "row"), [(-1, 2), (-ROWS, 0), (ROWS, 1)])
def test_messages_name_the_input_and_its_column(path: str, side: str, bad: int, row: int) -> None:
    if path == "clip from above" and bad > 0:
        return
    make, label = PATHS[path]
    model = make()
    given_ids = {}
    for item in model.inputs[:-1]:
        wide = len(item.shape) == 2
        array = np.ones((3, 5) if wide else 3, np.float32 if item.dtype == "float32" else np.int64)
        array[row] = 1
        if wide:
            array[row, 2] = bad
        else:
            array[row] = bad
        given_ids[item.name] = array
    x = {"x": np.zeros(3, np.float32)}
    fits = {name: np.abs(array) % 2 for name, array in given_ids.items()}
    model.score({}, {**fits, **x})
    own, late = {}, {**given_ids, **x}
    if side == "request":
        own, late = {name: array[row : row + 1] for name, array in given_ids.items()}, x
        row = 0
    with pytest.raises(IdRangeError) as caught:
        model.score(own, late)
    message = str(caught.value)
    assert message.startswith(label), message
    assert f"(row {row})" in message
    assert "expected 0 <= id < 10" in message
    assert "node" not in message


def sides() -> tuple[dict[str, Array], dict[str, Array]]:
    rng = np.random.default_rng(3)
    items = rng.integers(0, ITEMS, 6)
    return {"user": np.asarray([4])}, {"item": items, "dense": rng.standard_normal((6, 3), np.float32)}


def test_run_wraps_and_everything_else_refuses() -> None:
    model = load(ranker())
    request, candidates = sides()
    wrapped = {**candidates, "item": candidates["item"] - ITEMS}
    batch = {"user": np.full(6, 4), **candidates}
    np.testing.assert_array_equal(
        model.run({**batch, "item": wrapped["item"]})["score"], model.run(batch)["score"]
    )
    catalog = model.catalog(candidates)
    calls = {
        "score": lambda: model.score(request, wrapped),
        "one row": lambda: model.score(request, {name: array[:1] for name, array in wrapped.items()}),
        "top_k": lambda: model.top_k(request, wrapped, 3),
        "prepare": lambda: model.prepare(("user",), ("item", "dense"))(
            request["user"], wrapped["item"], wrapped["dense"]
        ),
        "catalog": lambda: model.catalog(wrapped),
        "upsert": lambda: catalog.upsert(wrapped, np.arange(6)),
    }
    for call in calls.values():
        with pytest.raises(IdRangeError, match=r"^input 'item': id outside a table of 23 rows"):
            call()
    with pytest.raises(IdRangeError, match=r"^input 'user'"):
        catalog.score({"user": [-1]})
    with pytest.raises(IdRangeError, match=r"^input 'user'"):
        catalog.top_k({"user": [-1]}, 2)
    np.testing.assert_allclose(catalog.score(request), model.score(request, candidates), rtol=1e-5)


def test_padding_that_the_model_masks_is_no_id() -> None:
    model = through(node("Less", "id zero", "no"), node("Where", "no zero id"), ids=VECTOR, zero=np.int64(0))
    ids, x = np.asarray([-1, 0, 9, -5]), np.zeros(4, np.float32)
    expected = TABLE.sum(axis=1)[[0, 0, 9, 0]]
    np.testing.assert_allclose(model.score({}, {"id": ids, "x": x}), expected, rtol=1e-6)
    moved = through(node("Add", "id one"), ids=VECTOR)
    np.testing.assert_allclose(
        moved.score({}, {"id": ids[:2], "x": x[:2]}), TABLE.sum(axis=1)[[0, 1]], rtol=1e-6
    )


FIRST = np.asarray([0, 3, 5])
WIDE = {"X": (INT64, ["N", 3])}


def stacked_models() -> dict[str, tuple[pi.Model, int]]:
    """Models that keep three fields in one table, and the least id that they take."""
    columns = [node("Gather", f"X c{i}", f"x{i}", axis=1) for i in range(3)]
    sums = [node("Add", f"x{i} f{i}", f"s{i}") for i in range(3)]
    singles = {f"c{i}": np.int64(i) for i in range(3)} | {f"f{i}": FIRST[i] for i in range(3)}
    lift = [node("Unsqueeze", f"s{i} one", f"u{i}") for i in range(3)]
    each = [*columns, *sums, *lift, node("Concat", "u0 u1 u2", axis=1)]
    whole = {"X": (FLOAT, ["N", 3])}
    return {
        "a vector": (through(node("Add", "X f"), ids=WIDE, f=FIRST), 0),
        "a vector in front": (through(node("Add", "f X"), ids=WIDE, f=FIRST[None]), 0),
        "the negative subtracted": (through(node("Sub", "X f"), ids=WIDE, f=-FIRST), 0),
        "a row in front of all": (through(node("Add", "X f"), ids=WIDE, f=FIRST + 1), 0),
        "a shift after": (through(node("Add", "X f", "a"), node("Add", "a one"), ids=WIDE, f=FIRST), 0),
        "a shift before": (through(node("Add", "X one", "a"), node("Add", "a f"), ids=WIDE, f=FIRST), -1),
        "from one": (through(node("Sub", "X one", "a"), node("Add", "a f"), ids=WIDE, f=FIRST), 1),
        "views and casts": (
            through(
                node("Cast", "X", "a", to=6),
                node("Add", "a f", "b"),
                node("Reshape", "b shape", "c"),
                node("Cast", "c", to=INT64),
                ids=WIDE,
                f=FIRST.astype(np.int32),
                shape=np.asarray([-1, 3]),
            ),
            0,
        ),
        "each field": (through(*each, ids=WIDE, **singles), 0),
        "floats": (
            through(
                node("Add", "X f", "a"), node("Cast", "a", to=INT64), ids=whole, f=FIRST.astype(np.float32)
            ),
            0,
        ),
    }


STACKED = stacked_models()


@pytest.mark.parametrize("name", STACKED)
@pytest.mark.parametrize("place", range(3))
def test_an_id_is_no_row_of_the_field_before(name: str, place: int) -> None:
    model, least = STACKED[name]
    ids = np.asarray([[2, 1, 3], [1, 1, 1], [1, 1, 1]], model.inputs[0].dtype)
    x = np.zeros(3, np.float32)
    ids[2, place] = least
    expected = model.run({"X": ids, "x": x})["y"]
    np.testing.assert_array_equal(model.score({}, {"X": ids, "x": x}), expected)
    np.testing.assert_array_equal(model.score({"X": ids[2:]}, {"x": x}), expected[[2, 2, 2]])
    np.testing.assert_allclose(
        model.catalog({"X": ids}, candidates=["x"]).score({}, [0, 2], {"x": x[:2]}), expected[[0, 2]]
    )
    ids[2, place] = least - 1
    calls = {
        "score": lambda: model.score({}, {"X": ids, "x": x}),
        "request": lambda: model.score({"X": ids[2:]}, {"x": x}),
        "top_k": lambda: model.top_k({}, {"X": ids, "x": x}, 2),
        "prepare": lambda: model.prepare((), ("X", "x"))(ids, x),
        "catalog": lambda: model.catalog({"X": ids}, candidates=["x"]),
    }
    for call in calls.values():
        place_of = f"( column {place}: .*|: .* position {place} )"
        with pytest.raises(IdRangeError, match=rf"^input 'X'{place_of}\(row [02]\)"):
            call()


def test_shifts_that_part_no_fields() -> None:
    """One table read by an item and by a history that counts from 1, windows of positions, masked ids."""
    item, history = node("Unsqueeze", "id one", "a"), node("Add", "X one", "b")
    both = through(item, history, node("Concat", "a b", axis=1), ids={**VECTOR, **WIDE})
    x = np.zeros(2, np.float32)
    batch = {"id": np.asarray([0, 3]), "X": np.asarray([[-1, 0, 4], [2, -1, -1]]), "x": x}
    np.testing.assert_allclose(both.score({}, batch), both.run(batch)["y"])
    window = through(item, node("Add", "a w"), ids=VECTOR, w=np.asarray([1, 2, 3]))
    near = {"id": np.asarray([-1, 3]), "x": x}
    np.testing.assert_allclose(window.score({}, near), window.run(near)["y"])
    masked = through(
        node("Less", "X zero", "no"),
        node("Add", "X f", "a"),
        node("Where", "no zero a"),
        ids=WIDE,
        zero=np.int64(0),
        f=FIRST,
    )
    some = {"X": np.asarray([[0, -1, 2], [1, 1, -1]]), "x": x}
    np.testing.assert_allclose(masked.score({}, some), masked.run(some)["y"])


def test_ids_that_are_no_whole_numbers_are_refused_in_front_of_offsets() -> None:
    model = through(
        node("Cast", "X", "a", to=INT64), node("Add", "a f"), ids={"X": (FLOAT, ["N", 3])}, f=FIRST
    )
    x = np.zeros(2, np.float32)
    after = STACKED["floats"][0]
    for each in (model, after):
        with pytest.raises(IdRangeError, match=r"^input 'X'"):
            each.score({}, {"X": np.asarray([[0, 1, 2], [0, 1.5, 0]], np.float32), "x": x})


@pytest.mark.parametrize("value", [np.inf, np.nan, 0.5, 1e30])
def test_numbers_that_are_no_offsets(value: float) -> None:
    nodes = [node("Add", "X f", "a"), node("Cast", "a", to=INT64)]
    model = through(*nodes, ids={"X": (FLOAT, ["N", 3])}, f=np.asarray([0, 0, value], np.float32))
    with pytest.raises(pi.PyrecError):
        model.score({}, {"X": np.full((1, 3), -1, np.float32), "x": np.zeros(1, np.float32)})


def test_many_ways_to_a_table_take_no_longer() -> None:
    nodes, constants, name = [], {}, "X"
    for i in range(60):
        constants |= {f"a{i}": np.asarray([0, 2 ** (i % 40), 0]), f"b{i}": np.asarray([0, 3, 0])}
        nodes += [node("Add", f"{name} a{i}", f"p{i}"), node("Add", f"{name} b{i}", f"q{i}")]
        name = "last" if i == 59 else f"m{i}"
        nodes.append(node("Min", f"p{i} q{i}", name))
    model = through(*nodes, ids=WIDE, **constants)
    x, ids = np.zeros(2, np.float32), np.zeros((2, 3), np.int64)
    started = time.perf_counter()
    with pytest.raises(IdRangeError):
        model.score({}, {"X": ids - 1, "x": x})
    assert time.perf_counter() - started < 2


def test_fields_of_one_table_on_both_sides() -> None:
    """The offsets do not keep the request's ids from being looked up once."""
    nodes = [node("Unsqueeze", "u one", "a"), node("Unsqueeze", "i one", "b")]
    nodes += [node("Concat", "a b", "c", axis=1), node("Add", "c f")]
    model = through(*nodes, ids={"u": (INT64, ["N"]), "i": (INT64, ["N"])}, f=np.asarray([0, 4]))
    u, i, x = np.asarray([3]), np.asarray([0, 5, 2]), np.zeros(3, np.float32)
    expected = TABLE.sum(axis=1)[3] + TABLE.sum(axis=1)[i + 4]
    np.testing.assert_allclose(model.score({"u": u}, {"i": i, "x": x}), expected, rtol=1e-5)
    for request, items in ((-u, i), (u, i - 1)):
        with pytest.raises(IdRangeError):
            model.score({"u": request}, {"i": items, "x": x})


def test_positions_that_are_worked_out_may_count_from_the_end() -> None:
    """The last entry of a history is at its length less one."""
    nodes = [
        node("Sub", "length one", "place"),
        node("Unsqueeze", "place one", "index"),
        node("GatherElements", "history index", "found", axis=1),
        node("Squeeze", "found one", "y"),
    ]
    inputs = {"history": (FLOAT, ["N", 4]), "length": (INT64, ["N"])}
    model = load(make_model(nodes, inputs, {"y": (FLOAT, ["N"])}, {"one": np.asarray([1])}))
    history = np.arange(12, dtype=np.float32).reshape(3, 4)
    batch = {"history": history, "length": np.asarray([0, 1, 4])}
    np.testing.assert_array_equal(model.score({}, batch), model.run(batch)["y"])


OTHERS: dict[str, tuple[list[onnx.NodeProto], Any]] = {
    "GatherElements": (
        [node("Unsqueeze", "id one", "i"), node("GatherElements", "x i", "y", axis=1)],
        lambda ids, x: x[np.arange(len(ids)), ids][:, None],
    ),
    "GatherND": (
        [node("Unsqueeze", "id one", "i"), node("GatherND", "x i", "y", batch_dims=1)],
        lambda ids, x: x[np.arange(len(ids)), ids],
    ),
    "OneHot": (
        [node("OneHot", "id depth values", "h"), node("Mul", "h x", "y")],
        lambda ids, x: np.eye(4, dtype=np.float32)[ids] * x,
    ),
    "ScatterElements": (
        [
            node("Unsqueeze", "id one", "i"),
            node("Mul", "x nothing", "empty"),
            node("Slice", "x zero one one", "u"),
            node("ScatterElements", "empty i u", "y", axis=1),
        ],
        lambda ids, x: np.eye(4, dtype=np.float32)[ids] * x[:, :1],
    ),
}


@pytest.mark.parametrize("op", OTHERS)
def test_every_operator_that_takes_ids(op: str) -> None:
    nodes, expected = OTHERS[op]
    constants = {
        "one": np.asarray([1]),
        "zero": np.asarray([0]),
        "depth": np.asarray(4),
        "values": np.asarray([0, 1], np.float32),
        "nothing": np.zeros(1, np.float32),
    }
    inputs = {"id": (INT64, ["N"]), "x": (FLOAT, ["N", 4])}
    used = {name: value for name, value in constants.items() if any(name in n.input for n in nodes)}
    model = load(make_model(nodes, inputs, {"y": (0, None)}, used))
    x = np.random.default_rng(1).standard_normal((3, 4)).astype(np.float32)
    ids = np.asarray([3, 0, 2])
    scored = model.score({}, {"id": ids, "x": x})
    np.testing.assert_array_equal(scored, np.squeeze(expected(ids, x)))
    wrapped = ids - 4 * (ids == 2)
    np.testing.assert_array_equal(model.run({"id": wrapped, "x": x})["y"], expected(ids, x))
    with pytest.raises(IdRangeError, match=r"^input 'id': id outside .*\(row 2\)"):
        model.score({}, {"id": wrapped, "x": x})


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-ROWS - 2, ROWS + 1), min_size=1, max_size=5), st.integers(0, 2))
def test_a_score_is_the_runs_or_refused(ids: list[int], kind: int) -> None:
    """For plain, matrix and shifted ids: refused exactly where an id that is looked up is no row."""
    model = _models()[kind]
    array, x = np.asarray(ids), np.zeros(len(ids), np.float32)
    batch = {"X": np.stack([array] * 5, axis=1), "x": x} if kind == 1 else {"id": array, "x": x}
    looked_up = array + 1 if kind == 2 else array
    if ((looked_up >= 0) & (looked_up < ROWS)).all():
        np.testing.assert_array_equal(model.score({}, batch), model.run(batch)["y"])
    else:
        with pytest.raises(IdRangeError, match=r"^input"):
            model.score({}, batch)


_MADE: list[pi.Model] = []


def _models() -> list[pi.Model]:
    if not _MADE:
        _MADE.append(through(node("Identity", "id"), ids=VECTOR))
        _MADE.append(through(node("Identity", "X"), ids=MATRIX))
        _MADE.append(through(node("Add", "id one"), ids=VECTOR))
    return _MADE
