"""What a call that ranks candidates needs: its view of the model, its scores and the plan that makes them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyrec_infer.arguments import Signature
from pyrec_infer.catalog.part import ModelPart, Source
from pyrec_infer.errors import IdRangeError, InputError, ShapeError
from pyrec_infer.execution.calls import as_scores, empty_outputs, find_best
from pyrec_infer.execution.planning import make_ready, watch_passes
from pyrec_infer.execution.ready import ReadyPlan
from pyrec_infer.expressions import parse
from pyrec_infer.ir import Array, Graph, Rows
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.outputs import Wanted, read_by, read_output, resolve
from pyrec_infer.passes import Change, Context, select_graph
from pyrec_infer.passes.common.sides import Sides
from pyrec_infer.passes.select.select_scores import row_axis
from pyrec_infer.plan import Plan
from pyrec_infer.ranking.views import View, Views
from pyrec_infer.top_k import Ranked, Selection

_MAX_PLANS = 64
"""Plans a model keeps: one for each combination of request inputs and scores that was asked for."""


@dataclass(frozen=True, eq=False)
class Way:
    """One way to call a model, and the plan for it.

    Attributes
    ----------
    view : View
    ready : ReadyPlan
        Its only output are the scores.
    wanted : Wanted
        Turns them into what the caller gets.
    context : Context
        What the plan was made with.
    """

    view: View
    ready: ReadyPlan
    wanted: Wanted
    context: Context


@dataclass(frozen=True)
class Explained:
    """A plan to explain, and what it was made of and with."""

    view: View
    plan: Plan
    context: Context


class Ranking:
    """The plans of a model.

    Parameters
    ----------
    views : Views
    backend, pool, max_bytes, precision
        Of the model.
    """

    def __init__(self, views: Views, backend: str, pool: Any, max_bytes: int, precision: str) -> None:
        self.views = views
        self._how = backend, pool, max_bytes
        self._precision = precision
        # Threads may make the same twice; they make no other.
        self._made: dict[Any, Any] = {}

    def _kept(self, key: Any, made: Any) -> Any:
        if len(self._made) >= _MAX_PLANS:
            self._made.clear()
        self._made[key] = made
        return made

    def whole(
        self,
        request: frozenset[str],
        outputs: tuple[str, ...],
        strict_ids: bool,
        precision: str | None = None,
    ) -> ReadyPlan:
        """Whole outputs, as `run` gives them."""
        precision = self._precision if precision is None else precision
        key = request, outputs, strict_ids, precision
        found: ReadyPlan | None = self._made.get(key)
        if found is None:
            view = self.views.whole
            context = Context(
                outputs=outputs, strict_ids=strict_ids, sides=Sides(request), precision=precision
            )
            graph = select_graph(view.graph, context)
            found = self._kept(key, make_ready(graph, context, *self._how, view.fallbacks))
        return found

    def of_requests(self, requests: Any, output: str) -> Array:
        """An output for requests in the forms of `Model.score`, a row for each; ids are checked as there."""
        ready = self.whole(frozenset(), (output,), strict_ids=True)
        view = self.views.whole
        own = view.signature.expand(requests)
        view.signature.require(ready.plan.given, own)
        given, _ = view.signature.requests(ready.plan.given, own)
        return call(view, ready, {}, given, ())[0][output]

    def signature(self, by: Any) -> Signature:
        """The model's inputs, with the further ones that ``by=`` names."""
        if by is None:
            return self.views.whole.signature
        graph = self.views.scored.graph
        names = dict.fromkeys(part.name for part in parse(by).names())
        further = [name for name in names if name not in graph.outputs and name not in graph.inputs]
        return self.views.with_inputs(self.views.scored, further).signature

    def wanted(self, output: Any, by: Any, further: Iterable[str]) -> Wanted:
        """What ``output=`` or ``by=`` says."""
        graph = self.views.scored.graph
        if by is None:
            return read_output(output, graph)
        if output is not None:
            raise InputError("by: expected an expression or `output`, got both")
        return read_by(by, graph, further)

    def view(self, candidates: Iterable[str], wanted: Wanted) -> View:
        """The graph for candidates that are given in these inputs, with the further inputs of ``by``."""
        view = self.views.place(candidates, wanted)
        known = {*view.graph.outputs, *view.graph.inputs}
        return self.views.with_inputs(view, [name for name in wanted.names() if name not in known])

    def context(self, view: View, wanted: Wanted, single: bool, request: frozenset[str]) -> Context:
        """What the steps of a call need to know."""
        scores = resolve(wanted, view.graph, single)
        return Context(scores=scores, strict_ids=True, sides=Sides(request), precision=self._precision)

    def graph(self, view: View, context: Context) -> Graph:
        """The part of a view that makes the scores."""
        graph = select_graph(view.graph, context)
        info = analyze(graph).infos[graph.outputs[0]]
        if row_axis(info, graph.static_rows) is None:
            raise ShapeError(f"by: expected one score for each candidate, got shape {list(info.shape or ())}")
        return graph

    def way(
        self,
        request: Iterable[str],
        candidates: Iterable[str],
        output: Any,
        by: Any = None,
        single: bool = False,
    ) -> Way:
        """The plan for a call with these inputs on its sides; ``single`` as for `resolve`."""
        request, candidates = frozenset(request), frozenset(candidates)
        wanted = self.wanted(output, by, request | candidates)
        key = request, candidates, wanted, single
        found: Way | None = self._made.get(key)
        if found is None:
            view = self.view(candidates, wanted)
            context = self.context(view, wanted, single, request)
            graph = self.graph(view, context)
            same = view, request, wanted
            ready = self._made.get(same)
            if ready is None:
                ready = self._kept(same, make_ready(graph, context, *self._how, view.fallbacks))
            found = self._kept(key, Way(view, ready, wanted, context))
        return found

    def explained(self, request: Iterable[str], output: Any, by: Any) -> Explained:
        """The plan for these inputs of a request, all others the candidates'; by default of whole outputs."""
        signature = self.signature(by)
        own = signature.expand_names(request)
        if output is None and by is None:
            view, sides = self.views.whole, Sides(frozenset(own))
            plan = self.whole(sides.request, view.graph.outputs, strict_ids=False).plan
            context = Context(outputs=view.graph.outputs, sides=sides, precision=self._precision)
            return Explained(view, plan, context)
        others = [name for name in signature.infos if name not in own]
        way = self.way(own, others, output, by)
        return Explained(way.view, way.ready.plan, way.context)

    def changes(self, imported: Graph, explained: Explained) -> list[Change]:
        """What each step changes on the way to a plan, of the model's graph as it was imported.

        Raises
        ------
        ModelError
            If it is another graph.
        """
        view = explained.view
        return watch_passes(imported, view.graph, view.context, explained.context, *self._how[:2])

    def part(
        self, items: Any, candidates: Iterable[str], source: Source, notes: tuple[str, ...]
    ) -> ModelPart:
        """What a catalogue of these items takes from the model."""
        signature = self.signature(source.by)
        return self.part_of([*signature.expand(items), *signature.expand_names(candidates)], source, notes)

    def part_of(self, sided: Iterable[str], source: Source, notes: tuple[str, ...]) -> ModelPart:
        """The same by the names of the inputs of items and candidates."""
        output, by = source.output, source.by
        signature = self.signature(by)
        wanted = self.wanted(output, by, signature.infos)
        view = self.view(sided, wanted)
        graph = self.graph(view, self.context(view, wanted, False, frozenset()))
        how = *self._how, view.fallbacks, self._precision
        return ModelPart(view.signature, graph, *how, notes, wanted, source)

    def best(
        self,
        way: Way,
        request: Mapping[str, Any],
        candidates: Mapping[str, Any],
        bounds: Sequence[int],
        asked: Callable[[int], Selection],
    ) -> Ranked:
        """The best candidates of each request; ``asked`` says what for by the number of candidates."""
        name = way.wanted.names()[0]
        if way.ready.plan.selects_in_tiles and not way.view.moved:
            arrays, requests, rows = _arrays(way.view, way.ready.plan, request, candidates, bounds)
            if rows > 0 and requests > 0:
                try:
                    return find_best(way.ready, arrays, bounds, requests, rows, name, asked(rows))
                except IdRangeError as error:
                    raise way.view.signature.located(error, arrays) from None
        scores = self.score(way, request, candidates, bounds)
        return asked(len(scores)).best(scores, bounds or (0, len(scores)))

    def score(
        self, way: Way, request: Mapping[str, Any], candidates: Mapping[str, Any], bounds: Sequence[int]
    ) -> NDArray[np.float32]:
        """The scores of a call, before they become what the caller gets."""
        if not way.view.moved or len(bounds) <= 2:
            return _scores(way, request, candidates, bounds)
        parts = [
            _scores(way, own, rows, ())
            for own, rows in self.views.each_request(way.view, request, candidates, bounds)
        ]
        return np.concatenate(parts)


