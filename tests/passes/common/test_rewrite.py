"""Names of values changed, and what has to keep its name."""

from __future__ import annotations

import pytest
from support.graphs import F32, alike, graph_of

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.passes.common.rewrite import (
    free_name,
    map_bodies,
    rename_inputs,
    rename_outputs,
    rename_values,
)

pytestmark = pytest.mark.once

NODE = Node("Add", ("a", "b"), ("c",))


def test_a_node_without_these_names_is_itself() -> None:
    assert rename_inputs(NODE, {"c": "d", "x": "y"}) is NODE
    assert rename_outputs(NODE, {"a": "d"}) is NODE


def test_inputs_and_outputs_are_told_apart() -> None:
    node = Node("Add", ("a", "c"), ("c",))
    read, made = rename_inputs(node, {"c": "d"}), rename_outputs(node, {"c": "d"})
    assert (read.inputs, read.outputs) == (("a", "d"), ("c",))
    assert (made.inputs, made.outputs) == (("a", "c"), ("d",))


def test_names_grow_until_they_are_free() -> None:
    assert free_name("a", {"b"}) == "a"
    assert free_name("a", {"a", "a'", "b"}) == "a''"


def test_values_inside_a_graph_have_other_names_and_mean_the_same() -> None:
    nodes = [Node("Mul", ("x", "k"), ("m",)), Node("Add", ("m", "x"), ("y",))]
    graph = graph_of(nodes, {"k": F32.type(3)}, x=(4,))
    found = alike(graph, rename_values(graph, {"m": "inner", "k": "three", "other": "z"}))
    assert set(found.constants) | set(found.producers) == {"inner", "three", "y"}


def test_bodies_are_changed_where_there_are_any() -> None:
    body = Graph(("x",), ("r",), (Node("Neg", ("x",), ("r",)),), {}, {"x": Info(None, None)})
    branch = Node("If", ("c", "x"), ("y",), {"captures": 1}, (body, body))
    graph = Graph(("c", "x"), ("y",), (NODE, branch), {}, {"x": Info(F32, (4,)), "c": Info(None, ())})
    seen: list[Graph] = []

    def change(inner: Graph) -> Graph:
        seen.append(inner)
        return inner.with_(nodes=())

    found = map_bodies(graph, change)
    assert [inner is body for inner in seen] == [True, True]
    assert found.nodes[0] is NODE
    assert [inner.nodes for inner in found.nodes[1].bodies] == [(), ()]
