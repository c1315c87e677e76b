"""One Reshape in place of any chain of operators that only change the shape."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Array, Dim, Node, same_size
from pyrec_infer.ops import Trait, has, with_trait
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.passes.common.rules import Site, for_ops

_LARGEST = 1 << 16
"""Elements up to which a constant is stored again in another shape."""


def viewed(name: str, site: Site) -> str:
    """The value that a chain of views starts from."""
    node = site.source(name)
    while node is not None and has(node, Trait.VIEW):
        name = node.inputs[0]
        node = site.source(name)
    return name


def collapse_views(node: Node, site: Site) -> str | None:
    """A view of a view is one Reshape; a view in the first shape is the value itself.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 4), 0)
    >>> nodes = (Node("Unsqueeze", ("x", "one"), ("a",)), Node("Flatten", ("a",), ("b",)),
    ...          Node("Neg", ("b",), ("y",)))
    >>> graph = Graph(("x",), ("y",), nodes, {"one": np.asarray([1])}, {"x": info})
    >>> [node.op for node in apply_rules(graph, RULES).nodes]
    ['Neg']
    """
    source, shape = node.inputs[0], site.shape(node.outputs[0])
    if shape is None:
        return None
    root = viewed(source, site)
    if root == source and not same_shape(site.shape(source), shape):
        fixed = node.op != "Reshape" or site.known(node.inputs[1]) is not None
        if fixed or sum(isinstance(size, Dim) for size in shape) > 1:
            return None
    return site.reshape(root, shape)


def reshaped_constant(value: Array, shape: tuple[int, ...], target: tuple[int, ...]) -> Array | None:
    """A constant that broadcasts to ``shape``, as it broadcasts to ``target`` after a reshape of both."""
    if value.size == 1:
        return value.reshape(()) if len(target) < value.ndim else value
    if value.ndim == 1 and shape[-1:] == target[-1:] == value.shape:
        return value
    count = int(np.prod(shape, dtype=np.int64))
    if value.ndim > len(shape) or count > _LARGEST or count != int(np.prod(target, dtype=np.int64)):
        return None
    return np.broadcast_to(value, shape).reshape(target)


def sink_view(node: Node, site: Site) -> str | None:
    """An elementwise operator before a view instead of after it: ``f(view(x)) = view(f(x))``.

    All inputs that are not constants have to be the same view, so ``[N, d, 1]`` forms become
    ``[N, d]`` and an activation comes next to the layer that it belongs to.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 1), 0)
    >>> nodes = (Node("Squeeze", ("x", "one"), ("a",)), Node("Sigmoid", ("a",), ("y",)))
    >>> graph = Graph(("x",), ("y",), nodes, {"one": np.asarray([1])}, {"x": info})
    >>> [node.op for node in apply_rules(graph, RULES).nodes]
    ['Sigmoid', 'Reshape']
    """
    shape = site.shape(node.outputs[0])
    given = [name for name in node.inputs if name and site.known(name) is None]
    if not given or shape is None or not all(same_shape(site.shape(name), shape) for name in given):
        return None
    roots = [viewed(name, site) for name in given]
    target = site.shape(roots[0])
    if roots == given or target is None or not all(same_shape(site.shape(root), target) for root in roots):
        return None
    if not target or any(root == name for root, name in zip(roots, given, strict=True)):
        return None
    before, after = site.sizes(given[0]), site.sizes(roots[0])
    found = dict(zip(given, roots, strict=True))
    for name in node.inputs:
        value = site.known(name)
        if value is None:
            continue
        if value.size == 1:
            found[name] = name if value.ndim <= len(target) else site.constant(value.reshape(()))
            continue
        # Without the rows: a constant of the whole shape would fix the size of the batch.
        if before is None or after is None or (value.ndim == len(shape) and value.shape[0] != 1):
            return None
        row = value.reshape(value.shape[1:]) if value.ndim == len(shape) else value
        made = reshaped_constant(row, before, after)
        if made is None:
            return None
        found[name] = site.constant(made)
    made_node = site.node(node.op, *(found.get(name, name) for name in node.inputs), **node.attributes)
    return site.reshape(made_node, shape)


def sink_view_of_ids(node: Node, site: Site) -> str | None:
    """Rows of a table by ids in another shape, so that ``[N, 1]`` and ``[N]`` are looked up alike."""
    shape, rank = site.shape(node.outputs[0]), site.infos[node.inputs[0]].rank
    root = viewed(node.inputs[1], site)
    if root == node.inputs[1] or shape is None or not rank or node.attribute("axis", 0) % rank:
        return None
    if site.infos[node.inputs[0]].constant is None or not site.infos[root].rank:
        return None
    return site.reshape(site.node("Gather", node.inputs[0], root, **node.attributes), shape)


def reduce_last_axis(node: Node, site: Site) -> str | None:
    """A reduction of the last axis of a view works on the value as it was: ``[N, F, 1]`` on ``[N, F]``.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 4), 0)
    >>> nodes = (Node("Unsqueeze", ("x", "two"), ("a",)),
    ...          Node("ReduceSum", ("a", "one"), ("y",), {"keepdims": 0}))
    >>> graph = Graph(("x",), ("y",), nodes, {"one": np.asarray([1]), "two": np.asarray([2])}, {"x": info})
    >>> [node.op for node in apply_rules(graph, RULES).nodes]
    ['ReduceSum']
    """
    x, shape = site.shape(node.inputs[0]), site.shape(node.outputs[0])
    axes = site.integers(node.inputs[1]) if len(node.inputs) > 1 else None
    if x is None or shape is None or axes is None or len(axes) != 1 or not x:
        return None
    axis = axes[0] % len(x)
    root = viewed(node.inputs[0], site)
    before = site.shape(root)
    if not before or len(before) < 2 or root == node.inputs[0] or not same_size(before[-1], x[axis]):
        return None
    if not all(same_size(size, 1) for size in x[axis + 1 :]) or same_size(x[axis], 1):
        return None
    if site.infos[root].rows < 0 <= site.infos[node.inputs[0]].rows:
        return None
    reduced = site.node(node.op, root, site.constant([-1], np.int64), **{**node.attributes, "keepdims": 1})
    return site.reshape(reduced, shape)


RULES = {
    **for_ops(with_trait(Trait.VIEW), collapse_views),
    **for_ops(with_trait(Trait.ELEMENTWISE), sink_view),
    **for_ops(with_trait(Trait.REDUCES), reduce_last_axis),
    "Gather": (sink_view_of_ids,),
}
