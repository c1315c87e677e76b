"""Keep the batch an axis of its own through linear layers that exporters apply to flattened rows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node, Rows, Shape, same_size
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import product
from pyrec_infer.passes.load.resolve_sizes import input_symbols, sizes_node


def _target(node: Node, graph: Graph, infos: Mapping[str, Info]) -> Shape | None:
    """The shape that every reader of a Gemm's output gives it back, if they agree."""
    readers = graph.consumers.get(node.outputs[0], ())
    if not readers or node.outputs[0] in graph.outputs:
        return None
    shapes = {infos[reader.outputs[0]].shape for reader in readers}
    flat = infos[node.outputs[0]].shape
    if any(reader.op != "Reshape" for reader in readers) or len(shapes) != 1 or flat is None:
        return None
    shape = shapes.pop()
    if shape is None or len(shape) < 3 or not same_size(shape[-1], flat[-1]):
        return None
    return shape if same_size(product(shape[:-1]), flat[0]) else None


def _is_row(node: Node, infos: Mapping[str, Info]) -> bool:
    """Whether a Gemm adds the same to each row, if anything."""
    shape = infos[node.inputs[2]].shape if len(node.inputs) > 2 and node.inputs[2] else ()
    return shape is not None and (len(shape) < 2 or same_size(shape[0], 1))


def unflatten_products(graph: Graph) -> Graph:
    """``Reshape -> Gemm -> Reshape`` to a matrix product over the last axis of the final shape.

    A Gemm wants two axes, so exporters fold all leading ones into one. Where another axis lies outside
    the batch, the folded one mixes both and its rows can no longer be told apart.
    """
    infos = analyze(graph).infos
    symbols = input_symbols(graph)
    constants: dict[str, Array] = dict(graph.constants)
    nodes: list[Node] = []
    for node in graph.nodes:
        source = graph.producers.get(node.inputs[0]) if node.op == "Gemm" else None
        plain = (
            node.op == "Gemm"
            and not node.attribute("transA", 0)
            and node.attribute("alpha", 1.0) == node.attribute("beta", 1.0) == 1.0
            and _is_row(node, infos)
        )
        weights = constants.get(node.inputs[1]) if node.op == "Gemm" else None
        shape = (
            _target(node, graph, infos) if source is not None and source.op == "Reshape" and plain else None
        )
        flat = infos[node.inputs[0]] if shape is not None else None
        # Rows that can be told apart stay one matrix product, which is faster.
        if weights is None or shape is None or source is None or flat is None or flat.rows != Rows.OPAQUE:
            nodes.append(node)
            continue
        if not symbols(shape):
            nodes.append(node)
            continue
        base = node.outputs[0]
        matrix = weights.T if node.attribute("transB", 0) else weights
        constants[f"{base}/weights"] = np.ascontiguousarray(matrix)
        sizes = np.empty(len(shape), object)
        sizes[:] = [*shape[:-1], matrix.shape[0]]
        nodes.append(sizes_node(sizes, f"{base}/sizes", node.name))
        nodes.append(Node("Reshape", (source.inputs[0], f"{base}/sizes"), (f"{base}/rows",), name=node.name))
        biased = len(node.inputs) > 2 and bool(node.inputs[2])
        result = f"{base}/product" if biased else base
        nodes.append(Node("MatMul", (f"{base}/rows", f"{base}/weights"), (result,), name=node.name))
        if biased:
            nodes.append(Node("Add", (result, node.inputs[2]), (base,), name=node.name))
    return graph.with_(nodes=tuple(nodes), constants=constants)
