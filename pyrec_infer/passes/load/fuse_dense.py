"""Make one step of a dense layer: product, bias, batch normalisation and activation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.fused import ACTIVATIONS


def is_matrix(weights: Array | None) -> bool:
    """Whether there are weights, as one matrix."""
    return weights is not None and weights.ndim == 2


def in_float32(value: Array) -> Array | None:
    """The numbers rounded; None where one overflows, which the model's own steps may keep in range."""
    with np.errstate(over="ignore"):
        rounded = value.astype(np.float32)
    return rounded if np.array_equal(np.isfinite(value), np.isfinite(rounded)) else None


def has_constant_weights(node: Node, graph: Graph) -> bool:
    """Whether a node is a dense layer with one constant matrix."""
    return node.op == "pyrec.Dense" and is_matrix(graph.constants.get(node.inputs[1]))


def is_layer(node: Node | None, graph: Graph) -> bool:
    """Whether a node is a dense layer ``x W + b`` of constants that has no activation yet."""
    return (
        node is not None
        and has_constant_weights(node, graph)
        and all(not name or name in graph.constants for name in node.inputs[2:])
        and not node.attribute("activation", "")
    )


def _source_layer(node: Node, place: int, graph: Graph) -> Node | None:
    """The dense layer without activation that makes an input which nobody else reads."""
    name = node.inputs[place]
    source = graph.producers.get(name)
    alone = graph.consumers.get(name, ()) == (node,) and name not in graph.outputs
    return source if alone and is_layer(source, graph) else None


def _bias_of(node: Node, constants: Mapping[str, Array], width: int) -> Array:
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    return constants[name].astype(np.float64) if name else np.zeros(width)


def as_layer(node: Node, graph: Graph, infos: Mapping[str, Info], constants: dict[str, Array]) -> Node | None:
    """A MatMul or Gemm of float32 with constant weights."""
    if node.op not in ("MatMul", "Gemm") or node.attribute("transA", 0):
        return None
    x, weights = infos[node.inputs[0]], constants.get(node.inputs[1])
    if weights is None or weights.ndim != 2 or x.dtype != np.float32 or not x.rank or x.rank < 2:
        return None
    base = node.outputs[0]
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    matrix = weights.T if node.attribute("transB", 0) else weights
    multiplied = matrix if alpha == 1.0 else in_float32(matrix * np.float64(alpha))
    if multiplied is None:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 and beta != 0.0 else ""
    inputs = [node.inputs[0], node.inputs[1]]
    if bias:
        value = constants.get(bias)
        if value is None or value.size not in (1, matrix.shape[1]) or value.shape[-1:] != (value.size,):
            return None
        inputs.append(f"{base}/bias")
        scaled = in_float32(value.reshape(-1) * np.float64(beta))
        if scaled is None:
            return None
        constants[inputs[2]] = np.broadcast_to(scaled, matrix.shape[1:])
    if multiplied is not weights:
        inputs[1] = f"{base}/weights"
        constants[inputs[1]] = np.ascontiguousarray(multiplied)
    return Node("pyrec.Dense", tuple(inputs), node.outputs, name=node.name)


def add_bias(node: Node, graph: Graph, infos: Mapping[str, Info], constants: dict[str, Array]) -> Node | None:
    """A constant row that is added to a layer's output."""
    if node.op != "Add" or len(node.inputs) != 2:
        return None
    for place in (0, 1):
        source, value = _source_layer(node, place, graph), constants.get(node.inputs[1 - place])
        if source is None or value is None:
            continue
        width = constants[source.inputs[1]].shape[1]
        # A column of as many numbers belongs to rows, not to the layer's columns.
        fits = value.size == 1 or value.shape[-1] == value.size == width
        if not fits or not same_shape(infos[node.inputs[place]].shape, infos[node.outputs[0]].shape):
            continue
        total = in_float32(_bias_of(source, constants, width) + value.reshape(-1))
        if total is None:
            continue
        bias = f"{node.outputs[0]}/bias"
        constants[bias] = total
        return replace(source, inputs=(*source.inputs[:2], bias), outputs=node.outputs)
    return None


def scale_weights(
    node: Node, graph: Graph, infos: Mapping[str, Info], constants: dict[str, Array]
) -> Node | None:
    """A batch normalisation of a dense layer's output, folded into its weights in float64."""
    source = _source_layer(node, 0, graph) if node.op == "BatchNormalization" else None
    if source is None or infos[node.inputs[0]].rank != 2:
        return None
    if any(node.outputs[1:]) or any(name not in constants for name in node.inputs[1:5]):
        return None
    weights = constants[source.inputs[1]]
    scale, shift, mean, variance = (constants[name].astype(np.float64) for name in node.inputs[1:5])
    if scale.shape != (weights.shape[1],):
        return None
    factor = scale / np.sqrt(variance + node.attribute("epsilon", 1e-5))
    base = node.outputs[0]
    scaled = in_float32(weights * factor)
    bias = in_float32((_bias_of(source, constants, weights.shape[1]) - mean) * factor + shift)
    if scaled is None or bias is None:
        return None
    constants[f"{base}/weights"], constants[f"{base}/bias"] = scaled, bias
    return replace(source, inputs=(source.inputs[0], f"{base}/weights", f"{base}/bias"), outputs=node.outputs)


def activate(node: Node, graph: Graph, infos: Mapping[str, Info], constants: dict[str, Array]) -> Node | None:
    """An activation of a dense layer's output, computed where the layer stores it."""
    source = _source_layer(node, 0, graph) if node.op in ACTIVATIONS else None
    if source is None:
        return None
    return replace(source, outputs=node.outputs, attributes={**source.attributes, "activation": node.op})


RULES: tuple[Callable[[Node, Graph, Mapping[str, Info], dict[str, Array]], Node | None], ...] = (
    as_layer,
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
