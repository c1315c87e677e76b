"""Products of pairs of elements of two values, made in the order in which they are read."""

from __future__ import annotations

from collections.abc import Sequence

from pyrec_infer.ir import Node, Shape, same_size
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.linear_algebra import parse_einsum
from pyrec_infer.passes.common.rules import Rules, Site
from pyrec_infer.passes.recognise.transposes import order_of


def _placed(name: str, shape: Shape, order: Sequence[int], site: Site) -> str | None:
    """A value in another shape of as many elements, with the axes of that shape in another order."""
    kept = [axis for axis in order if not same_size(shape[axis], 1)]
    plain = sorted(kept)
    value = site.reshape(name, tuple(shape[axis] for axis in plain))
    if value is None:
        return None
    if kept != plain:
        value = site.node("Transpose", value, perm=tuple(plain.index(axis) for axis in kept))
    return site.reshape(value, tuple(shape[axis] for axis in order))


def einsum_as_product(node: Node, site: Site) -> str | None:
    """An Einsum of two values that adds nothing up: ``bhd,bmd->bhmd``.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> n = Dim.symbol("N")
    >>> infos = {name: Info(np.dtype(np.float32), (n, size, 4), 0) for name, size in (("x", 2), ("y", 3))}
    >>> nodes = (Node("Einsum", ("x", "y"), ("z",), {"equation": "bhd,bmd->bhmd"}),)
    >>> made = apply_rules(Graph(("x", "y"), ("z",), nodes, {}, infos), RULES)
    >>> [node.op for node in made.nodes]
    ['Reshape', 'Reshape', 'Mul']
    """
    shapes = [site.shape(name) for name in node.inputs]
    known = [shape for shape in shapes if shape is not None]
    if len(known) != 2 or len(shapes) != 2 or site.coupled(node):
        return None
    terms, result = parse_einsum(node, [len(shape) for shape in known])
    if any(len(set(term)) != len(term) for term in terms) or set(result) != set("".join(terms)):
        return None
    views = []
    for name, term, shape in zip(node.inputs, terms, known, strict=True):
        axes = term + "".join(letter for letter in result if letter not in term)
        wide = (*shape, *(1,) * (len(axes) - len(term)))
        views.append(_placed(name, wide, [axes.index(letter) for letter in result], site))
    left, right = views
    return None if left is None or right is None else site.node("Mul", left, right)


def _merged_axes(before: Shape, after: Shape) -> list[range] | None:
    """The axes that lie together on each axis of another shape; None if some are cut."""
    found, begin = [], 0
    for size in after:
        end = begin
        if begin < len(before) and same_size(before[begin], size):
            end += 1
        elif not isinstance(size, int):
            return None
        else:
            count = 1
            while count != size and end < len(before) and isinstance(factor := before[end], int):
                count *= factor
                end += 1
            if count != size:
                return None
        found.append(range(begin, end))
        begin = end
    return found if begin == len(before) else None


def product_in_order(node: Node, site: Site) -> str | None:
    """A transposed product of values that are both smaller than it: they are transposed in its place.

    A Reshape between the two may lay axes together, as where a convolution of width 1 reads the pairs.
    """
    order = order_of(node, site)
    view = site.source(node.inputs[0], "Reshape")
    name = node.inputs[0] if view is None else view.inputs[0]
    product, whole, shape = site.source(name, "Mul"), site.shape(name), site.shape(node.inputs[0])
    if order is None or product is None or whole is None or shape is None or site.coupled(product):
        return None
    merged = _merged_axes(whole, shape)
    if merged is None or not site.alone(name) or not site.alone(node.inputs[0]):
        return None
    axes = [axis for place in order for axis in merged[place]]
    views = []
    for item in product.inputs:
        own = site.shape(item)
        wide = None if own is None else (*(1,) * (len(whole) - len(own)), *own)
        if wide is None or same_shape(wide, whole):
            return None
        views.append(_placed(item, wide, axes, site))
    left, right = views
    if left is None or right is None:
        return None
    return site.reshape(site.node("Mul", left, right), tuple(shape[axis] for axis in order))


RULES: Rules = {"Einsum": (einsum_as_product,), "Transpose": (product_in_order,)}
