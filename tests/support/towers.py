"""Towers of layers of lower precision over a lookup, which hand their rows on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pyrec_infer.backends.select import available_backends, make_executor, make_pool
from pyrec_infer.ir import Array, Graph, Info, Node, verify
from pyrec_infer.passes import EVERY, Context, State, finish_graphs
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.plan.planner import build_plan
from support.graphs import F32, N

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


def tower_inputs(rows: int) -> list[Array]:
    rng = np.random.default_rng(rows)
    return [normal(1, K, seed=9), rng.integers(0, 40, rows), normal(rows, K)]
