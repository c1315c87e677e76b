"""A model's graph for each axis that can hold the candidates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from pyrec_infer.arguments import RawRows, Signature
from pyrec_infer.backends.base import Fallbacks, load_fallbacks
from pyrec_infer.errors import ShapeError
from pyrec_infer.formats import Imported, fallback_model
from pyrec_infer.ir import BATCH, Array, Graph, Info, Node
from pyrec_infer.ops import OPS
from pyrec_infer.ops.core.inference import analyze
from pyrec_infer.outputs import Wanted, is_by_row
from pyrec_infer.passes import Context, compile_graph, select_graph
from pyrec_infer.passes.load.place_rows import is_placed, open_sizes
from pyrec_infer.schema import Schema
from pyrec_infer.schema.checking import require_golden


@dataclass(frozen=True, eq=False)
class View:
    """A compiled graph whose rows are where a call's candidates are.

    Attributes
    ----------
    graph : Graph
    infos : mapping of str to Info
        What is known of every value.
    signature : Signature
        The inputs, with their rows where this graph has them.
    fallbacks : mapping of Node to callable
    context : Context
        What the graph was compiled with.
    """

    graph: Graph
    infos: Mapping[str, Info]
    signature: Signature
    fallbacks: Fallbacks
    context: Context

    @property
    def moved(self) -> bool:
        """Whether the rows lie along another size than the model's batch."""
        return bool(self.context.along)


class Views:
    """The graphs of one model; made when they are first needed, but for those of `run` and `score`.

    Parameters
    ----------
    imported : Imported
    columns
        What the caller names columns of matrix inputs.
    backend : str
        That will serve.
    schema : Schema, optional
        Of raw rows that inputs are made of.
    """

    def __init__(
        self,
        imported: Imported,
        columns: Mapping[str, Sequence[str]],
        backend: str,
        schema: Schema | None = None,
    ) -> None:
        graph, presumed, fixed_rows = imported.graph, imported.presumed, imported.fixed_rows
        self._ignored = imported.dropped_inputs
        self._columns = columns or imported.columns
        fitted = None if schema is None else schema.fit(graph)
        self._raw = None if fitted is None else RawRows(fitted.fields, fitted.limits)
        if schema is not None and fitted is not None and self._raw is not None:
            require_golden(schema, fitted, self._raw, backend)
        front = None if fitted is None else fitted.front
        if front is not None:
            presumed = {name: size for name, size in presumed.items() if name not in front.feeds}
        context = Context(front=front, columns=columns, fixed_rows=fixed_rows, presumed=presumed)
        self.whole = self._view(graph, context)
        """For `run`: ONNX's semantics to the letter."""
        placed = replace(context, placed=True)
        self.scored = self.whole if is_placed(graph, fixed_rows) else self._view(graph, placed)
        """For calls with the candidates along the model's batch."""
        # Where no other size is open, nothing can be moved.
        sizes = {size for name in self.scored.graph.inputs for size in open_sizes(self.scored.graph, name)}
        self._source = graph if sizes - {BATCH} else None
        self._moved: dict[str, View] = {}

    def _view(self, graph: Graph, context: Context) -> View:
        compiled = compile_graph(graph, context)
        infos = analyze(compiled).infos
        fallbacks = load_fallbacks(_unknown_nodes(compiled), infos, fallback_model)
        return View(compiled, infos, self._signature(compiled, infos, context), fallbacks, context)

    def _signature(self, graph: Graph, infos: Mapping[str, Info], context: Context) -> Signature:
        return Signature(
            {name: infos[name] for name in graph.inputs}, self._columns, self._ignored, self._raw
        )

    def place(self, candidates: Iterable[str], wanted: Wanted) -> View:
        """The graph for a call with these inputs on the candidates' side.

        The candidates lie along the model's batch, unless an output that is asked for then has no
        definite number of values for each of them, and has one along another size that all these inputs
        share.
        """
        plain = self.scored
        if self._source is None or is_by_row(wanted, plain.graph):
            return plain
        graph = plain.graph
        shared = [open_sizes(graph, name) for name in candidates if name in graph.infos]
        common = frozenset.intersection(*shared) if shared else frozenset()
        for symbol in sorted(common - {BATCH}):
            view = self._moved.get(symbol)
            if view is None:
                context = replace(plain.context, placed=True, along=symbol)
                view = self._moved[symbol] = self._view(self._source, context)
            if is_by_row(wanted, view.graph):
                return view
        return plain

    def with_inputs(self, view: View, names: Sequence[str]) -> View:
        """The same graph with further inputs, one number for each row."""
        if not names:
            return view
        context = replace(view.context, further=tuple(names))
        graph = select_graph(view.graph, context)
        infos = analyze(graph).infos
        signature = self._signature(graph, infos, context)
        return replace(view, graph=graph, infos=infos, signature=signature, context=context)

    def each_request(
        self, view: View, request: Mapping[str, Any], candidates: Mapping[str, Any], bounds: Sequence[int]
    ) -> Iterator[tuple[dict[str, Array], dict[str, Array]]]:
        """The inputs of each request of a call whose candidates are not along the model's batch."""
        requests = len(bounds) - 1
        own, rows = {}, {}
        for name, value in request.items():
            info = self.scored.infos.get(name, view.infos[name])
            own[name] = self.scored.signature.array(name, value, None) if info.rows >= 0 else value
            if info.rows >= 0 and own[name].shape[info.rows] != requests:
                raise ShapeError(
                    f"input '{name}': expected {requests} rows, got {own[name].shape[info.rows]}"
                )
        for name, value in candidates.items():
            rows[name] = view.signature.array(name, value, None)
            axis = view.infos[name].rows
            if axis >= 0 and rows[name].shape[axis] != bounds[-1]:
                raise ShapeError(f"input '{name}': expected {bounds[-1]} rows, got {rows[name].shape[axis]}")

        def part(array: Any, axis: int, begin: int, end: int) -> Any:
            return array if axis < 0 else np.take(array, range(begin, end), axis=axis)

        for number, (begin, end) in enumerate(pairwise(bounds)):
            one = {
                name: part(value, self.scored.infos[name].rows, number, number + 1)
                for name, value in own.items()
            }
            yield one, {name: part(value, view.infos[name].rows, begin, end) for name, value in rows.items()}


def _unknown_nodes(graph: Graph) -> list[Node]:
    """Nodes whose operator has no meaning here."""
    found = [node for node in graph.nodes if node.op not in OPS]
    for node in graph.nodes:
        for body in node.bodies:
            found += _unknown_nodes(body)
    return found


__all__ = ["View", "Views"]
