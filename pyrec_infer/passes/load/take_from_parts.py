"""Read slices of a concatenation from the part that they lie in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import constant_integers


def _range(node: Node, infos: Mapping[str, Info], axis: int, rank: int, size: int) -> tuple[int, int] | None:
    """First and end position that a Slice or a Gather of one position reads along an axis."""
    if node.op == "Gather":
        chosen = infos[node.inputs[1]].constant
        if node.attribute("axis", 0) % rank != axis or chosen is None or chosen.size != 1:
            return None
        position = int(chosen.reshape(-1)[0])
        return (position % size, position % size + 1) if -size <= position < size else None
    operands = [constant_integers(infos[name]) if name else None for name in node.inputs[1:]]
    operands += [None] * (4 - len(operands))
    starts, ends, axes, steps = operands
    if starts is None or ends is None or len(starts) != 1 or len(ends) != 1 or (steps or (1,)) != (1,):
        return None
    # What is given but not known before the run.
    if any(name and value is None for name, value in zip(node.inputs[3:], (axes, steps), strict=False)):
        return None
    if (axes or (0,))[0] % rank != axis:
        return None
    begin, end, _ = slice(starts[0], ends[0]).indices(size)
    return (begin, end) if begin < end else None


def take_from_parts(graph: Graph) -> Graph:
    """A Slice or Gather of a Concat along the same axis that stays inside one part reads that part.

    So a column of a matrix that was put together from several inputs depends on its own input only.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Graph, Info, Node
    >>> info = Info(np.dtype(np.float32), (4, 2))
    >>> one = {"i": np.asarray([3])}
    >>> graph = Graph(("a", "b"), ("y",), (Node("Concat", ("a", "b"), ("c",), {"axis": 1}),
    ...               Node("Gather", ("c", "i"), ("y",), {"axis": 1})), one, {"a": info, "b": info})
    >>> take_from_parts(graph).nodes[1].inputs[0]
    'b'
    """
    infos = analyze(graph).infos
    producers = graph.producers
    constants: dict[str, Array] = dict(graph.constants)
    nodes: list[Node] = []
    for node in graph.nodes:
        source = producers.get(node.inputs[0]) if node.op in ("Slice", "Gather") else None
        nodes.append(node)
        if source is None or source.op != "Concat":
            continue
        shapes = [infos[name].shape for name in source.inputs]
        if any(shape is None for shape in shapes):
            continue
        rank = len(shapes[0] or ())
        axis = source.attribute("axis", 0) % rank
        widths = [shape[axis] for shape in shapes if shape is not None]
        known = [width for width in widths if isinstance(width, int)]
        if len(known) != len(widths):
            continue
        wanted = _range(node, infos, axis, rank, sum(known))
        if wanted is None:
            continue
        first = 0
        for part, width in zip(source.inputs, known, strict=True):
            if first <= wanted[0] and wanted[1] <= first + width:
                nodes[-1] = _moved(node, part, wanted[0] - first, wanted[1] - first, axis, constants, infos)
                break
            first += width
    return graph.with_(nodes=tuple(nodes), constants=constants)


def _moved(
    node: Node,
    part: str,
    begin: int,
    end: int,
    axis: int,
    constants: dict[str, Array],
    infos: Mapping[str, Info],
) -> Node:
    base = f"{node.outputs[0]}/part"
    if node.op == "Gather":
        chosen = infos[node.inputs[1]].constant
        assert chosen is not None
        constants[f"{base}/index"] = np.full(chosen.shape, begin, np.int64)
        return replace(node, inputs=(part, f"{base}/index"))
    for role, value in (("start", begin), ("end", end), ("axis", axis)):
        constants[f"{base}/{role}"] = np.asarray([value], np.int64)
    return replace(node, inputs=(part, f"{base}/start", f"{base}/end", f"{base}/axis"))
