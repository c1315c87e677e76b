"""What several passes share: renaming values and mapping over bodies."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import replace

from pyrec_infer.ir import Graph, Node


def rename_inputs(node: Node, names: Mapping[str, str]) -> Node:
    """The node reading other values; itself if none of its inputs is renamed."""
    if not any(name in names for name in node.inputs):
        return node
    return replace(node, inputs=tuple(names.get(name, name) for name in node.inputs))


def rename_outputs(node: Node, names: Mapping[str, str]) -> Node:
    """The node making its values under other names."""
    if not any(name in names for name in node.outputs):
        return node
    return replace(node, outputs=tuple(names.get(name, name) for name in node.outputs))


def free_name(name: str, taken: Container[str]) -> str:
    """The name, made longer until it is free."""
    while name in taken:
        name += "'"
    return name


def rename_values(graph: Graph, names: Mapping[str, str]) -> Graph:
    """The graph with other names for some of its values; its inputs and outputs keep theirs."""

    def other(before: Sequence[str]) -> tuple[str, ...]:
        return tuple(names.get(name, name) for name in before)

    return graph.with_(
        nodes=tuple(
            replace(node, inputs=other(node.inputs), outputs=other(node.outputs)) for node in graph.nodes
        ),
        constants={names.get(name, name): value for name, value in graph.constants.items()},
        infos={names.get(name, name): info for name, info in graph.infos.items()},
    )


def map_bodies(graph: Graph, change: Callable[[Graph], Graph]) -> Graph:
    """The graph with `change` applied to the bodies of its nodes."""
    nodes = tuple(
        replace(node, bodies=tuple(change(body) for body in node.bodies)) if node.bodies else node
        for node in graph.nodes
    )
    return graph.with_(nodes=nodes)
