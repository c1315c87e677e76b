"""Rows' numbers that are repeated as often as each row's list is long."""

from __future__ import annotations

from pyrec_infer.ir import same_size
from pyrec_infer.ops.core.registry import with_trait
from pyrec_infer.ops.core.traits import Trait
from pyrec_infer.passes.bags.parts import column_of, cumulated
from pyrec_infer.passes.bags.terms import Term
from pyrec_infer.passes.common.rules import Site

_VIEWS = with_trait(Trait.VIEW)


def counts_up(name: str, site: Site) -> bool:
    """Whether a value is 0, 1, 2, ..., in any shape."""
    while (node := site.source(name, *_VIEWS)) is not None:
        name = node.inputs[0]
    node = site.source(name, "Range")
    if node is None:
        return False
    start, step = site.known(node.inputs[0]), site.known(node.inputs[2])
    return start is not None and step is not None and int(start) == 0 and int(step) == 1


def is_one_less(count: Term, offsets: str, site: Site) -> bool:
    """Whether a number is one less than that of all offsets."""
    shape = site.shape(offsets)
    known = shape is not None and len(shape) == 1 and count == ("less", ("size", repr(shape[0])), 1)
    return known or count == ("less", ("length", offsets), 1)


def _own_place(name: str, site: Site) -> str:
    """What stands for a position by itself: elements of 0, 1, 2, ... at it are the position."""
    while (node := site.source(name, *_VIEWS, "Gather", "GatherND")) is not None:
        if node.op in ("Gather", "GatherND") and not counts_up(node.inputs[0], site):
            break
        name = node.inputs[1] if node.op in ("Gather", "GatherND") else node.inputs[0]
    return name


def _less_ends(name: str, site: Site) -> str | None:
    """Dynamo: the number of rows less those that end after a place, ``N - sum(place < ends)``."""
    node = site.source(_own_place(name, site), "Sub")
    total = None if node is None else site.infos[node.inputs[0]].contents
    counted = None if node is None else site.source(node.inputs[1], "ReduceSum")
    if node is None or counted is None or total is None or total.size != 1:
        return None
    if site.integers(counted.inputs[1]) != (0,):
        return None
    cast = site.source(counted.inputs[0], "Cast")
    less = None if cast is None else site.source(cast.inputs[0], "Less")
    if less is None or not counts_up(less.inputs[0], site):
        return None
    ends = column_of(less.inputs[1], site)
    lengths = None if ends is None else cumulated(ends, site, 0)
    shape = None if lengths is None else site.shape(lengths)
    fits = shape is not None and same_size(shape[0], total.reshape(-1)[0])
    return lengths if fits else None


def lengths_repeated(name: str, site: Site) -> str | None:
    """The lengths of rows whose numbers a list repeats as often as each is long."""
    node = site.source(_own_place(name, site), "pyrec.RowsOfLengths")
    return _less_ends(name, site) if node is None else node.inputs[0]
