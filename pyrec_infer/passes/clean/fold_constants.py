"""Evaluate what depends on the model alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node, bytes_of
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.bounds import GROWING, evaluate_within, is_long
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import known_bytes
from pyrec_infer.passes.common.rewrite import map_bodies

_LARGE = 1 << 20
"""Bytes above which a result is only stored if it is no bigger than what it is made from."""

_MAX_GROWTH = 24 << 20
"""Bytes that all results of a graph may take beyond as many as its constants have."""


def _evaluate(
    node: Node, constants: dict[str, Array], outputs: Sequence[Info | None], room: int
) -> list[Array] | None:
    if node.op not in OPS or not node.inputs or node.op in ("Loop", "Scan", "If"):
        return None
    if any(name and name not in constants for name in node.inputs):
        return None
    inputs = [constants[name] if name else None for name in node.inputs]
    given = sum(bytes_of(value) for value in inputs if value is not None)
    most = max(min(_LARGE, room), given)
    sizes = [0 if info is None else known_bytes(info) for info in outputs]
    if is_long(node, inputs) or sum(size or 0 for size in sizes) > most:
        return None
    if node.op in GROWING and None in sizes:
        return None
    # An impossible node may never be reached at run time; if it is, it fails there.
    return evaluate_within(node, inputs, most)


def _own_bytes(value: Array) -> int:
    """What an array takes beside others: a view takes nothing, unless it repeats elements."""
    return bytes_of(value) if value.base is None or 0 in value.strides else 0


class _Constants:
    """What is known of a graph, and how much memory it may still take.

    Attributes
    ----------
    values : dict of str to ndarray
    room : int
        Bytes.
    """

    def __init__(self, graph: Graph) -> None:
        self.values = dict(graph.constants)
        self.room = _MAX_GROWTH + sum(map(_own_bytes, self.values.values()))
        self._readers = Counter(name for node in graph.nodes for name in {*node.inputs})
        self._readers.update(graph.outputs)

    def replace(self, node: Node, results: Sequence[Array]) -> bool:
        """Hold a node's results, and let go of what nothing else reads; False where there is no room."""
        last = [name for name in {*node.inputs} & self.values.keys() if self._readers[name] == 1]
        named = [
            (name, value)
            for name, value in zip(node.outputs, results, strict=True)
            if name and self._readers[name]
        ]
        taken = sum(_own_bytes(value) for _, value in named)
        # A view keeps the memory of what it was made from.
        shared = any(value.base is not None for _, value in named)
        freed = 0 if shared else sum(_own_bytes(self.values[name]) for name in last)
        if taken > self.room + freed:
            return False
        self.room += freed - taken
        self.values.update(named)
        self._readers.subtract({*node.inputs})
        for name in last:
            del self.values[name]
        return True


def fold_constants(graph: Graph) -> Graph:
    """Replace nodes whose inputs are all known, and values whose analysis is complete, by constants.

    A result of more than a mebibyte that is bigger than its inputs (a dequantised table, say) is left
    to be computed for the rows that are needed. All results take no more memory than the graph's
    constants and 24 mebibytes.

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
    constants = _Constants(graph)
    kept: list[Node] = []
    for node in graph.nodes:
        known = [infos[name].constant if name else None for name in node.outputs]
        if node.outputs and all(
            value is not None or not name for name, value in zip(node.outputs, known, strict=True)
        ):
            results: list[Array] | None = [np.asarray(value) for value in known]
        else:
            outputs = [infos[name] if name else None for name in node.outputs]
            results = _evaluate(node, constants.values, outputs, constants.room)
        if results is None or not constants.replace(node, results):
            kept.append(node)
    return graph.with_(nodes=tuple(kept), constants=constants.values)
