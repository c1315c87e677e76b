"""Evaluate what depends on the model alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.bounds import GROWING, is_long
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import known_bytes
from pyrec_infer.passes.common.rewrite import map_bodies

_LARGE = 1 << 20
"""Bytes above which a result is only stored if it is no bigger than what it is made from."""

_MAX_GROWTH = 64 << 20
"""Bytes that all results of a graph may have beyond those that they are made from."""


def _evaluate(
    node: Node, constants: dict[str, Array], outputs: Sequence[Info | None], room: int
) -> list[Array] | None:
    if node.op not in OPS or not node.inputs or node.op in ("Loop", "Scan", "If"):
        return None
    if any(name and name not in constants for name in node.inputs):
        return None
    inputs = [constants[name] if name else None for name in node.inputs]
    given = sum(value.nbytes for value in inputs if value is not None)
    most = max(min(_LARGE, room), given)
    sizes = [0 if info is None else known_bytes(info) for info in outputs]
    if is_long(node, inputs) or sum(size or 0 for size in sizes) > most:
        return None
    if node.op in GROWING and None in sizes:
        return None
    try:
        with np.errstate(all="ignore"):
            results = list(OPS[node.op].evaluate(node, inputs))
    except Exception as error:
        let_interrupts_pass(error)
        # An impossible node may never be reached at run time; if it is, it fails there.
        return None
    if not all(isinstance(value, np.ndarray) for value in results):
        return None
    return results if sum(value.nbytes for value in results) <= most else None


def fold_constants(graph: Graph) -> Graph:
    """Replace nodes whose inputs are all known, and values whose analysis is complete, by constants.

    A result of more than a mebibyte that is bigger than its inputs (a dequantised table, say) is left
    to be computed for the rows that are needed.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Graph, Info, Node
    >>> two = np.float32(2)
    >>> graph = Graph(("x",), ("y",), (Node("Add", ("a", "a"), ("b",)), Node("Mul", ("x", "b"), ("y",))),
    ...               {"a": np.asarray(two)}, {"x": Info(np.dtype(np.float32), (3,))})
    >>> [node.op for node in fold_constants(graph).nodes]
    ['Mul']
    """
    graph = map_bodies(graph, fold_constants)
    infos = analyze(graph).infos
    constants = dict(graph.constants)
    kept: list[Node] = []
    room = _MAX_GROWTH
    for node in graph.nodes:
        known = [infos[name].constant if name else None for name in node.outputs]
        if node.outputs and all(
            value is not None or not name for name, value in zip(node.outputs, known, strict=True)
        ):
            results: list[Array] | None = [np.asarray(value) for value in known]
        else:
            outputs = [infos[name] if name else None for name in node.outputs]
            results = _evaluate(node, constants, outputs, room)
        if results is None:
            kept.append(node)
            continue
        room -= sum(value.nbytes for value in results)
        constants.update((name, value) for name, value in zip(node.outputs, results, strict=True) if name)
    return graph.with_(nodes=tuple(kept), constants=constants)
