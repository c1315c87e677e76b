"""Constants around dense layers folded into them, and other spellings of dense layers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrec_infer.ir import Array, Node, Size, same_size
from pyrec_infer.ops import Trait, has, with_trait
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.rules import Rules, Site, for_ops, joined
from pyrec_infer.passes.load.fuse_dense import in_float32
from pyrec_infer.passes.recognise.concatenations import axis_of_concat, widths
from pyrec_infer.passes.recognise.views import viewed

_F32 = np.dtype(np.float32)
_WIDEST = 1 << 20
"""Numbers of a row up to which a layer's weights are worked with; files may claim any width."""


@dataclass(frozen=True)
class Affine:
    """``source * scale + shift``, one number for each position of the last axis."""

    source: str
    scale: Array
    shift: Array


def _row(value: Array | None, width: int) -> Array | None:
    """A constant that is a number, or a row for all positions, in float64."""
    if value is None or value.size not in (1, width) or (value.size > 1 and value.shape[-1] != width):
        return None
    row = np.broadcast_to(value.reshape(-1).astype(np.float64), (width,))
    return row if np.isfinite(row).all() else None


def affine(node: Node, site: Site) -> Affine | None:
    """A node that applies constants to each position of the last axis, if it is one.

    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2), 0)
    >>> nodes = (Node("Sub", ("two", "x"), ("y",)),)
    >>> graph = Graph(("x",), ("y",), nodes, {"two": np.float32([2])}, {"x": info})
    >>> found = affine(graph.nodes[0], Site(graph))
    >>> found.source, found.scale, found.shift
    ('x', array([-1., -1.]), array([2., 2.]))
    """
    shape = site.shape(node.outputs[0])
    if not shape or not isinstance(shape[-1], int) or site.infos[node.outputs[0]].dtype != _F32:
        return None
    width = shape[-1]
    if width > _WIDEST:
        return None
    if node.op == "BatchNormalization":
        return _normalization(node, width, site)
    if node.op == "Neg":
        return Affine(node.inputs[0], np.full(width, -1.0), np.zeros(width))
    if len(node.inputs) != 2:
        return None
    for place in (0, 1):
        x, row = node.inputs[place], _row(site.known(node.inputs[1 - place]), width)
        if row is None or site.known(x) is not None or not same_shape(site.shape(x), shape):
            continue
        sign = -1.0 if node.op == "Sub" and place == 1 else 1.0
        if node.op in ("Add", "Sub"):
            return Affine(x, np.full(width, sign), -row if node.op == "Sub" and place == 0 else row)
        if node.op == "Mul":
            return Affine(x, row, np.zeros(width))
        if node.op == "Div" and place == 0 and np.all(row != 0) and np.isfinite(1 / row).all():
            return Affine(x, 1 / row, np.zeros(width))
    return None


def _normalization(node: Node, width: int, site: Site) -> Affine | None:
    values = [_row(site.known(name), width) for name in node.inputs[1:5]]
    if any(node.outputs[1:]) or site.infos[node.outputs[0]].rank != 2 or node.attribute("training_mode", 0):
        return None
    if len(values) != 4 or any(value is None for value in values):
        return None
    scale, shift, mean, variance = (value for value in values if value is not None)
    factor = scale / np.sqrt(variance + node.attribute("epsilon", 1e-5))
    return Affine(node.inputs[0], factor, shift - mean * factor) if np.isfinite(factor).all() else None


def _layer(node: Node | None, site: Site) -> tuple[Array, Array] | None:
    """Weights and bias of a dense layer that are constant and finite, in float64."""
    if node is None or node.op != "pyrec.Dense" or node.inputs[1] not in site.constants:
        return None
    weights = site.constants[node.inputs[1]]
    if weights.ndim != 2 or not np.isfinite(weights).all():
        return None
    name = node.inputs[2] if len(node.inputs) > 2 else ""
    bias = _row(site.constants.get(name), weights.shape[1]) if name else np.zeros(weights.shape[1])
    return None if bias is None else (weights.astype(np.float64), bias)


def _dense(x: str, weights: Array, bias: Array, site: Site, activation: str = "") -> str:
    inputs = [x, site.constant(weights, np.float32)]
    if np.any(bias):
        inputs.append(site.constant(bias, np.float32))
    return site.node("pyrec.Dense", *inputs, **({"activation": activation} if activation else {}))


def _folded(x: str, weights: Array, bias: Array, site: Site, activation: str = "") -> str | None:
    """The layer, where its numbers are none that overflow."""
    if in_float32(weights) is None or in_float32(bias) is None:
        return None
    return _dense(x, weights, bias, site, activation)


def scale_inputs(node: Node, site: Site) -> str | None:
    """``(x * s + t) W + b = x (s W) + (t W + b)``, also for a part of a concatenation.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2), 0)
    >>> nodes = (Node("Mul", ("x", "s"), ("a",)), Node("Add", ("a", "s"), ("b",)),
    ...          Node("pyrec.Dense", ("b", "w"), ("y",)))
    >>> constants = {"s": np.float32([3, 4]), "w": np.ones((2, 1), np.float32)}
    >>> made = apply_rules(Graph(("x",), ("y",), nodes, constants, {"x": info}), RULES)
    >>> [made.constants[name].tolist() for name in made.nodes[0].inputs[1:]]
    [[[3.0], [4.0]], [7.0]]
    """
    found = _layer(node, site)
    if found is None:
        return None
    weights, bias = found
    source = site.source(node.inputs[0])
    if source is None:
        return None
    if source.op != "Concat":
        scaled = affine(source, site)
        if scaled is None:
            return None
        parts, rows, first = [scaled.source], [scaled.scale[:, None] * weights], scaled.shift @ weights
    else:
        axis = axis_of_concat(source, site)
        sizes = None if axis is None else widths(source, axis, site)
        if (
            sizes is None
            or axis != (site.infos[node.inputs[0]].rank or 0) - 1
            or not site.alone(node.inputs[0])
        ):
            return None
        parts, rows, first = [], [], np.zeros(weights.shape[1])
        for name, block in zip(source.inputs, np.split(weights, np.cumsum(sizes)[:-1]), strict=True):
            producer = site.source(name)
            scaled = None if producer is None or not site.alone(name) else affine(producer, site)
            parts.append(name if scaled is None else scaled.source)
            rows.append(block if scaled is None else scaled.scale[:, None] * block)
            first = first if scaled is None else first + scaled.shift @ block
        if parts == list(source.inputs):
            return None
    x = site.concat(parts, -1)
    return _folded(x, np.concatenate(rows), bias + first, site, str(node.attribute("activation", "")))


