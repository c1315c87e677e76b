"""Bags of a list's values, of which another list names the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyrec_infer.ir import BATCH, Dim, Rows, Size, has_symbol, same_size
from pyrec_infer.passes.bags.lengths import lengths_repeated
from pyrec_infer.passes.bags.parts import emptiness, filled_with, looked_up
from pyrec_infer.passes.common.rules import Site


@dataclass(frozen=True)
class Bags:
    """Where the bags of rows lie in a list.

    Attributes
    ----------
    bounds : str
    order : str
        What brings the list into the order of the bags; nothing where it is in that order.
    """

    bounds: str
    order: str = ""


def of_rows(size: Size, rows: str, site: Site) -> bool:
    """Whether so many rows are those of the batch, or those whose lengths tell which a list names."""
    lengths = lengths_repeated(rows, site)
    shape = None if lengths is None else site.shape(lengths)
    own = shape is not None and len(shape) == 1 and same_size(size, shape[0])
    return own or (has_symbol(size) and same_size(size, Dim.symbol(BATCH)))


def bags_of_rows(
    rows: str, updates: str, site: Site, counted: bool = True, strict: bool = False
) -> Bags | None:
    """The bags of rows of a list of updates that another list names; ``strict`` refuses negative rows.

    Rows that are not ``counted`` beforehand end with the last that is named.
    """
    lengths = lengths_repeated(rows, site)
    if lengths is not None and counted:
        # There is a row for each update.
        return Bags(site.node("pyrec.BagBoundsOfLengths", lengths, updates, full=1))
    info = site.infos[rows]
    if info.rows != Rows.INVARIANT or info.dtype != np.int64 or info.rank != 1:
        return None
    given = [rows]
    if counted:
        given.append(site.node("pyrec.DimValues", sizes=(Dim.symbol(BATCH),), scalar=1))
    attributes = {"strict": 1} if strict else {}
    order = site.node("pyrec.OrderOfPairs", *given, **attributes)
    return Bags(site.node("pyrec.BagsOfPairs", *given, **attributes), order)


def lengths_of(bags: Bags, site: Site) -> str:
    """How many values each bag has [B], int64."""
    ends = site.node("Gather", bags.bounds, site.constant(1, np.int64), axis=1)
    starts = site.node("Gather", bags.bounds, site.constant(0, np.int64), axis=1)
    return site.node("Sub", ends, starts)


def sums(updates: str, bags: Bags, site: Site) -> str:
    """The sum of each bag's updates [M] or [M, D]."""
    if site.infos[updates].rank == 1 and filled_with(updates, 1, site):
        return site.node("Cast", lengths_of(bags, site), to="float32")
    return _flat(updates, _reduced(_matrix(updates, site), bags, "sum", site), site)


def extremes(updates: str, bags: Bags, least: bool, begun: tuple[float, float], site: Site) -> str:
    """The largest or least of each bag's updates, and of what its row begins with.

    ``begun`` are what rows of empty bags are, and what the others begin with.
    """
    none, some = (site.constant(number, np.float32) for number in begun)
    found = _reduced(_matrix(updates, site), bags, "max", site, turned=least)
    if least:
        found = site.node("Neg", found)
    if begun[1] != (np.inf if least else -np.inf):
        found = site.node("Min" if least else "Max", found, some)
    return _flat(updates, site.node("Where", emptiness(bags.bounds, site), none, found), site)


def _matrix(updates: str, site: Site) -> str:
    if site.infos[updates].rank == 2:
        return updates
    return site.node("Unsqueeze", updates, site.constant([1], np.int64))


def _flat(updates: str, found: str, site: Site) -> str:
    if site.infos[updates].rank == 2:
        return found
    return site.node("Squeeze", found, site.constant([1], np.int64))


def _reduced(matrix: str, bags: Bags, mode: str, site: Site, turned: bool = False) -> str:
    """The bags of a matrix with a row for each id; of its negative, where it is turned."""
    table, ids, weights = looked_up(matrix, site, mode == "sum")
    if bags.order:
        ids, weights = (name and site.node("Gather", name, bags.order, axis=0) for name in (ids, weights))
    table = site.node("Neg", table) if turned else table
    more = [weights] if weights else []
    return site.node("pyrec.EmbeddingBag", table, ids, bags.bounds, *more, mode=mode)
