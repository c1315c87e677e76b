"""Let reshapes meet the products they belong to, where numbers are quantised in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pyrec_infer.ir import Graph, Info, Node, Rows, same_size
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.ops.core.shapes import product
from pyrec_infer.passes.common.writer import Writer

_ROUNDS = ("QuantizeLinear", "DequantizeLinear")


def _is_one_by_one(node: Node | None, op: str, infos: Mapping[str, Info]) -> bool:
    """Whether a node does the same to each number of a value, of whatever shape."""
    if node is None or node.op != op:
        return False
    shapes = [infos[name].shape for name in node.inputs[1:] if name]
    return all(shape is not None and len(shape) < 2 and same_size(product(shape), 1) for shape in shapes)


def _rounded(name: str, graph: Graph, infos: Mapping[str, Info]) -> tuple[Node, Node] | None:
    """The two nodes that quantise a value and read it back, if they made this one."""
    last = graph.producers.get(name)
    if last is None or not _is_one_by_one(last, _ROUNDS[1], infos):
        return None
    first = graph.producers.get(last.inputs[0])
    return (first, last) if first is not None and _is_one_by_one(first, _ROUNDS[0], infos) else None


def _in_front(node: Node, graph: Graph, infos: Mapping[str, Info]) -> tuple[Node, Node, Node] | None:
    """The reshape that folds axes for a product, and the two nodes in between."""
    pair = _rounded(node.inputs[0], graph, infos)
    if pair is None or infos[node.inputs[0]].rows != Rows.OPAQUE:
        return None
    view = graph.producers.get(pair[0].inputs[0])
    return (view, *pair) if view is not None and view.op == "Reshape" else None


def _behind(
    node: Node, graph: Graph, infos: Mapping[str, Info]
) -> tuple[Node, Node, tuple[Node, ...]] | None:
    """The two nodes behind a product, and the reshapes that alone read what they make."""
    readers = graph.consumers.get(node.outputs[0], ())
    if len(readers) != 1 or node.outputs[0] in graph.outputs:
        return None
    seconds = graph.consumers.get(readers[0].outputs[0], ())
    if len(seconds) != 1 or readers[0].outputs[0] in graph.outputs:
        return None
    pair = _rounded(seconds[0].outputs[0], graph, infos)
    views = graph.consumers.get(seconds[0].outputs[0], ())
    if pair is None or pair != (readers[0], seconds[0]) or seconds[0].outputs[0] in graph.outputs:
        return None
    if pair[0].inputs[0] != node.outputs[0] or any(view.op != "Reshape" for view in views):
        return None
    return (*pair, views)


def _round_again(writer: Writer, pair: tuple[Node, Node], value: str, result: str) -> str:
    """The same two nodes over another value."""
    first, last = pair
    whole = writer.add(replace(first, inputs=(value, *first.inputs[1:]), outputs=(writer.fresh(),)))
    return writer.add(replace(last, inputs=(whole, *last.inputs[1:]), outputs=(result,)))


def expose_products(graph: Graph) -> Graph:
    """``Reshape -> round -> Gemm -> round -> Reshape`` to ``round -> Reshape -> Gemm -> Reshape -> round``.

    To round to a few bits and back changes each number by itself, so it is the same before a reshape and
    behind it. Only products of rows that cannot be told apart are exposed: `unflatten_products` takes the
    reshapes away there.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import BATCH, Dim
    >>> from pyrec_infer.passes.clean.remove_dead import remove_dead
    >>> given = {"x": Info(np.dtype(np.float32), (3, Dim.symbol(BATCH), 4), rows=1)}
    >>> known = {"s": np.float32(0.1), "z": np.uint8(7), "w": np.ones((4, 2), np.float32)}
    >>> known |= {"flat": np.asarray([-1, 4]), "back": np.asarray([3, -1, 2])}
    >>> nodes = (Node("Reshape", ("x", "flat"), ("r",)), Node("QuantizeLinear", ("r", "s", "z"), ("q",)),
    ...          Node("DequantizeLinear", ("q", "s", "z"), ("d",)), Node("Gemm", ("d", "w"), ("p",)),
    ...          Node("Reshape", ("p", "back"), ("y",)))
    >>> exposed = expose_products(Graph(("x",), ("y",), nodes, known, given))
    >>> [node.op for node in remove_dead(exposed).nodes]
    ['QuantizeLinear', 'DequantizeLinear', 'Reshape', 'Gemm', 'Reshape']
    """
    if not any(node.op == _ROUNDS[0] for node in graph.nodes):
        return graph
    infos = analyze(graph).infos
    writer, dropped, views = Writer(taken=infos), set[Node](), dict[Node, tuple[Node, Node, str]]()
    for node in graph.nodes:
        if node.op != "Gemm":
            continue
        front = _in_front(node, graph, infos)
        back = _behind(node, graph, infos) if infos[node.inputs[0]].rows == Rows.OPAQUE else None
        if back is not None:
            dropped.update(back[:2])
            views.update((view, (back[0], back[1], node.outputs[0])) for view in back[2])
        # A reshape between two products has gone to the one in front of it, and what it read with it.
        if front is not None and front[0] not in views:
            views[front[2]] = (front[1], front[2], "")
    for node in graph.nodes:
        if node in dropped:
            continue
        if node not in views:
            writer.add(node)
            continue
        first, last, product_ = views[node]
        writer.begin(node.outputs[0], node.name)
        if product_:
            view = replace(node, inputs=(product_, *node.inputs[1:]), outputs=(writer.fresh(),))
            _round_again(writer, (first, last), writer.add(view), node.outputs[0])
        else:
            view = graph.producers[first.inputs[0]]
            value = _round_again(writer, (first, last), view.inputs[0], writer.fresh())
            writer.add(replace(view, inputs=(value, *view.inputs[1:]), outputs=node.outputs))
    return graph.with_(nodes=tuple(writer.nodes))
