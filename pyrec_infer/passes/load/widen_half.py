"""Compute float16 graphs in float32, as CPUs do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops import OPS, Trait, has
from pyrec_infer.ops.core.inference import analyze

_HALF = np.dtype(np.float16)


def widen_half(graph: Graph) -> Graph:
    """Run every operator on float16 values in float32; round only what leaves the graph as float16.

    Weights and inputs stay float16 until an operator computes with them, so that tables keep their
    size and only gathered rows are converted. An explicit Cast to float16 still rounds.

    Examples
    --------
    >>> from pyrec_infer.ir import Info
    >>> half = Info(_HALF, (2,))
    >>> nodes = (Node("Exp", ("x",), ("e",)), Node("Neg", ("e",), ("y",)))
    >>> [node.op for node in widen_half(Graph(("x",), ("y",), nodes, {}, {"x": half})).nodes]
    ['Cast', 'Exp', 'Neg', 'Cast']
    """
    infos = analyze(graph).infos
    halves = {name for name, info in infos.items() if info.dtype == _HALF and not info.sequence}
    if not halves:
        return graph
    wide: dict[str, str] = {}
    rounded: set[str] = set()
    nodes: list[Node] = []

    def widened(name: str) -> str:
        if name not in halves:
            return name
        if name not in wide:
            wide[name] = f"{name}/float32"
            nodes.append(Node("Cast", (name,), (wide[name],), {"to": "float32"}))
        return wide[name]

    def narrow(name: str) -> str:
        if name in wide and name not in rounded and name in made_wide:
            rounded.add(name)
            nodes.append(Node("Cast", (wide[name],), (name,), {"to": "float16"}))
        return name

    made_wide: set[str] = set()
    for node in graph.nodes:
        names = (*node.inputs, *node.outputs)
        if not any(name in halves for name in names):
            nodes.append(node)
            continue
        # What only moves keeps stored float16 data as it is.
        stored = has(node, Trait.MOVES) and not any(name in made_wide for name in node.inputs)
        to_half = node.op == "Cast" and node.outputs[0] in halves and node.inputs[0] not in halves
        # Another runtime runs an unknown operator on the types that the model says.
        if (
            node.op not in OPS
            or node.bodies
            or stored
            or to_half
            or node.op in ("ConstantOfShape", "CastLike")
        ):
            for name in node.inputs:
                narrow(name)
            nodes.append(node)
            continue
        inputs = tuple(widened(name) for name in node.inputs)
        outputs = []
        for name in node.outputs:
            if name in halves:
                wide[name] = f"{name}/float32"
                made_wide.add(name)
            outputs.append(wide.get(name, name))
        if node.op == "Cast" and node.outputs[0] in halves:
            nodes.append(Node("Identity", inputs, tuple(outputs), name=node.name))
        else:
            nodes.append(replace(node, inputs=inputs, outputs=tuple(outputs)))
    for name in graph.outputs:
        narrow(name)
    return graph.with_(nodes=tuple(nodes))
