"""Products of rows of tables that become steps of their own, and layers that stay."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
from support.graphs import F32, N, alike, ops

from pyrec_infer.ir import Dim, Graph, Info, Node
from pyrec_infer.ops.lookup_parts import LookupPart, lookup_parts, make_lookup
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.finish.keep_products import keep_products

pytestmark = pytest.mark.once

IDS = Info(np.dtype(np.int64), (N, 4), 0)
X = Info(F32, (N, 3), 0)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).normal(size=shape).astype(np.float32)


CONSTANTS = {"a": normal(70, 16), "b": normal(50, 24), "c": normal(20, 8), "folded": normal(9, 64)}


def layer(*parts: LookupPart, columns: int = 64, bias: str = "", **attributes: str) -> Graph:
    """A layer of a lookup of these parts; `bias` names what it starts from."""
    width = sum(part.width for part in parts)
    nodes = [make_lookup("pyrec.Lookup", "rows", parts)]
    if bias == "sum":
        nodes.append(
            make_lookup("pyrec.LookupSum", "sum", [LookupPart("ids", "folded", 3, 64)], bias="start")
        )
    inputs = ("rows", "w", bias) if bias else ("rows", "w")
    nodes.append(Node("pyrec.Dense", inputs, ("y",), attributes, name="layer"))
    constants = {**CONSTANTS, "w": normal(width, columns), "start": normal(columns)}
    infos = {"ids": IDS, "x": X}
    return remove_dead(Graph(("ids", "x"), ("y",), tuple(nodes), constants, infos))


A, B, C = (LookupPart("ids", name, i, CONSTANTS[name].shape[1]) for i, name in enumerate("abc"))
NUMBERS = LookupPart.numbers("x", 3)


def kept(graph: Graph, sample: Mapping[str, np.ndarray] | None = None) -> Graph:
    ids = np.random.default_rng(0).integers(0, 9, (40, 4))
    return alike(graph, remove_dead(keep_products(graph, sample or {})), 40, ids=ids)


def test_wide_rows_are_multiplied_by_themselves() -> None:
    made = kept(layer(A, B, activation="Relu"))
    assert ops(made) == ["pyrec.ProductSum"]
    assert made.nodes[0].attribute("activation") == "Relu"
    assert made.nodes[0].attribute("multiplied") == (0, 1)


@pytest.mark.parametrize("bias", ["", "start", "sum"])
def test_what_a_layer_starts_from_is_part_of_the_sum(bias: str) -> None:
    made = kept(layer(A, NUMBERS, B, bias=bias, activation="Tanh"))
    assert ops(made) == ["pyrec.ProductSum", "pyrec.Dense"]
    assert made.nodes[0].inputs[0] == ("start" if bias else "")
    assert [part.table for part in lookup_parts(made.nodes[0])] == (["folded"] if bias == "sum" else []) + [
        "a",
        "b",
    ]
    assert made.nodes[1].inputs[0] == "x"


def test_short_rows_stay_with_the_layer() -> None:
    assert ops(kept(layer(A, NUMBERS, C))) == ["pyrec.ProductSum", "pyrec.Lookup", "pyrec.Dense"]


def test_a_sum_that_is_read_elsewhere_or_ends_with_an_activation_is_a_bias() -> None:
    graph = layer(A, bias="sum")
    read = graph.with_(outputs=("y", "sum"))
    assert ops(kept(read)) == ["pyrec.LookupSum", "pyrec.ProductSum"]
    nodes = tuple(
        make_lookup("pyrec.LookupSum", "sum", lookup_parts(node), bias="start", activation="Relu")
        if node.op == "pyrec.LookupSum"
        else node
        for node in graph.nodes
    )
    assert ops(kept(graph.with_(nodes=nodes))) == ["pyrec.LookupSum", "pyrec.ProductSum"]


@pytest.mark.parametrize(
    "graph",
    [
        layer(C, NUMBERS),
        layer(A, columns=31),
        layer(A, columns=1025),
        layer(A, LookupPart("ids", "a", 1, 8, offset=4)),
    ],
    ids=["short rows", "few columns", "many columns", "a part of a row"],
)
def test_other_layers_stay(graph: Graph) -> None:
    assert keep_products(graph, {}).nodes == graph.nodes


def test_tables_that_come_with_the_call_stay() -> None:
    graph = layer(A)
    given = Info(F32, (Dim.symbol("V"), 16))
    constants = {name: value for name, value in graph.constants.items() if name != "a"}
    graph = Graph((*graph.inputs, "a"), graph.outputs, graph.nodes, constants, {**graph.infos, "a": given})
    assert keep_products(graph, {}).nodes == graph.nodes


def test_ids_that_hardly_come_again_stay_with_the_layer() -> None:
    ids = np.zeros((256, 4), np.int64)
    ids[:, 0] = np.arange(256)
    ids[:, 1] = np.arange(256) // 2
    made = kept(layer(A, B), {"ids": ids})
    assert [part.table for part in lookup_parts(made.nodes[0])] == ["b"]
    assert ops(kept(layer(A), {"ids": ids})) == ["pyrec.Lookup", "pyrec.Dense"]
    assert ops(kept(layer(A), {"ids": ids[:255]})) == ["pyrec.ProductSum"], "too few to tell"
