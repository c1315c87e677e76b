"""Graphs of the inputs of a call, some of which are the request's and some an item's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node, verify
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.clean.remove_dead import remove_dead
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.split.split_pair_dots import split_pair_dots
from pyrec_infer.passes.split.split_sums import split_sums
from pyrec_infer.plan.cost import node_flops
from support.graphs import F32, I64, N, alike

LENGTH, TABLE_ROWS = 5, 7
INFOS = {
    "u": Info(F32, (N, 4), 0),
    "v": Info(F32, (N, 3), 0),
    "i": Info(F32, (N, 4), 0),
    "p": Info(F32, (N, 2), 0),
    "k": Info(F32, (N, LENGTH, 4), 0),
    "user_ids": Info(I64, (N, 2), 0),
    "item_ids": Info(I64, (N, 3), 0),
}
REQUEST = frozenset({"u", "v", "k", "user_ids"})
ITEMS = frozenset({"i", "item_ids"})


class Builder:
    """Writes a graph over the inputs above."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, Array] = {}
        self.generator = np.random.default_rng(seed)

    def node(self, op: str, *names: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(Node(op, names, (name,), attributes))
        return name

    def constant(self, value: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def numbers(self, *shape: int) -> str:
        return self.constant(self.generator.integers(-4, 5, shape).astype(np.float32) / 4)

    def integers(self, *values: int) -> str:
        return self.constant(np.asarray(values, np.int64))

    def dense(self, x: str, inner: int, width: int, activation: str = "") -> str:
        attributes = {"activation": activation} if activation else {}
        return self.node("pyrec.Dense", x, self.numbers(inner, width), self.numbers(width), **attributes)

    def lookup(self, ids: str, column: int, width: int) -> str:
        picked = self.node("Gather", ids, self.constant(np.asarray(column)), axis=1)
        return self.node("Gather", self.numbers(TABLE_ROWS, width), picked, axis=0)

    def graph(self, *outputs: str) -> Graph:
        used = {name for node in self.nodes for name in node.inputs} | set(outputs)
        names = tuple(name for name in INFOS if name in used)
        graph = Graph(names, outputs, tuple(self.nodes), self.constants, INFOS)
        verify(graph, "the test")
        return graph


def check(graph: Graph, after: Graph) -> Graph:
    """The graph after a pass, once it is known to mean the same with its rows apart."""
    assert not analyze(after).coupled
    return alike(graph, after, request=REQUEST)


def multiplications(graph: Graph, sides: Sides) -> dict[str, int]:
    """Multiplications of dense layers at each rate, for one row."""
    infos, rates = analyze(graph).infos, find_rates(graph, sides)
    found = dict.fromkeys(("REQUEST", "ITEM", "PAIR"), 0)
    for node in graph.nodes:
        if node.op == "pyrec.Dense":
            rate = rates[node.outputs[0]].name
            found[rate] = found.get(rate, 0) + node_flops(replace(node, attributes={}), infos) // 2
    return found


def attention(build: Builder, activation: str = "Sigmoid") -> str:
    """The hidden layer of a unit that compares a candidate with each row of a history."""
    one = build.integers(1)
    query = build.node("Expand", build.node("Unsqueeze", "i", one), build.integers(1, LENGTH, 1))
    parts = ["Sub", "Mul"]
    compared = [build.node(op, query, "k") for op in parts]
    joined = build.node("Concat", query, "k", *compared, axis=-1)
    return build.dense(joined, 16, 6, activation)


WITH_ITEMS = Sides(frozenset("uv"), frozenset("ij"))
WITHOUT = Sides(frozenset("uv"))
ONE = {"one": np.asarray([1]), "two": np.asarray([2]), "half": F32.type(0.5), "square": F32.type(2)}
FIELDS = [Node("Concat", ("u", "i", "v", "j"), ("c",), {"axis": 1}), Node("Reshape", ("c", "fields"), ("e",))]
FIELD = {**ONE, "fields": np.asarray([-1, 4, 3])}
ROWS = dict.fromkeys("uivj", (3,))


def split_fields(graph: Graph, sides: Sides) -> Graph:
    """The graph after the passes that split sums and dots of fields, once it is known to mean the same."""
    after = graph
    for step in (split_sums, split_pair_dots):
        after = remove_dead(step(after, sides))
        verify(after, step.__name__)
    return alike(graph, after, request=sides.request)
