"""Where the ids of each field lie in one list, by a matrix of lengths with a row for each field."""

from __future__ import annotations

from dataclasses import dataclass

from pyrec_infer.ir import BATCH, Dim, Size, same_size
from pyrec_infer.ops.core.registry import with_trait
from pyrec_infer.ops.core.shapes import integers
from pyrec_infer.ops.core.traits import Trait
from pyrec_infer.passes.bags.parts import cumulated, ends_of_lengths
from pyrec_infer.passes.common.rules import Site

_VIEWS = frozenset({*with_trait(Trait.VIEW), "Cast", "Identity"})


@dataclass(frozen=True)
class Place:
    """The number of ids of some fields.

    Attributes
    ----------
    matrix : str
        Lengths [F, B] or [B, F]; nothing where there are no such fields.
    fields : int
        How many of the first fields are meant.
    """

    matrix: str
    fields: int


def field_of(lengths: str, site: Site) -> Place | None:
    """The matrix of which a vector of lengths is those of a field, and its number."""
    while site.source(lengths, "Identity", "Squeeze") is not None and site.infos[lengths].rank == 1:
        node = site.source(lengths, "Identity", "Squeeze")
        lengths = lengths if node is None else node.inputs[0]
    node = site.source(lengths, "Gather")
    place = None if node is None else site.integers(node.inputs[1])
    if node is None or place is None or len(place) != 1 or site.infos[node.inputs[1]].rank != 0:
        return None
    info = site.infos[node.inputs[0]]
    if info.rank != 2 or info.rows not in (0, 1) or node.attribute("axis", 0) % 2 != 1 - info.rows:
        return None
    count = None if info.shape is None else info.shape[1 - info.rows]
    if not isinstance(count, int) or not -count <= place[0] < count:
        return None
    return Place(node.inputs[0], place[0] % count)


def place_of(name: str, site: Site) -> Place | None:
    """The fields whose ids a number counts."""
    if site.integers(name) == (0,):
        return Place("", 0)
    name = _number(name, site)
    node = site.source(name, "Gather")
    if node is None or node.attribute("axis", 0):
        return None
    vector, index = node.inputs[0], integers(site.infos[node.inputs[1]])
    if index is None or len(index) != 1:
        return None
    part = part_of_offsets(vector, site)
    if part is not None:
        matrix, first, last = part
        found = {0: first, -1: last}.get(index[0]) if isinstance(index[0], int) else None
        return None if found is None else Place(matrix, found)
    summed = cumulated(vector, site, 0)
    matrix = "" if summed is None else _summed(summed, site)
    if not matrix:
        ends = ends_of_lengths(vector, site)
        matrix = "" if ends is None else _summed(ends, site)
        return Place(matrix, index[0]) if matrix and isinstance(index[0], int) and index[0] >= 0 else None
    return Place(matrix, index[0] + 1) if isinstance(index[0], int) and index[0] >= 0 else None


def _number(name: str, site: Site) -> str:
    """What a number is, behind views and lookups of the only element."""
    while (node := site.source(name, *_VIEWS, "Gather")) is not None:
        if node.op == "Gather":
            shape = site.shape(node.inputs[0])
            only = shape is not None and len(shape) == 1 and same_size(shape[0], 1)
            if not only or site.integers(node.inputs[1]) not in ((0,), (-1,)):
                break
        name = node.inputs[0]
    return name


def _summed(name: str, site: Site) -> str:
    """The matrix of which a vector holds the sum of each field's lengths; else nothing."""
    node = site.source(name, "ReduceSum")
    if node is None or node.attribute("keepdims", 1) or len(node.inputs) < 2:
        return ""
    info, axes = site.infos[node.inputs[0]], site.integers(node.inputs[1])
    by_field = info.rank == 2 and info.rows in (0, 1) and axes in ((info.rows,), (info.rows - 2,))
    return node.inputs[0] if by_field else ""


def part_of_offsets(name: str, site: Site) -> tuple[str, int, int] | None:
    """The matrix [F, B] of which a vector holds all offsets from the first of a field to that of another.

    Gives the numbers of both fields too.
    """
    node = site.source(name, "Slice")
    lengths = None if node is None else ends_of_lengths(node.inputs[0], site)
    if node is None or lengths is None or len(node.inputs) < 3:
        return None
    while site.source(lengths, *_VIEWS) is not None and site.infos[lengths].rank == 1:
        view = site.source(lengths, *_VIEWS)
        lengths = lengths if view is None else view.inputs[0]
    info = site.infos[lengths]
    if (
        info.rank != 2
        or info.rows != 1
        or any(
            site.integers(given) != (usual,) for given, usual in zip(node.inputs[3:], (0, 1), strict=False)
        )
    ):
        return None
    first, last = _multiple(_known(node.inputs[1], site)), _multiple(_one_less(node.inputs[2], site))
    count = None if info.shape is None else info.shape[0]
    if first is None or last is None or not isinstance(count, int) or not first < last <= count:
        return None
    return lengths, first, last


def _known(name: str, site: Site) -> Size | None:
    found = integers(site.infos[name])
    return found[0] if found is not None and len(found) == 1 else None


def _one_less(name: str, site: Site) -> Size | None:
    """A number less one, where it is a sum with one."""
    node = site.source(_number(name, site), "Add")
    for size, one in () if node is None else (node.inputs, node.inputs[::-1]):
        if site.integers(one) == (1,):
            return _known(_number(size, site), site)
    return None


def _multiple(size: Size | None) -> int | None:
    """How many times the batch a size is."""
    if isinstance(size, int):
        return 0 if size == 0 else None
    plain = size is not None and same_size(size, Dim.symbol(BATCH) * size.coefficient)
    return size.coefficient if size is not None and plain else None
