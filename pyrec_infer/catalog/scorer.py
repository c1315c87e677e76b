"""What scores a catalogue's items by their records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import Inputs
from pyrec_infer.backends.select import runner_names
from pyrec_infer.catalog.by_product import describe_search, make_product_search
from pyrec_infer.catalog.given import Given
from pyrec_infer.catalog.halves import Halves, separate, with_precision
from pyrec_infer.catalog.late import late_arrays
from pyrec_infer.catalog.screen import Screen, could_screen, make_screen
from pyrec_infer.errors import InputError, RowCountError, ShapeError
from pyrec_infer.execution.calls import PositionalCall, are_many, find_best, prepare_call
from pyrec_infer.execution.planning import make_plan, make_plans
from pyrec_infer.ir import Array
from pyrec_infer.limits import current_budget
from pyrec_infer.outputs import Wanted
from pyrec_infer.passes import EVERY, Change
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS
from pyrec_infer.store import Rows64, StoreView
from pyrec_infer.tools.explain import Explanation, explain_plan
from pyrec_infer.top_k import Adjustment, Ranked, Selection, joined


class Scorer:
    """The half of a model that scores items by their records.

    Parameters
    ----------
    halves : Halves
    """

    def __init__(self, halves: Halves) -> None:
        part, self._halves = halves.part, halves
        self._part, self.signature = part, part.signature
        context, pairs = halves.states[EVERY].context, halves.states[EVERY].graph
        self.candidate_names = tuple(name for name in part.graph.inputs if name in halves.late)
        made = {name for item in context.derived for name in item.labels}
        self.request_names = tuple(
            name for name in pairs.inputs if name not in halves.late | made and name not in (RECORDS, ROWS)
        )
        self._request = frozenset(self.request_names)
        rows = [self.signature.infos[name].rows for name in self.request_names]
        self._have_rows = bool(rows) and min(rows) >= 0
        states = with_precision(halves.states, part)
        plan, key = make_plans(states, part.backend, part.pool)
        self.pairs = part.ready(plan)
        # Steps that finish a graph may tell few from many where those that split it did not.
        self._for_many = states.get(key, states[EVERY])
        self.names = (*self.request_names, RECORDS, ROWS, *self.candidate_names)
        self._call = prepare_call(self.pairs, self.names, self._request, None)
        plain = (RECORDS, ROWS, *self.request_names, *self.candidate_names)
        call = PositionalCall(self.pairs, plain, self._request, None)
        self._plain_call: Callable[..., Any] | None = call.in_backend(None)
        self.given = Given(part.signature, self.request_names, self.candidate_names, halves.own_names)
        """What calls are given, in order."""
        self.products = make_product_search(part, self.pairs)

    @property
    def backend(self) -> str:
        return self._part.backend

    @property
    def wanted(self) -> Wanted:
        return self._part.wanted

    def explain(self) -> Explanation:
        """What a score does."""
        plan, backend = self.pairs.plan, self._part.backend
        return explain_plan(plan, backend, runner_names(plan, backend), self._part.notes)

    @cached_property
    def screening(self) -> tuple[Screen | None, str]:
        """See `make_screen`; made when a call could use it, which takes some plans."""
        return make_screen(self._part, self._for_many, self.pairs)

    def search(self) -> dict[str, Any]:
        """How the best of many items are found, and why so."""
        if not isinstance(self.products, str):
            return describe_search(self.products)
        screen, why = self.screening
        path, no = "plain" if screen is None else "screened", self.products
        return {"path": path, "why": f"{why}; no search by a product: {no}"}

    def changes(self) -> list[Change]:
        """What each step of the compiler changed on the way from the model's graph to the plan of a score."""
        found: list[Change] = []
        states = with_precision(separate(self._part.graph, self._halves.asked, found.append), self._part)
        make_plan(states, self._part.backend, self._part.pool, found.append)
        return found

    def positional(
        self, names: Sequence[str], request: frozenset[str], max_rows: int | None
    ) -> PositionalCall:
        """A score whose inputs, records and rows among them, are known by position."""
        return PositionalCall(self.pairs, names, request, max_rows)

    def score(
        self, records: NDArray[np.uint8], rows: Rows64, request: Inputs, candidates: Inputs | None
    ) -> NDArray[np.float32]:
        """Score the items of these rows of the records."""
        plain = None if self._plain_call is None else self.given.of_request(request, candidates)
        if self._plain_call is not None and plain is not None:
            found: NDArray[np.float32] | None = self._plain_call(records, rows, *plain)
            if found is not None:
                return found
        signature = self._part.signature
        own, late = signature.expand(request), signature.expand({} if candidates is None else candidates)
        self.require(own, late)
        arrays = [signature.array(name, own[name], 1) for name in self.request_names]
        rest = [signature.array(name, late[name], None) for name in self.candidate_names]
        for name, array in zip(self.candidate_names, rest, strict=True):
            axis = signature.infos[name].rows
            if axis >= 0 and array.shape[axis] != len(rows):
                raise RowCountError(f"input '{name}': expected {len(rows)} rows, got {array.shape[axis]}")
        given = dict(zip((*self.request_names, *self.candidate_names), (*arrays, *rest), strict=True))
        with signature.naming(given):
            return self._call(*arrays, records, rows, *rest)

    def best(
        self,
        view: StoreView,
        rows: Rows64,
        request: Inputs,
        candidates: Inputs | None,
        k: int,
        boost: Adjustment | None = None,
    ) -> Ranked:
        """The k items with the highest scores for each request.

        Parameters
        ----------
        view : StoreView
        rows : ndarray of int64, shape (N,)
            Of the items in the view's records; -1 is left out.
        request : mapping of str to array_like
            One row in each input, or B in all.
        candidates : mapping of str to array_like
            One row for each of the rows, request after request.
        k : int
        boost : Adjustment, optional
            With a number for each of the rows.

        Returns
        -------
        Ranked
            Places among ``rows`` in the place of ids. Equal scores: the lower place first. NaN comes last.
        """
        self.require_one_score()
        taken = rows >= 0
        kept = None if taken.all() else np.flatnonzero(taken)
        chosen = rows if kept is None else rows[kept]
        adjustment = Adjustment() if boost is None else boost
        late = {} if candidates is None else self._part.signature.expand(candidates)
        if not late:
            selection = Selection(k, True, adjustment if kept is None else adjustment.chosen(kept))
            single = self.best_of_few(view.records, chosen, request, selection)
            if single is not None:
                return _placed(single, kept)
        arrays, count = self.requests(request, late)
        if not len(chosen) or not count:
            return joined([(np.empty(0, np.int64), np.empty(0, np.float32))] * count)
        if late:
            # Inputs of candidates lie beside all rows.
            alone = None if kept is None else np.tile(taken, count)
            chosen = np.where(taken, rows, chosen[0])
            selection = Selection(k, False, adjustment.flat(count, len(rows)), alone)
        if count == 1 and not are_many(len(chosen)):
            scores = self.score(view.records, chosen, request, candidates)
            found = selection.best(scores, (0, len(scores)))
        else:
            arrays.update(late_arrays(self.signature, late, count, len(rows)))
            with self.signature.naming(arrays):
                found = self._find_best(view.records, chosen, arrays, count, selection)
        return found._replace(ids=found.ids % len(rows)) if late else _placed(found, kept)

    def require_one_score(self) -> None:
        """Refuse to rank by several scores."""
        if self.wanted.keys is not None:
            raise ShapeError(
                f"top_k needs one score for each item, this catalogue gives {len(self.wanted.keys)}"
            )

    def best_of_few(
        self,
        records: NDArray[np.uint8],
        rows: Rows64,
        request: Inputs,
        selection: Selection,
        candidates: Inputs | None = None,
    ) -> Ranked | None:
        """The best of few items that need no closer look; None for others.

        Parameters
        ----------
        records : ndarray of uint8
        rows : ndarray of int64, shape (N,)
            Of the items; all are there.
        request : mapping of str to array_like
            As for `best`.
        selection : Selection
            Of all items for each request.
        candidates : mapping of str to array_like, optional
            As for `best`, of one request.
        """
        if self._plain_call is None or not len(rows) or are_many(len(rows)) or self.wanted.keys is not None:
            return None
        own = self.given.of_request(request, candidates)
        if own is None:
            return None
        if not selection.plain:
            scores = self._plain_call(records, rows, *own)
            return None if scores is None else selection.best(scores, (0, len(rows)))
        found = self._plain_call(records, rows, *own, **self.asked(len(rows), selection))
        return None if found is None else Ranked(*found[0])

    def asked(self, rows: int, selection: Selection) -> dict[str, Any]:
        """What a native call for the best of so many items is given by name."""
        # Of several requests a screen may spare items.
        free = not could_screen(rows, selection) or self.screening[0] is None
        return {"k": selection.k, "shared": free and not self.candidate_names}

    def best_of_lists(
        self, records: NDArray[np.uint8], rows: Rows64, bounds: Rows64, request: Inputs, k: int
    ) -> Ranked | None:
        """The best of few items of each request's own, those of request b ``bounds[b]:bounds[b + 1]`` of the
        rows; None for calls that need a closer look."""
        few = len(rows) and not are_many(len(rows)) and self.wanted.keys is None
        plain = few and self._have_rows and not self.candidate_names and not self.pairs.plan.one_request
        own = self.given.of_request(request, None) if plain and self._plain_call is not None else None
        if own is None or self._plain_call is None:
            return None
        found = self._plain_call(records, rows, *own, offsets=bounds, k=k)
        return None if found is None else Ranked(*found[0])

    def requests(self, request: Inputs, late: Mapping[str, Any]) -> tuple[dict[str, Array], int]:
        """The inputs of the requests, checked beside those of the candidates, and how many they are."""
        own = self._part.signature.expand(request)
        self.require(own, late)
        return self._part.signature.requests(self.request_names, own)

    def count_requests(self, request: Inputs) -> int:
        """How many requests the inputs of a call hold."""
        own = self._part.signature.expand(request)
        given = [name for name in self.request_names if name in own]
        return self._part.signature.requests(given, own)[1]

    def _find_best(
        self,
        records: NDArray[np.uint8],
        rows: Rows64,
        arrays: dict[str, Array],
        count: int,
        selection: Selection,
    ) -> Ranked:
        size, offsets = len(rows), range(0)
        arrays = {**arrays, RECORDS: records}
        screen = self.screening[0] if could_screen(size, selection) else None
        found = None if screen is None else screen.best_of_each(arrays, count, rows, selection)
        if found is not None:
            return found
        if not selection.shared:
            current_budget().require(rows.nbytes * count)
            rows, offsets = np.tile(rows, count), range(0, count * size + 1, size)
        arrays = {**arrays, ROWS: rows}
        name = self.wanted.names()[0]
        return find_best(self.pairs, arrays, offsets, count, len(rows), name, selection)

    def score_present(
        self, records: NDArray[np.uint8], rows: Rows64, request: Inputs, candidates: Inputs | None
    ) -> NDArray[np.float32]:
        """Scores as `score` gives them, NaN for rows that are -1."""
        absent = rows < 0
        if not absent.any():
            return self.score(records, rows, request, candidates)
        if absent.all():
            none = self._score_none(records, request, candidates)
            return np.full((len(rows), *none.shape[1:]), np.nan, np.float32)
        # The inputs of those that are gone are checked as well.
        present = np.where(absent, rows[np.argmin(absent)], rows)
        scores = self.score(records, present, request, candidates)
        scores[absent] = np.nan
        return scores

    def _score_none(
        self, records: NDArray[np.uint8], request: Inputs, candidates: Inputs | None
    ) -> NDArray[np.float32]:
        """The scores of no items, whatever rows the candidates' inputs have."""
        signature = self._part.signature
        late = {}
        for name, value in signature.expand({} if candidates is None else candidates).items():
            array, axis = signature.array(name, value, None), signature.infos[name].rows
            late[name] = array if axis < 0 else np.take(array, [], axis=axis)
        return self.score(records, np.empty(0, np.int64), request, late)

    @property
    def takes_rows(self) -> bool:
        """Whether calls take raw rows."""
        return self._part.signature.takes_rows

    def require_fields(self, request: Sequence[str], candidates: Sequence[str]) -> None:
        """Refuse the fields of a prepared call of raw rows that are not those of a score."""
        signature, names = self._part.signature, (*self.request_names, *self.candidate_names)
        signature.require_fields((*request, *candidates), names)
        self.require(*signature.sides(request, candidates))

    def require(self, request: Mapping[str, Any], candidates: Mapping[str, Any]) -> None:
        signature = self._part.signature
        for name in request:
            if name in self._halves.own:
                raise InputError(f"input '{name}' is part of the items, not of the request")
        signature.require((*self.request_names, *self.candidate_names), request, candidates)
        for names, given, side in (
            (self.request_names, request, "the request"),
            (self.candidate_names, candidates, "the candidates"),
        ):
            for name in names:
                if name not in given:
                    raise InputError(f"input '{name}': expected with {side}")


def _placed(found: Ranked, kept: Rows64 | None) -> Ranked:
    """Results by the places that are kept; None: all are."""
    return found if kept is None else found.with_ids(kept[found.ids])


__all__ = ["Scorer"]
