"""The best of many items, exact as those of all float32 scores, by scores of int8 layers first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.backends.native import NativeExecutor
from pyrec_infer.backends.select import int8_cost
from pyrec_infer.catalog.bounds import ScoreBound
from pyrec_infer.catalog.part import ModelPart
from pyrec_infer.errors import ResourceLimitError
from pyrec_infer.execution.planning import make_near_plan
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import Array
from pyrec_infer.passes import State
from pyrec_infer.passes.finish.screen_layers import Screened
from pyrec_infer.passes.split.record_layout import ROWS
from pyrec_infer.plan.cost import candidate_cost
from pyrec_infer.top_k import Ranked, Selection, joined

Rows64 = NDArray[np.int64]

_ITEMS_FOR_EACH = 16
"""Items for each result, below which too many are near the best."""

_LAYER_COST = 5_000.0
"""What else an int8 layer takes for each item: its rows are rounded and measured."""

_LEAST_SAVED = 0.2
"""Share of a score below which what is saved is lost again where items are scored twice."""

_SHARE_OF_SAVED = 0.8

_LIKELY = 2
"""Items for each result that are scored in float32 first, those with the largest near scores."""

_PAUSE = 64
"""Calls that are not screened after one in which too many items were left."""


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
        assert isinstance(near.executor, NativeExecutor)
        assert isinstance(exact.executor, NativeExecutor)
        self._executors = near.executor, exact.executor
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
        given = {**arrays, ROWS: np.ascontiguousarray(rows)}
        near, exact = (
            [given[item.name] for item in ready.plan.given_inputs()] for ready in (self._near, self._exact)
        )
        found = self._executors[0].run_screened(
            self._executors[1],
            self._bound.native,
            (near, exact),
            ROWS,
            self._near.plan.results,
            sigmoid=self._activation == "Sigmoid",
            k=selection.k,
            likely=_LIKELY * selection.k,
            most=max(int(self._most * len(rows)), 0),
        )
        if found is None:
            self._paused = _PAUSE
            return None
        places, scores, refined = found
        return joined([(places, scores)]).found_by(refined)


def could_screen(rows: int, selection: Selection) -> bool:
    """Whether a call for so many items can be screened at all."""
    return selection.plain and 0 < selection.k * _ITEMS_FOR_EACH <= rows


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


__all__ = ["Screen", "could_screen", "make_screen"]
