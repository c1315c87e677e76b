"""Fourier transforms of a fixed length as the products that they are, which every backend has."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.spectral import transformed_axis
from pyrec_infer.passes.common.writer import Writer

_MOST = 1 << 20
"""Numbers of a matrix; longer transforms are worked out as they are."""


def _matrix(node: Node, infos: Mapping[str, Info]) -> Array | None:
    """What the axis and the last one, as one, are multiplied with; shape [T, C, K, E]."""
    data, made = infos[node.inputs[0]], infos[node.outputs[0]]
    inputs = [infos[name] if name else None for name in node.inputs]
    axis = transformed_axis(node, inputs)
    if axis is None or data.shape is None or made.shape is None or data.dtype is None:
        return None
    sizes = (data.shape[axis], data.shape[-1], made.shape[axis], made.shape[-1])
    known = [size for size in sizes if isinstance(size, int)]
    if len(known) != len(sizes) or 0 in known or np.prod(known, dtype=object) > _MOST:
        return None
    length = inputs[1].constant if len(inputs) > 1 and inputs[1] is not None else None
    unit = np.eye(known[0] * known[1]).reshape(-1, known[0], known[1])
    (rows,) = OPS["DFT"].evaluate(node, [unit, length, np.asarray(1)])
    return np.asarray(rows, data.dtype).reshape(known)


def expand_transforms(graph: Graph) -> Graph:
    """``DFT`` along an axis of a known size to a product with a constant matrix.

    A transform is linear, so its matrix is what it makes of the unit vectors.

    Examples
    --------
    >>> from pyrec_infer.ir import BATCH, Dim
    >>> infos = {"x": Info(np.dtype(np.float32), (Dim.symbol(BATCH), 6, 4, 1), rows=0)}
    >>> nodes = (Node("DFT", ("x", "", "axis"), ("y",), {"onesided": 1}),)
    >>> made = expand_transforms(Graph(("x",), ("y",), nodes, {"axis": np.asarray(1)}, infos))
    >>> [node.op for node in made.nodes], analyze(made).infos["y"].shape
    (['Transpose', 'Reshape', 'MatMul', 'Reshape', 'Transpose'], (N, 4, 4, 2))
    """
    if not any(node.op == "DFT" for node in graph.nodes):
        return graph
    infos = analyze(graph).infos
    writer = Writer(taken=infos)
    for node in graph.nodes:
        matrix = _matrix(node, infos) if node.op == "DFT" else None
        if matrix is None:
            writer.add(node)
            continue
        writer.begin(node.outputs[0], node.name)
        rank = infos[node.inputs[0]].rank or 0
        axis = transformed_axis(node, [infos[name] if name else None for name in node.inputs]) or 0
        size, parts, bins, made = matrix.shape
        order = [*(place for place in range(rank) if place not in (axis, rank - 1)), axis, rank - 1]
        kept = [0] * (rank - 2)
        turned = writer.node("Transpose", node.inputs[0], perm=tuple(order))
        joined = writer.node("Reshape", turned, writer.constant([*kept, size * parts], np.int64))
        weights = writer.constant(matrix.reshape(size * parts, bins * made))
        product = writer.node("MatMul", joined, weights)
        split = writer.node("Reshape", product, writer.constant([*kept, bins, made], np.int64))
        back = tuple(int(place) for place in np.argsort(order))
        writer.add(Node("Transpose", (split,), node.outputs, {"perm": back}, name=node.name))
    return graph.with_(nodes=tuple(writer.nodes), constants={**graph.constants, **writer.constants})
