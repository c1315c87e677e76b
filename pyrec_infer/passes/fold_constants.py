"""Evaluate what depends on the model alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.ops import OPS
from pyrec_infer.ops.inference import analyze
from pyrec_infer.ops.shapes import product
from pyrec_infer.passes.rewrite import map_bodies

_LARGE = 1 << 20
"""Bytes above which a result is only stored if it is no bigger than what it is made from."""

_LIMIT = 1 << 31
"""Bytes above which a result is not even computed."""


def _too_large(info: Info | None) -> bool:
    """Whether a result must not even be computed."""
    if info is None or info.shape is None or info.dtype is None:
        return False
    size = product(info.shape)
    return not isinstance(size, int) or size * max(info.dtype.itemsize, 1) > _LIMIT


def _evaluate(node: Node, constants: dict[str, Array], outputs: Sequence[Info | None]) -> list[Array] | None:
    if node.op not in OPS or not node.inputs or node.op in ("Loop", "Scan", "If"):
        return None
    if any(name and name not in constants for name in node.inputs):
        return None
    inputs = [constants[name] if name else None for name in node.inputs]
    if any(map(_too_large, outputs)):
        return None
    try:
        with np.errstate(all="ignore"):
            results = list(OPS[node.op].evaluate(node, inputs))
    except Exception:
        # An impossible node may never be reached at run time; if it is, it fails there.
        return None
    if not all(isinstance(value, np.ndarray) for value in results):
        return None
    made = sum(value.nbytes for value in results)
    given = sum(value.nbytes for value in inputs if value is not None)
    return results if made <= max(_LARGE, given) else None


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
    for node in graph.nodes:
        known = [infos[name].constant if name else None for name in node.outputs]
        if node.outputs and all(
            value is not None or not name for name, value in zip(node.outputs, known, strict=True)
        ):
            results: list[Array] | None = [np.asarray(value) for value in known]
        else:
            results = _evaluate(node, constants, [infos[name] if name else None for name in node.outputs])
        if results is None:
            kept.append(node)
            continue
        constants.update((name, value) for name, value in zip(node.outputs, results, strict=True) if name)
    return graph.with_(nodes=tuple(kept), constants=constants)
