"""Concatenations of parts that lie side by side, in the shape in which they are read."""

from __future__ import annotations

from dataclasses import dataclass

from pyrec_infer.ir import Dim, Node, Shape, same_size
from pyrec_infer.ops import Trait, with_trait
from pyrec_infer.ops.core.shapes import product, quotient
from pyrec_infer.passes.common.rules import Site, for_ops, joined, whole_axis
from pyrec_infer.passes.recognise.views import viewed

_MAX_PARTS = 1024
_MAX_VIEWS = 16
"""Parts that are worth a view each, where they are not rows of their own already."""


def axis_of_concat(node: Node, site: Site) -> int | None:
    rank = site.infos[node.outputs[0]].rank
    axis = int(node.attribute("axis", 0))
    return axis % rank if rank is not None and -rank <= axis < rank else None


def widths(node: Node, axis: int, site: Site) -> list[int] | None:
    """The parts' sizes along the axis."""
    found = []
    for name in node.inputs:
        shape = site.shape(name)
        size = None if shape is None or axis >= len(shape) else shape[axis]
        if not isinstance(size, int):
            return None
        found.append(size)
    return found


def flatten_concat(node: Node, site: Site) -> str | None:
    """``[[a, b], c]`` along one axis is ``[a, b, c]``."""
    axis = axis_of_concat(node, site)
    parts: list[str] = []
    for name in node.inputs:
        source = site.source(name, "Concat")
        nested = source is not None and axis is not None and axis_of_concat(source, site) == axis
        parts += source.inputs if nested and source is not None else (name,)
    if axis is None or parts == list(node.inputs) or len(parts) > _MAX_PARTS:
        return None
    return site.concat(parts, axis)


def _flat(name: str, width: int, site: Site) -> str | None:
    """A value with all that belongs to a row in one axis."""
    shape = site.shape(name)
    return None if not shape else site.reshape(name, (shape[0], width))


def _flattened(source: Node, axis: int, site: Site) -> str | None:
    """A concatenation with its rows flattened, if the parts of a row follow each other there."""
    shape, sizes = site.shape(source.outputs[0]), widths(source, axis, site)
    if shape is None or sizes is None or any(isinstance(size, Dim) for size in shape[1:]):
        return None
    if len(shape) < 3 or axis == 0 or site.infos[source.outputs[0]].rows != 0:
        return None
    if not same_size(product(shape[1:axis]), 1):
        return None
    block = product(shape[axis + 1 :])
    assert isinstance(block, int)
    parts = [_flat(name, size * block, site) for name, size in zip(source.inputs, sizes, strict=True)]
    known = [part for part in parts if part is not None]
    return site.concat(known, 1) if len(known) == len(parts) else None


def flatten_parts(node: Node, site: Site) -> str | None:
    """A concatenation with flattened rows is a concatenation of parts with flattened rows.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2, 4), 0)
    >>> nodes = (Node("Concat", ("a", "b"), ("c",), {"axis": 1}), Node("Flatten", ("c",), ("y",)))
    >>> graph = Graph(("a", "b"), ("y",), nodes, {}, {"a": info, "b": info})
    >>> [node.op for node in apply_rules(graph, RULES).nodes]
    ['Reshape', 'Reshape', 'Concat']
    """
    source, target = site.source(node.inputs[0], "Concat"), site.shape(node.outputs[0])
    axis = None if source is None else axis_of_concat(source, site)
    before = site.shape(node.inputs[0])
    if source is None or axis is None or target is None or before is None or len(target) != 2:
        return None
    if len(source.inputs) > _MAX_VIEWS and not any(_is_row(name, site) for name in source.inputs):
        return None
    return _flattened(source, axis, site) if same_size(target[0], before[0]) else None


def _is_row(name: str, site: Site) -> bool:
    """Whether a part is a row of a table, or is made as rows without further axes."""
    root = viewed(name, site)
    gathered = site.source(root, "Gather")
    if gathered is not None and site.known(gathered.inputs[0]) is not None:
        return True
    return site.infos[root].rank == 2


def join_rows(node: Node, site: Site) -> str | None:
    """Fields put together as ``[N, F, D]`` are a view of the fields put together as ``[N, F * D]``.

    So a factorisation machine and a dense layer read the same concatenation.
    """
    axis, shape = axis_of_concat(node, site), site.shape(node.outputs[0])
    if axis is None or shape is None or not all(_is_row(name, site) for name in node.inputs):
        return None
    flat = _flattened(node, axis, site)
    return None if flat is None else site.reshape(flat, shape)


