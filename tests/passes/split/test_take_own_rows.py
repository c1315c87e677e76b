"""Fields that read the ends of a table they share: the same rows, the same ids refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper
from support.graphs import I64, N, alike
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer.errors import IdRangeError
from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
from pyrec_infer.passes.split.take_own_rows import take_own_rows

FIRST = (0, 4, 7)
ROWS = 12
IDS = np.asarray([[0, 1, 4], [3, 2, 0], [11, 7, 2]])
"""Some lie behind the rows of their own field, which nothing in a graph tells."""


def graph(offsets: Any, op: str = "pyrec.Lookup", **infos: Info) -> Graph:
    table = np.random.default_rng(0).standard_normal((ROWS, 4)).astype(np.float32)
    parts = [LookupPart("rows", "table", column, 4) for column in range(3)]
    nodes = (Node("pyrec.OffsetIds", ("ids", "firsts"), ("rows",)), make_lookup(op, "y", parts))
    given = {"ids": Info(I64, (N, 3), 0), **infos}
    return Graph(("ids",), ("y",), nodes, {"table": table, "firsts": np.asarray(offsets)}, given)


@pytest.mark.parametrize("op", ["pyrec.Lookup", "pyrec.LookupSum"])
@pytest.mark.parametrize("offsets", [FIRST, [FIRST]])
def test_each_field_reads_its_own_end_of_the_table(op: str, offsets: Any) -> None:
    before = graph(offsets, op)
    after = alike(before, take_own_rows(before), rows=3, ids=IDS)
    operands = after.nodes[1].inputs[op == "pyrec.LookupSum" :]
    assert operands == ("rows", "table", "ids", "table/from4", "ids", "table/from7")
    assert all(
        np.shares_memory(table, before.constants["table"]) for table in list(after.constants.values())[2:]
    )


def test_narrow_ids() -> None:
    before = graph(np.int32(FIRST), ids=Info(np.dtype(np.int32), (N, 3), 0))
    after = alike(before, take_own_rows(before), rows=3, ids=IDS.astype(np.int32))
    assert after.nodes[1].inputs[2:4] == ("ids", "table/from4")


def test_one_number_for_all_columns() -> None:
    before = graph(5)
    after = alike(before, take_own_rows(before), rows=2, ids=IDS[:2])
    assert set(after.nodes[1].inputs) == {"ids", "table/from5"}


NEAR_MISSES = {
    "rows in front of the table": graph([-1, 0, -3]),
    "rows behind the table": graph([ROWS, ROWS + 1, ROWS]),
    "one id with several numbers": graph(FIRST, ids=Info(I64, (N, 1), 0)),
    "floats": graph(np.float32(FIRST), ids=Info(np.dtype(np.float32), (N, 3), 0)),
    "one number a row": graph([[4], [4], [4]]),
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_what_stays_as_it_is(name: str) -> None:
    near_miss = NEAR_MISSES[name]
    assert take_own_rows(near_miss).nodes == near_miss.nodes


def test_a_large_end_stays() -> None:
    before = graph(FIRST)
    wide = before.with_(constants={**before.constants, "table": np.zeros((300_000, 4), np.float32)})
    assert take_own_rows(wide).nodes == wide.nodes


@pytest.fixture(scope="module")
def model() -> pi.Model:
    """A layer over three fields in one table, and numbers of both sides."""
    rng = np.random.default_rng(1)
    nodes = [
        helper.make_node("Add", ["X", "first"], ["row"]),
        helper.make_node("Gather", ["table", "row"], ["found"]),
        helper.make_node("Reshape", ["found", "shape"], ["flat"]),
        helper.make_node("Concat", ["flat", "v", "u"], ["all"], axis=1),
        helper.make_node("Gemm", ["all", "w"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("ReduceSum", ["r", "one"], ["y"], keepdims=0),
    ]
    constants = {
        "first": np.asarray(FIRST),
        "table": rng.standard_normal((ROWS, 8)).astype(np.float32),
        "shape": np.asarray([-1, 24]),
        "w": rng.standard_normal((28, 16)).astype(np.float32),
        "one": np.asarray([1]),
    }
    inputs = {"X": (INT64, ["N", 3]), "v": (FLOAT, ["N", 2]), "u": (FLOAT, ["N", 2])}
    return pi.load(make_model(nodes, inputs, {"y": (FLOAT, ["N"])}, constants).SerializeToString())


U = np.asarray([[0.5, -1]], np.float32)
V = np.asarray([[1, 2], [3, 4], [5, 6]], np.float32)


def test_scores_are_those_of_the_shared_table(model: pi.Model) -> None:
    expected = model.run({"X": IDS, "v": V, "u": U.repeat(3, 0)})["y"]
    np.testing.assert_allclose(model.score({"u": U}, {"X": IDS, "v": V}), expected, rtol=1e-5)
    np.testing.assert_allclose(model.catalog({"X": IDS, "v": V}).score({"u": U}), expected, rtol=1e-5)
    for row in range(3):
        one = model.score({"X": IDS[row : row + 1], "v": V[row : row + 1]}, {"u": U})
        np.testing.assert_allclose(one, expected[row : row + 1], rtol=1e-5)
    assert "[5, 16]" in str(model.explain(["u"], output="y")), "the last field's rows times the weights"


@pytest.mark.parametrize("column", range(3))
def test_the_same_ids_are_refused(model: pi.Model, column: int) -> None:
    catalog = model.catalog({"X": IDS, "v": V})
    ids = IDS.copy()
    ids[1, column] = ROWS - FIRST[column] - 1
    catalog.upsert({"X": ids, "v": V}, [5, 6, 7])
    for wrong in (-1, ROWS - FIRST[column], 2**63 - 1, -(2**63)):
        ids[1, column] = wrong
        calls = [
            lambda: model.score({"u": U}, {"X": ids, "v": V}),
            lambda: model.score({"X": ids[1:2], "v": V[1:2]}, {"u": U}),
            lambda: catalog.upsert({"X": ids, "v": V}, [5, 6, 7]),
        ]
        for call in calls:
            with pytest.raises(IdRangeError, match=rf"^input 'X' column {column}: .*\(row [01]\)"):
                call()
