"""Dot products folded into the layer after them: the same values, and nothing more for a candidate to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.dot_models import dlrm, sides
from support.random_graphs import equal, evaluate, split_graph

import pyrec_infer as pi
from pyrec_infer.backends.select import VARIABLE, available_backends, make_executor, make_pool
from pyrec_infer.ir import BATCH, Array, Dim, Graph, Info, Node, Rate, verify
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes import EVERY, Aim, Context, split_graphs
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.fold_dots import fold_dots
from pyrec_infer.plan import Plan
from pyrec_infer.plan.cost import join_plans, node_flops
from pyrec_infer.plan.planner import build_plan

N = Dim.symbol(BATCH)
F32 = np.dtype(np.float32)
SIDES = Sides(frozenset("uv"))
WITH_ITEMS = Sides(frozenset("uv"), frozenset("ij"))
WIDTH, COLUMNS = 4, 8
SIZES: Mapping[str, tuple[int, ...]] = {"u": (3, WIDTH), "v": (2, WIDTH), "i": (2, WIDTH), "j": (1, WIDTH)}


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng((seed, *shape)).integers(-4, 5, shape).astype(np.float32) / 4


def graph_of(nodes: Sequence[Node], constants: Mapping[str, Any], **more: tuple[int, ...]) -> Graph:
    """A graph of vectors u and v of the request, i and j of the candidate, and further inputs."""
    sizes = {**SIZES, **more}
    infos = {name: Info(F32, (N, *size), 0) for name, size in sizes.items()}
    stored = {name: np.asarray(value) for name, value in constants.items()}
    graph = Graph(tuple(sizes), ("y",), tuple(nodes), stored, infos)
    verify(graph, "the test")
    return graph


def inputs_of(graph: Graph, rows: int) -> dict[str, Array]:
    made = {}
    for number, name in enumerate(graph.inputs):
        sizes = [size for size in (graph.infos[name].shape or ())[1:] if isinstance(size, int)]
        value = numbers(1 if name in "uv" else rows, *sizes, seed=number)
        made[name] = np.repeat(value, rows, axis=0) if name in "uv" else value
    return made


def folded(graph: Graph, sides: Sides = SIDES) -> Graph:
    """The graph after the pass, once it is known to mean the same."""
    after = fold_dots(graph, sides)
    verify(after, "fold_dots")
    for rows in (1, 5):
        inputs = inputs_of(graph, rows)
        assert equal(evaluate(after, inputs, rows)["y"], evaluate(graph, inputs, rows)["y"])
    assert not analyze(after).coupled
    return after


def work(graph: Graph, sides: Sides = SIDES) -> dict[Rate, list[str]]:
    """The operators other than views by rate."""
    rates = find_rates(graph, sides)
    found: dict[Rate, list[str]] = {}
    for node in graph.nodes:
        if node.op != "Reshape":
            found.setdefault(rates[node.outputs[0]], []).append(node.op.removeprefix("pyrec."))
    return found


def every(first: int, second: int) -> dict[str, list[int]]:
    """All pairs of vectors."""
    pairs = [(a, b) for a in range(first) for b in range(second)]
    return {"left": [a for a, _ in pairs], "right": [b for _, b in pairs]}


DOTS = Node("pyrec.PairDots", ("u", "i", "left", "right"), ("d",))
LAYER = Node("pyrec.Dense", ("d", "w", "b"), ("y",), {"activation": "Relu"})
PLAIN = {**every(3, 2), "w": numbers(6, COLUMNS), "b": numbers(COLUMNS)}


def test_a_layer_of_dots_is_one_product_with_a_matrix_of_the_request() -> None:
    after = folded(graph_of([DOTS, LAYER], PLAIN))
    assert work(after) == {Rate.REQUEST: ["FoldDots", "Pack"], Rate.PAIR: ["Dense"]}
    (layer,) = (node for node in after.nodes if node.op == "pyrec.Dense")
    assert layer.attributes == {"activation": "Relu", "columns": COLUMNS}
    assert work(folded(graph_of([DOTS, LAYER], PLAIN), WITH_ITEMS), WITH_ITEMS)[Rate.PAIR] == ["Dense"]


def test_the_request_may_be_the_second_operand_and_places_count_from_the_end() -> None:
    dots = Node("pyrec.PairDots", ("i", "u", "right", "left"), ("d",))
    constants = {**PLAIN, "left": np.asarray(PLAIN["left"]) - 3, "right": np.asarray(PLAIN["right"]) - 2}
    assert work(folded(graph_of([dots, LAYER], constants)))[Rate.PAIR] == ["Dense"]


@pytest.mark.parametrize("bias", ["", "number", "row", "of the request", "of each candidate"])
def test_biases(bias: str) -> None:
    constants = {**PLAIN, "number": np.float32(0.5), "row": numbers(1, COLUMNS)}
    name = {"of the request": "v_bias", "of each candidate": "x"}.get(bias, bias)
    made = Node("pyrec.Dense", ("v_flat", "v_weights"), ("v_bias",))
    flat = Node("Reshape", ("v", "flat"), ("v_flat",))
    constants |= {"v_weights": numbers(2 * WIDTH, COLUMNS), "flat": np.asarray([-1, 2 * WIDTH])}
    layer = Node("pyrec.Dense", ("d", "w", name) if name else ("d", "w"), ("y",))
    graph = graph_of([flat, made, DOTS, layer], constants, x=(COLUMNS,))
    assert work(folded(graph))[Rate.PAIR] == ["Dense"]


def test_what_else_the_layer_reads_is_below_in_the_matrix() -> None:
    flat = Node("Reshape", ("i", "flat"), ("f",))
    joined = Node("Concat", ("x", "d", "f"), ("c",), {"axis": 1})
    layer = Node("pyrec.Dense", ("c", "w", "b"), ("y",))
    constants = {**PLAIN, "w": numbers(5 + 6 + 2 * WIDTH, COLUMNS), "flat": np.asarray([-1, 2 * WIDTH])}
    after = folded(graph_of([flat, DOTS, joined, layer], constants, x=(5,)))
    assert work(after) == {Rate.REQUEST: ["FoldDots", "Pack"], Rate.PAIR: ["Concat", "Dense"]}
    (matrix,) = (node for node in after.nodes if node.op == "pyrec.FoldDots")
    # The vectors' own weights are added to those of the dot products.
    assert analyze(after).infos[matrix.outputs[0]].shape == (N, 2 * WIDTH + 5, COLUMNS)


def test_several_dots_and_several_requests() -> None:
    nodes = [
        DOTS,
        Node("pyrec.PairDots", ("v", "i", "left2", "right2"), ("d2",)),
        Node("pyrec.PairDots", ("j", "u", "right3", "left3"), ("d3",)),
        Node("Concat", ("d2", "x", "d", "d3"), ("c",), {"axis": -1}),
        Node("Gather", ("c", "order"), ("g",), {"axis": 1}),
        Node("pyrec.Dense", ("g", "w", "b"), ("y",)),
    ]
    second = {f"{key}2": value for key, value in every(2, 2).items()}
    third = {"left3": [0, 1, 2, 1], "right3": [0, 0, 0, 0]}
    order = np.random.default_rng(3).permutation(17)
    constants = {**PLAIN, **second, **third, "order": order, "w": numbers(17, COLUMNS)}
    after = folded(graph_of(nodes, constants, x=(3,)))
    assert work(after) == {
        Rate.REQUEST: ["Concat", "FoldDots", "FoldDots", "Concat", "Pack"],
        Rate.PAIR: ["Concat", "Dense"],
    }


def near_misses() -> dict[str, tuple[Sequence[Node], Mapping[str, Any]]]:
    fewer = {**PLAIN, "left": [0, 1], "right": [0, 1], "w": numbers(2, COLUMNS)}
    return {
        "more multiplications": ([DOTS, LAYER], fewer),
        "dots of the candidate alone": (
            [Node("pyrec.PairDots", ("i", "i", "left", "right"), ("d",)), LAYER],
            {**PLAIN, **every(2, 2), "w": numbers(4, COLUMNS)},
        ),
        "dots that are also read elsewhere": (
            [
                DOTS,
                Node("pyrec.Dense", ("d", "w", "b"), ("h",)),
                Node("ReduceSum", ("d", "one"), ("s",), {"keepdims": 1}),
                Node("Add", ("h", "s"), ("y",)),
            ],
            {**PLAIN, "one": np.asarray([1])},
        ),
        "a concatenation that is also read elsewhere": (
            [
                DOTS,
                Node("Concat", ("d", "x"), ("c",), {"axis": 1}),
                Node("pyrec.Dense", ("c", "w", "b"), ("h",)),
                Node("ReduceSum", ("c", "one"), ("s",), {"keepdims": 1}),
                Node("Add", ("h", "s"), ("y",)),
            ],
            {**PLAIN, "one": np.asarray([1]), "w": numbers(6 + 3, COLUMNS)},
        ),
        "a function between the dots and the layer": (
            [DOTS, Node("Relu", ("d",), ("r",)), Node("pyrec.Dense", ("r", "w", "b"), ("y",))],
            PLAIN,
        ),
    }


@pytest.mark.parametrize("name", near_misses())
def test_near_misses(name: str) -> None:
    nodes, constants = near_misses()[name]
    graph = graph_of(nodes, constants, x=(3,))
    assert "FoldDots" not in [op for ops in work(fold_dots(graph, SIDES)).values() for op in ops]


def test_without_a_request_nothing_is_folded() -> None:
    graph = graph_of([DOTS, LAYER], PLAIN)
    assert fold_dots(graph, Sides(frozenset())) is graph
    assert fold_dots(graph, Sides(frozenset("uvij"))) is graph


def multiplications(graph: Graph) -> int:
    infos, rates = analyze(graph).infos, find_rates(graph, SIDES)
    return sum(
        node_flops(node, infos) // 2
        for node in graph.nodes
        if rates[node.outputs[0]] == Rate.PAIR and node.op in ("pyrec.Dense", "pyrec.PairDots")
    )


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False))
def test_random_dots_keep_their_meaning_and_cost_no_more(random: Random) -> None:
    nodes, constants, parts = [], {}, []
    for number in range(random.randint(1, 4)):
        a, b = random.choice("uvij"), random.choice("uvij")
        pairs = random.randint(1, 12)
        for side, name in (("left", a), ("right", b)):
            count = SIZES[name][0]
            constants[f"{side}{number}"] = [random.randrange(-count, count) for _ in range(pairs)]
        places = (f"left{number}", f"right{number}")
        nodes.append(Node("pyrec.PairDots", (a, b, *places), (f"d{number}",)))
        parts.append((f"d{number}", pairs))
    for name in "ijx":
        if random.random() < 0.3:
            size = int(np.prod(SIZES.get(name, (3,))))
            constants[f"flat_{name}"] = np.asarray([-1, size])
            nodes.append(Node("Reshape", (name, f"flat_{name}"), (f"f_{name}",)))
            parts.append((f"f_{name}", size))
    random.shuffle(parts)
    size, columns = sum(count for _, count in parts), random.choice((1, 2, 8))
    nodes.append(Node("Concat", tuple(name for name, _ in parts), ("c",), {"axis": 1}))
    source = "c"
    if random.random() < 0.3:
        chosen = [random.randrange(-size, size) for _ in range(random.randint(1, 20))]
        constants["chosen"], size, source = np.asarray(chosen), len(chosen), "g"
        nodes.append(Node("Gather", ("c", "chosen"), ("g",), {"axis": 1}))
    constants["w"] = numbers(size, columns)
    nodes.append(Node("pyrec.Dense", (source, "w"), ("y",)))
    graph = graph_of(nodes, constants, x=(3,))
    after = folded(graph, random.choice((SIDES, WITH_ITEMS)))
    assert multiplications(after) <= multiplications(graph)


@pytest.mark.parametrize("backend", available_backends())
def test_scores_of_a_model(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, backend)
    model = pi.load(dlrm())
    for rows in (1, 7, 300):
        request, items, candidates = sides(rows)
        repeated = {name: np.repeat(value, rows, axis=0) for name, value in request.items()}
        expected = model.run({**repeated, **items, **candidates})["score"].reshape(-1)
        made = model.score(request, {**items, **candidates})
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-6)
        catalog = model.catalog(items, candidates=["x"])
        np.testing.assert_allclose(
            catalog.score(request, candidates=candidates), expected, rtol=1e-5, atol=1e-6
        )
    requests = [sides(0, seed)[0] for seed in range(3)]
    several = {name: np.concatenate([one[name] for one in requests]) for name in requests[0]}
    _, items, candidates = sides(50)
    made = model.score(several, {**items, **candidates}, offsets=[0, 10, 10, 50])
    first = model.score(requests[0], {name: value[:10] for name, value in {**items, **candidates}.items()})
    np.testing.assert_allclose(made[:10], first, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("backend", available_backends())
def test_few_and_many_candidates(backend: str, precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, backend)
    exact, model = pi.load(dlrm()), pi.load(dlrm(), precision=precision)
    request = sides(1)[0]
    few_rows = model.explain(request).as_dict()["few_rows"]
    assert 1 < few_rows < 10_000
    assert f"fewer than {few_rows} candidates" in str(model.explain(request))
    error = {"fp32": 1e-6, "bf16": 0.02, "int8": 0.05}[precision]
    for rows in (1, few_rows - 1, few_rows, few_rows + 100):
        _, items, candidates = sides(rows)
        expected = exact.score(request, {**items, **candidates})
        made = model.score(request, {**items, **candidates})
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=error)
        call = model.prepare([*request], [*items, *candidates])
        np.testing.assert_array_equal(call(*request.values(), *items.values(), *candidates.values()), made)
        catalog = model.catalog(items, candidates=["x"])
        made = catalog.score(request, candidates=candidates)
        np.testing.assert_allclose(made, expected, rtol=1e-5, atol=error)


def scaled_plan(factor: float, name: str = "x") -> Plan:
    nodes = (Node("Mul", (name, "u"), ("m",)), Node("Mul", ("m", "factor"), ("y",)))
    infos = {"u": Info(F32, (N, 1), 0), name: Info(F32, (N, 2), 0)}
    graph = Graph(("u", name), ("y",), nodes, {"factor": np.float32(factor).reshape(1)}, infos)
    return build_plan(graph, ["u"])


@pytest.mark.parametrize("backend", available_backends())
def test_the_number_of_candidates_of_a_request_chooses_the_plan(backend: str) -> None:
    plan = replace(scaled_plan(1), few=scaled_plan(100), few_rows=3)
    executor = make_executor(plan, backend, make_pool(backend, 1), {})
    for rows in (1, 2, 3, 4, 300):
        x = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
        for _ in range(2):
            (y,) = executor.run([np.full((1, 1), 2, F32), x], ())
            np.testing.assert_array_equal(y, x * (200 if rows < 3 else 2))
    u = np.asarray([[1], [2], [3]], F32)
    for offsets in ((0, 1, 1, 8), (0, 3, 6, 9)):
        x = np.arange(2 * offsets[-1], dtype=np.float32).reshape(-1, 2)
        (y,) = executor.run([u, x], offsets)
        counts = np.diff(offsets)
        factors = u * np.where(counts < 3, 100, 1)[:, None]
        np.testing.assert_array_equal(y, x * np.repeat(factors, counts, axis=0).astype(F32))
    with pytest.raises(pi.errors.PyrecError):
        executor.run([np.full((1, 1), 2, F32), np.ones((2, 3), F32)], ())
    (y,) = executor.run([np.full((1, 1), 2, F32), np.ones((2, 2), F32)], ())
    assert np.all(y == 200)


@pytest.mark.parametrize("backend", [name for name in available_backends() if name != "numba"])
def test_plans_of_other_inputs_do_not_go_together(backend: str) -> None:
    plan = replace(scaled_plan(1), few=scaled_plan(2, "other"), few_rows=3)
    with pytest.raises(pi.errors.PyrecError, match="different inputs"):
        make_executor(plan, backend, make_pool(backend, 1), {})


def test_the_cheaper_plan_is_taken() -> None:
    graph = graph_of([DOTS, LAYER], PLAIN)
    made = split_graphs(graph, Context(sides=SIDES))
    plans = [build_plan(made[key].graph, "uv") for key in (EVERY, frozenset({Aim.MANY}))]
    joined = join_plans(*plans)
    assert (joined.few, joined.few_rows > 1) == (plans[1], True)
    assert join_plans(plans[1], plans[0]) is plans[0]
    assert 1 < joined.few_rows < join_plans(*plans, threads=2).few_rows
    assert list(split_graphs(graph, Context())) == [EVERY]


@pytest.mark.parametrize(
    ("precision", "layer"),
    [("fp32", "pyrec.Dense"), ("bf16", "pyrec.DenseBf16"), ("int8", "pyrec.DenseInt8")],
)
def test_the_folded_layer_has_the_precision_of_its_model(precision: str, layer: str) -> None:
    model = pi.load(dlrm(), precision=precision)
    steps = [step for phase in model.explain(sides(1)[0]).as_dict()["phases"] for step in phase["steps"]]
    assert [step["rate"] for step in steps if step["operator"] == "pyrec.FoldDots"] == ["request"]
    (packed,) = (step["outputs"][0] for step in steps if step["operator"] == "pyrec.Pack")
    assert [step["operator"] for step in steps if packed in step["inputs"]] == [layer]


def test_split_graph_folds() -> None:
    graph = graph_of([DOTS, LAYER], PLAIN)
    assert work(split_graph(graph, "uv"))[Rate.PAIR] == ["Dense"]
