"""Drop the inputs that no run of a graph needs."""

from __future__ import annotations

from pyrec_infer.ir import Dim, Graph
from pyrec_infer.passes.load.resolve_sizes import named_sizes


def drop_inputs(graph: Graph) -> Graph:
    """Keep the inputs whose elements or whose sizes are read.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Info, Node
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"),), 0)
    >>> graph = Graph(("x", "z"), ("y",), (Node("Neg", ("x",), ("y",)),), {}, {"x": info, "z": info})
    >>> drop_inputs(graph).inputs
    ('x',)
    """
    used = {name for node in graph.nodes for name in node.inputs} | set(graph.outputs)
    sizes = {symbol for node in graph.nodes for symbol in named_sizes(node)}

    def symbols(name: str) -> set[str]:
        shape = graph.infos[name].shape or ()
        return {symbol for size in shape if isinstance(size, Dim) for symbol in size.symbols}

    for name in sorted(graph.inputs, key=lambda name: name not in used):
        if name in used or symbols(name) & sizes:
            used.add(name)
            sizes -= symbols(name)
    return graph.with_(inputs=tuple(name for name in graph.inputs if name in used))
