"""Rows that layers of lower precision hand on in their own form, in an order that brings zeros together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.random_graphs import evaluate

from pyrec_infer import _native
from pyrec_infer.backends.select import available_backends, make_executor, make_pool, skips_zero_groups
from pyrec_infer.codecs.bf16 import round_bf16
from pyrec_infer.cost import join_plans
from pyrec_infer.errors import ShapeError, UnsupportedModelError
from pyrec_infer.ir import BATCH, Array, Dim, Graph, Info, Node, verify
from pyrec_infer.kernels.quantized import quantize_rows_u8
from pyrec_infer.passes import EVERY, Context, State, finish_graphs
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.finish.hand_over_rows import hand_over_rows
from pyrec_infer.passes.finish.order_neurons import order_neurons
from pyrec_infer.planner import build_plan

pytestmark = pytest.mark.once

N = Dim.symbol(BATCH)
F32 = np.dtype(np.float32)
ISAS = [name for name in available_backends() if name != "numba"]
REQUEST = Sides(frozenset("u"))
OPERATORS = {"int8": "pyrec.DenseInt8", "bf16": "pyrec.DenseBf16"}

K, H = 70, 130
ROWS = 300


def normal(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype(F32)


WEIGHTS = {
    "t": normal(40, K),
    "w": normal(K, H, seed=1),
    "v": normal(H, 50, seed=2),
    "last": normal(50, 1, seed=3),
    "b": normal(H, seed=4),
    "c": normal(50, seed=5),
}


def lookup(bias: str = "u", activation: str = "Relu") -> Node:
    parts = {"columns": (-1,), "offsets": (0,), "widths": (K,), "codecs": ("f32",)}
    return Node("pyrec.LookupSum", (bias, "i", "t"), ("x",), {**parts, "activation": activation})


def layer(precision: str, *names: str, **attributes: Any) -> Node:
    return Node(OPERATORS[precision], names[:-1], names[-1:], attributes)


def tower(precision: str, *changed: Node, outputs: tuple[str, ...] = ("y",), **weights: Array) -> Graph:
    """A lookup, two layers and a last one; `changed` takes the place of nodes with the same outputs."""
    nodes = [
        lookup(),
        layer(precision, "x", "w", "b", "a", activation="Relu", skip_zeros=1),
        layer(precision, "a", "v", "c", "d", activation="Relu", skip_zeros=1),
        Node("pyrec.Dense", ("d", "last"), ("y",)),
    ]
    for node in changed:
        place = next(i for i, old in enumerate(nodes) if old.outputs == node.outputs)
        nodes[place] = node
    infos = {
        "u": Info(F32, (N, K), 0),
        "i": Info(np.dtype(np.int64), (N,), 0),
        "r": Info(F32, (N, K), 0),
    }
    graph = Graph(("u", "i", "r"), outputs, tuple(nodes), {**WEIGHTS, **weights}, infos)
    verify(graph, "the test")
    return graph


def marks(graph: Graph, *names: str) -> list[dict[str, Any]]:
    """Which of the attributes each node has."""
    return [{key: node.attributes[key] for key in names if key in node.attributes} for node in graph.nodes]


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_lookups_and_layers_hand_over_to_layers_alone(precision: str) -> None:
    made = hand_over_rows(tower(precision), REQUEST)
    assert marks(made, "rows", "features") == [
        {"rows": precision},
        {"rows": precision, "features": K},
        {"features": H},
        {},
    ]


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        (tower("int8", outputs=("y", "x")), [0, 1, 0, 0]),
        (tower("int8", layer("bf16", "a", "v", "c", "d")), [1, 0, 0, 0]),
        (tower("int8", Node("pyrec.Dense", ("a", "v", "c"), ("d",))), [1, 0, 0, 0]),
        (tower("int8", Node("Relu", ("r",), ("x",))), [0, 1, 0, 0]),
        (tower("int8", lookup(activation="Sigmoid")), [0, 1, 0, 0]),
        (tower("int8", layer("int8", "x", "w", "a"), outputs=("a",)), [1, 0, 0, 0]),
    ],
    ids=[
        "an output",
        "another precision",
        "a float32 layer",
        "made by something else",
        "a sigmoid",
        "the result",
    ],
)
def test_other_values_stay_float32(graph: Graph, expected: list[int]) -> None:
    made = hand_over_rows(graph, REQUEST)
    reader = {node.inputs[0]: node.op for node in graph.nodes}
    if reader.get("a") == "pyrec.DenseBf16":
        expected = [1, 1, 0, 0]  # in the form of its reader
        assert made.nodes[1].attributes["rows"] == "bf16"
    assert ["rows" in node.attributes for node in made.nodes] == [bool(mark) for mark in expected]


def test_a_value_that_is_also_a_bias_stays_float32() -> None:
    square = Graph(
        ("r",),
        ("y",),
        (
            layer("int8", "r", "w", "a"),
            layer("int8", "a", "w", "b"),
            layer("int8", "b", "w", "a", "d"),
            Node("pyrec.Dense", ("d", "w"), ("y",)),
        ),
        {"w": normal(32, 32)},
        {"r": Info(F32, (N, 32), 0)},
    )
    assert marks(hand_over_rows(square, REQUEST), "rows") == [{}, {"rows": "int8"}, {}, {}]


def test_values_of_more_axes_and_of_the_request_stay_float32() -> None:
    nodes = (layer("int8", "u", "w", "a"), layer("int8", "a", "w", "y"))
    for info in (Info(F32, (N, 5, 32), 0), Info(F32, (N, 32), 0)):
        graph = Graph(("u",), ("y",), nodes, {"w": normal(32, 32)}, {"u": info})
        assert marks(hand_over_rows(graph, REQUEST), "rows") == [{}, {}]


@pytest.mark.parametrize("precision", ["int8", "bf16"])
def test_layers_after_the_requests_part_multiply_in_its_order(precision: str) -> None:
    made = order_neurons(tower(precision), REQUEST)
    assert [node.op for node in made.nodes] == [
        "pyrec.LookupSum",
        "pyrec.PackInOrder",
        OPERATORS[precision],
        OPERATORS[precision],
        "pyrec.Dense",
    ]
    assert marks(made, "ordered") == [{"ordered": 1}, {}, {}, {}, {}]
    assert made.nodes[2].attributes["columns"] == H
    assert made.nodes[1].inputs == ("w", "u")
    verify(made, "order_neurons")
    rng = np.random.default_rng(0)
    given = {"u": np.repeat(normal(1, K), 9, axis=0), "i": rng.integers(0, 40, 9), "r": normal(9, K)}
    graph = tower(precision)
    np.testing.assert_array_equal(evaluate(made, given, 9)["y"], evaluate(graph, given, 9)["y"])


@pytest.mark.parametrize(
    "changed",
    [
        lookup(activation=""),
        lookup(bias="r"),
        lookup(bias=""),
        layer("int8", "x", "w", "b", "a", activation="Relu"),
    ],
    ids=["no ReLU", "the candidate's part", "no part", "no zeros to skip"],
)
def test_other_layers_multiply_in_the_given_order(changed: Node) -> None:
    graph = tower("int8", changed)
    assert order_neurons(graph, REQUEST).nodes == graph.nodes


def test_one_number_for_all_neurons_gives_no_order() -> None:
    graph = tower("int8")
    graph = graph.with_(infos={**graph.infos, "u": Info(F32, (N, 1), 0)})
    assert order_neurons(graph, REQUEST).nodes == graph.nodes


def run(graph: Graph, isa: str, inputs: Sequence[Array], threads: int = 1) -> Array:
    plan = build_plan(graph, frozenset("u"))
    executor = make_executor(plan, isa, make_pool(isa, threads), {})
    names = [item.name for item in plan.inputs]
    given = dict(zip(("u", "i", "r"), inputs, strict=True))
    (made,) = executor.run([given[name] for name in names], [])
    return np.asarray(made)


def finish_graph(graph: Graph, ordered: bool = False) -> Graph:
    """The graph that goes into a plan."""
    context = Context(sides=REQUEST, skips_groups=ordered)
    return finish_graphs({EVERY: State(graph, context)})[EVERY].graph


def inputs_of(rows: int) -> list[Array]:
    rng = np.random.default_rng(rows)
    return [normal(1, K, seed=9), rng.integers(0, 40, rows), normal(rows, K)]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("precision", ["int8", "bf16"])
@pytest.mark.parametrize("activation", ["", "Relu", "Sigmoid"])
@pytest.mark.parametrize("threads", [1, 2])
def test_handing_over_changes_no_bit(isa: str, precision: str, activation: str, threads: int) -> None:
    first = layer(precision, "x", "w", "b", "a", activation=activation, skip_zeros=1)
    graph = tower(precision, lookup(activation=activation), first)
    handed = finish_graph(graph)
    assert handed is not graph
    for rows in (0, 1, 7, 129, ROWS):
        inputs = inputs_of(rows)
        np.testing.assert_array_equal(run(handed, isa, inputs, threads), run(graph, isa, inputs))


@pytest.mark.parametrize("isa", ISAS)
def test_layers_of_all_kinds_of_bias_hand_over(isa: str) -> None:
    for name, bias in (("b", normal(1, H)), ("b", normal(1, 1)), ("", None)):
        own = {} if bias is None else {"b": bias}
        graph = tower("int8", layer("int8", "x", "w", name, "a", activation="Relu"), **own)
        inputs = inputs_of(20)
        handed = finish_graph(graph)
        np.testing.assert_array_equal(run(handed, isa, inputs), run(graph, isa, inputs))


SKIPPING = [
    (isa, precision)
    for isa in (*ISAS, *(["stand_in"] if ISAS else []))
    for precision in OPERATORS
    if skips_zero_groups(isa, precision)
]
"""With the kernels that stand in for those that skip groups."""


@pytest.mark.parametrize(("isa", "precision"), SKIPPING)
def test_the_order_changes_no_more_than_rounding(isa: str, precision: str) -> None:
    graph = tower(precision)
    # A layer as well as a lookup hands over in the order of the request's part.
    first = layer(precision, "r", "square", "u", "a", activation="Relu", skip_zeros=1)
    layers = tower(precision, first, square=normal(K, K, seed=6), v=normal(K, 50, seed=7))
    for case in (graph, layers):
        ordered = finish_graph(case, ordered=True)
        assert "pyrec.PackInOrder" in [node.op for node in ordered.nodes]
        for rows in (1, 8, ROWS):
            inputs = inputs_of(rows)
            made, plain = run(ordered, isa, inputs), run(case, isa, inputs)
            tolerance = 0 if precision == "int8" else 1e-5 * np.abs(plain).max()
            np.testing.assert_allclose(made, plain, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("isa", "precision"), SKIPPING)
def test_numbers_that_are_not_finite_stay_where_they_are(isa: str, precision: str) -> None:
    graph = tower(precision)
    inputs = inputs_of(20)
    inputs[0][0, [3, 20, 69]] = np.nan, np.inf, -np.inf
    made, plain = run(finish_graph(graph, ordered=True), isa, inputs), run(graph, isa, inputs)
    assert np.isnan(plain).all()
    np.testing.assert_array_equal(made, plain)


@pytest.mark.parametrize("isa", ISAS)
def test_rows_come_in_the_order_of_a_row_the_largest_first(isa: str) -> None:
    lanes = _native.kernel_lanes(isa)
    row = normal(K, seed=8)
    order = np.arange(K)
    for start in range(0, K - lanes + 1, lanes):
        order[start : start + lanes] = start + np.argsort(-row[start : start + lanes])
    x = normal(3, K)
    quantised = _native.run_kernel(isa, "quantize_rows_u8", x, row)
    np.testing.assert_array_equal(quantised, quantize_rows_u8(x[:, order], None))
    rounded = _native.run_kernel(isa, "round_rows_bf16", x, row)
    np.testing.assert_array_equal(rounded[:, :K], round_bf16(x[:, order]))


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", ["none", "relu"])
@pytest.mark.parametrize(
    ("kernel", "converted"),
    [("lookup_sum_bf16", "round_rows_bf16"), ("lookup_sum_u8", "quantize_rows_u8")],
)
def test_sums_come_in_narrow_form_in_the_order_of_a_row(
    isa: str, activation: str, kernel: str, converted: str
) -> None:
    for width in (1, 16, 20, 32, 48, K, 250, 256, 300, 520):
        parts = tuple((normal(9, width, seed=i), 0, np.arange(5) % 9, width, "f32") for i in range(3))
        sum_of = (normal(width), parts, 5, width, activation)
        summed = _native.run_kernel(isa, "lookup_sum_f32", *sum_of)
        for row in (None, normal(width, seed=3)):
            expected = _native.run_kernel(isa, converted, summed, row)
            np.testing.assert_array_equal(_native.run_kernel(isa, kernel, *sum_of, row), expected)


@pytest.mark.parametrize("isa", ISAS)
def test_an_order_is_one_whatever_the_numbers(isa: str) -> None:
    x = np.arange(1, K + 1, dtype=F32)[None]
    for row in (np.zeros(K), np.full(K, np.nan), np.tile([np.inf, np.nan, -np.inf, -np.nan, 0], K)[:K]):
        rounded = _native.run_kernel(isa, "round_rows_bf16", x, row.astype(F32))
        assert sorted(rounded[0, :K]) == sorted(round_bf16(x)[0])


@pytest.mark.parametrize("isa", ISAS)
def test_rows_of_another_size_are_refused(isa: str) -> None:
    attributes = {"features": 64}
    weights = normal(64, 32)
    for x in (normal(3, 64), np.zeros((3, 79), np.uint8), np.zeros((3, 2, 80), np.uint8)):
        with pytest.raises(ShapeError, match="do not fit"):
            _native.run_node(isa, "pyrec.DenseInt8", attributes, [x, weights], 1, [False, True])
    with pytest.raises(ShapeError, match="do not fit"):
        _native.run_node(isa, "pyrec.DenseInt8", {"features": 63}, [x, weights], 1, [False, True])
    parts = {"columns": (-1,), "offsets": (0,), "widths": (K,), "codecs": ("f32",)}
    attributes = {**parts, "rows": "int8", "activation": "Sigmoid"}
    inputs = [None, np.zeros(3, np.int64), WEIGHTS["t"]]
    with pytest.raises(UnsupportedModelError, match="another activation"):
        _native.run_node(isa, "pyrec.LookupSum", attributes, inputs, 1, [False, False, True])
    with pytest.raises(UnsupportedModelError, match="precision"):
        _native.run_node(isa, "pyrec.DenseInt8", {"rows": "int4"}, [normal(3, 64), weights], 1, [False, True])


@pytest.mark.parametrize("isa", ISAS)
def test_an_order_for_weights_of_another_size_is_refused(isa: str) -> None:
    inputs = [normal(64, 32), normal(1, 65)]
    if not skips_zero_groups(isa, "int8"):
        with pytest.raises(UnsupportedModelError, match=isa):
            _native.run_node(isa, "pyrec.PackInOrder", {"precision": "int8"}, inputs, 1, [True, False])
        return
    with pytest.raises(ShapeError, match="expected one row of 64"):
        _native.run_node(isa, "pyrec.PackInOrder", {"precision": "int8"}, inputs, 1, [True, False])


def test_few_candidates_are_multiplied_in_the_given_order() -> None:
    """Laying weights out again for a request pays for many candidates only."""
    graph = tower("int8")
    many, few = (build_plan(finish_graph(graph, ordered), frozenset("u")) for ordered in (True, False))
    joined = join_plans(many, few)
    assert joined.few is few
    assert 30 < joined.few_rows < 500
    assert join_plans(few, few) is few
