"""Patterns of recommendation models: both exporters' forms, near misses, and random graphs of fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.field_graphs import field_graph, field_inputs
from support.random_graphs import equal, evaluate, inputs_of, random_model

from pyrec_infer.ir import BATCH, Dim, Graph, Info, Node, Shape, verify
from pyrec_infer.passes.clean.remove_identities import remove_identities
from pyrec_infer.passes.common.rules import Rules, apply_rules, joined
from pyrec_infer.passes.recognise import (
    broadcasts,
    concatenations,
    dice,
    layers,
    pair_dots,
    recognise,
    transposes,
    views,
)

pytestmark = pytest.mark.once

N = Dim.symbol(BATCH)
F32 = np.dtype(np.float32)


def graph_of(
    nodes: Sequence[Node], constants: Mapping[str, Any] | None = None, **inputs: Sequence[Any]
) -> Graph:
    """A graph of float32 inputs with the given sizes after the rows, and the output ``y``."""
    infos = {name: Info(F32, (N, *sizes), 0) for name, sizes in inputs.items()}
    stored = {name: np.asarray(value) for name, value in (constants or {}).items()}
    graph = Graph(tuple(inputs), ("y",), tuple(nodes), stored, infos)
    verify(graph, "the test")
    return graph


def rewritten(graph: Graph, rules: Rules | None = None, rows: int = 5) -> Graph:
    """The graph after the rules, once it is known to mean the same."""
    after = recognise(graph) if rules is None else apply_rules(graph, rules)
    after = remove_identities(after)
    verify(after, "the rules")
    generator = np.random.default_rng(0)
    inputs = {
        name: generator.normal(
            size=tuple(rows if size is N else 7 if isinstance(size, Dim) else size for size in shape)
        ).astype(np.float32)
        for name, shape in ((name, info.shape or ()) for name, info in graph.infos.items())
    }
    assert equal(evaluate(after, inputs, rows)["y"], evaluate(graph, inputs, rows)["y"])
    return after


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(0, 6))
def test_graphs_of_fields_keep_their_meaning(random: Random, rows: int) -> None:
    graph = field_graph(random)
    inputs = field_inputs(graph, rows, rows)
    after = recognise(graph)
    verify(after, "recognise")
    assert equal(evaluate(after, inputs, rows)["y"], evaluate(graph, inputs, rows)["y"])


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False), st.integers(1, 6))
def test_random_graphs_keep_their_meaning(random: Random, rows: int) -> None:
    graph = random_model(random).graph
    inputs = inputs_of(rows, rows)
    after = recognise(graph)
    verify(after, "recognise")
    assert equal(evaluate(after, inputs, rows)["y"], evaluate(graph, inputs, rows)["y"])


AXES: dict[str, Any] = {
    "zero": np.asarray([0]),
    "one": np.asarray([1]),
    "two": np.asarray([2]),
    "last": np.asarray([-1]),
}


@pytest.mark.parametrize(
    "nodes",
    [
        # one concatenation along the fields, flattened
        [Node("Concat", ("a", "b"), ("c",), {"axis": 1}), Node("Flatten", ("c",), ("y",))],
        # along the numbers, reshaped
        [Node("Concat", ("a", "b"), ("c",), {"axis": 2}), Node("Reshape", ("c", "flat"), ("y",))],
        # a stack of flat rows, flattened
        [
            Node("Squeeze", ("a", "one"), ("a1",)),
            Node("Squeeze", ("b", "one"), ("b1",)),
            Node("Unsqueeze", ("a1", "one"), ("a2",)),
            Node("Unsqueeze", ("b1", "one"), ("b2",)),
            Node("Concat", ("a2", "b2"), ("c",), {"axis": 1}),
            Node("Reshape", ("c", "flat"), ("y",)),
        ],
        # nested, with single parts
        [
            Node("Concat", ("a",), ("c",), {"axis": 2}),
            Node("Concat", ("c", "b"), ("d",), {"axis": 2}),
            Node("Concat", ("d",), ("e",), {"axis": 2}),
            Node("Flatten", ("e",), ("y",)),
        ],
    ],
)
def test_assembly_has_one_form(nodes: list[Node]) -> None:
    after = rewritten(graph_of(nodes, {**AXES, "flat": np.asarray([-1, 8])}, a=(1, 4), b=(1, 4)))
    assert ops(after) == ["Reshape", "Reshape", "Concat"]


def test_fields_and_rows_share_a_concatenation() -> None:
    nodes = [
        Node("Unsqueeze", ("a", "one"), ("a1",)),
        Node("Unsqueeze", ("b", "one"), ("b1",)),
        Node("Concat", ("a1", "b1"), ("c",), {"axis": 1}),
        Node("ReduceMax", ("c", "one"), ("y",), {"keepdims": 0}),
    ]
    assert ops(rewritten(graph_of(nodes, AXES, a=(4,), b=(4,)))) == ["Concat", "Reshape", "ReduceMax"]


def test_slices_of_a_concatenation_read_its_parts() -> None:
    nodes = [
        Node("Concat", ("a", "b"), ("c",), {"axis": 1}),
        Node("Slice", ("c", "start", "end", "axes"), ("s",)),
        Node("Exp", ("s",), ("y",)),
    ]
    constants = {"start": [0, 3], "end": [2**31 - 1, 6], "axes": [0, 1]}
    after = rewritten(graph_of(nodes, constants, a=(4,), b=(4,)))
    assert ops(after) == ["Slice", "Slice", "Concat", "Exp"]
    inside = rewritten(graph_of(nodes, {**constants, "start": [0, 4]}, a=(4,), b=(4,)))
    assert ops(inside) == ["Slice", "Exp"]
    assert inside.nodes[0].inputs[0] == "b"


def test_a_field_of_flat_rows_is_its_part() -> None:
    nodes = [
        Node("Concat", ("a", "b"), ("c",), {"axis": 1}),
        Node("Reshape", ("c", "fields"), ("f",)),
        Node("Gather", ("f", "number"), ("g",), {"axis": 1}),
        Node("Exp", ("g",), ("y",)),
    ]
    after = rewritten(graph_of(nodes, {"fields": [-1, 2, 4], "number": np.asarray(1)}, a=(4,), b=(4,)))
    assert [(node.op, node.inputs) for node in after.nodes] == [("Exp", ("b",))]
    # Here a field is a half of each part.
    across = rewritten(graph_of(nodes, {"fields": [-1, 2, 4], "number": np.asarray(1)}, a=(2,), b=(6,)))
    assert "Slice" in ops(across)


def test_neighbouring_ranges_are_one() -> None:
    nodes = [
        Node("Split", ("a", "sizes"), ("p", "q", "r"), {"axis": 1}),
        Node("Concat", ("p", "q"), ("c",), {"axis": 1}),
        Node("Exp", ("c",), ("y",)),
    ]
    assert ops(rewritten(graph_of(nodes, {"sizes": [1, 2, 1]}, a=(4,)))) == ["Slice", "Exp"]
    swapped = [nodes[0], Node("Concat", ("q", "p"), ("c",), {"axis": 1}), nodes[2]]
    assert ops(rewritten(graph_of(swapped, {"sizes": [1, 2, 1]}, a=(4,)))) == ["Split", "Concat", "Exp"]


def test_a_repeated_query_is_broadcast() -> None:
    nodes = [
        Node("Unsqueeze", ("q", "two"), ("u",)),
        Node("Tile", ("u", "repeats"), ("t",)),
        Node("Reshape", ("t", "shape"), ("e",)),
        Node("Sub", ("e", "k"), ("y",)),
    ]
    constants = {**AXES, "repeats": [1, 1, 7, 1], "shape": [-1, 7, 4]}
    after = rewritten(graph_of(nodes, constants, q=(1, 4), k=(7, 4)))
    assert [(node.op, node.inputs) for node in after.nodes] == [("Sub", ("q", "k"))]


def test_a_repetition_that_gives_the_shape_stays() -> None:
    nodes = [Node("Expand", ("q", "shape"), ("e",)), Node("Exp", ("e",), ("y",))]
    assert "Expand" in ops(rewritten(graph_of(nodes, {"shape": [1, 7, 1]}, q=(1, 4))))


def test_a_slope_is_not_the_shape() -> None:
    nodes = [Node("Expand", ("q", "shape"), ("e",)), Node("PRelu", ("e", "slope"), ("y",))]
    constants = {"shape": [1, 7, 1], "slope": np.ones((7, 1), F32)}
    assert "Expand" in ops(rewritten(graph_of(nodes, constants, q=(1, 4))))


def test_normalisation_between_transpositions() -> None:
    order = {"perm": (0, 2, 1)}
    nodes = [
        Node("Transpose", ("x",), ("t",), order),
        Node("BatchNormalization", ("t", "s", "b", "m", "v"), ("n",)),
        Node("Sigmoid", ("n",), ("p",)),
        Node("Transpose", ("p",), ("y",), order),
    ]
    constants = {"s": [1, 2], "b": [3, 4], "m": [5, 6], "v": [7, 8]}
    floats = {name: np.asarray(value, F32) for name, value in constants.items()}
    assert ops(rewritten(graph_of(nodes, floats, x=(5, 2)))) == ["Mul", "Add", "Sigmoid"]
    plain = [Node("BatchNormalization", ("x", "s", "b", "m", "v"), ("y",))]
    assert ops(rewritten(graph_of(plain, floats, x=(2, 5)))) == ["BatchNormalization"]


def test_different_transpositions_stay() -> None:
    nodes = [
        Node("Transpose", ("x",), ("t",), {"perm": (0, 2, 1)}),
        Node("Add", ("t", "z"), ("y",)),
    ]
    assert ops(rewritten(graph_of(nodes, x=(3, 3), z=(3, 3)))) == ["Transpose", "Add"]


LOWER = np.tril_indices(3, -1)
PRODUCTS = [
    Node("Transpose", ("e",), ("t",), {"perm": (0, 2, 1)}),
    Node("MatMul", ("e", "t"), ("m",)),
]


@pytest.mark.parametrize(
    "nodes",
    [
        [
            Node("Transpose", ("m",), ("a",), {"perm": (1, 2, 0)}),
            Node("Flatten", ("a",), ("b",), {"axis": 2}),
            Node("Gather", ("b", "flat"), ("c",), {"axis": 0}),
            Node("Transpose", ("c",), ("y",), {"perm": (1, 0)}),
        ],
        [
            Node("Transpose", ("m",), ("a",), {"perm": (1, 2, 0)}),
            Node("GatherND", ("a", "places"), ("b",)),
            Node("Transpose", ("b",), ("y",), {"perm": (1, 0)}),
        ],
        [Node("Flatten", ("m",), ("a",)), Node("Gather", ("a", "flat"), ("y",), {"axis": 1})],
        [Node("Reshape", ("m", "row"), ("a",)), Node("Gather", ("a", "flat"), ("y",), {"axis": 1})],
    ],
)
def test_triangle_of_all_products(nodes: list[Node]) -> None:
    constants = {"flat": LOWER[0] * 3 + LOWER[1], "places": np.stack(LOWER, 1), "row": [-1, 9]}
    after = rewritten(graph_of([*PRODUCTS, *nodes], constants, e=(3, 4)))
    assert ops(after) == ["pyrec.PairDots"]
    assert [after.constants[name].tolist() for name in after.nodes[0].inputs[2:]] == [[1, 2, 2], [0, 0, 1]]


def test_attention_stays_a_product() -> None:
    nodes = [
        Node("Transpose", ("k",), ("t",), {"perm": (0, 2, 1)}),
        Node("MatMul", ("q", "t"), ("m",)),
        Node("Squeeze", ("m", "one"), ("y",)),
    ]
    assert "MatMul" in ops(rewritten(graph_of(nodes, AXES, q=(1, 4), k=(7, 4))))


@pytest.mark.parametrize("form", ["Gather", "GatherND"])
def test_products_of_chosen_fields(form: str) -> None:
    if form == "Gather":
        chosen = [Node("Gather", ("e", side), (f"{side}/y",), {"axis": 1}) for side in "ij"]
    else:
        chosen = [Node("Transpose", ("e",), ("t",), {"perm": (1, 0, 2)})]
        for side in "ij":
            chosen.append(Node("GatherND", ("t", f"{side}1"), (f"{side}/g",)))
            chosen.append(Node("Transpose", (f"{side}/g",), (f"{side}/y",), {"perm": (1, 0, 2)}))
    tail = [Node("Mul", ("i/y", "j/y"), ("m",)), Node("ReduceSum", ("m", "two"), ("y",), {"keepdims": 0})]
    i, j = np.asarray([0, 0, 1]), np.asarray([1, 2, 2])
    constants = {**AXES, "i": i, "j": j, "i1": i[:, None], "j1": j[:, None]}
    assert ops(rewritten(graph_of([*chosen, *tail], constants, e=(3, 4)))) == ["pyrec.PairDots"]


def test_products_of_whole_values_stay() -> None:
    nodes = [Node("Mul", ("a", "b"), ("m",)), Node("ReduceSum", ("m", "two"), ("y",), {"keepdims": 0})]
    assert ops(rewritten(graph_of(nodes, AXES, a=(3, 4), b=(3, 4)))) == ["Mul", "ReduceSum"]
    across = [Node("Mul", ("a", "b"), ("m",)), Node("ReduceSum", ("m", "one"), ("y",), {"keepdims": 0})]
    assert ops(rewritten(graph_of(across, AXES, a=(3, 4), b=(3, 4)))) == ["Mul", "ReduceSum"]


def _field_weighted() -> tuple[list[Node], dict[str, Any]]:
    nodes = [Node("Unsqueeze", (name, "one"), (f"{name}1",)) for name in "abc"]
    nodes += [Node("Unsqueeze", (name, "two"), (f"{name}2",)) for name in "abc"]
    for left, right in ("ab", "ac", "bc"):
        pair = left + right
        nodes.append(Node("MatMul", (f"{left}1", f"{right}2"), (pair,)))
        nodes.append(Node("Squeeze", (pair, "one"), (f"{pair}/s",)))
        nodes.append(Node("Mul", ("weight", f"{pair}/s"), (f"{pair}/w",)))
    return nodes, {**AXES, "weight": F32.type(2)}


def test_weighted_dots_are_one_step() -> None:
    nodes, constants = _field_weighted()
    nodes.append(Node("Sum", ("ab/w", "ac/w", "bc/w"), ("y",)))
    after = rewritten(graph_of(nodes, constants, a=(4,), b=(4,), c=(4,)))
    assert ops(after) == ["Concat", "Reshape", "pyrec.PairDots", "MatMul"]


def test_dots_side_by_side_are_one_step() -> None:
    nodes, constants = _field_weighted()
    nodes = [node for node in nodes if not node.outputs[0].endswith("/w")]
    nodes.append(Node("Concat", ("ab/s", "ac/s", "bc/s"), ("y",), {"axis": 1}))
    after = rewritten(graph_of(nodes, constants, a=(4,), b=(4,), c=(4,)))
    assert ops(after) == ["Concat", "Reshape", "pyrec.PairDots"]


W23, ROW3 = np.arange(6, dtype=np.float32).reshape(2, 3), np.asarray([1, 2, 3], F32)
LAYER = {"w": W23, "row": ROW3, "pair": np.asarray([3, -2], F32), "half": F32.type(0.5)}


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
def test_constants_fold_into_a_layer(op: str) -> None:
    before = [
        Node(op, ("x", "pair"), ("a",)),
        Node("pyrec.Dense", ("a", "w", "row"), ("y",), {"activation": "Relu"}),
    ]
    after = rewritten(graph_of(before, LAYER, x=(2,)))
    assert ops(after) == ["pyrec.Dense"]
    assert after.nodes[0].attributes["activation"] == "Relu"
    behind = [Node("pyrec.Dense", ("x", "w"), ("a",)), Node(op, ("a", "row"), ("y",))]
    assert ops(rewritten(graph_of(behind, LAYER, x=(2,)))) == ["pyrec.Dense"]
    assert ops(rewritten(graph_of(behind, LAYER, x=(5, 2)))) == ["pyrec.Dense"]


def test_a_scaled_part_folds_into_a_layer() -> None:
    nodes = [
        Node("Mul", ("x", "half"), ("a",)),
        Node("Concat", ("a", "z"), ("c",), {"axis": 1}),
        Node("pyrec.Dense", ("c", "w"), ("y",)),
    ]
    assert ops(rewritten(graph_of(nodes, LAYER, x=(1,), z=(1,)))) == ["Concat", "pyrec.Dense"]


@pytest.mark.parametrize(
    "nodes",
    [
        [Node("pyrec.Dense", ("x", "w"), ("a",), {"activation": "Relu"}), Node("Mul", ("a", "row"), ("y",))],
        [
            Node("pyrec.Dense", ("x", "w"), ("a",)),
            Node("Mul", ("a", "row"), ("b",)),
            Node("Mul", ("a", "b"), ("y",)),
        ],
        [Node("Div", ("half", "x"), ("a",)), Node("pyrec.Dense", ("a", "w"), ("y",))],
        [Node("Mul", ("x", "column"), ("a",)), Node("pyrec.Dense", ("a", "w"), ("y",))],
    ],
)
def test_what_a_layer_cannot_hold_stays(nodes: list[Node]) -> None:
    constants = {**LAYER, "column": np.asarray([[[1], [2]]], F32)}
    graph = graph_of(nodes, constants, x=(2, 2))
    assert ops(rewritten(graph)) == [node.op for node in nodes]


def test_layers_of_folded_rows_and_columns() -> None:
    nodes = [
        Node("Reshape", ("x", "flat"), ("a",)),
        Node("pyrec.Dense", ("a", "w"), ("b",)),
        Node("Reshape", ("b", "back"), ("c",)),
        Node("Add", ("c", "row"), ("y",)),
    ]
    constants = {**LAYER, "flat": [-1, 2], "back": [-1, 5, 3]}
    assert ops(rewritten(graph_of(nodes, constants, x=(5, 2)))) == ["pyrec.Dense"]
    left = [
        Node("MatMul", ("turned", "x"), ("a",)),
        Node("Add", ("a", "column"), ("b",)),
        Node("Squeeze", ("b", "two"), ("y",)),
    ]
    constants = {**AXES, "turned": W23.T, "column": ROW3[:, None]}
    assert ops(rewritten(graph_of(left, constants, x=(2, 1)))) == ["Reshape", "pyrec.Dense"]


@pytest.mark.parametrize(
    ("equation", "shape", "sizes"),
    [("bd,edh->beh", (3, 2, 4), (2,)), ("bij,jk->bik", (2, 4), (5, 2)), ("bij,ijk->bk", (5, 2, 4), (5, 2))],
)
def test_einsum_of_a_constant_is_a_layer(
    equation: str, shape: tuple[int, ...], sizes: tuple[int, ...]
) -> None:
    weights = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    nodes = [Node("Einsum", ("x", "w"), ("y",), {"equation": equation})]
    assert "pyrec.Dense" in ops(rewritten(graph_of(nodes, {"w": weights}, x=sizes)))


@pytest.mark.parametrize("equation", ["bd,edh->bhe", "bd,bdh->bh", "bd,ed->e"])
def test_other_equations_stay(equation: str) -> None:
    shape = {"e": 3, "d": 2, "h": 4, "b": 5}
    weights = np.ones([shape[letter] for letter in equation.split(",")[1].split("->")[0]], F32)
    nodes = [Node("Einsum", ("x", "w"), ("y",), {"equation": equation})]
    assert ops(rewritten(graph_of(nodes, {"w": weights}, x=(2,)))) == ["Einsum"]


DICE = [
    Node("Sigmoid", ("z",), ("p",)),
    Node("Sub", ("one", "p"), ("q",)),
    Node("Mul", ("alpha", "q"), ("a",)),
    Node("Mul", ("a", "x"), ("b",)),
    Node("Mul", ("x", "p"), ("c",)),
]


def test_dice() -> None:
    constants = {"one": F32.type(1), "alpha": np.asarray([0.25, 0.5], F32)}
    for order in (("b", "c"), ("c", "b")):
        graph = graph_of([*DICE, Node("Add", order, ("y",))], constants, x=(2,), z=(2,))
        assert ops(rewritten(graph)) == ["Sigmoid", "Mul", "Add", "Mul"]
    other = graph_of(
        [*DICE, Node("Add", ("b", "c"), ("y",))], {**constants, "one": F32.type(2)}, x=(2,), z=(2,)
    )
    assert len(ops(rewritten(other))) == 6


def test_an_activation_meets_its_layer() -> None:
    nodes = [Node("Squeeze", ("x", "one"), ("a",)), Node("Sigmoid", ("a",), ("y",))]
    assert ops(rewritten(graph_of(nodes, AXES, x=(1,)))) == ["Sigmoid", "Reshape"]


def test_a_reduction_sees_through_a_view() -> None:
    nodes = [
        Node("Unsqueeze", ("x", "two"), ("a",)),
        Node("ReduceSum", ("a", "one"), ("y",), {"keepdims": 0}),
    ]
    assert ops(rewritten(graph_of(nodes, AXES, x=(4,)))) == ["ReduceSum"]


def test_every_pattern_has_its_own_rules() -> None:
    groups = [broadcasts, concatenations, dice, layers, pair_dots, transposes, views]
    assert set(joined(*(group.RULES for group in groups)))
    shape: Shape = (N, 2)
    graph = Graph(("x",), ("y",), (Node("Softmax", ("x",), ("y",)),), {}, {"x": Info(F32, shape, 0)})
    assert recognise(graph) is graph
