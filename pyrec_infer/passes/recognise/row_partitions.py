"""Rows of a ragged tensor of TensorFlow: splits, the lengths between them, and rows repeated by a mask."""

from __future__ import annotations

import numpy as np

from pyrec_infer.ir import Node
from pyrec_infer.ops.core.registry import with_trait
from pyrec_infer.ops.core.shapes import same_shape
from pyrec_infer.ops.core.traits import Trait
from pyrec_infer.passes.bags.lengths import counts_up, is_one_less
from pyrec_infer.passes.bags.parts import column_of
from pyrec_infer.passes.bags.terms import Reader
from pyrec_infer.passes.common.rules import Rules, Site

_VIEWS = frozenset({*with_trait(Trait.VIEW), "Cast", "Identity"})
_WHOLE = (np.int32, np.int64)


def differences(node: Node, site: Site) -> str | None:
    """What each of a vector's elements but the first is more than the one before."""
    later, earlier = (site.source(name, "Slice") for name in node.inputs)
    if later is None or earlier is None or later.inputs[0] != earlier.inputs[0]:
        return None
    info = site.infos[later.inputs[0]]
    if info.rank != 1 or info.dtype != np.int64:
        return None
    begin, end = _range(later, site)
    whole = begin == 1 and end >= 2**31 - 1 and _range(earlier, site) == (0, -1)
    return site.node("pyrec.LengthsOfOffsets", later.inputs[0]) if whole else None


def _range(node: Node, site: Site) -> tuple[int, int]:
    """The places between which a node takes all of a vector, or an empty range."""
    begin, end, *more = (site.integers(name) for name in node.inputs[1:])
    plain = more in ([], [(0,)], [(0,), (1,)])
    return (begin[0], end[0]) if plain and begin and end else (0, 0)


def _behind(name: str, site: Site, *ops: str) -> str:
    while (node := site.source(name, *_VIEWS, *ops)) is not None:
        name = node.inputs[0]
    return name


def repeated_by_mask(node: Node, site: Site) -> str | None:
    """The numbers of rows, each in as many columns as the longest row has places, where a mask keeps them.

    The mask says of each column whether its number is less than the length of the row.
    """
    kept = site.source(_behind(node.inputs[1], site, "Transpose"), "NonZero")
    if kept is None or node.attribute("axis", 0):
        return None
    if any(site.infos[name].rank != 1 for name in (*node.inputs, *kept.inputs)):
        return None
    mask = site.source(_behind(kept.inputs[0], site), "Less")
    spread = site.source(_behind(node.inputs[0], site), "Tile")
    if mask is None or spread is None:
        return None
    numbers = _column(spread.inputs[0], site)
    lengths = _lengths(mask.inputs[1], numbers, site)
    if lengths is None or site.infos[mask.inputs[0]].rank != 1 or site.infos[numbers].dtype != np.int64:
        return None
    columns, width = site.source(_behind(mask.inputs[0], site), "Range"), _width(spread.inputs[1], site)
    if columns is None or not counts_up(columns.outputs[0], site):
        return None
    if _behind(columns.inputs[1], site) != width:
        return None
    rows = site.source(numbers, "Range")
    if rows is None or not counts_up(numbers, site) or not _is_longest(width, lengths.outputs[0], site):
        return None
    own = is_one_less(Reader(site, 0).outer(rows.inputs[1]), lengths.inputs[0], site)
    return site.node("pyrec.RowsOfLengths", lengths.outputs[0]) if own else None


def _column(name: str, site: Site) -> str:
    """The vector that a column [M, 1] is, but for its element type; else nothing."""
    while (cast := site.source(name, "Cast")) is not None:
        name = cast.inputs[0]
    vector = column_of(name, site)
    return "" if vector is None else _behind(vector, site)


def _lengths(limit: str, numbers: str, site: Site) -> Node | None:
    """The node that makes the lengths, one for each of the numbers, which a column is."""
    name = _column(limit, site)
    spread = site.source(name, "Expand")
    if not numbers or not name or spread is None:
        return site.source(name, "pyrec.LengthsOfOffsets") if numbers else None
    size = site.source(_behind(spread.inputs[1], site), "Shape")
    as_many = size is not None and _behind(size.inputs[0], site) == numbers
    as_many = as_many or same_shape(site.shape(name), site.shape(numbers))
    return site.source(_behind(spread.inputs[0], site), "pyrec.LengthsOfOffsets") if as_many else None


def _width(repeats: str, site: Site) -> str:
    """The number of copies that a column is repeated to, side by side; else nothing."""
    node = site.source(_behind(repeats, site), "Concat")
    if node is None or len(node.inputs) != 2 or site.integers(node.inputs[0]) != (1,):
        return ""
    return _behind(node.inputs[1], site)


def _is_longest(width: str, lengths: str, site: Site) -> bool:
    """Whether a number is the largest of the lengths, or zero if that is more."""
    node = site.source(width, "Max")
    for zero, largest in () if node is None or len(node.inputs) != 2 else (node.inputs, node.inputs[::-1]):
        most = site.source(_behind(largest, site), "ReduceMax")
        if most is not None and site.integers(zero) == (0,) and site.integers(most.inputs[-1]) == (0,):
            return _behind(most.inputs[0], site, "Expand") == lengths
    return False


def the_first(node: Node, site: Site) -> str | None:
    """The least of a value and what is not less is that value."""
    for name, other in (node.inputs, node.inputs[::-1]) if len(node.inputs) == 2 else ():
        larger = site.source(other, "Max")
        same = same_shape(site.shape(name), site.shape(node.outputs[0]))
        if same and larger is not None and name in larger.inputs and site.infos[name].dtype in _WHOLE:
            return name
    return None


RULES: Rules = {"Sub": (differences,), "Gather": (repeated_by_mask,), "Min": (the_first,)}
