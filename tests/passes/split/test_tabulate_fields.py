"""Small tables times a request's matrix: the same values, and less to multiply for a candidate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from support.graphs import F32, applied, graph_of, ops
from support.models import FLOAT, INT64, make_model

import pyrec_infer as pi
from pyrec_infer.backends.select import VARIABLE, available_backends
from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops.lookup_parts import LookupPart, make_lookup
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.split.keep_ids import MOST_ROWS, keep_ids
from pyrec_infer.passes.split.tabulate_fields import tabulate_fields

SIDES, ITEMS = Sides(frozenset("mu")), Sides(frozenset("mu"), frozenset("ij"))
LARGE, SMALL = LookupPart("i", "large", 0, 8), LookupPart("i", "small", 1, 8)
OTHER, NUMBERS = LookupPart("j", "small", -1, 8), LookupPart.numbers("x", 4)
WIDTH = 6


def layer_of(parts: Sequence[LookupPart], bias: str = "", **attributes: Any) -> Graph:
    """A layer of lookups whose weights are the request's."""
    rng = np.random.default_rng(0)
    size = sum(part.width for part in parts)
    constants = {
        "large": (rng.integers(-8, 9, (MOST_ROWS + 1, 8)) / 4).astype(F32),
        "small": (rng.integers(-8, 9, (9, 8)) / 4).astype(F32),
        "row": np.arange(WIDTH, dtype=F32),
        "number": np.ones(1, F32),
        "shape": np.asarray([-1, 1, size]),
        "lift": np.asarray([-1, 1, WIDTH]),
    }
    nodes = [
        make_lookup("pyrec.Lookup", "l", parts),
        Node("Reshape", ("l", "shape"), ("v",)),
        Node("pyrec.Pack", ("m",), ("p",)),
        Node("Reshape", ("b", "lift"), ("lifted",)),
        Node("pyrec.Dense", ("v", "p", *([bias] if bias else [])), ("y",), {"columns": WIDTH, **attributes}),
    ]
    return graph_of(nodes, constants, ids="ij", m=(size, WIDTH), u=(WIDTH,), b=(WIDTH,), x=(4,), i=(3,), j=())


def made_of(graph: Graph) -> list[str]:
    return [op.removeprefix("pyrec.") for op in ops(remove_dead(graph)) if op != "Reshape"]


@pytest.mark.once
@pytest.mark.parametrize("bias", ["", "row", "lifted"])
@pytest.mark.parametrize("activation", ["", "Relu"])
def test_rows_of_the_requests_tables_are_added(bias: str, activation: str) -> None:
    more = {"activation": activation} if activation else {}
    graph = layer_of([LARGE, SMALL, NUMBERS, OTHER], bias, **more)
    made = applied(tabulate_fields, graph, SIDES)
    assert sorted(made_of(made)) == [
        "Dense",
        "FieldTables",
        "Gather",
        "Lookup",
        "LookupSum",
        "Pack",
    ]
    (layer,) = (node for node in made.nodes if node.op == "pyrec.Dense")
    assert layer.attribute("activation", "") == activation


@pytest.mark.once
def test_a_layer_of_small_tables_alone_is_a_sum() -> None:
    graph = layer_of([SMALL, OTHER], "lifted", activation="Relu")
    assert sorted(made_of(applied(tabulate_fields, graph, SIDES))) == ["FieldTables", "LookupSum"]


@pytest.mark.once
def test_an_items_parts_are_taken_where_its_record_holds_ids() -> None:
    graph = layer_of([LARGE, SMALL])
    assert tabulate_fields(graph, ITEMS).nodes == graph.nodes
    kept = applied(keep_ids, graph, ITEMS)
    assert "FieldTables" in made_of(applied(tabulate_fields, kept, ITEMS))


@pytest.mark.once
@pytest.mark.parametrize(
    ("parts", "bias", "sides"),
    [
        ([LARGE, NUMBERS], "", SIDES),
        ([LARGE, SMALL], "number", SIDES),
        ([LARGE, SMALL], "", Sides(frozenset("u"))),
        ([LARGE, LookupPart("i", "small", 1, 4)], "", SIDES),
    ],
)
def test_near_misses(parts: list[LookupPart], bias: str, sides: Sides) -> None:
    graph = layer_of(parts, bias)
    assert tabulate_fields(graph, sides).nodes == graph.nodes


@pytest.mark.once
def test_products_that_would_take_too_much_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = layer_of([LARGE, SMALL])
    monkeypatch.setattr("pyrec_infer.passes.split.tabulate_fields._BYTES", 9 * WIDTH * 4 - 1)
    assert tabulate_fields(graph, SIDES).nodes == graph.nodes


ROWS = (MOST_ROWS + 1, 200, 30, 7)
"""Of an item's tables."""

REQUEST = 14
"""Vectors of a request."""


