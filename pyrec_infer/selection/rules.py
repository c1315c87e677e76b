"""The best items under rules: caps, quotas and diversity, over any search that ranks items."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.errors import InputError
from pyrec_infer.ir import Array
from pyrec_infer.selection.caps import Cap, Quota, Walk, read_caps, read_quotas
from pyrec_infer.selection.diversity import (
    Diversity,
    Likeness,
    diversify,
    given_vectors,
    of_attributes,
    of_vectors,
    require_diversity,
)
from pyrec_infer.selection.masks import among
from pyrec_infer.store import Attribute, Rows64
from pyrec_infer.top_k import Ranked, joined

Flags = NDArray[np.bool_]

_FEW = 4096
"""Items that are all ranked at once."""

_WIDER = 8
"""How many times as many items are ranked where those before were not enough."""


@dataclass(frozen=True)
class Search:
    """What ranks the items of a call, which have places.

    Attributes
    ----------
    rank : callable
        The k best places of each request, of those that are flagged alone where flags are given.
    total : int
        How many places there are.
    stored : callable
        What is stored of an attribute at some places.
    find : callable
        The attribute of a name.
    ids : callable
        The ids at some places.
    vectors : callable, optional
        The items' own vectors at some places.
    """

    rank: Callable[[int, Flags | None], Ranked]
    total: int
    stored: Callable[[Attribute, Rows64], Array]
    find: Callable[[Any], Attribute]
    ids: Callable[[Rows64], Array]
    vectors: Callable[[Rows64], Array] | None = None


@dataclass(frozen=True)
class Rules:
    """What the best items of a call have to be together.

    Attributes
    ----------
    caps : tuple of Cap
    quotas : tuple of Quota
    diversity : MMR, DPP or None
    """

    caps: tuple[Cap, ...] = ()
    quotas: tuple[Quota, ...] = ()
    diversity: Diversity | None = None


NO_RULES = Rules()


def read_rules(find: Callable[[Any], Attribute], max_per: Any, min_per: Any, diversity: Any, k: int) -> Rules:
    """Rules as calls give them; see `read_caps`, `read_quotas` and `require_diversity`. Without any,
    `NO_RULES`."""
    if max_per is None and min_per is None and diversity is None:
        return NO_RULES
    caps = read_caps(find, max_per)
    quotas = read_quotas(find, min_per, caps, k)
    if diversity is not None and quotas:
        raise InputError("diversity: expected no min_per beside it")
    return Rules(caps, quotas, None if diversity is None else require_diversity(diversity))


def best_under(search: Search, k: int, rules: Rules) -> Ranked:
    """The best k places of each request under rules, best first.

    Caps: the ranked items are walked best first, and what breaks a cap is passed over. As many are ranked as
    it takes to find k, all if need be. Quotas: of all lists of k items that meet quotas and caps, the one
    with the largest sum. Diversity: chosen among the best of its pool under the caps, in the order in which
    they are chosen.
    """
    k = min(k, search.total)
    if rules.diversity is None:
        return _capped(search, k, rules)
    pool = _capped(search, max(k, rules.diversity.pool), rules)
    parts = []
    for places, scores, count in zip(pool.ids, pool.scores, pool.counts.tolist(), strict=True):
        own = places[:count]
        chosen = diversify(rules.diversity, scores[:count], k, _likeness(search, rules.diversity.by, own))
        parts.append((own[chosen], scores[:count][chosen]))
    return joined(parts)


def _likeness(search: Search, by: Any, places: Rows64) -> Likeness:
    """How alike the items of some places are, by what a diversity says."""
    vectors = given_vectors(by, search.total)
    if vectors is not None:
        return of_vectors(vectors[places], len(places))
    if callable(by):
        return of_vectors(by(search.ids(places)), len(places))
    if by is not None:
        names = [by] if isinstance(by, str) else by
        return of_attributes([(found := search.find(name), search.stored(found, places)) for name in names])
    if search.vectors is None:
        raise InputError(
            "diversity: expected `by`: the name of an attribute, vectors, or what gives them for ids"
        )
    return of_vectors(search.vectors(places), len(places))


def _capped(search: Search, k: int, rules: Rules) -> Ranked:
    if not rules.caps and not rules.quotas:
        return search.rank(k, None)
    # Where items are few it takes less to rank all than to search for each quota by itself.
    most = search.total if rules.quotas and search.total <= _FEW else 4 * k + 64
    width = min(search.total, most)
    found = search.rank(width, None)
    reserved = _reserved(search, rules, found if width == search.total else None)
    while True:
        taken: Sequence[tuple[Rows64, Array] | None] = reserved or [None] * len(found.counts)
        parts = [
            _fill(search, rules, k, own, found.ids[number, :count], found.scores[number, :count])
            for number, (own, count) in enumerate(zip(taken, found.counts.tolist(), strict=True))
        ]
        if width >= search.total or all(len(places) >= k for places, _ in parts):
            return joined(parts)
        width = min(search.total, _WIDER * width)
        found = search.rank(width, None)


def _fill(
    search: Search, rules: Rules, k: int, reserved: tuple[Rows64, Array] | None, places: Rows64, scores: Array
) -> tuple[Rows64, Array]:
    """What is reserved, and the first of the ranked places that may stand beside it, best first."""
    first = places[:0] if reserved is None else reserved[0]
    every = places if reserved is None else np.concatenate([first, places])
    stored = [search.stored(cap.attribute, every) for cap in rules.caps]
    walk = Walk(rules.caps, stored, len(first))
    if reserved is None:
        kept = walk.first(len(places), k)
        return places[kept], scores[kept]
    kept = walk.first(len(places), k - len(first), among(places, first, search.total))
    places, scores = np.concatenate([first, places[kept]]), np.concatenate([reserved[1], scores[kept]])
    order = np.lexsort((places, -scores, np.isnan(scores)))
    return places[order], scores[order]


def _reserved(search: Search, rules: Rules, ranked: Ranked | None) -> list[tuple[Rows64, Array]]:
    """For each request the best places of each quota's value, as many as it asks for, of all that are
    ranked, or else searched for.

    Raises
    ------
    InputError
        If there are fewer.
    """
    parts: list[list[tuple[Rows64, Array]]] = []
    if not rules.quotas:
        return []
    # All are of one attribute.
    attribute = rules.quotas[0].attribute
    stored = search.stored(attribute, np.arange(search.total))
    for quota in rules.quotas:
        flags = (stored == quota.value) & ~attribute.is_absent(stored)
        best = search.rank(quota.least, flags) if ranked is None else _first_of(ranked, flags, quota.least)
        for request, count in enumerate(best.counts.tolist()):
            if count < quota.least:
                raise InputError(
                    f"{quota.label}: expected {quota.least} items of its value, there are {count} "
                    f"(request {request})"
                )
        parts.append(list(zip(best.ids, best.scores, strict=True)))
    return [
        (np.concatenate([places for places, _ in own]), np.concatenate([scores for _, scores in own]))
        for own in zip(*parts, strict=True)
    ]


def _first_of(ranked: Ranked, flags: Flags, k: int) -> Ranked:
    """The k best of each request that are flagged."""
    parts = []
    for places, scores, count in zip(ranked.ids, ranked.scores, ranked.counts.tolist(), strict=True):
        kept = np.flatnonzero(flags[places[:count]])[:k]
        parts.append((places[kept], scores[kept]))
    return joined(parts)


__all__ = ["NO_RULES", "Rules", "Search", "best_under", "read_rules"]