def simplify_slice(node: Node, site: Site) -> str | None:
    """A Slice of several axes of which only one is cut; ends counted from the front."""
    shape = site.shape(node.inputs[0])
    operands = [site.integers(name) for name in node.inputs[1:]]
    if shape is None or any(value is None for value in operands) or len(operands) < 2:
        return None
    starts, ends, *rest = (value for value in operands if value is not None)
    axes = rest[0] if rest else tuple(range(len(starts)))
    steps = rest[1] if len(rest) > 1 else (1,) * len(starts)
    if any(step != 1 for step in steps) or any(not -len(shape) <= axis < len(shape) for axis in axes):
        return None
    cut: list[tuple[int, int, int]] = []
    for axis, start, end in zip(axes, starts, ends, strict=True):
        size = shape[axis]
        if isinstance(size, int):
            start, end, _ = slice(start, end).indices(size)
        elif end < 0:
            return None
        if not whole_axis(size, start, end):
            cut.append((axis % len(shape), start, max(start, end)))
    if len(cut) > 1 or (len(axes) == 1 and cut == [(axes[0], starts[0], ends[0])] and len(node.inputs) == 4):
        return None
    return site.slice(node.inputs[0], *cut[0]) if cut else node.inputs[0]


@dataclass(frozen=True)
class Range:
    """Positions ``begin`` to ``end`` along an axis of a value."""

    source: str
    axis: int
    begin: int
    end: int


def range_read(node: Node, site: Site) -> Range | None:
    """What a Slice or a Gather with consecutive positions reads of a value, if it is one range."""
    shape = site.shape(node.inputs[0])
    if shape is None:
        return None
    if node.op == "Gather":
        axis = int(node.attribute("axis", 0)) % max(len(shape), 1)
        chosen = site.integers(node.inputs[1])
        size = shape[axis] if shape else None
        rank = site.infos[node.inputs[1]].rank
        if not chosen or rank is None or rank > 1 or not isinstance(size, int):
            return None
        if any(not -size <= item < size for item in chosen):
            return None
        first = chosen[0] % size
        in_order = all(item % size == first + place for place, item in enumerate(chosen))
        return Range(node.inputs[0], axis, first, first + len(chosen)) if in_order else None
    bounds = [site.integers(name) for name in node.inputs[1:]]
    if len(bounds) < 3 or any(value is None or len(value) != 1 for value in bounds):
        return None
    (begin,), (end,), (axis,), *steps = (value for value in bounds if value is not None)
    axis %= len(shape)
    size = shape[axis]
    if (steps and steps[0] != (1,)) or not isinstance(size, int):
        return None
    begin, end, _ = slice(begin, end).indices(size)
    return Range(node.inputs[0], axis, begin, end) if begin < end else None


def take_parts(node: Node, site: Site) -> str | tuple[str, ...] | None:
    """A range of a concatenation along its axis, read from the parts that it lies in.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (4, 2))
    >>> nodes = (Node("Concat", ("a", "b"), ("c",), {"axis": 1}),
    ...          Node("Gather", ("c", "i"), ("y",), {"axis": 1}))
    >>> graph = Graph(("a", "b"), ("y",), nodes, {"i": np.asarray([3])}, {"a": info, "b": info})
    >>> [(node.op, node.inputs[0]) for node in apply_rules(graph, RULES).nodes]
    [('Slice', 'b')]
    """
    source = site.source(viewed(node.inputs[0], site), "Concat")
    read = None if source is None else range_read(node, site)
    if source is None or read is None:
        return None
    made = _from_parts(source, read, site)
    return None if made is None else site.reshape(made, site.shape(node.outputs[0]) or ())


def _from_parts(source: Node, read: Range, site: Site) -> str | None:
    """A range of a view of a concatenation; it may come in another shape."""
    axis = axis_of_concat(source, site)
    sizes = None if axis is None else widths(source, axis, site)
    shape, view = site.shape(source.outputs[0]), site.shape(read.source)
    if axis is None or sizes is None or shape is None or view is None:
        return None
    if not same_size(product(view[: read.axis]), product(shape[:axis])):
        return None
    unit = quotient(product(view[read.axis + 1 :]), product(shape[axis + 1 :]))
    if not isinstance(unit, int):
        return None
    parts, first = [], 0
    for name, size in zip(source.inputs, sizes, strict=True):
        begin, end = max(read.begin * unit - first, 0), min(read.end * unit - first, size)
        if begin < end:
            parts.append(site.slice(name, axis, begin, end))
        first += size
    return site.concat(parts, axis) if parts else None


