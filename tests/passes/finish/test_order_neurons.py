"""The order of a request's part, in which layers multiply so that zeros come together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.graphs import F32, N
from support.random_graphs import evaluate
from support.towers import (
    ISAS,
    OPERATORS,
    REQUEST,
    ROWS,
    H,
    K,
    finish_graph,
    layer,
    lookup,
    marks,
    normal,
    run,
    tower,
    tower_inputs,
)

from pyrec_infer import _native
from pyrec_infer.backends.select import skips_zero_groups
from pyrec_infer.codecs.bf16 import round_bf16
from pyrec_infer.errors import ShapeError, UnsupportedModelError
from pyrec_infer.ir import Info, Node, verify
from pyrec_infer.kernels.quantized import quantize_rows_u8
from pyrec_infer.passes.finish.order_neurons import order_neurons
from pyrec_infer.plan.cost import join_plans
from pyrec_infer.plan.planner import build_plan

pytestmark = pytest.mark.once


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


SKIPPING = [
    (isa, precision)
    for isa in (*ISAS, *(["stand_in"] if ISAS else []))
    for precision in OPERATORS
    if skips_zero_groups(isa, precision)
]
"""With the kernels that stand in for those that skip groups."""


@pytest.mark.skipif("avx512" not in ISAS, reason="AVX-512")
def test_bf16_pairs_are_skipped_where_the_processor_is_slower_than_its_cache() -> None:
    if not Path("/proc/cpuinfo").exists():
        pytest.skip("a system with /proc")
    lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    told = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    model = int(told["model"])
    zen5 = (told["vendor_id"], told["cpu family"]) == ("AuthenticAMD", "26") and (
        model < 32 or 64 <= model < 80
    )
    features = _native.cpu_features()
    assert features["zen5"] == (zen5 and features["avx512_bf16"])
    assert skips_zero_groups("avx512", "bf16") == (features["avx512_bf16"] and not zen5)
    assert skips_zero_groups("avx512", "int8")


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
            inputs = tower_inputs(rows)
            made, plain = run(ordered, isa, inputs), run(case, isa, inputs)
            tolerance = 0 if precision == "int8" else 1e-5 * np.abs(plain).max()
            np.testing.assert_allclose(made, plain, rtol=0, atol=tolerance)


@pytest.mark.parametrize(("isa", "precision"), SKIPPING)
def test_numbers_that_are_not_finite_stay_where_they_are(isa: str, precision: str) -> None:
    graph = tower(precision)
    inputs = tower_inputs(20)
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
