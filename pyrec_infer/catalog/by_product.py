"""The best items of a catalogue whose score rises with an inner product: found by it, scored by the plan."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.catalog.part import ModelPart
from pyrec_infer.execution.calls import find_best
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.ir import Array
from pyrec_infer.limits import current_budget
from pyrec_infer.passes.common.affine import Affine, share_of
from pyrec_infer.passes.common.quotients import Quotient, Root, divided_beforehand
from pyrec_infer.passes.split.record_layout import RECORDS, ROWS
from pyrec_infer.plan import ProductPlan
from pyrec_infer.retrieval.index import Index, NativeIndex
from pyrec_infer.retrieval.ranking import scope_of
from pyrec_infer.retrieval.vectors import LONGEST
from pyrec_infer.selection.items import RowChoice
from pyrec_infer.selection.masks import Flags
from pyrec_infer.store import Rows64, State
from pyrec_infer.top_k import Ranked, Selection, joined

FEWEST = 1 << 13
"""Of fewer items all are scored: a search has a cost of its own."""

_MORE, _WIDER, _SHARE = 32, 8, 16
"""So many more items are scored than are asked for, then so many times as many, but no more than a share of
all."""

_BLOCK = 1 << 13
"""Items whose numbers are looked at together."""

_F32 = np.dtype(np.float32).itemsize

_OUTWARD = 1 + 2.0**-20
"""More than double precision changes a bound by."""

_LARGEST = 2.0**100
"""Numbers of a score that are below it overflow nowhere on the way."""


@dataclass
class _Numbers:
    """The numbers of all items of a state.

    Attributes
    ----------
    index : Index or None
        None where some cannot be searched, because they are not finite, or too large.
    longest : float
        No item's vector is longer.
    least, most : float
        Between them is the number by whose power vectors are divided.
    searches, misses : int
        How often they were searched, and how often that did not show which items are the best.
    """

    index: Index | None
    longest: float
    least: float = field(default=1.0)
    most: float = field(default=1.0)
    searches: int = field(default=0)
    misses: int = field(default=0)


@dataclass(frozen=True)
class _Bound:
    """What an item's score is, by its product with a request's factors.

    Attributes
    ----------
    query : ndarray of float32
        The factors.
    given : float
        What the request adds.
    apart : float
        The sum that the plan computes is no further from the product and this, for any item.
    """

    query: NDArray[np.float32]
    given: float
    apart: float


def _bound_of(affine: Affine, longest: float) -> _Bound | None:
    """The bound for items of no greater length; None where there is none."""
    factors, sizes = (each.reshape(-1) for each in (affine.factors, affine.sizes))
    if not (np.isfinite(affine.largest).all() and np.isfinite(factors).all() and np.isfinite(affine.rest)):
        return None
    most = np.linalg.norm(affine.largest[:-1]) * longest + affine.largest[-1]
    if not most < _LARGEST:
        return None
    query = factors[:-1].astype(np.float32)
    own, other = share_of(affine.roundings + 1), share_of(len(query) + 2)
    reach = own * np.linalg.norm(sizes[:-1]) + other * np.linalg.norm(query)
    reach += np.linalg.norm(factors[:-1] - query)
    least = affine.rest + (len(query) + 2) * 2.0**-148
    apart = (reach * longest + own * sizes[-1]) * _OUTWARD + least
    return _Bound(query, float(factors[-1]), float(apart)) if np.isfinite(apart) else None


def _divided(vectors: NDArray[np.float32], by: Root) -> NDArray[np.float32]:
    """Items' numbers, and 1 behind them, divided by a power of one of them."""
    with np.errstate(all="ignore"):
        shares = vectors[:, by.number, np.newaxis].astype(np.float64) ** -by.power
        return np.concatenate([vectors * shares, shares], axis=1).astype(np.float32)


