"""The best of many items, exact as those of all float32 scores, by scores of int8 layers first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import inf, log, log1p

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.backends.select import int8_cost
from pyrec_infer.catalog.bounds import ScoreBound
from pyrec_infer.catalog.part import ModelPart
from pyrec_infer.errors import ResourceLimitError
from pyrec_infer.execution.calls import find_best
from pyrec_infer.execution.planning import make_near_plan
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import Array
from pyrec_infer.passes import State
from pyrec_infer.passes.finish.screen_layers import Screened
from pyrec_infer.passes.split.record_layout import ROWS
from pyrec_infer.plan.cost import candidate_cost
from pyrec_infer.top_k import Ranked, Selection, best_rows, joined

Rows64 = NDArray[np.int64]

_SIGMOID_ERROR = 2.0**-18
"""Share of a sigmoid by which kernels may miss it, and more than they do."""

_TINY_SIGMOID = 2.0**-100
"""Sigmoids below it may be zero."""

_ITEMS_FOR_EACH = 16
"""Items for each result, below which too many are near the best."""

_LAYER_COST = 5_000.0
"""What else an int8 layer takes for each item: its rows are rounded and measured."""

_LEAST_SAVED = 0.2
"""Share of a score below which what is saved is lost again where items are scored twice."""

_SHARE_OF_SAVED = 0.8

_BLOCK = 1 << 16
"""Items whose bounds are worked out at once, so that what is between stays small."""

_LIKELY = 2
"""Items for each result that are scored in float32 first, those with the largest near scores."""

_PAUSE = 64
"""Calls that are not screened after one in which too many items were left."""


def least_sum(score: float, activation: str) -> float:
    """No smaller sum has as large a score in float32.

    Examples
    --------
    >>> least_sum(0.5, ""), -0.001 < least_sum(0.5, "Sigmoid") < 0
    (0.5, True)
    """
    if activation == "":
        return score
    share = score * (1 - _SIGMOID_ERROR) - _TINY_SIGMOID
    if not 0 < share < 1:
        return -inf
    found = log(share) - log1p(-share)
    return found - 1e-9 * (1 + abs(found))


class Screen:
    """Searches for the best items of a request by near scores, each with a bound of its error.

    Parameters
    ----------
    near : ReadyPlan
        Of the graph of ``screened``.
    exact : ReadyPlan
        Makes the scores of many items; it has no other plan for few.
    exact_rows : int
        For fewer items another plan makes the scores, which may be other ones in their last bits.
    screened : Screened
    most : float
        The share of the items beyond which scoring those that are left takes what was saved.
    """

    def __init__(
        self, near: ReadyPlan, exact: ReadyPlan, exact_rows: int, screened: Screened, most: float
    ) -> None:
        self._near, self._exact, self._most = near, exact, most
        self._activation = screened.activation
        self._bound = ScoreBound(screened.layers)
        self._least_rows = exact_rows
        self._paused = 0

    def best_of_each(
        self, arrays: Mapping[str, Array], requests: int, rows: Rows64, selection: Selection
    ) -> Ranked | None:
        """The best items of each request; None where too many would have to be scored again, or lately had.

        Parameters
        ----------
        arrays : mapping of str to ndarray
            What the plans read but the rows; the request's with a row for each request.
        requests : int
        rows : ndarray of int64, shape (N,)
            Of the items.
        selection : Selection
            One that `could_screen` holds for.
        """
        # Threads may count a call twice or not at all.
        self._paused = max(self._paused - 1, 0)
        if self._paused > 0 or len(rows) < self._least_rows:
            return None
        axes = {item.name: item.rows for item in self._near.plan.given_inputs() if item.request}
        found, refined = [], 0
        for request in range(requests):
            own = {
                name: array.take([request], axes[name]) if axes.get(name, -1) >= 0 else array
                for name, array in arrays.items()
            }
            try:
                best = self._best(own, rows, selection)
            except ResourceLimitError:
                # Near scores of all items may be more than a call may hold; the best of them are not.
                return None
            if best is None:
                return None
            found.append((best.ids[0], best.scores[0]))
            refined += best.refined or 0
        return joined(found).found_by(refined)

    def _best(self, arrays: Mapping[str, Array], rows: Rows64, selection: Selection) -> Ranked | None:
        def exact(places: Rows64) -> Ranked:
            chosen = {**arrays, ROWS: rows[places]}
            (name,) = self._exact.plan.results
            found = find_best(self._exact, chosen, range(0), 1, len(places), name, selection)
            return found._replace(ids=places[found.ids])

        made = self._near.run({**arrays, ROWS: rows}, range(0), len(rows))
        sums, *measures = (made[result] for result in self._near.plan.results)
        sums = sums.reshape(-1)
        # The least of all results is no less than that of any items.
        likely = np.sort(best_rows(sums, _LIKELY * selection.k))
        best = exact(likely)
        needed = np.float32(least_sum(float(best.scores[0, -1]), self._activation))
        # Rounded down.
        needed, parts = np.nextafter(needed, np.float32(-inf)), []
        for begin in range(0, len(rows), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            # NaN is kept: of such a sum nothing is known, nor of -inf with an infinite error.
            with np.errstate(invalid="ignore"):
                reach = sums[part] + self._bound.errors(sums[part], [own[part] for own in measures])
            left = ~(reach < needed)
            left[likely[slice(*np.searchsorted(likely, (begin, begin + _BLOCK)))] - begin] = False
            parts.append(np.flatnonzero(left) + begin)
        others = np.concatenate(parts)
        refined = len(likely) + len(others)
        if refined > self._most * len(rows):
            self._paused = _PAUSE
            return None
        if len(others):
            best = _best_of_both(best, exact(others), selection.k)
        return best.found_by(refined)


def _best_of_both(a: Ranked, b: Ranked, k: int) -> Ranked:
    """The k best of the results of one request over some places and over others."""
    places, scores = (np.concatenate(each, 1)[0] for each in ((a.ids, b.ids), (a.scores, b.scores)))
    # Of equal scores the first place comes first.
    order = np.argsort(places)
    chosen = order[best_rows(scores[order], k)]
    return joined([(places[chosen], scores[chosen])])


def could_screen(rows: int, selection: Selection) -> bool:
    """Whether a call for so many items can be screened at all."""
    adjustment = selection.adjustment
    plain = adjustment.times is None and adjustment.plus is None and selection.taken is None
    return plain and 0 < selection.k * _ITEMS_FOR_EACH <= rows


def make_screen(part: ModelPart, state: State, exact: ReadyPlan) -> tuple[Screen | None, str]:
    """What screens the items of a catalogue, or None and why nothing does.

    Parameters
    ----------
    part : ModelPart
    state : State
        The split graph of a score where items are many.
    exact : ReadyPlan
        The plan that is made of it.
    """
    plan = exact.plan
    near, screened = make_near_plan(state, plan, part.backend)
    if near is None:
        return None, f"all are scored: {screened.why_not}"
    narrow = [2 * layer.weights.size for layer in screened.layers if layer.narrow]
    saved = sum(each * (1 - int8_cost(part.backend)) - _LAYER_COST for each in narrow) / candidate_cost(plan)
    if saved < _LEAST_SAVED:
        return None, f"all are scored: int8 layers would save {max(saved, 0):.0%} of a score"
    alone = exact if plan.few is None else part.ready(replace(plan, few=None, few_rows=0))
    why = f"layers in int8 with a bound of their error: {len(narrow)}; then float32 for what can be a result"
    return Screen(part.ready(near), alone, plan.few_rows, screened, saved * _SHARE_OF_SAVED), why


__all__ = ["Screen", "could_screen", "least_sum", "make_screen"]