def _arrays(
    view: View,
    plan: Plan,
    request: Mapping[str, Any],
    candidates: Mapping[str, Any],
    offsets: Sequence[int],
) -> tuple[dict[str, Array], int, int]:
    """What a caller gave as arrays, how many requests, and how many candidates: -1 where no input tells."""
    signature = view.signature
    signature.require(plan.given, request, candidates)
    if len(offsets) > 2 and plan.one_request:
        raise InputError(f"{plan.one_request}: expected one request in a call, got {len(offsets) - 1}")
    requests = len(offsets) - 1 if offsets else 1
    arrays: dict[str, Array] = {}
    rows = -1
    for name in plan.given:
        on_request = name in request
        value = request[name] if on_request else candidates[name]
        array = signature.array(name, value, 1 if on_request and requests == 1 else None)
        info = signature.infos[name]
        arrays[name] = array
        if rows < 0 and not on_request and info.rows != Rows.INVARIANT:
            rows = array.shape[info.rows]
    return arrays, requests, rows


def call(
    view: View,
    ready: ReadyPlan,
    request: Mapping[str, Any],
    candidates: Mapping[str, Any],
    offsets: Sequence[int],
) -> tuple[dict[str, Array], int]:
    """Run a plan on what a caller gave; its outputs and the number of candidates."""
    plan = ready.plan
    arrays, requests, rows = _arrays(view, plan, request, candidates, offsets)
    # Bags of the candidates are counted where their bounds are worked out.
    counted = rows < 0 and not offsets and any(not item.request and item.rows >= 0 for item in plan.inputs)
    if rows < 0:
        rows = rows_of(view, candidates, offsets)
    ready.check_rows(arrays, requests, rows)
    if rows == 0 and len(offsets) and offsets[-1] != 0:
        raise ShapeError("offsets must run from 0 to the number of candidates, 0")
    if rows == 0 and plan.static_rows != 1:
        empty = empty_outputs(plan)
        if empty is not None:
            return empty, rows
    try:
        made = ready.run(arrays, offsets, rows)
    except IdRangeError as error:
        raise view.signature.located(error, arrays) from None
    if counted:
        name, axis = next((item.value, item.axis) for item in plan.outputs)
        rows = made[name].shape[axis] if axis >= 0 and name in made else rows
    return made, rows


