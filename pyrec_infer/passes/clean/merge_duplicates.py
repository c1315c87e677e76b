"""Compute equal values once."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from pyrec_infer.ir import Array, Graph, Node, holds_strings
from pyrec_infer.passes.common.rewrite import map_bodies, rename_inputs

_SMALL = 4096
"""Constants of more bytes are taken to differ; comparing large tables would cost more than it saves."""


def _constant_key(value: Array) -> Hashable:
    if holds_strings(value) or value.nbytes > _SMALL:
        return id(value)
    return value.dtype.str, value.shape, value.tobytes()


def _attribute_key(value: object) -> Hashable:
    if isinstance(value, np.ndarray):
        return _constant_key(value)
    if not isinstance(value, (int, float, str, tuple)):
        return id(value)
    # repr tells 1 from 1.0 and 0.0 from -0.0, which compare equal.
    return repr(value)


def _attributes_key(node: Node) -> Hashable:
    return tuple(sorted((key, _attribute_key(value)) for key, value in node.attributes.items()))


class _Seen:
    """The first of equal nodes."""

    def __init__(self) -> None:
        self._alone: dict[Hashable, Node | None] = {}
        self._known: dict[Hashable, Node] = {}

    def first(self, node: Node) -> Node:
        # Outputs that are absent in one node and present in the other make them different.
        key = node.op, node.inputs, tuple(bool(name) for name in node.outputs)
        if key not in self._alone:
            self._alone[key] = node
            return node
        # Attributes may be long, so they are looked at where all else is equal.
        other = self._alone[key]
        if other is not None:
            self._known[key, _attributes_key(other)] = other
            self._alone[key] = None
        return self._known.setdefault((key, _attributes_key(node)), node)


def merge_duplicates(graph: Graph) -> Graph:
    """Merge small equal constants, then nodes with the same operator, inputs and attributes."""
    graph = map_bodies(graph, merge_duplicates)
    renamed: dict[str, str] = {}
    constants: dict[Hashable, str] = {}
    for name, value in graph.constants.items():
        first = constants.setdefault(_constant_key(value), name)
        if first != name and name not in graph.outputs:
            renamed[name] = first
    seen = _Seen()
    kept: list[Node] = []
    for node in graph.nodes:
        node = rename_inputs(node, renamed)
        mergeable = not node.bodies and not any(name in graph.outputs for name in node.outputs)
        first_node = seen.first(node) if mergeable else node
        if first_node is node:
            kept.append(node)
        else:
            renamed.update(zip(node.outputs, first_node.outputs, strict=True))
    return graph.with_(nodes=tuple(kept))
