"""Records that the steps of a plan write where a store keeps them, beside those that are copied there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pyrec_infer.backends.native import NativeExecutor
from pyrec_infer.backends.select import make_executor, make_pool, select_backend
from pyrec_infer.catalog.writing import ItemWriter
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
from pyrec_infer.plan.planner import build_plan
from pyrec_infer.store import Store, make_store

WIDTH, DEPTH, ROWS = 19, 6, 40
N = Dim.symbol("N")
GENERATOR = np.random.default_rng(0)


def drawn(*shape: int) -> NDArray[np.float32]:
    return GENERATOR.standard_normal(shape).astype(np.float32)


CONSTANTS = {
    "table": drawn(ROWS, WIDTH),
    "other": drawn(ROWS, WIDTH),
    "narrow": drawn(ROWS, 1),
    "w": drawn(DEPTH, WIDTH),
    "square": drawn(WIDTH, WIDTH),
    "column": drawn(DEPTH, 1),
    "bias": drawn(WIDTH),
    "long": drawn(300, WIDTH),
    "begin": np.asarray([0]),
    "end": np.asarray([DEPTH]),
    "axis": np.asarray([1]),
}
INFOS = {
    "i": Info(np.dtype(np.int64), (N, 2), 0),
    "x": Info(np.dtype(np.float32), (N, DEPTH), 0),
    "far": Info(np.dtype(np.float32), (N, 300), 0),
}


def rows_of(name: str, bias: str = "", **more: Any) -> Node:
    """A sum of two tables' rows."""
    parts = [LookupPart("i", "table", 0, WIDTH), LookupPart("i", "other", 1, WIDTH)]
    return make_lookup("pyrec.LookupSum", name, parts, bias=bias, **more)


def dense(name: str, x: str, weights: str, bias: str = "", activation: str = "") -> Node:
    attributes = {"activation": activation} if activation else {}
    return Node("pyrec.Dense", (x, weights, bias) if bias else (x, weights), (name,), attributes)


NUMBER = make_lookup("pyrec.LookupSum", "n", [LookupPart("i", "narrow", 0, 1)])
PLANS = {
    "a layer on a sum of rows": (["y"], [rows_of("t"), dense("y", "x", "w", "t", "Relu")]),
    "an activation": (["y"], [rows_of("t"), dense("y", "x", "w", "t", "Tanh")]),
    "a layer in two blocks": (["y"], [rows_of("t"), dense("y", "far", "long", "t")]),
    "a sum of rows on a layer": (["y"], [dense("t", "x", "w", "bias"), rows_of("y", "t", activation="Relu")]),
    "three steps": (["y"], [rows_of("s"), dense("t", "x", "w", "s"), rows_of("y", "t")]),
    "one number": (["m"], [NUMBER, dense("m", "x", "column", "n", "Sigmoid")]),
    "fields side by side": (
        ["y", "m", "r"],
        [
            rows_of("t"),
            dense("y", "x", "w", "t"),
            NUMBER,
            dense("m", "x", "column", "n"),
            make_lookup(
                "pyrec.Lookup", "r", [LookupPart("i", "other", 1, WIDTH), LookupPart("x", "", -1, DEPTH)]
            ),
        ],
    ),
    "what a layer starts from is stored too": (["t", "y"], [rows_of("t"), dense("y", "x", "w", "t")]),
    "a layer multiplies what it starts from": (["y"], [rows_of("t"), dense("y", "t", "square", "t")]),
    "two layers start from one sum": (
        ["y", "z"],
        [rows_of("t"), dense("y", "x", "w", "t"), dense("z", "x", "w", "t", "Relu")],
    ),
    "another step reads the layer": (
        ["y", "z"],
        [rows_of("t"), dense("y", "x", "w", "t"), dense("z", "y", "square")],
    ),
    "a part of the sum is read later": (
        ["y", "z"],
        [
            rows_of("t"),
            Node("Slice", ("t", "begin", "end", "axis"), ("part",)),
            dense("y", "x", "w", "t"),
            dense("z", "part", "w"),
        ],
    ),
    "another step makes the values": (["y"], [rows_of("t"), Node("Neg", ("t",), ("y",))]),
}


