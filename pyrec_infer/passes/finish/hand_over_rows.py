"""Let layers of lower precision take their input in the form in which they multiply it."""

from __future__ import annotations

from dataclasses import replace

from pyrec_infer.ir import Graph, Node, Rate
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.passes.common.sides import Sides, find_rates
from pyrec_infer.passes.finish.choose_precision import NARROW_LAYERS, precision_of


def _makes_rows(node: Node) -> bool:
    """Whether a backend can make a node's result in the form of its readers."""
    if node.op == "pyrec.LookupSum":
        return node.attribute("activation", "") in ("", "Relu")
    return node.op in NARROW_LAYERS


def handed_over(graph: Graph, sides: Sides) -> dict[str, str]:
    """Matrices of candidates that only layers of one lower precision read, and that precision."""
    analysis = analyze(graph)
    if analysis.coupled:
        return {}
    infos, rates = analysis.infos, find_rates(graph, sides)
    found: dict[str, str] = {}
    for node in graph.nodes:
        name = node.outputs[0]
        if not _makes_rows(node) or rates[name] != Rate.PAIR or name in graph.outputs:
            continue
        shape = infos[name].shape
        if shape is None or len(shape) != 2 or infos[name].rows != 0:
            continue
        readers = graph.consumers.get(name, ())
        precisions = {None if name in reader.inputs[1:] else precision_of(reader) for reader in readers}
        only = precisions.pop() if len(precisions) == 1 else None
        if only is not None:
            found[name] = only
    return found


def hand_over_rows(graph: Graph, sides: Sides) -> Graph:
    """Mark lookups and layers that only layers of one lower precision read, and these.

    A backend may then keep the value in between in a form of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 32), 0)
    >>> nodes = tuple(Node("pyrec.DenseInt8", (x, "w"), (y,)) for x, y in (("x", "a"), ("a", "y")))
    >>> graph = Graph(("x",), ("y",), nodes, {"w": np.eye(32, dtype=np.float32)}, {"x": info})
    >>> [node.attributes for node in hand_over_rows(graph, Sides(frozenset())).nodes]
    [{'rows': 'int8'}, {'features': 32}]
    """
    handed = handed_over(graph, sides)
    infos = analyze(graph).infos
    nodes: list[Node] = []
    for node in graph.nodes:
        more: dict[str, int | str] = {}
        if node.outputs[0] in handed:
            # A layer with a second result says what was measured of its rows where they were made.
            measured = any(len(reader.outputs) > 1 for reader in graph.consumers[node.outputs[0]])
            more["rows"] = "measured" if measured else handed[node.outputs[0]]
        if node.inputs and node.inputs[0] in handed:
            shape = infos[node.inputs[0]].shape or ()
            more["features"] = int(str(shape[1]))
        nodes.append(replace(node, attributes={**node.attributes, **more}) if more else node)
    return graph.with_(nodes=tuple(nodes))
