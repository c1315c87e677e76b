"""A call that fails says the same on every backend: the class and the text of its error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from support.models import FLOAT, INT32, INT64, ITEMS, STRING, USERS, make_model, ranker
from test_bad_input import BAD_CALLS, COUNT, OFFSETS, sides

import pyrec_infer as pi
from pyrec_infer.backends.select import VARIABLE, available_backends
from pyrec_infer.errors import PyrecError

Call = Callable[[pi.Model], Any]
BACKENDS = available_backends()
MANY = 10_000
"""More rows than any backend has in a tile."""


def on_all_backends(proto: onnx.ModelProto, call: Call) -> Iterator[tuple[str, tuple[type, str]]]:
    patch = pytest.MonkeyPatch()
    for backend in BACKENDS:
        with patch.context() as forced:
            forced.setenv(VARIABLE, backend)
            with pytest.raises(PyrecError) as caught:
                call(pi.load(proto.SerializeToString()))
            yield backend, (type(caught.value), str(caught.value))


def same(proto: onnx.ModelProto, call: Call) -> str:
    """The one text of all backends."""
    found = dict(on_all_backends(proto, call))
    assert len(set(found.values())) == 1, found
    return next(iter(found.values()))[1]


def changed(own: dict[str, Any], others: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    request, candidates = sides()
    for side, changes in ((request, own), (candidates, others)):
        side.update(changes)
        for name in [name for name, value in side.items() if value is None]:
            del side[name]
    return request, candidates


@pytest.mark.parametrize("method", ["score", "top_k", "run"])
@pytest.mark.parametrize("case", BAD_CALLS)
def test_calls_that_do_not_fit(case: str, method: str) -> None:
    request, candidates = changed(*BAD_CALLS[case][:2])
    if method == "run":
        if case in ("both sides", "missing request", "two requests"):
            pytest.skip("a batch has no sides")
        whole = {**{name: np.repeat(value, COUNT) for name, value in request.items()}, **candidates}
        if case in ("fraction", "nan", "infinite", "fraction in the request", "beyond float32"):
            whole["item"] = candidates["item"]
        same(ranker(), lambda model: model.run(whole))
        return
    same(ranker(), lambda model: getattr(model, method)(request, candidates))


@pytest.mark.parametrize("case", OFFSETS)
def test_offsets_that_do_not_fit(case: str) -> None:
    _, candidates = sides()
    count = max(np.asarray(OFFSETS[case]).size - 1, 1)
    users = {"user": np.zeros(count, int)}
    same(ranker(), lambda model: model.score(users, candidates, offsets=OFFSETS[case]))


def test_offsets_and_request_rows_that_do_not_agree() -> None:
    _, candidates = sides()
    same(ranker(), lambda model: model.score({"user": [1, 2, 3]}, candidates, offsets=[0, 2, COUNT]))


def far(value: Any, dtype: Any, row: int = MANY - 7) -> np.ndarray:
    """Ids that are right but for one far down."""
    ids = (np.arange(MANY) % ITEMS).astype(dtype)
    ids[row] = value
    return ids


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (ITEMS, np.int64),
        (ITEMS, np.int32),
        (ITEMS + 0.0, np.float32),
        (0.5, np.float64),
        (np.nan, np.float32),
    ],
)
@pytest.mark.parametrize("narrow", [False, True])
def test_the_row_is_the_callers(value: Any, dtype: Any, narrow: bool) -> None:
    candidates = {"item": far(value, dtype), "dense": np.zeros((MANY, 3), np.float32)}
    proto = ranker(INT32 if narrow else INT64)
    text = same(proto, lambda model: model.score({"user": [1]}, candidates))
    assert text.startswith("input 'item': ")
    assert text.endswith(f"(row {MANY - 7})")
    groups = np.asarray([0, 40, 9000, MANY])
    text = same(proto, lambda model: model.score({"user": [1, 2, 0]}, candidates, offsets=groups))
    assert text.endswith(f"(row {MANY - 7})")


def test_the_request_of_several() -> None:
    _, candidates = sides()
    users, offsets = {"user": [1, 2, USERS]}, [0, 2, 4, COUNT]
    text = same(ranker(), lambda model: model.score(users, candidates, offsets=offsets))
    assert text.startswith("input 'user': ")
    assert text.endswith("(row 2)")
    users = {"user": [1, 0.5, 2]}
    assert same(ranker(), lambda model: model.score(users, candidates, offsets=offsets)).endswith("(row 1)")


@pytest.mark.parametrize("case", ["id too high", "id of the request", "width", "row counts", "rank too low"])
def test_prepared_calls(case: str) -> None:
    request, candidates = changed(*BAD_CALLS[case][:2])
    arrays = [np.asarray(value) for value in (*request.values(), *candidates.values())]
    same(ranker(), lambda model: model.prepare(list(request), list(candidates))(*arrays))
    out = np.zeros(COUNT, np.float32)
    same(ranker(), lambda model: model.prepare(list(request), list(candidates))(*arrays, out=out))


@pytest.mark.parametrize("case", ["id of the request", "fraction in the request", "missing request"])
def test_catalogues(case: str) -> None:
    request, candidates = changed(*BAD_CALLS[case][:2])
    same(ranker(), lambda model: model.catalog(candidates).score(request))


@pytest.mark.parametrize("case", ["id too high", "fraction", "nan", "width", "row counts", "strings"])
def test_items_of_catalogues(case: str) -> None:
    _, candidates = changed(*BAD_CALLS[case][:2])
    same(ranker(), lambda model: model.catalog(candidates).score({"user": [1]}))


def float_ids() -> onnx.ModelProto:
    nodes = [
        helper.make_node("Cast", ["id"], ["whole"], to=INT64),
        helper.make_node("Gather", ["table", "whole"], ["rows"], name="lookup"),
        helper.make_node("Mul", ["rows", "x"], ["y"]),
    ]
    inputs = {"id": (FLOAT, ["N"]), "x": (FLOAT, ["N"])}
    return make_model(nodes, inputs, {"y": (FLOAT, ["N"])}, {"table": np.arange(ITEMS, dtype=np.float32)})


@pytest.mark.parametrize("value", [0.5, np.nan, -np.inf, 3e38, ITEMS, 2.0**24, -(2.0**24)])
def test_ids_that_are_floats_in_the_graph(value: float) -> None:
    rows = {"id": far(value, np.float32), "x": np.ones(MANY, np.float32)}
    text = same(float_ids(), lambda model: model.score({}, rows))
    assert text.startswith("input 'id': ")
    assert text.endswith(f"(row {MANY - 7})")
    own = {"id": np.asarray([value], np.float32)}
    same(float_ids(), lambda model: model.score(own, {"x": rows["x"]}))


def test_float64_ids_that_float32_rounds() -> None:
    """16777217 would be read as the row of item 16777216."""
    for value in (2.0**24 + 1, 2.0**24, 2.0**53):
        rows = {"id": far(value, np.float64), "x": np.ones(MANY, np.float32)}
        assert "float32 holds exactly" in same(float_ids(), lambda model, rows=rows: model.score({}, rows))
    for value in (2.0**53, 2.0**53 + 2, -(2.0**53)):
        candidates = {"item": far(value, np.float64), "dense": np.zeros((MANY, 3), np.float32)}
        text = same(ranker(), lambda model, rows=candidates: model.score({"user": [1]}, rows))
        assert "float64 holds exactly" in text
    whole = {"x": np.ones(3, np.float32), "id": np.asarray([1, 2**53 + 1, 0])}
    assert "float32 holds exactly" in same(float_ids(), lambda model: model.score({}, whole))


def test_the_largest_ids_that_are_certain() -> None:
    last = 2**24 - 1
    table = np.zeros(last + 1, np.float32)
    table[last] = 7
    proto = float_ids()
    proto.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(table, "table"))
    rows = {"id": np.asarray([last, 0], np.float64), "x": np.ones(2, np.float32)}
    np.testing.assert_array_equal(pi.load(proto.SerializeToString()).score({}, rows), [7, 0])


def one(op: str, inputs: dict[str, Any], outputs: Any = (0, None), **attributes: Any) -> onnx.ModelProto:
    domain = attributes.pop("domain", "")
    nodes = [helper.make_node("Identity", [name], [f"{name}_same"], name=f"{name}_copy") for name in inputs]
    used = [f"{name}_same" for name in inputs]
    nodes.append(helper.make_node(op, used, ["y"], name="tested", domain=domain, **attributes))
    return make_model(nodes, inputs, {"y": outputs}, domains={domain: 3} if domain else None)


SIZED: dict[str, tuple[onnx.ModelProto, dict[str, Any]]] = {
    "Add": (
        one("Add", {"a": (FLOAT, ["N", "A"]), "b": (FLOAT, ["N", "B"])}),
        {"a": np.ones((4, 3), np.float32), "b": np.ones((4, 2), np.float32)},
    ),
    "Concat": (
        one("Concat", {"a": (FLOAT, ["N", "A", 2]), "b": (FLOAT, ["N", "B", 2])}, axis=2),
        {"a": np.ones((4, 3, 2), np.float32), "b": np.ones((4, 2, 2), np.float32)},
    ),
    "MatMul": (
        one("MatMul", {"a": (FLOAT, ["N", "A"]), "b": (FLOAT, ["B", 2])}),
        {"a": np.ones((4, 3), np.float32), "b": np.ones((5, 2), np.float32)},
    ),
    "Gather": (
        one("Gather", {"a": (FLOAT, ["A", 2]), "b": (INT64, ["N"])}),
        {"a": np.ones((3, 2), np.float32), "b": np.asarray([0, 1, 3])},
    ),
    "GatherElements": (
        one("GatherElements", {"a": (FLOAT, ["N", "A"]), "b": (INT64, ["N", 1])}, axis=1),
        {"a": np.ones((3, 2), np.float32), "b": np.asarray([[0], [5], [1]])},
    ),
    "Reshape": (
        one("Reshape", {"a": (FLOAT, ["N", "A"]), "b": (INT64, [2])}),
        {"a": np.ones((3, 2), np.float32), "b": np.asarray([4, 4])},
    ),
    "Expand": (
        one("Expand", {"a": (FLOAT, ["N", "A"]), "b": (INT64, [2])}),
        {"a": np.ones((3, 2), np.float32), "b": np.asarray([3, 5])},
    ),
    "OneHotEncoder": (
        one("OneHotEncoder", {"a": (INT64, ["N"])}, domain="ai.onnx.ml", cats_int64s=[1, 2], zeros=0),
        {"a": np.asarray([1, 2, 7, 1])},
    ),
    "OneHotEncoder of strings": (
        one("OneHotEncoder", {"a": (STRING, ["N"])}, domain="ai.onnx.ml", cats_strings=["x"], zeros=0),
        {"a": np.asarray(["x", "y"])},
    ),
    "Cast of strings": (one("Cast", {"a": (STRING, ["N"])}, to=FLOAT), {"a": np.asarray(["1", "one"])}),
    "bool for float": (one("Relu", {"a": (FLOAT, ["N"])}), {"a": np.ones(3, bool)}),
    "float for bool": (one("Not", {"a": (TensorProto.BOOL, ["N"])}), {"a": np.ones(3, np.float32)}),
    "int64 for float32": (one("Relu", {"a": (FLOAT, ["N"])}), {"a": np.asarray([1, 2**24 + 1])}),
    "uint64 for int64": (one("Neg", {"a": (INT64, ["N"])}), {"a": np.asarray([1, 2**63], np.uint64)}),
    "int64 for uint8": (one("Identity", {"a": (TensorProto.UINT8, ["N"])}), {"a": np.asarray([1, 256])}),
    "negative for uint8": (one("Identity", {"a": (TensorProto.UINT8, ["N"])}), {"a": np.asarray([1, -1])}),
    "symbol": (
        one("Add", {"a": (FLOAT, ["N", "A"]), "b": (FLOAT, ["N", "A"])}),
        {"a": np.ones((4, 3), np.float32), "b": np.ones((4, 2), np.float32)},
    ),
}


@pytest.mark.parametrize("case", SIZED)
def test_values_that_do_not_fit_in_the_graph(case: str) -> None:
    proto, inputs = SIZED[case]
    text = same(proto, lambda model: model.run(inputs))
    assert text.count("node ") <= 1