def split_parts(node: Node, site: Site) -> tuple[str, ...] | None:
    """A Split of a concatenation along its axis, read from the parts."""
    source = site.source(viewed(node.inputs[0], site), "Concat")
    found = []
    for place, output in enumerate(node.outputs):
        read, shape = _split_range(node, place, site), site.shape(output) if output else None
        made = None if source is None or read is None else _from_parts(source, read, site)
        made = None if made is None or shape is None else site.reshape(made, shape)
        if made is None:
            return None
        found.append(made)
    return tuple(found)


def _split_range(node: Node, place: int, site: Site) -> Range | None:
    """What one output of a Split reads."""
    pieces = [site.shape(name) if name else None for name in node.outputs[: place + 1]]
    axis = int(node.attribute("axis", 0))
    sizes = [None if piece is None else piece[axis % len(piece)] for piece in pieces]
    ends = [size for size in sizes if isinstance(size, int)]
    if len(ends) != len(sizes) or ends[-1] == 0:
        return None
    return Range(node.inputs[0], axis % len(pieces[0] or ()), sum(ends[:-1]), sum(ends))


def _part_range(name: str, site: Site) -> Range | None:
    """The range of a value that a part is a view of; all of a value is no range."""
    root = viewed(name, site)
    source = site.source(root, "Slice", "Gather", "Split")
    if source is None:
        return None
    if source.op == "Split":
        return _split_range(source, source.outputs.index(root), site)
    return range_read(source, site)


def merge_ranges(node: Node, site: Site) -> str | None:
    """Neighbouring parts that are neighbouring ranges of one value are one range.

    Examples
    --------
    >>> import numpy as np
    >>> from pyrec_infer.ir import Dim, Graph, Info
    >>> from pyrec_infer.passes.common.rules import apply_rules
    >>> info = Info(np.dtype(np.float32), (Dim.symbol("N"), 2, 4), 0)
    >>> nodes = (Node("Gather", ("x", "zero"), ("a",), {"axis": 1}),
    ...          Node("Gather", ("x", "one"), ("b",), {"axis": 1}),
    ...          Node("Concat", ("a", "b"), ("y",), {"axis": 1}))
    >>> graph = Graph(("x",), ("y",), nodes, {"zero": np.asarray(0), "one": np.asarray(1)}, {"x": info})
    >>> [node.op for node in apply_rules(graph, RULES).nodes]
    ['Reshape']
    """
    axis, shape = axis_of_concat(node, site), site.shape(node.outputs[0])
    sizes = None if axis is None else widths(node, axis, site)
    if axis is None or shape is None or sizes is None:
        return None
    runs: list[tuple[list[str], int, Range | None]] = []
    for name, size in zip(node.inputs, sizes, strict=True):
        here = _part_range(name, site)
        if here is not None and not _leads(here, shape, axis, site):
            here = None
        before = runs[-1][2] if runs else None
        follows = before is not None and here is not None
        if follows and before is not None and here is not None:
            follows = (before.source, before.axis, before.end) == (here.source, here.axis, here.begin)
        if follows and before is not None and here is not None:
            names, width, _ = runs.pop()
            merged = Range(here.source, here.axis, before.begin, here.end)
            runs.append(([*names, name], width + size, merged))
        else:
            runs.append(([name], size, here))
    if len(runs) == len(node.inputs):
        return None
    parts = []
    for names, width, merged_range in runs:
        if len(names) == 1 or merged_range is None:
            parts += names
            continue
        whole = site.slice(merged_range.source, merged_range.axis, merged_range.begin, merged_range.end)
        part = site.reshape(whole, (*shape[:axis], width, *shape[axis + 1 :]))
        if part is None:
            return None
        parts.append(part)
    return site.concat(parts, axis)


def _leads(read: Range, shape: Shape, axis: int, site: Site) -> bool:
    """Whether what lies before the axis is the same in the value read and in the concatenation."""
    source = site.shape(read.source)
    return source is not None and same_size(product(source[: read.axis]), product(shape[:axis]))


RULES = joined(
    {
        "Concat": (flatten_concat, merge_ranges, join_rows),
        "Slice": (simplify_slice, take_parts),
        "Split": (split_parts,),
    },
    {"Gather": (take_parts,)},
    for_ops(with_trait(Trait.VIEW), flatten_parts),
)