def dlrm(width: int = 64) -> bytes:
    """Dot products of all pairs of a request's vectors and those that four ids of an item stand for."""
    rng = np.random.default_rng(1)
    vectors = len(ROWS) + REQUEST
    left, right = np.triu_indices(vectors, 1)
    nodes, names = [], ["u"]
    for place in range(len(ROWS)):
        nodes.append(helper.make_node("Gather", ["ids", f"column{place}"], [f"id{place}"], axis=1))
        nodes.append(helper.make_node("Gather", [f"table{place}", f"id{place}"], [f"e{place}"]))
        nodes.append(helper.make_node("Squeeze", [f"e{place}", "one"], [f"i{place}"]))
        names.append(f"i{place}")
    nodes += [
        helper.make_node("Concat", names, ["flat"], axis=1),
        helper.make_node("Reshape", ["flat", "fields"], ["t"]),
        helper.make_node("Transpose", ["t"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["t", "turned"], ["z"]),
        helper.make_node("Reshape", ["z", "square"], ["all"]),
        helper.make_node("Gather", ["all", "pairs"], ["dots"], axis=1),
        helper.make_node("Gemm", ["dots", "w0", "b0"], ["h0"]),
        helper.make_node("Relu", ["h0"], ["r0"]),
        helper.make_node("Gemm", ["r0", "w1"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["score"]),
    ]
    constants = {
        "one": np.asarray([1]),
        "fields": np.asarray([-1, vectors, 16]),
        "square": np.asarray([-1, vectors**2]),
        "pairs": left * vectors + right,
        "w0": rng.normal(size=(len(left), width)).astype(F32) / 4,
        "b0": rng.normal(size=width).astype(F32),
        "w1": rng.normal(size=(width, 1)).astype(F32) / 8,
        **{f"column{place}": np.asarray([place]) for place in range(len(ROWS))},
        **{f"table{place}": rng.normal(size=(rows, 16)).astype(F32) / 2 for place, rows in enumerate(ROWS)},
    }
    inputs = {"u": (FLOAT, ["N", REQUEST * 16]), "ids": (INT64, ["N", len(ROWS)])}
    model: onnx.ModelProto = make_model(nodes, inputs, {"score": (FLOAT, ["N", 1])}, constants)
    return bytes(model.SerializeToString())


def sides(rows: int, requests: int = 1) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(rows)
    request = {"u": rng.normal(size=(requests, REQUEST * 16)).astype(F32) / 2}
    ids = np.stack([rng.integers(0, count, rows) for count in ROWS], axis=1)
    return request, {"ids": ids}


def steps_of(model: Any, *arguments: Any) -> list[str]:
    explained = model.explain(*arguments).as_dict()
    return [step["operator"] for phase in explained["phases"] for step in phase["steps"]]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("backend", available_backends())
def test_scores_of_a_model(backend: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, backend)
    exact, model = pi.load(dlrm()), pi.load(dlrm(), precision=precision)
    few = model.explain(sides(1)[0]).as_dict()["few_rows"]
    error = {"fp32": 2e-6, "bf16": 0.02, "int8": 0.05}[precision]
    for rows in (1, few - 1, few, 700):
        request, items = sides(rows)
        repeated = {name: np.repeat(value, rows, 0) for name, value in request.items()}
        expected = exact.run({**repeated, **items})["score"].reshape(-1)
        catalog = model.catalog(items, precision=precision)
        for made in (model.score(request, items), catalog.score(request)):
            np.testing.assert_allclose(made, expected, rtol=1e-5, atol=error)
    assert "pyrec.FieldTables" in steps_of(model, sides(1)[0])
    assert "pyrec.FieldTables" in steps_of(catalog)


def test_each_of_several_requests_has_its_tables() -> None:
    model, (requests, items) = pi.load(dlrm(), threads=2), sides(3000, 3)
    catalog = model.catalog(items)
    several = catalog.top_k(requests, 20)
    for place in range(3):
        one = {name: value[place : place + 1] for name, value in requests.items()}
        alone = catalog.top_k(one, 20)
        assert alone.ids.tolist() == several.ids[place].tolist()
        assert alone.scores.tobytes() == several.scores[place].tobytes()
        scores = model.score(one, items)
        np.testing.assert_allclose(alone.scores, np.sort(scores)[:-21:-1], rtol=1e-5)


def test_items_that_change_and_ids_that_are_wrong() -> None:
    model, (request, items) = pi.load(dlrm()), sides(600)
    catalog = model.catalog(items)
    changed = {"ids": items["ids"][::-1].copy()}
    catalog.upsert({"ids": changed["ids"][:100]}, ids=np.arange(100))
    again = {"ids": np.concatenate([changed["ids"][:100], items["ids"][100:]])}
    np.testing.assert_allclose(catalog.score(request), model.score(request, again), rtol=1e-5)
    wrong = {"ids": items["ids"].copy()}
    wrong["ids"][5, 3] = ROWS[3]
    for call in (lambda: model.score(request, wrong), lambda: model.catalog(wrong)):
        with pytest.raises(pi.IdRangeError, match=r"input 'ids' column 3: .* table of 7 rows .*\(row 5\)"):
            call()


def test_few_items_take_the_plan_without_tables_over_the_same_records() -> None:
    model, (request, items) = pi.load(dlrm(), threads=1), sides(900)
    catalog = model.catalog(items)
    plan = catalog._scorer.pairs.plan
    assert plan.few is not None
    operators = [{node.op for phase in each.phases for node in phase.nodes} for each in (plan, plan.few)]
    assert ["pyrec.FieldTables" in found for found in operators] == [True, False]
    assert 1 < plan.few_rows < 900
    np.testing.assert_allclose(catalog.score(request, [3, 4]), catalog.score(request)[3:5], rtol=1e-5)