def rows_of(view: View, candidates: Mapping[str, Any], offsets: Sequence[int]) -> int:
    """The number of candidates of a call; 1 if none of its inputs tells."""
    if offsets:
        return offsets[-1]
    for name, value in candidates.items():
        axis = view.infos[name].rows
        if axis >= 0:
            return int(view.signature.array(name, value, None).shape[axis])
    return 1


def _scores(
    way: Way, request: Mapping[str, Any], candidates: Mapping[str, Any], offsets: Sequence[int]
) -> NDArray[np.float32]:
    outputs, rows = call(way.view, way.ready, request, candidates, offsets)
    (made,) = outputs.values()
    return as_scores(made, rows, way.wanted.names()[0])


def warn_of_fixed_rows(graph: Graph, count: int) -> None:
    """Say what a file costs that fixes the batch, and how to free it."""
    names = [name for name in graph.inputs if (graph.infos[name].shape or (0,))[0] == count]
    axes = ", ".join(f'"{name}": {{0: "batch"}}' for name in names)
    warnings.warn(
        f"the file fixes the batch to {count} rows: candidates are scored in blocks of {count}, the request "
        f"repeated. Export it with a free batch size, with PyTorch by "
        f"`torch.onnx.export(..., dynamic_axes={{{axes}}})`",
        RuntimeWarning,
        stacklevel=4,
    )


__all__ = ["Explained", "Ranking", "Way", "call", "rows_of", "warn_of_fixed_rows"]
