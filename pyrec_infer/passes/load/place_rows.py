"""Say which axis of a model's inputs holds the candidates, before the graph is compiled."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyrec_infer.ir import BATCH, Array, Dim, Graph, Info, Node, Rows, has_symbol, same_size
from pyrec_infer.ops.core.inference import analyze


def name_squeezed_axes(graph: Graph) -> Graph:
    """A Squeeze without axes drops those of size 1, but never the rows, not even of a batch of one.

    Where another size is open too, nothing is said: a length of 1 would be dropped by the model.

    Examples
    --------
    >>> info = Info(np.dtype(np.float32), (Dim.symbol(BATCH), 1), 0)
    >>> graph = Graph(("x",), ("y",), (Node("Squeeze", ("x",), ("y",)),), {}, {"x": info})
    >>> named = name_squeezed_axes(graph)
    >>> named.constants[named.nodes[0].inputs[1]].tolist()
    [1]
    """
    for node in graph.nodes:
        if not _names_no_axes(node):
            continue
        # What one Squeeze leaves tells the shapes behind it.
        shape = analyze(graph).infos[node.inputs[0]].shape
        if shape is None or not any(has_symbol(size) for size in shape):
            continue
        if any(isinstance(size, Dim) and not has_symbol(size) for size in shape):
            continue
        axes = [axis for axis, size in enumerate(shape) if isinstance(size, int) and size == 1]
        name = f"{node.outputs[0]}/axes"
        constants: dict[str, Array] = {**graph.constants, name: np.asarray(axes, np.int64)}
        named = Node("Squeeze", (node.inputs[0], name), node.outputs, node.attributes, name=node.name)
        if not axes:
            named = Node("Identity", node.inputs[:1], node.outputs, name=node.name)
            constants = dict(graph.constants)
        nodes = tuple(named if other is node else other for other in graph.nodes)
        graph = graph.with_(nodes=nodes, constants=constants)
    return graph


def open_sizes(graph: Graph, name: str) -> frozenset[str]:
    """The named sizes that are axes of an input."""
    shape = graph.infos[name].shape or ()
    return frozenset(
        size.symbols[0]
        for size in shape
        if isinstance(size, Dim) and size.coefficient == 1 and len(size.symbols) == 1
    )


def move_rows(graph: Graph, symbol: str) -> Graph:
    """The graph with its rows along the axes of another size, and one request along what was the batch.

    Parameters
    ----------
    graph : Graph
        As it was imported.
    symbol : str
        A named size of an input; it becomes the batch.

    Examples
    --------
    >>> info = Info(np.dtype(np.float32), (Dim.symbol(BATCH), Dim.symbol("L")), 0)
    >>> graph = Graph(("x",), ("y",), (Node("Relu", ("x",), ("y",)),), {}, {"x": info})
    >>> moved = move_rows(graph, "L").infos["x"]
    >>> moved.shape, moved.rows
    ((1, N), 1)
    """

    def moved(info: Info) -> Info:
        shape = tuple(
            1
            if same_size(size, Dim.symbol(BATCH))
            else Dim.symbol(BATCH)
            if same_size(size, Dim.symbol(symbol))
            else size
            for size in info.shape or ()
        )
        axes = [axis for axis, size in enumerate(shape) if has_symbol(size)]
        return replace(info, shape=shape, rows=axes[0] if axes else Rows.INVARIANT)

    infos = {name: moved(info) for name, info in graph.infos.items()}
    return graph.with_(infos=infos, static_rows=0)


def fix_rows(graph: Graph, count: int) -> Graph:
    """The graph with rows along the first axes of that size, to be run for that many rows at a time."""
    infos = {
        name: replace(info, rows=0) if info.shape and same_size(info.shape[0], count) else info
        for name, info in graph.infos.items()
    }
    return graph.with_(infos=infos, static_rows=count)


def is_placed(graph: Graph, fixed_rows: int) -> bool:
    """Whether a graph as it was imported serves calls with candidates along its batch as it is.

    What a Squeeze drops may be known only after later steps.
    """
    return not fixed_rows and not any(map(_names_no_axes, graph.nodes))


def _names_no_axes(node: Node) -> bool:
    return node.op == "Squeeze" and len([name for name in node.inputs if name]) == 1


__all__ = ["fix_rows", "is_placed", "move_rows", "name_squeezed_axes", "open_sizes"]
