"""The items of requests of which each has a list of its own, ranked together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from pyrec_infer.arguments import Inputs
from pyrec_infer.catalog.late import late_arrays
from pyrec_infer.catalog.scorer import Scorer
from pyrec_infer.catalog.search import Tally
from pyrec_infer.execution.calls import find_best
from pyrec_infer.ir import Array
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS
from pyrec_infer.selection.items import Choice
from pyrec_infer.selection.masks import Flags, both, marked
from pyrec_infer.store import Rows64
from pyrec_infer.strings.tensors import take_rows
from pyrec_infer.top_k import Adjustment, Ranked, Selection, joined


def ranking_of_lists(
    scorer: Scorer,
    choice: Choice,
    bounds: Rows64,
    request: Inputs,
    candidates: Inputs | None,
    boosts: Adjustment | None,
    tally: Tally,
) -> Callable[[int, Flags | None], Ranked]:
    """What ranks the items of a call by their places, those alone that are flagged where flags are given.

    Parameters
    ----------
    scorer : Scorer
    choice : Choice
    bounds : ndarray of int64
        The places of request b are ``bounds[b]:bounds[b + 1]``.
    request : mapping of str to array_like
        A row for each request.
    candidates : mapping of str to array_like, optional
        A row for each place.
    boosts : Adjustment, optional
        With a number for each place.
    tally : Tally
        Counts what is scored.
    """
    scorer.require_one_score()
    rows, count, signature = choice.rows, len(bounds) - 1, scorer.signature
    late = signature.expand({} if candidates is None else candidates)
    arrays, _ = scorer.requests(request, late)
    # One row for each of all places, as if they were of one request.
    beside = late_arrays(signature, late, 1, len(rows))
    left = rows >= 0
    if choice.kept is not None:
        left &= marked(len(rows), choice.kept)
    if choice.excluded is not None:
        left &= choice.excluded.taken(rows, np.repeat(np.arange(count), np.diff(bounds)))

    def rank(k: int, within: Flags | None) -> Ranked:
        chosen = np.flatnonzero(left if within is None else both(left, within))
        tally.refined += len(chosen)
        own = {name: _rows(array, chosen, signature.infos[name].rows) for name, array in beside.items()}
        own.update({**arrays, RECORDS: choice.view.records, ROWS: rows[chosen]})
        adjustment = Adjustment() if boosts is None else boosts.chosen(chosen)
        ends = np.searchsorted(chosen, bounds).tolist()
        with signature.naming({**arrays, **beside}):
            found = _best_of_lists(scorer, own, ends, Selection(k, adjustment=adjustment))
        return found.with_ids(chosen[found.ids]) if len(chosen) else found

    return rank


def _rows(array: Array, chosen: Rows64, axis: int) -> Array:
    return array if axis < 0 else take_rows(array, chosen, axis)


def _best_of_lists(scorer: Scorer, arrays: dict[str, Array], ends: list[int], selection: Selection) -> Ranked:
    """The best rows of each request, which are ``ends[b]:ends[b + 1]``."""
    plan, count, name = scorer.pairs.plan, len(ends) - 1, scorer.wanted.names()[0]
    if not ends[-1]:
        return joined([(np.empty(0, np.int64), np.empty(0, np.float32))] * count)
    if count == 1 or not plan.one_request:
        offsets = ends if count != 1 else ()
        return find_best(scorer.pairs, arrays, offsets, count, ends[-1], name, selection)
    axes = {item.name: (item.rows, item.request) for item in plan.given_inputs()}
    parts = []
    for number, (begin, end) in enumerate(pairwise(ends)):
        own = np.arange(begin, end)
        if not len(own):
            parts.append((own, np.empty(0, np.float32)))
            continue
        alone = {
            name: _rows(array, np.asarray([number]) if axes[name][1] else own, axes[name][0])
            for name, array in arrays.items()
            if name in axes and name != RECORDS
        }
        chosen = replace(selection, adjustment=selection.adjustment.chosen(own))
        given = {**alone, RECORDS: arrays[RECORDS]}
        found = find_best(scorer.pairs, given, (), 1, len(own), name, chosen)
        parts.append((own[found.ids[0]], found.scores[0]))
    return joined(parts)


__all__ = ["ranking_of_lists"]
