"""Keep the batch an axis of its own through linear layers that exporters apply to flattened rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pyrec_infer.ir import Array, Graph, Info, Node, Rows, Shape, same_size
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import product
from pyrec_infer.passes.load.resolve_sizes import input_symbols, sizes_node


def _target(node: Node, graph: Graph, infos: Mapping[str, Info]) -> Shape | None:
    """The shape that every reader of a product gives it back, if they agree."""
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


_QUANTIZED = "com.microsoft.QGemm"


def _is_row(node: Node, place: int, infos: Mapping[str, Info]) -> bool:
    """Whether a product adds the same to each row, if anything."""
    given = len(node.inputs) > place and node.inputs[place]
    shape = infos[node.inputs[place]].shape if given else ()
    return shape is not None and (len(shape) < 2 or same_size(shape[0], 1))


def _weights(node: Node, constants: Mapping[str, Array], infos: Mapping[str, Info]) -> Array | None:
    """The right operand, as it is multiplied, of a product of rows with what the file holds."""
    if node.attribute("transA", 0) or node.op not in ("Gemm", _QUANTIZED):
        return None
    quantized = node.op == _QUANTIZED
    if not _is_row(node, 6 if quantized else 2, infos):
        return None
    if quantized and any(name and name not in constants for name in node.inputs[1:]):
        return None
    if not quantized and not node.attribute("alpha", 1.0) == node.attribute("beta", 1.0) == 1.0:
        return None
    weights = constants.get(node.inputs[3 if quantized else 1])
    return weights.T if weights is not None and node.attribute("transB", 0) else weights


def _with_bias(node: Node, rows: str, base: str) -> list[Node]:
    """A product of floats over the last axis, and the bias."""
    biased = len(node.inputs) > 2 and bool(node.inputs[2])
    result = f"{base}/product" if biased else base
    made = [Node("MatMul", (rows, f"{base}/weights"), (result,), name=node.name)]
    if biased:
        made.append(Node("Add", (result, node.inputs[2]), (base,), name=node.name))
    return made


def _with_scales(node: Node, rows: str, base: str, constants: dict[str, Array]) -> list[Node]:
    """A product of integers over the last axis, scaled and rounded in the operator's own order."""
    names = [*node.inputs, *[""] * (9 - len(node.inputs))]
    scale, column, bias, step = (constants.get(names[place]) for place in (1, 4, 6, 7))
    assert scale is not None
    assert column is not None
    factor = np.float32(node.attribute("alpha", 1.0)) * scale.reshape(()).astype(np.float32)
    factor = factor * column.reshape(-1).astype(np.float32)
    constants[f"{base}/factor"] = factor if step is None else factor / step.reshape(()).astype(np.float32)
    sums, scaled = f"{base}/sums", base if step is None else f"{base}/scaled"
    operands = (rows, f"{base}/weights", names[2], names[5])
    made = [Node("MatMulInteger", operands, (sums,), name=node.name)]
    if bias is not None:
        constants[f"{base}/bias"] = bias.astype(np.int32)
        made.append(Node("Add", (sums, f"{base}/bias"), (f"{base}/biased",), name=node.name))
        sums = f"{base}/biased"
    made.append(Node("Cast", (sums,), (f"{base}/floats",), {"to": "float32"}, name=node.name))
    made.append(Node("Mul", (f"{base}/floats", f"{base}/factor"), (scaled,), name=node.name))
    if step is not None:
        constants[f"{base}/one"] = np.asarray(1, np.float32)
        made.append(Node("QuantizeLinear", (scaled, f"{base}/one", names[8]), (base,), name=node.name))
    return made


def _folded(name: str, graph: Graph, infos: Mapping[str, Info]) -> tuple[Node | None, Node | None]:
    """The reshape that folds axes for a product, and what quantises each number of it in between, if any."""
    source = graph.producers.get(name)
    rounds = source if source is not None and source.op == "QuantizeLinear" else None
    if rounds is not None:
        sizes = [infos[other].shape for other in rounds.inputs[1:] if other]
        alike = all(shape is not None and same_size(product(shape), 1) for shape in sizes)
        source = graph.producers.get(rounds.inputs[0]) if alike else None
    return (source if source is not None and source.op == "Reshape" else None), rounds


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
        matrix = _weights(node, constants, infos)
        source, rounds = (None, None) if matrix is None else _folded(node.inputs[0], graph, infos)
        shape = _target(node, graph, infos) if source is not None else None
        flat = infos[node.inputs[0]] if shape is not None else None
        # Rows that can be told apart stay one matrix product, which is faster.
        if matrix is None or shape is None or source is None or flat is None or flat.rows != Rows.OPAQUE:
            nodes.append(node)
            continue
        if not symbols(shape):
            nodes.append(node)
            continue
        base = node.outputs[0]
        constants[f"{base}/weights"] = np.ascontiguousarray(matrix)
        sizes = np.empty(len(shape), object)
        sizes[:] = [*shape[:-1], matrix.shape[0]]
        nodes.append(sizes_node(sizes, f"{base}/sizes", node.name))
        nodes.append(Node("Reshape", (source.inputs[0], f"{base}/sizes"), (f"{base}/rows",), name=node.name))
        quantized, rows = node.op == _QUANTIZED, f"{base}/rows"
        if rounds is not None:
            rows = f"{base}/rounded"
            nodes.append(replace(rounds, inputs=(f"{base}/rows", *rounds.inputs[1:]), outputs=(rows,)))
        nodes += _with_scales(node, rows, base, constants) if quantized else _with_bias(node, rows, base)
    return graph.with_(nodes=tuple(nodes), constants=constants)
