"""Every pass: an example, a near miss, and random graphs that mean the same before and after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.random_graphs import equal, evaluate, inputs_of, random_model

from pyrec_infer.errors import InputError, ModelError
from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, verify
from pyrec_infer.passes import LOAD, Context, compile_graph, pipeline
from pyrec_infer.passes.clean.fold_constants import fold_constants
from pyrec_infer.passes.clean.merge_duplicates import merge_duplicates
from pyrec_infer.passes.clean.remove_dead import keep_outputs, remove_dead
from pyrec_infer.passes.clean.remove_identities import remove_identities
from pyrec_infer.passes.load.expand_composites import expand_composites
from pyrec_infer.passes.load.inline_branches import inline_branches
from pyrec_infer.passes.load.resolve_sizes import resolve_sizes
from pyrec_infer.passes.load.split_columns import split_columns
from pyrec_infer.passes.load.take_from_parts import take_from_parts
from pyrec_infer.passes.load.unflatten_products import unflatten_products
from pyrec_infer.passes.load.widen_half import widen_half
from pyrec_infer.passes.select.select_scores import Column, select_scores
from pyrec_infer.passes.step import EVERY, State, Step, run

pytestmark = pytest.mark.once

F32, F16 = np.dtype(np.float32), np.dtype(np.float16)
Pass = Callable[[Graph], Graph]


def _graph(
    nodes: list[Node],
    constants: Mapping[str, Any] | None = None,
    dtype: np.dtype[Any] = F32,
    width: int = 4,
    outputs: tuple[str, ...] = ("y",),
) -> Graph:
    """Inputs ``x`` and ``z``: [N, width]."""
    info = Info(dtype, (Dim.symbol(BATCH), width), 0)
    stored = {name: np.asarray(value) for name, value in (constants or {}).items()}
    graph = Graph(("x", "z"), outputs, tuple(nodes), stored, {"x": info, "z": info})
    verify(graph, "the test")
    return graph


def _ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def _same(before: Graph, step: Pass) -> Graph:
    """The graph after a pass, once it is known to mean the same."""
    after = step(before)
    verify(after, "the pass")
    generator = np.random.default_rng(0)
    inputs: dict[str, NDArray[Any]] = {
        name: (generator.integers(-4, 5, (6, int(info.shape[1]))) / 2).astype(info.dtype)  # type: ignore[index, call-overload]
        for name, info in before.infos.items()
    }
    expected, made = evaluate(before, inputs, 6), evaluate(after, inputs, 6)
    assert expected.keys() == made.keys()
    for name, value in expected.items():
        assert equal(made[name], value)
    return after


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(1, 9))
def test_every_pass_keeps_the_meaning(random: Random, rows: int) -> None:
    made = random_model(random)
    graph = made.graph
    inputs = inputs_of(rows, rows)
    expected = evaluate(graph, inputs, rows)["y"]
    for step in LOAD:
        graph = run([step], {EVERY: State(graph, Context())})[EVERY].graph
        assert equal(evaluate(graph, inputs, rows)["y"], expected), (step.name, made)


def test_the_verifier_names_the_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    def lose_a_node(graph: Graph) -> Graph:
        return graph.with_(nodes=graph.nodes[1:])

    monkeypatch.setattr(pipeline, "LOAD", (Step(remove_dead), Step(lose_a_node)))
    with pytest.raises(ModelError, match=r"after lose_a_node: .*'a' before it is made"):
        compile_graph(_graph([Node("Neg", ("x",), ("a",)), Node("Abs", ("a",), ("y",))]))


def test_expand_composites() -> None:
    gelu = Node("com.microsoft.BiasGelu", ("x", "bias"), ("y",))
    found = expand_composites(_graph([gelu], {"bias": np.ones(4, F32)}))
    assert "Erf" in _ops(found)
    assert all("." not in op for op in _ops(found))
    plain = _graph([Node("Erf", ("x",), ("y",))])
    assert expand_composites(plain) is plain


def test_widen_half() -> None:
    nodes = [Node("Exp", ("x",), ("e",)), Node("Neg", ("e",), ("y",))]
    assert _ops(widen_half(_graph(nodes, dtype=F16))) == ["Cast", "Exp", "Neg", "Cast"]
    plain = _graph(nodes)
    assert widen_half(plain) is plain


def test_widen_half_leaves_what_another_runtime_runs() -> None:
    found = widen_half(_graph([Node("Unknown", ("x",), ("y",))], dtype=F16))
    assert _ops(found) == ["Unknown"]


def test_fold_constants() -> None:
    nodes = [Node("Add", ("a", "a"), ("b",)), Node("Mul", ("x", "b"), ("y",))]
    folded = _same(_graph(nodes, {"a": F32.type(2)}), fold_constants)
    assert _ops(folded) == ["Mul"]
    assert folded.constants["b"] == 4
    nodes = [Node("Add", ("x", "a"), ("b",)), Node("Mul", ("x", "b"), ("y",))]
    assert _ops(_same(_graph(nodes, {"a": F32.type(2)}), fold_constants)) == ["Add", "Mul"]


def test_a_big_expansion_is_not_folded() -> None:
    nodes = [
        Node("Expand", ("a", "shape"), ("b",)),
        Node("ReduceSum", ("b",), ("c",)),
        Node("Add", ("x", "c"), ("y",)),
    ]
    graph = _graph(nodes, {"a": F32.type(1), "shape": np.asarray([1 << 10, 1 << 9])})
    assert "Expand" in _ops(fold_constants(graph))


def _branches() -> Node:
    def body(op: str) -> Graph:
        return Graph(("outer",), ("r",), (Node(op, ("outer",), ("r",)),), {}, {"outer": Info(None, None)})

    return Node("If", ("condition", "x"), ("y",), {"captures": 1}, (body("Neg"), body("Abs")))


@pytest.mark.parametrize(("condition", "op"), [(True, "Neg"), (False, "Abs")])
def test_inline_branches(condition: bool, op: str) -> None:
    found = _same(_graph([_branches()], {"condition": condition}), inline_branches)
    assert _ops(found) == [op, "Identity"]


def test_branches_on_data_stay() -> None:
    any_positive = [
        Node("ReduceMax", ("z",), ("m",), {"keepdims": 0}),
        Node("Greater", ("m", "zero"), ("condition",)),
    ]
    found = _same(_graph([*any_positive, _branches()], {"zero": F32.type(0)}), inline_branches)
    assert _ops(found)[-1] == "If"


def test_resolve_sizes() -> None:
    nodes = [
        Node("Shape", ("x",), ("s",)),
        Node("Gather", ("s", "zero"), ("n",)),
        Node("Unsqueeze", ("n", "axis"), ("n1",)),
        Node("Concat", ("n1", "two"), ("target",), {"axis": 0}),
        Node("Expand", ("row", "target"), ("e",)),
        Node("Add", ("e", "one"), ("y",)),
    ]
    constants = {
        "zero": 0,
        "axis": np.asarray([0]),
        "two": np.asarray([2]),
        "row": np.ones((1, 2), F32),
        "one": F32.type(1),
    }
    found = _same(_graph(nodes, constants), resolve_sizes)
    assert _ops(remove_dead(found)) == ["pyrec.DimValues", "Expand", "Add"]


def test_sizes_of_values_of_unknown_shape_are_read() -> None:
    nodes = [
        Node("NonZero", ("x",), ("p",)),
        Node("Shape", ("p",), ("s",)),
        Node("Cast", ("s",), ("y",), {"to": "float32"}),
    ]
    assert "Shape" in _ops(_same(_graph(nodes), resolve_sizes))


def test_take_from_parts() -> None:
    joined = Node("Concat", ("x", "z"), ("c",), {"axis": 1})
    constants = {"start": np.asarray([5]), "end": np.asarray([7]), "axis": np.asarray([1])}
    inside = _graph([joined, Node("Slice", ("c", "start", "end", "axis"), ("y",))], constants)
    assert _same(inside, take_from_parts).nodes[-1].inputs[0] == "z"
    across = _graph(list(inside.nodes), {**constants, "start": np.asarray([3])})
    assert _same(across, take_from_parts).nodes[-1].inputs[0] == "c"
    other_axis = _graph(list(inside.nodes), {**constants, "axis": np.asarray([0])})
    assert _same(other_axis, take_from_parts).nodes[-1].inputs[0] == "c"


def test_unflatten_products_leaves_rows_that_can_be_told_apart() -> None:
    nodes = [
        Node("Reshape", ("x", "pairs"), ("p",)),
        Node("Gemm", ("p", "w"), ("g",)),
        Node("Reshape", ("g", "back"), ("y",)),
    ]
    constants = {"pairs": np.asarray([-1, 2]), "back": np.asarray([-1, 2, 3]), "w": np.ones((2, 3), F32)}
    assert "Gemm" in _ops(_same(_graph(nodes, constants), unflatten_products))


def test_remove_identities() -> None:
    nodes = [
        Node("Identity", ("x",), ("a",)),
        Node("Mul", ("a", "one"), ("b",)),
        Node("Reshape", ("b", "same"), ("c",)),
        Node("Neg", ("c",), ("y",)),
    ]
    constants = {"one": F32.type(1), "same": np.asarray([-1, 4])}
    assert _ops(_same(_graph(nodes, constants), remove_identities)) == ["Neg"]


@pytest.mark.parametrize(
    ("node", "constant"),
    [
        (Node("Add", ("x", "k"), ("a",)), F32.type(0)),  # -0.0 + 0.0 is 0.0
        (Node("Mul", ("x", "k"), ("a",)), np.ones((1, 1, 1), F32)),  # a higher rank
        (Node("Sub", ("k", "x"), ("a",)), F32.type(0)),
        (Node("Transpose", ("x",), ("a",)), F32.type(0)),
        (Node("Reshape", ("x", "k"), ("a",)), np.asarray([-1, 2])),
        (Node("Cast", ("x",), ("a",), {"to": "float64"}), F32.type(0)),
    ],
)
def test_what_is_no_identity_stays(node: Node, constant: Any) -> None:
    graph = _graph([node, Node("Neg", ("a",), ("y",))], {"k": constant})
    assert len(_same(graph, remove_identities).nodes) == 2


def test_an_input_that_is_an_output_keeps_its_name() -> None:
    graph = _graph([Node("Identity", ("x",), ("y",))])
    assert _same(graph, remove_identities).outputs == ("y",)


def test_merge_duplicates() -> None:
    nodes = [
        Node("LeakyRelu", ("x",), ("a",), {"alpha": 0.5}),
        Node("LeakyRelu", ("x",), ("b",), {"alpha": 0.5}),
        Node("Add", ("a", "b"), ("y",)),
    ]
    assert _ops(_same(_graph(nodes), merge_duplicates)) == ["LeakyRelu", "Add"]
    nodes[1] = Node("LeakyRelu", ("x",), ("b",), {"alpha": 0.25})
    assert _ops(_same(_graph(nodes), merge_duplicates)) == ["LeakyRelu", "LeakyRelu", "Add"]


def test_remove_dead() -> None:
    nodes = [Node("Neg", ("x",), ("unused",)), Node("Abs", ("x",), ("y",)), Node("Exp", ("y",), ("late",))]
    graph = _graph(nodes, {"spare": F32.type(1)})
    found = _same(graph, remove_dead)
    assert _ops(found) == ["Abs"]
    assert not found.constants
    assert found.inputs == ("x", "z")
    both = _graph(nodes, outputs=("y", "late"))
    assert _ops(keep_outputs(both, ("late",))) == ["Abs", "Exp"]


def test_logit_leaves_the_sigmoid_out() -> None:
    nodes = [
        Node("Neg", ("x",), ("a",)),
        Node("Sigmoid", ("a",), ("s",)),
        Node("Reshape", ("s", "flat"), ("y",)),
    ]
    constants = {"flat": np.asarray([-1])}
    assert "Sigmoid" not in _ops(select_scores(_graph(nodes, constants), [Column("y", logit=True)]))
    nodes[2] = Node("Neg", ("s",), ("y",))
    with pytest.raises(InputError, match="does not end in a sigmoid"):
        select_scores(_graph(nodes, constants), [Column("y", logit=True)])


def test_split_columns() -> None:
    graph = _graph([Node("Sub", ("x", "z"), ("y",))])
    found = split_columns(graph, {"x": ("user", "item", "item", "price")})
    assert found.inputs == ("user", "item", "price", "z")
    assert [found.infos[name].rank for name in found.inputs] == [1, 2, 1, 2]
    with pytest.raises(InputError, match="expected a matrix of 3 columns"):
        split_columns(graph, {"x": ("user", "item", "price")})
    with pytest.raises(InputError, match="side by side"):
        split_columns(graph, {"x": ("user", "item", "user", "price")})
