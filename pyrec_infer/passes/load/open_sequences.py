"""Take elements out of sequences whose composition the graph itself says."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrec_infer.ir import Graph, Info, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import axis_of, integers
from pyrec_infer.passes.common.writer import Writer


def _number(node: Node, place: int, infos: Mapping[str, Info]) -> int | None:
    """An operand that is one constant integer."""
    found = integers(infos[node.inputs[place]])
    return found[0] if found is not None and len(found) == 1 and isinstance(found[0], int) else None


def _sizes(node: Node, size: int, infos: Mapping[str, Info]) -> list[int] | None:
    """How long the parts of a split axis are."""
    if len(node.inputs) < 2 or not node.inputs[1]:
        return [1] * size
    given, shape = integers(infos[node.inputs[1]]), infos[node.inputs[1]].shape
    if given is None or shape is None or any(not isinstance(part, int) for part in given):
        return None
    parts = [int(part) for part in given if isinstance(part, int)]
    if not shape:
        step = parts[0]
        parts = [min(step, size - begin) for begin in range(0, size, step)] if step > 0 else []
    return parts if parts and min(parts) >= 0 and sum(parts) == size else None


def _parts(node: Node, infos: Mapping[str, Info], writer: Writer) -> list[str] | None:
    shape = infos[node.inputs[0]].shape
    if shape is None:
        return None
    axis = axis_of(node, int(node.attribute("axis", 0)), len(shape))
    size = shape[axis]
    sizes = _sizes(node, size, infos) if isinstance(size, int) else None
    if not sizes:
        return None
    names = [writer.fresh() for _ in sizes]
    split = writer.constant(sizes, np.int64)
    writer.add(Node("Split", (node.inputs[0], split), tuple(names), {"axis": axis}, name=node.name))
    whole = len(node.inputs) > 1 and node.inputs[1]
    if whole or node.attribute("keepdims", 1):
        return names
    alone = writer.constant([axis], np.int64)
    return [writer.node("Squeeze", name, alone) for name in names]


def _elements(
    node: Node, known: Mapping[str, list[str]], infos: Mapping[str, Info], writer: Writer
) -> list[str] | None:
    """What a sequence that a node makes consists of, where that is known."""
    if node.op == "SequenceEmpty":
        return []
    if node.op == "SequenceConstruct":
        return list(node.inputs)
    if node.op == "SplitToSequence":
        return _parts(node, infos, writer)
    before = known.get(node.inputs[0]) if node.inputs else None
    if before is None or node.op != "SequenceInsert":
        return before if node.op == "Identity" else None
    place: int | None = len(before)
    if len(node.inputs) > 2 and node.inputs[2]:
        place = _number(node, 2, infos)
    if place is None or not 0 <= place <= len(before):
        return None
    return [*before[:place], node.inputs[1], *before[place:]]


def _taken(
    node: Node, known: Mapping[str, list[str]], infos: Mapping[str, Info], writer: Writer
) -> Node | None:
    """What makes of the elements what a node makes of their sequence."""
    elements = known.get(node.inputs[0]) if node.inputs else None
    if elements is None:
        return None
    if node.op == "SequenceAt":
        place = _number(node, 1, infos)
        if place is None or not -len(elements) <= place < len(elements):
            return None
        return Node("Identity", (elements[place],), node.outputs, name=node.name)
    if node.op != "ConcatFromSequence" or not elements:
        return None
    axis = int(node.attribute("axis", 0))
    if node.attribute("new_axis", 0):
        alone = writer.constant([axis], np.int64)
        elements = [writer.node("Unsqueeze", name, alone) for name in elements]
    return Node("Concat", tuple(elements), node.outputs, {"axis": axis}, name=node.name)


def _opened(graph: Graph) -> Graph | None:
    """The graph with what can be taken out of its sequences; None if that is nothing."""
    infos = analyze(graph).infos
    if not any(info.sequence for info in infos.values()):
        return None
    writer, known, changed = Writer(taken=infos), dict[str, list[str]](), False
    for node in graph.nodes:
        made = next(filter(None, node.outputs), "")
        writer.begin(made, node.name)
        taken = _taken(node, known, infos, writer)
        changed |= taken is not None
        writer.add(node if taken is None else taken)
        elements = _elements(node, known, infos, writer) if made and infos[made].sequence else None
        if elements is not None:
            known[made] = elements
    made_graph = graph.with_(nodes=tuple(writer.nodes), constants={**graph.constants, **writer.constants})
    return made_graph if changed else None


def open_sequences(graph: Graph) -> Graph:
    """``split -> list -> element`` without the list: what reads a sequence reads its elements.

    Scripts that are exported collect layers in lists. A sequence has no rows, so nothing behind it could
    be told apart by row.

    Examples
    --------
    >>> given = {name: Info(np.dtype(np.float32), (2, 3), rows=0) for name in "ab"}
    >>> nodes = (Node("SequenceConstruct", ("a", "b"), ("s",)), Node("SequenceAt", ("s", "one"), ("y",)))
    >>> found = open_sequences(Graph(("a", "b"), ("y",), nodes, {"one": np.asarray(1)}, given))
    >>> found.nodes[-1].op, found.nodes[-1].inputs
    ('Identity', ('b',))
    """
    found = _opened(graph)
    while found is not None:
        # Of what has been taken out, shapes are known now.
        graph, found = found, _opened(found)
    return graph
