"""Compute one column of a value instead of all of them."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Graph, Node
from pyrec_infer.ops import Trait, has
from pyrec_infer.passes.common.rules import Rules, Site, apply_rules
from pyrec_infer.passes.load.take_from_parts import take_from_parts


def _position(node: Node, site: Site) -> int | None:
    """The position that a Gather reads along the last axis of a matrix, if it is one that is known."""
    chosen, shape = site.known(node.inputs[1]), site.shape(node.inputs[0])
    if shape is None or len(shape) != 2 or node.attribute("axis", 0) % 2 != 1:
        return None
    if chosen is None or chosen.ndim != 0 or not isinstance(shape[1], int):
        return None
    position = int(chosen)
    return position % shape[1] if -shape[1] <= position < shape[1] else None


def _of_layer(node: Node, site: Site) -> str | None:
    """A column of a dense layer's output needs one column of its weights."""
    layer = site.source(node.inputs[0], "pyrec.Dense")
    position = _position(node, site)
    if layer is None or position is None or not site.alone(node.inputs[0]):
        return None
    weights = site.constants.get(layer.inputs[1])
    bias = site.constants.get(layer.inputs[2]) if len(layer.inputs) > 2 and layer.inputs[2] else None
    biased = len(layer.inputs) > 2 and bool(layer.inputs[2])
    if weights is None or weights.ndim != 2 or weights.shape[1] == 1:
        return None
    if biased and (bias is None or bias.shape != weights.shape[1:]):
        return None
    inputs = [layer.inputs[0], site.constant(weights[:, position : position + 1], np.float32)]
    if bias is not None:
        inputs.append(site.constant(bias[position : position + 1], np.float32))
    made = site.node("pyrec.Dense", *inputs, **layer.attributes)
    return site.node("Reshape", made, site.constant([-1], np.int64))


def _of_elementwise(node: Node, site: Site) -> str | None:
    """A column of an elementwise function is the function of a column."""
    function = site.source(node.inputs[0])
    if function is None or len(function.inputs) != 1 or not has(function, Trait.ELEMENTWISE):
        return None
    if _position(node, site) is None or not site.alone(node.inputs[0]):
        return None
    column = site.node("Gather", function.inputs[0], node.inputs[1], axis=1)
    return site.node(function.op, column, **function.attributes)


_RULES: Rules = {"Gather": (_of_layer, _of_elementwise)}


def take_columns(graph: Graph) -> Graph:
    """Where one column of a matrix is read and nothing else of it, compute that column only.

    Examples
    --------
    >>> from pyrec_infer.ir import BATCH, Dim, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol(BATCH), 4), 0)
    >>> nodes = (Node("pyrec.Dense", ("x", "w"), ("d",)), Node("Gather", ("d", "i"), ("y",), {"axis": 1}))
    >>> constants = {"w": np.ones((4, 3), np.float32), "i": np.asarray(2)}
    >>> made = take_columns(Graph(("x",), ("y",), nodes, constants, {"x": info}))
    >>> made.constants[made.nodes[0].inputs[1]].shape
    (4, 1)
    """
    for _ in range(4):
        before = graph
        graph = take_from_parts(apply_rules(graph, _RULES))
        if graph.nodes == before.nodes:
            break
    return graph