class Filled:
    """A store that a plan's outputs are written into, and what they are when they are made apart."""

    def __init__(self, outputs: list[str], nodes: list[Node]) -> None:
        read = {name for node in nodes for name in node.inputs}
        self.names = [name for name in INFOS if name in read]
        constants = {name: value for name, value in CONSTANTS.items() if name in read}
        infos = {name: INFOS[name] for name in self.names}
        plan = build_plan(
            Graph(tuple(self.names), tuple(outputs), tuple(nodes), constants, infos), frozenset()
        )
        executor = make_executor(plan, select_backend(), make_pool(select_backend(), 1), {}, 1 << 30)
        assert isinstance(executor, NativeExecutor)
        self.ready = ReadyPlan(plan, executor)
        self.sizes = [
            1 if name in ("m", "n") else WIDTH + DEPTH if name == "r" else WIDTH for name in outputs
        ]
        self.outputs = outputs
        # A gap behind each field, and one at the end.
        self.places = np.cumsum([0, *(4 * size + 8 for size in self.sizes)])
        fields = [
            ("float32", 0, size, int(place), "f32")
            for size, place in zip(self.sizes, self.places, strict=False)
        ]
        self.store: Store = make_store([int(self.places[-1])], False, 0, True)
        order = [item.name for item in plan.inputs]
        arrays = [(str(INFOS[name].dtype), 2, 0, order.index(name)) for name in self.names]
        self.writer: ItemWriter = executor.writer(self.store, fields, arrays)

    def put(self, ids: NDArray[np.int64], given: dict[str, Any]) -> None:
        assert self.writer.put([given[name] for name in self.names], ids, None)

    def require(self, ids: NDArray[np.int64], given: dict[str, Any]) -> None:
        """Bit for bit what the plan makes of the same items, and zeros between."""
        view = self.store.read(ids)
        records = view.records[view.rows(0)]
        made = self.ready.run({name: given[name] for name in self.names}, (), len(ids))
        expected = np.zeros_like(records)
        for name, place, size in zip(self.outputs, self.places, self.sizes, strict=False):
            value = np.ascontiguousarray(made[name]).view(np.uint8).reshape(len(ids), 4 * size)
            expected[:, place : place + 4 * size] = value
        np.testing.assert_array_equal(records, expected)


def given(count: int, seed: int) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    made = {
        "i": generator.integers(0, ROWS, (count, 2)),
        "x": generator.standard_normal((count, DEPTH)).astype(np.float32),
        "far": generator.standard_normal((count, 300)).astype(np.float32),
    }
    made["x"].reshape(-1)[:: 7 * DEPTH + 1] = np.nan
    made["x"].reshape(-1)[1 :: 11 * DEPTH] = np.inf
    return made


@pytest.mark.parametrize("name", PLANS)
def test_records_are_what_the_plan_makes(name: str) -> None:
    if select_backend() == "numba":
        pytest.skip("records are written step by step")
    filled = Filled(*PLANS[name])
    whole, part = given(700, 1), given(150, 2)
    ids = np.arange(700)
    filled.put(ids, whole)
    filled.require(ids, whole)
    # Rows that do not lie side by side.
    filled.store.erase(ids[::3].copy())
    chosen = np.concatenate([ids[:300:3], ids[301:351]])
    filled.put(chosen, part)
    filled.require(chosen, part)
    kept = np.setdiff1d(ids, np.concatenate([chosen, ids[::3]]))
    filled.require(kept, {key: value[kept] for key, value in whole.items()})
    one = {key: value[:1] for key, value in part.items()}
    filled.put(ids[5:6], one)
    filled.require(ids[5:6], one)


@pytest.mark.parametrize("name", PLANS)
def test_a_failing_tile_changes_nothing(name: str) -> None:
    if select_backend() == "numba":
        pytest.skip("records are written step by step")
    filled = Filled(*PLANS[name])
    before, ids = given(200, 3), np.arange(200)
    filled.put(ids, before)
    bad = given(200, 4)
    bad["i"][150] = ROWS
    assert not filled.writer.put([bad[key] for key in filled.names], ids, None)
    filled.require(ids, before)
    filled.put(ids, before)
    filled.require(ids, before)