def scale_outputs(node: Node, site: Site) -> str | None:
    """``(x W + b) * s + t = x (W s) + (b s + t)`` where nothing else reads the layer."""
    scaled = affine(node, site)
    source = (
        None if scaled is None or not site.alone(scaled.source) else site.source(scaled.source, "pyrec.Dense")
    )
    found = _layer(source, site)
    if scaled is None or source is None or found is None or source.attribute("activation", ""):
        return None
    weights, bias = found
    return _folded(source.inputs[0], weights * scaled.scale, bias * scaled.scale + scaled.shift, site)


def layer_before_view(node: Node, site: Site) -> str | None:
    """A layer over rows that a view only folds together works on the value as it was.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 5, 2), 0)
    >>> nodes = (Node("Reshape", ("x", "flat"), ("r",)), Node("pyrec.Dense", ("r", "w"), ("y",)))
    >>> constants = {"flat": np.asarray([-1, 2]), "w": np.ones((2, 3), np.float32)}
    >>> [node.op for node in apply_rules(Graph(("x",), ("y",), nodes, constants, {"x": info}), RULES).nodes]
    ['pyrec.Dense', 'Reshape']
    """
    if _layer(node, site) is None or not has(site.source(node.inputs[0]), Trait.VIEW):
        return None
    root = viewed(node.inputs[0], site)
    before, after, shape = site.shape(root), site.shape(node.inputs[0]), site.shape(node.outputs[0])
    if not before or not after or shape is None or len(before) < 2 or not same_size(before[-1], after[-1]):
        return None
    if same_shape(before, after) or (site.infos[root].rows < 0 <= site.infos[node.inputs[0]].rows):
        return None
    return site.reshape(site.node(node.op, root, *node.inputs[1:], **node.attributes), shape)


def weights_on_the_left(node: Node, site: Site) -> str | None:
    """``MatMul(W, x)`` of columns [N, d, 1] is a dense layer of the rows [N, d]."""
    weights, x, shape = site.known(node.inputs[0]), site.shape(node.inputs[1]), site.shape(node.outputs[0])
    if weights is None or weights.ndim != 2 or x is None or len(x) < 3 or shape is None:
        return None
    if not same_size(x[-1], 1) or site.infos[node.inputs[1]].dtype != _F32:
        return None
    rows = site.reshape(node.inputs[1], x[:-1])
    return None if rows is None else site.reshape(_dense(rows, weights.T, np.zeros(1), site), shape)


def einsum_as_layer(node: Node, site: Site) -> str | None:
    """An Einsum that multiplies the last axes of a value with a constant: ``bd,edh->beh``.

    Examples
    --------
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2), 0)
    >>> nodes = (Node("Einsum", ("x", "w"), ("y",), {"equation": "bd,edh->beh"}),)
    >>> graph = Graph(("x",), ("y",), nodes, {"w": np.ones((3, 2, 4), np.float32)}, {"x": info})
    >>> [node.op for node in apply_rules(graph, RULES).nodes]
    ['pyrec.Dense', 'Reshape']
    """
    equation = str(node.attribute("equation", "")).replace(" ", "")
    terms, _, result = equation.partition("->")
    letters = terms.split(",")
    weights = site.known(node.inputs[1]) if len(node.inputs) == 2 else None
    x, shape = site.shape(node.inputs[0]), site.shape(node.outputs[0])
    if weights is None or x is None or shape is None or len(letters) != 2 or "." in equation:
        return None
    left, right = letters
    summed = [letter for letter in left if letter in right]
    batch, free = left[: len(left) - len(summed)], "".join(letter for letter in right if letter not in left)
    if (
        not summed
        or left != batch + "".join(summed)
        or result != batch + free
        or not batch
        or "->" not in equation
    ):
        return None
    if (
        len(set(left)) != len(left)
        or len(set(right)) != len(right)
        or site.infos[node.inputs[0]].dtype != _F32
    ):
        return None
    order = [right.index(letter) for letter in (*summed, *free)]
    count = int(np.prod([weights.shape[right.index(letter)] for letter in summed], dtype=np.int64))
    sizes: list[Size] = [*x[: len(batch)], count]
    rows = site.reshape(node.inputs[0], tuple(sizes))
    matrix = weights.transpose(order).reshape(count, -1)
    return None if rows is None else site.reshape(_dense(rows, matrix, np.zeros(1), site), shape)


RULES: Rules = joined(
    {
        "pyrec.Dense": (layer_before_view, scale_inputs),
        "MatMul": (weights_on_the_left,),
        "Einsum": (einsum_as_layer,),
    },
    for_ops(with_trait(Trait.AFFINE), scale_outputs),
)