class ProductSearch:
    """Finds the best items of a catalogue by the product that their score rises with.

    A search of the products of all items gives a few more than are asked for, which the plan scores. Those
    that were not given have no greater product than the last that was, so their scores are below a bound;
    where the worst of the best is above it, no other item is among the best, and none is as good.

    Parameters
    ----------
    pairs : ReadyPlan
        Scores pairs.
    request : ReadyPlan
        Makes what the request's factors are made of.
    plan : ProductPlan
    backend : str
    pool : _native.ThreadPool
    output : str
        What errors call the scores.
    """

    def __init__(
        self, pairs: ReadyPlan, request: ReadyPlan, plan: ProductPlan, backend: str, pool: Any, output: str
    ) -> None:
        self._pairs, self._request, self.product = pairs, request, plan.product
        self._backend, self._pool, self._output = backend, pool, output

    def best(
        self, choice: RowChoice, arrays: Mapping[str, Array], requests: int, k: int, within: Flags | None
    ) -> Ranked | None:
        """The k best items of each request by their places; None where the search does not show them.

        Parameters
        ----------
        choice : RowChoice
            Which items may be found.
        arrays : mapping of str to ndarray
            The inputs of the requests.
        requests : int
            How many they are.
        k : int
        within : ndarray of bool, optional
            Those places alone.
        """
        state = choice.state
        if not k or not requests or k * _SHARE > len(state.rows):
            return None
        if requests == 1 and state.found("searched") is None:
            # Looking at all items once costs as much as a search.
            state.kept("searched", lambda: True)
            return None
        numbers = state.kept("numbers", lambda: self._numbers(state))
        if numbers.index is None or 2 * numbers.misses > numbers.searches + 4:
            return None
        bounds = self._bounds(arrays, requests, numbers)
        if bounds is None:
            return None
        index = scope_of(choice, numbers.index, requests, within)
        numbers.searches += 1
        width, refined = k + _MORE, 0
        while width * _SHARE <= max(len(state.rows), 1):
            refined += requests * min(width, index.count)
            found = self._search(choice, index, arrays, bounds, k, width)
            if found is not None:
                return found.found_by(refined)
            width *= _WIDER
        numbers.misses += 1
        return None

    def _numbers(self, state: State) -> _Numbers:
        """The numbers of all items, where they lie or divided, and how long their vectors are."""
        records = state.view.records[:, self.product.begin : self.product.end]
        divisor, least, most = self.product.divisor, 1.0, 1.0
        places = records
        if divisor is not None:
            first = divisor.number * _F32
            by = records[:, first : first + _F32][state.rows].view(np.float32)
            least, most = float(by.min(initial=np.inf)), float(by.max(initial=0))
            if not 0 < least <= most < np.inf:
                return _Numbers(None, np.inf)
            current_budget().require(len(records) * (records.shape[1] + _F32))
            places = np.zeros((len(records), records.shape[1] + _F32), np.uint8)
        details = np.zeros((len(records), 2), np.float32)
        longest = 0.0
        for begin in range(0, len(state.rows), _BLOCK):
            rows = state.rows[begin : begin + _BLOCK]
            vectors = records[rows].view(np.float32)
            if divisor is not None:
                vectors = _divided(vectors, divisor)
                places[rows] = vectors.view(np.uint8)
            with np.errstate(all="ignore"):
                squares = np.einsum("ij,ij->i", vectors, vectors).astype(np.float64)
            # Of squares that are summed in float32.
            squares = squares * (1 + share_of(vectors.shape[1] + 2)) + vectors.shape[1] * 2.0**-148
            lengths = np.sqrt(squares) * _OUTWARD
            if not (lengths < LONGEST).all():
                return _Numbers(None, np.inf)
            details[rows, 1] = np.nextafter(lengths.astype(np.float32), np.float32(np.inf))
            longest = max(longest, float(lengths.max()))
        index = NativeIndex(
            places, details.view(np.uint8), None, None, state.rows, False, self._backend, self._pool
        )
        return _Numbers(index, longest, least, most)

    def _bounds(self, arrays: Mapping[str, Array], requests: int, numbers: _Numbers) -> list[_Bound] | None:
        """The factors of each request and their bounds; None where one has none."""
        plan, made = self._request.plan, dict[str, Array]()
        if plan.outputs:
            given = {name: arrays[name] for name in plan.given}
            offsets = range(requests + 1) if requests != 1 else ()
            self._request.check_rows(given, requests, requests)
            made = self._request.run(given, offsets, requests)
        bounds = []
        for number in range(requests):
            known = {name: value[number : number + 1] for name, value in made.items()}
            with np.errstate(all="ignore"):
                affine = self._affine(known, numbers)
                bound = None if affine is None else _bound_of(affine, numbers.longest)
            if bound is None or not np.linalg.norm(bound.query.astype(np.float64)) < LONGEST:
                return None
            bounds.append(bound)
        return bounds

    def _affine(self, known: Mapping[str, Array], numbers: _Numbers) -> Affine | None:
        """What a request's score is, before its functions, of what is searched."""
        made, divisor = self.product.factors(known), self.product.divisor
        if not isinstance(made, Quotient):
            return made if divisor is None else None
        if divisor is None or not made.by.alike(divisor):
            return None
        return divided_beforehand(made, numbers.least, numbers.most)

    def _search(
        self,
        choice: RowChoice,
        index: Index,
        arrays: Mapping[str, Array],
        bounds: list[_Bound],
        k: int,
        width: int,
    ) -> Ranked | None:
        """The best of the items with the largest products; None where others may be as good."""
        queries = np.stack([bound.query for bound in bounds])
        width = min(width, index.count)
        places, products, counts, _ = index.search(queries, width, choice.excluded)
        chosen = [np.sort(own[:count]) for own, count in zip(places, counts.tolist(), strict=True)]
        ranked = self._scored(choice.state, chosen, arrays, k)
        for number, bound in enumerate(bounds):
            if counts[number] < width or width == index.count:
                continue  # no item is left
            limit = float(products[number, width - 1]) + bound.given
            limit += bound.apart + abs(limit) * 2.0**-50
            worst = float(ranked.scores[number, k - 1]) if ranked.counts[number] >= k else -np.inf
            if not self.product.highest(limit) < worst:
                return None
        return ranked

    def _scored(self, state: State, chosen: list[Rows64], arrays: Mapping[str, Array], k: int) -> Ranked:
        """The best of each request's own items, by place."""
        places = np.concatenate(chosen)
        if not len(places):
            return joined([(places, np.empty(0, np.float32))] * len(chosen))
        offsets = np.concatenate([[0], np.cumsum([len(own) for own in chosen])])
        given = {**arrays, RECORDS: state.view.records, ROWS: state.rows[places]}
        several = offsets.tolist() if len(chosen) != 1 else ()
        ranked = find_best(self._pairs, given, several, len(chosen), len(places), self._output, Selection(k))
        return ranked._replace(ids=places[ranked.ids])


def describe_search(search: ProductSearch) -> dict[str, Any]:
    """How the best items are found, and why so."""
    product = search.product
    rises = " of ".join([*reversed(product.functions), f"an inner product of {product.width} numbers"])
    divided = "" if product.divisor is None else ", divided by a power of one of them"
    why = (
        f"the score is {rises} of the record with the request's{divided}; all are scored where they are "
        f"fewer than {FEWEST}, of some ids or have just changed, with boosts, and where others may be as good"
    )
    data = {"path": "retrieval", "why": why, "numbers": product.width}
    return {**data, "functions": list(product.functions), "fewest_items": FEWEST}


def make_product_search(part: ModelPart, pairs: ReadyPlan) -> ProductSearch | str:
    """The search of a catalogue's items, or why there is none."""
    plan = pairs.plan.product
    if isinstance(plan, str):
        return plan
    if part.backend == "numba":
        return "the backend scores all items as fast"
    if part.wanted.keys is not None or not pairs.plan.selects_in_tiles:
        return "there is not one score of an item"
    request = part.ready(plan.request)
    return ProductSearch(pairs, request, plan, part.backend, part.pool, part.wanted.names()[0])


__all__ = ["FEWEST", "ProductSearch", "describe_search", "make_product_search"]
