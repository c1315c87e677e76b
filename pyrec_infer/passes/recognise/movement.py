"""Where the elements of a value come from, seen through operators that only move data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrec_infer.interrupts import let_interrupts_pass
from pyrec_infer.ir import BATCH, Array, Dim, Info, Node, same_size
from pyrec_infer.ops import OPS, Trait, has
from pyrec_infer.passes.common.rules import Site

_MAX_ELEMENTS = 1 << 16
_MAX_DEPTH = 24


@dataclass(frozen=True)
class Origin:
    """A row of a value: ``row(value) = row(root).reshape(-1)[places]``.

    Attributes
    ----------
    root : str
        The value that everything comes from.
    places : ndarray of int64
        In the shape of the value for a batch of one.
    """

    root: str
    places: Array


def _one_row(info: Info) -> tuple[int, ...] | None:
    """The shape for a batch of one, if each position along one axis is one row."""
    if info.shape is None or info.rows < 0 or not same_size(info.shape[info.rows], Dim.symbol(BATCH)):
        return None
    sizes = [1 if axis == info.rows else size for axis, size in enumerate(info.shape)]
    known = tuple(size for size in sizes if isinstance(size, int))
    if len(known) != len(sizes) or int(np.prod(known, dtype=np.int64)) > _MAX_ELEMENTS:
        return None
    return known


def _operand(info: Info) -> Array | None:
    """An input that says how to move, for a batch of one."""
    if info.constant is not None or info.contents is None:
        return info.constant
    values = info.contents.reshape(-1).tolist()
    if any(isinstance(value, Dim) and set(value.symbols) != {BATCH} for value in values):
        return None
    sizes = [value.value({BATCH: 1}) if isinstance(value, Dim) else int(value) for value in values]
    return np.asarray(sizes, np.int64).reshape(info.contents.shape)


def origin(name: str, site: Site, node: Node | None = None, depth: int = 0) -> Origin | None:
    """Where a row's elements come from; None if its size is not known.

    ``node`` makes the value, where that is the node that a rule is looking at.

    The operators are run on the places of the root's elements, for one row. That is sound for any
    batch, because the analysis knows that these operators treat all rows alike.
    """
    shape = _one_row(site.infos[name])
    if shape is None:
        return None
    node = node or site.source(name)
    moved = None
    if node is not None and has(node, Trait.MOVES) and not site.coupled(node) and depth < _MAX_DEPTH:
        moved = _moved(node, name, site, depth)
    if moved is not None and moved.places.shape == shape:
        return moved
    return Origin(name, np.arange(int(np.prod(shape, dtype=np.int64))).reshape(shape))


def _moved(node: Node, name: str, site: Site, depth: int) -> Origin | None:
    data = node.inputs if node.op == "Concat" else node.inputs[:1]
    sources = [origin(item, site, depth=depth + 1) for item in data]
    roots = {None if source is None else source.root for source in sources}
    if len(roots) != 1 or None in roots:
        return None
    arguments: list[Array | None] = [source.places for source in sources if source is not None]
    for item in node.inputs[len(data) :]:
        operand = _operand(site.infos[item]) if item else None
        if item and operand is None:
            return None
        arguments.append(operand)
    try:
        results = OPS[node.op].evaluate(node, arguments)
    except Exception as error:
        let_interrupts_pass(error)
        return None
    places = np.asarray(results[node.outputs.index(name)])
    root = next(iter(roots))
    return None if root is None or places.dtype != np.int64 else Origin(root, places)


def rows_of(places: Array, width: int) -> Array | None:
    """The numbers of the blocks of ``width`` elements that places [..., width] take whole.

    >>> rows_of(np.asarray([[4, 5], [0, 1]]), 2)
    array([2, 0])
    >>> rows_of(np.asarray([[1, 2]]), 2) is None
    True
    """
    if width == 0 or places.shape[-1:] != (width,):
        return None
    first = places[..., 0]
    whole = np.array_equal(places, first[..., None] + np.arange(width)) and not np.any(first % width)
    return first // width if whole else None
