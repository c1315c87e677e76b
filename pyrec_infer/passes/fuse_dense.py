"""Make one Gemm of a dense layer: product, bias, batch normalisation and activation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.ops.inference import analyze

_ACTIVATIONS = ("Relu", "Sigmoid", "Tanh")


def _plain(node: Node | None) -> bool:
    """Whether a node is ``x W + b`` without scaling or activation."""
    return (
        node is not None
        and node.op == "Gemm"
        and node.attribute("alpha", 1.0) == node.attribute("beta", 1.0) == 1.0
        and not node.attribute("transA", 0)
        and not node.attribute("activation", "")
    )


def _only_reader(graph: Graph, name: str) -> Node | None:
    readers = graph.consumers.get(name, ())
    return readers[0] if len(readers) == 1 and name not in graph.outputs else None


def _bias_of(node: Node, constants: Mapping[str, Array], width: int) -> Array | None:
    if len(node.inputs) < 3 or not node.inputs[2]:
        return np.zeros(width, np.float64)
    bias = constants.get(node.inputs[2])
    if bias is None or bias.size not in (1, width) or bias.ndim > 2:
        return None
    return np.broadcast_to(bias.astype(np.float64).reshape(-1), (width,))


def add_bias(node: Node, graph: Graph, infos: Mapping[str, Info], constants: dict[str, Array]) -> Node | None:
    """``MatMul(x, W) + b`` of two axes with constant W and b as a Gemm."""
    if node.op != "Add" or len(node.inputs) != 2:
        return None
    for product, bias in (node.inputs, node.inputs[::-1]):
        source, value = graph.producers.get(product), constants.get(bias)
        if (
            source is None
            or value is None
            or source.op != "MatMul"
            or _only_reader(graph, product) is not node
        ):
            continue
        weights, x = constants.get(source.inputs[1]), infos[source.inputs[0]]
        if weights is None or weights.ndim != 2 or x.rank != 2 or value.size != weights.shape[1]:
            continue
        if value.ndim > 2 or value.shape[-1:] != (weights.shape[1],):
            continue
        return Node("Gemm", (*source.inputs, bias), node.outputs, name=source.name)
    return None


def scale_weights(
    node: Node, graph: Graph, infos: Mapping[str, Info], constants: dict[str, Array]
) -> Node | None:
    """A batch normalisation of a dense layer's output, folded into its weights in float64."""
    source = graph.producers.get(node.inputs[0]) if node.op == "BatchNormalization" else None
    if source is None or not _plain(source) or _only_reader(graph, node.inputs[0]) is not node:
        return None
    if any(node.outputs[1:]) or any(name not in constants for name in (source.inputs[1], *node.inputs[1:5])):
        return None
    weights = constants[source.inputs[1]]
    axis = 0 if source.attribute("transB", 0) else 1
    scale, shift, mean, variance = (constants[name].astype(np.float64) for name in node.inputs[1:5])
    bias = _bias_of(source, constants, weights.shape[axis])
    if bias is None or scale.shape != (weights.shape[axis],):
        return None
    factor = scale / np.sqrt(variance + node.attribute("epsilon", 1e-5))
    base = node.outputs[0]
    columns = factor[:, None] if axis == 0 else factor
    constants[f"{base}/weights"] = (weights * columns).astype(weights.dtype)
    constants[f"{base}/bias"] = ((bias - mean) * factor + shift).astype(weights.dtype)
    return replace(source, inputs=(source.inputs[0], f"{base}/weights", f"{base}/bias"), outputs=node.outputs)


def activate(node: Node, graph: Graph, infos: Mapping[str, Info], constants: dict[str, Array]) -> Node | None:
    """An activation of a dense layer's output, computed where the layer stores it."""
    source = graph.producers.get(node.inputs[0]) if node.op in _ACTIVATIONS else None
    if source is None or not _plain(source) or _only_reader(graph, node.inputs[0]) is not node:
        return None
    if infos[node.inputs[0]].dtype != np.float32:
        return None  # only the float32 kernel has activations
    return replace(source, outputs=node.outputs, attributes={**source.attributes, "activation": node.op})


RULES: tuple[Callable[[Node, Graph, Mapping[str, Info], dict[str, Array]], Node | None], ...] = (
    add_bias,
    scale_weights,
    activate,
)
"""Each gives the node that stands for a node and the layer it reads, or None."""


def fuse_dense(graph: Graph) -> Graph:
    """Apply each rule to every node; the layer that was fused is left for the removal of dead nodes.

    Examples
    --------
    >>> info = Info(np.dtype(np.float32), (4, 2))
    >>> nodes = (Node("Gemm", ("x", "w"), ("g",)), Node("Relu", ("g",), ("y",)))
    >>> graph = Graph(("x",), ("y",), nodes, {"w": np.ones((2, 3), np.float32)}, {"x": info})
    >>> fuse_dense(graph).producers["y"].attributes["activation"]
    'Relu'
    """
    infos = analyze(graph).infos
    for rule in RULES:
        constants = dict(graph.constants)
        nodes = []
        for node in graph.nodes:
            fused = rule(node, graph, infos, constants)
            nodes.append(node if fused is None else fused)
        graph = graph.with_(nodes=tuple(nodes), constants=constants)
    return graph
