"""Drop what no output needs."""

from __future__ import annotations

from collections.abc import Sequence

from pyrec_infer.ir import Graph, Node
from pyrec_infer.passes.common.rewrite import map_bodies


def remove_dead(graph: Graph) -> Graph:
    """Drop nodes and constants that no output depends on; inputs stay."""
    graph = map_bodies(graph, remove_dead)
    needed = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if any(name in needed for name in node.outputs):
            needed.update(name for name in node.inputs if name)
            kept.append(node)
    constants = {name: value for name, value in graph.constants.items() if name in needed}
    return graph.with_(nodes=tuple(reversed(kept)), constants=constants)


def keep_outputs(graph: Graph, outputs: Sequence[str]) -> Graph:
    """The part of a graph that makes some of its outputs."""
    return remove_dead(graph.with_(outputs=tuple(outputs)))
