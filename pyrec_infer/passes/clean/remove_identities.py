"""Drop nodes that give back what they read."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.ops import Trait, has
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.rewrite import map_bodies, rename_inputs, rename_outputs


def is_identity(node: Node, infos: Mapping[str, Info]) -> bool:
    """Whether the node's first output always equals its first input."""
    if not node.inputs or not node.inputs[0] or any(node.outputs[1:]):
        return False
    before, after = infos[node.inputs[0]], infos[node.outputs[0]]
    if node.op in ("Identity", "Dropout"):
        return True
    if node.op in ("Cast", "CastLike"):
        return before.dtype is not None and before.dtype == after.dtype and after.dtype.kind != "U"
    if has(node, Trait.VARIADIC):
        return len(node.inputs) == 1
    if has(node, Trait.VIEW) or node.op == "Expand":
        return same_shape(before.shape, after.shape)
    if node.op == "Slice":
        steps = infos[node.inputs[4]].constant if len(node.inputs) > 4 else np.asarray(1)
        return steps is not None and bool(np.all(steps == 1)) and same_shape(before.shape, after.shape)
    if node.op == "Transpose":
        order = node.attribute("perm")
        return order is not None and tuple(order) == tuple(range(len(order)))
    if node.op in ("Add", "Mul") and len(node.inputs) == 2:
        other = infos[node.inputs[1]].constant
        neutral = 0 if node.op == "Add" else 1
        # -0.0 + 0.0 is 0.0, so only adding -0.0 would be exact for floats; integers have no such case.
        exact = node.op == "Mul" or (before.dtype is not None and before.dtype.kind in "iu")
        return (
            exact
            and other is not None
            and bool(np.all(other == neutral))
            and same_shape(before.shape, after.shape)
        )
    return False


def remove_identities(graph: Graph) -> Graph:
    """Rename values through identities, no-op casts, reshapes to the same shape and their like."""
    graph = map_bodies(graph, remove_identities)
    infos = analyze(graph).infos
    renamed: dict[str, str] = {}
    fixed = {*graph.inputs, *graph.constants, *graph.outputs}
    outputs: dict[str, str] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        node = rename_inputs(node, renamed)
        if not is_identity(node, infos):
            kept.append(node)
            continue
        source, result = node.inputs[0], node.outputs[0]
        if result not in graph.outputs:
            renamed[result] = source
        elif source not in fixed and source not in outputs:
            # The value that an output stands for takes the output's name where it is made.
            outputs[source] = result
            renamed[source] = result
            infos = {**infos, result: infos[source]}
        else:
            kept.append(node)
    if outputs:
        kept = [rename_outputs(rename_inputs(node, outputs), outputs) for node in kept]
    return graph.with_(nodes=tuple(kept))
