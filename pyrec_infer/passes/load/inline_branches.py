"""Replace an If whose condition is known by the branch that is taken."""

from __future__ import annotations

from dataclasses import replace

from pyrec_infer.ir import Array, Graph, Node, topological
from pyrec_infer.ops.core.registry import boolean
from pyrec_infer.passes.common.rewrite import map_bodies


def _inlined(node: Node, constants: dict[str, Array]) -> list[Node]:
    taken = node.bodies[0 if boolean(constants[node.inputs[0]]) else 1]
    prefix = f"{node.outputs[0]}/branch/"
    names = dict(zip(taken.inputs, node.inputs[1:], strict=True))
    for name in (*taken.constants, *taken.producers):
        names[name] = prefix + name
    constants.update((names[name], value) for name, value in taken.constants.items())
    nodes = [
        replace(
            inner,
            inputs=tuple(names.get(name, name) for name in inner.inputs),
            outputs=tuple(names.get(name, name) for name in inner.outputs),
        )
        for inner in taken.nodes
    ]
    results = zip(node.outputs, taken.outputs, strict=True)
    return nodes + [
        Node("Identity", (names[made],), (name,), name=node.name) for name, made in results if name
    ]


def inline_branches(graph: Graph) -> Graph:
    """Inline each If with a constant condition, in the graph and in its bodies."""
    graph = map_bodies(graph, inline_branches)
    constants = dict(graph.constants)
    nodes: list[Node] = []
    changed = False
    for node in graph.nodes:
        if node.op == "If" and node.inputs[0] in constants and len(node.bodies) == 2:
            nodes.extend(_inlined(node, constants))
            changed = True
        else:
            nodes.append(node)
    if not changed:
        return graph
    ordered = topological(nodes, (*graph.inputs, *constants))
    inlined = graph.with_(nodes=ordered, constants=constants)
    # A branch may hold another If whose condition is now in sight.
    return inline_branches(inlined)
