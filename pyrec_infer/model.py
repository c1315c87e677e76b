"""A compiled model: scores candidates, takes the best, makes catalogues."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import ArrayLike

from pyrec_infer.arguments import Inputs, as_bounds, as_count, as_names, as_threads, held
from pyrec_infer.backends.select import make_pool, runner_names, select_backend
from pyrec_infer.catalog import Catalog
from pyrec_infer.codecs import PrecisionName
from pyrec_infer.errors import InputError
from pyrec_infer.execution.calls import PreparedCall, RowsCall, SeveralCall, prepare_call, seem_many
from pyrec_infer.formats import model_source
from pyrec_infer.ir import Array
from pyrec_infer.limits import default_max_bytes, memory_errors_typed
from pyrec_infer.loaded import Loaded
from pyrec_infer.outputs import Output
from pyrec_infer.precision import PrecisionReport
from pyrec_infer.precision.measuring import measure, precision_notes
from pyrec_infer.ranking import Ranking, call, warn_of_fixed_rows
from pyrec_infer.ranking.shortcuts import Shortcuts
from pyrec_infer.ranking.views import Views
from pyrec_infer.schema import Schema
from pyrec_infer.selection import DPP, MMR, Asked
from pyrec_infer.tensor_info import TensorInfo, tensor_info
from pyrec_infer.tools.changes import with_changes
from pyrec_infer.tools.explain import Explanation, explain_plan

Source: TypeAlias = str | os.PathLike[str] | bytes


class Model(Loaded):
    """A compiled model. Make one with `load`.

    Immutable and safe to use from any number of threads; the interpreter lock is released while a
    model is loaded natively and while it scores. Pickles by its path or bytes.
    """

    @memory_errors_typed
    def __init__(
        self,
        source: Source,
        threads: int = 1,
        columns: Mapping[str, Sequence[str]] | None = None,
        precision: PrecisionName | None = None,
        calibration: Inputs | None = None,
        max_bytes: int | None = None,
        mmap: bool = False,
        schema: Schema | None = None,
    ) -> None:
        source = model_source(source)
        threads = as_threads(threads)
        if max_bytes is not None:
            max_bytes = as_count("max_bytes", max_bytes, least=1)
        self._arguments = (source, threads, columns, precision, calibration, max_bytes, mmap, schema)
        max_bytes = default_max_bytes() if max_bytes is None else max_bytes
        self._backend = select_backend()
        imported, named, chosen, schema = self._read(source, columns, precision, mmap, schema)
        self._pool = make_pool(self._backend, threads)
        views = Views(imported, named, self._backend, schema)
        self._ranking = Ranking(views, self._backend, self._pool, max_bytes, chosen)
        self._graph, self._infos = views.whole.graph, views.whole.infos
        self._signature = views.whole.signature
        if imported.fixed_rows:
            warn_of_fixed_rows(self._graph, imported.fixed_rows)
        self._shortcuts = Shortcuts()
        self._inputs = tuple(tensor_info(name, self._infos[name]) for name in self._signature.shown())
        self._outputs = tuple(tensor_info(name, views.scored.infos[name]) for name in self._graph.outputs)
        self._precision = measure(self._ranking, chosen, calibration)
        self._notes = tuple(precision_notes(self._precision, self._backend))

    def __reduce__(self) -> tuple[Any, ...]:
        source, *rest = self._arguments
        kept = source if isinstance(source, bytes) else str(Path(source).resolve())
        return Model, (kept, *rest)

    def __repr__(self) -> str:
        inputs = ", ".join(item.name for item in self.inputs)
        outputs = ", ".join(item.name for item in self.outputs)
        return f"<pyrec_infer.Model inputs=({inputs}) outputs=({outputs}) backend={self._backend}>"

    @property
    def inputs(self) -> tuple[TensorInfo, ...]:
        """The model's inputs in order: name, element type and shape of each."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorInfo, ...]:
        """The model's outputs in order: name, element type and shape of each."""
        return self._outputs

    @property
    def precision(self) -> PrecisionReport:
        """The precision of the dense layers and what it does to the scores, measured at load."""
        return self._precision

    @memory_errors_typed
    def run(self, inputs: Inputs) -> dict[str, Array]:
        """Evaluate every output on a full batch, with ONNX's semantics exactly.

        Parameters
        ----------
        inputs : mapping of str to array_like
            One array with the same number of rows for each input. Integer and float arrays of any
            width are taken where their values fit; float64 is rounded to the model's type. Borrowed.

        Returns
        -------
        dict of str to ndarray
            A ZipMap output is the array of its dictionaries' values.

        Raises
        ------
        InputError
            An input is missing or unknown, or has a wrong dtype, shape or number of rows;
            `IdRangeError` where an id is outside its table.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 1)[0]
        >>> made = pi.load(MODEL).run({**user.request, **items(1), "affinity": user.affinity})
        >>> [array.shape for array in made.values()]
        [(1,)]
        """
        values = self._signature.expand(inputs)
        ready = self._ranking.whole(frozenset(), self._graph.outputs, strict_ids=False)
        return call(self._ranking.views.whole, ready, {}, values, ())[0]

    @memory_errors_typed
    def score(
        self,
        request: Inputs,
        candidates: Inputs,
        offsets: ArrayLike | None = None,
        output: Output = None,
    ) -> Any:
        """Score N candidates for one request, or ragged groups of candidates for B requests.

        Parameters
        ----------
        request : mapping of str to array_like
            Inputs that are the same for every candidate: one row each, or scalars; with ``offsets``
            B rows each. Borrowed.
        candidates : mapping of str to array_like
            All other inputs, N rows each. Borrowed.
        offsets : array_like of int, shape (B + 1,), optional
            Candidates of request ``b`` are rows ``offsets[b]:offsets[b + 1]``.
        output : str, (str, int), list of these, optional
            Which output, or which column of one; by default the first of floating type that has one
            score for each row, or else several. Probabilities of two classes mean the second column;
            those of more classes need a column. ``"logit"`` is the default output without its final
            sigmoid. A list gives several scores from one computation.

        Returns
        -------
        ndarray of float32, shape (N,), or dict
            The same as `run` on the candidates with the request repeated. An output with several
            values for each row keeps its further axes. For a list, a dict of such arrays, one score for
            each row, by what was asked for.

        Raises
        ------
        InputError
            As for `run`; also `IdRangeError` where an id is given as a float that is not a whole
            number or too big for its type to hold exactly, and `ShapeError` where the output does not
            have a row for each candidate.

        Notes
        -----
        The candidates lie along the model's batch, or along another axis that all of their inputs share,
        where the output has its scores along that: ``[users, items]`` of a two-tower model, or a list of
        candidates on axis 1. Their arrays may leave axes of size 1 in front of the candidates out. Where
        the file fixes the batch to a number of rows, candidates are run in blocks of so many.
        In a model where a row's score depends on the other rows (`explain` names the node), each
        request's candidates are one batch.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 500)[0]
        >>> scores = pi.load(MODEL).score(user.request, {**items(500), "affinity": user.affinity})
        >>> scores.shape, scores.dtype
        ((500,), dtype('float32'))
        """
        return self._score(request, candidates, offsets, output)

    def _score(
        self,
        request: Inputs,
        candidates: Inputs,
        offsets: ArrayLike | None,
        output: Output,
        by: str | None = None,
        single: bool = False,
    ) -> Any:
        request, candidates = self._signature.as_arrays(request, candidates)
        key = self._shortcuts.key(request, candidates, output, by, single)
        scores = self._shortcuts.scores(key, request, candidates, offsets)
        if scores is not None:
            return scores
        signature = self._ranking.signature(by)
        own, others = signature.expand_sides(request, candidates)
        way = self._ranking.way(own, others, output, by, single)
        bounds = () if offsets is None else as_bounds(offsets)
        made = self._ranking.score(way, own, others, bounds)
        self._shortcuts.remember(key, way, signature)
        return way.wanted.unpack(made)

    @memory_errors_typed
    def top_k(
        self,
        request: Inputs,
        candidates: Inputs,
        k: int = 100,
        ids: ArrayLike | None = None,
        exclude: ArrayLike | None = None,
        boost: ArrayLike | None = None,
        output: str | tuple[str, int] | None = None,
        by: str | None = None,
        offsets: ArrayLike | None = None,
        allow: ArrayLike | None = None,
        scale: ArrayLike | None = None,
        attributes: Any = None,
        max_per: Mapping[str, Any] | None = None,
        min_per: Mapping[str, Any] | None = None,
        diversity: MMR | DPP | None = None,
    ) -> Any:
        """The k candidates with the highest scores, best first; with ``offsets`` of each request.

        Parameters
        ----------
        request, candidates, offsets, output
            As for `score`, for one score.
        k : int
            How many; fewer candidates give fewer results.
        ids : array_like, shape (N,), optional
            Names of the candidates; their row numbers by default.
        exclude, allow : array_like, optional
            Candidates that are left out, or alone taken: by these names, or a boolean for each of them.
        scale, boost : array_like of float, shape (N,), optional
            A score is multiplied by the one, and the other is added, before scores are compared.
        by : str, optional
            An expression to rank by, instead of ``output``: ``"ctr * cvr ** 0.5 * price"``. Its names are
            outputs, columns as in ``probabilities[1]``, inputs, and further arrays of one number for each
            row that ``request`` or ``candidates`` hold beside the model's inputs. It is computed with the
            model, in float32. Numbers, ``+ - * / **``, parentheses, ``min``, ``max``, ``log``, ``log1p``,
            ``exp``, ``sqrt``, ``abs``, ``clip(x, low, high)`` and ``where(a < b, x, y)`` may stand in it.
        attributes : mapping of str to array_like, or table, optional
            What caps, quotas and diversity ask of candidates, one value for each.
        max_per, min_per, diversity : optional
            Caps, quotas and diversity, as for `Catalog.top_k`, over these attributes.

        Returns
        -------
        TopK, or Ranked where ``offsets`` are given
            Equal scores: the lower row first. NaN comes after every number. Without ``ids``, ids are row
            numbers among all candidates.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items, users
        >>> user = users(1, 500)[0]
        >>> pi.load(MODEL).top_k(user.request, {**items(500), "affinity": user.affinity}, k=3).count
        3
        """
        if isinstance(output, list):
            raise InputError("output: expected one score to rank by, got a list; `by` takes an expression")
        asked = Asked(k, ids, exclude, boost, allow, scale, attributes, max_per, min_per, diversity)
        request, candidates = self._signature.as_arrays(request, candidates)
        key = self._shortcuts.key(request, candidates, output, by, True) if asked.quick else None
        found = self._shortcuts.best(key, request, candidates, offsets, asked.wanted)
        if found is not None:
            return asked.found(*found, offsets is not None)
        bounds = () if offsets is None else as_bounds(offsets)
        if not asked.plain or (offsets is None and not seem_many(candidates)):
            scores = self._score(request, candidates, offsets, output, by, single=True)
            best = asked.best(scores, bounds or (0, len(scores)))
        else:
            signature = self._ranking.signature(by)
            own, others = signature.expand_sides(request, candidates)
            way = self._ranking.way(own, others, output, by, single=True)
            best = self._ranking.best(way, own, others, bounds, asked.selection)
            self._shortcuts.remember(key, way, signature)
        return asked.result(best, offsets is not None)

    @memory_errors_typed
    def prepare(
        self,
        request_names: Sequence[str],
        candidate_names: Sequence[str],
        max_rows: int | None = None,
        output: Output = None,
    ) -> PreparedCall:
        """A callable for repeated small calls: names are looked up once.

        Parameters
        ----------
        request_names, candidate_names : sequence of str
            Inputs in the order in which the arrays will be given.
        max_rows : int, optional
            Calls with more candidates are refused.
        output : str, (str, int), list of these, optional
            As for `score`; with a list the call returns a dict, and takes no ``out``.

        Returns
        -------
        PreparedCall
        """
        request_names = as_names("request_names", request_names)
        candidate_names = as_names("candidate_names", candidate_names)
        max_rows = None if max_rows is None else as_count("max_rows", max_rows)
        sides = self._signature.sides(request_names, candidate_names)
        names = (*request_names, *candidate_names)
        way = self._ranking.way(sides[0], sides[1], output)
        self._signature.require_fields(names, way.ready.plan.given)
        way.view.signature.require(way.ready.plan.given, *sides)
        if self._signature.takes_rows:
            score = partial(self.score, output=output)
            return RowsCall(score, request_names, candidate_names, max_rows)
        made: Any = prepare_call(
            way.ready, names, frozenset(request_names), max_rows, way.view.signature.infos
        )
        return made if way.wanted.keys is None else SeveralCall(made, way.wanted.unpack)

    @memory_errors_typed
    def catalog(
        self,
        items: Inputs,
        ids: ArrayLike | None = None,
        *,
        candidates: Iterable[str] = (),
        precision: PrecisionName | None = None,
        output: Output = None,
        by: str | None = None,
        attributes: Any = None,
        vectors: Any = None,
    ) -> Catalog:
        """A catalogue of items, with everything that depends on an item alone computed once.

        Parameters
        ----------
        items : mapping of str to array_like
            The inputs that belong to an item, one row for each. Their other sizes are the catalogue's.
        ids : array_like, optional
            Whole numbers or strings; row numbers by default. Of equal ids the last row counts.
        candidates : iterable of str
            Inputs that come with each call, one row for each item; with a schema by default its fields of
            that side. All others belong to the request.
        precision : str, optional
            How float32 values of 16 numbers and more are stored; by default the model's own. ``"bf16"``
            keeps 8 bits of each number, ``"fp16"`` 11 bits of numbers up to 65504, ``"int8"`` a step of the
            row's largest number. What decides or chooses rows of tables is stored exactly.
        output : str, (str, int), list of these, optional
            As for `score`.
        by : str, optional
            An expression as for `top_k`, in place of ``output``. Further names are given with any side.
        attributes : mapping of str to array_like, or table, optional
            What filters, caps and quotas ask of items, one value for each: strings, numbers or booleans, some
            missing. An attribute may also be an input of the items.
        vectors : array_like, shape (N, D), or Vectors, optional
            Kept beside the records and changed with them: `Catalog.retriever` searches them.

        Returns
        -------
        Catalog

        Raises
        ------
        UnsupportedModelError
            If a row's score depends on the other rows; names the node.
        InputError
            The items do not fit the model, or a value of theirs is finite and beyond what the precision
            holds; names the row.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, items
        >>> len(pi.load(MODEL).catalog(items(500), candidates=["affinity"]))
        500
        """
        candidates = as_names("candidates", candidates) or tuple(self._signature.of_side("candidate"))
        items = held(items)
        part = self._ranking.part(items, candidates, self._source(output, by), self._notes)
        stored = self.precision.precision if precision is None else precision
        return Catalog(part, items, ids, candidates, stored, attributes, vectors)

    def explain(
        self,
        request: Iterable[str] = (),
        output: Output = None,
        by: str | None = None,
        passes: bool = False,
    ) -> Explanation:
        """What a call with these request inputs does: phases, steps, rates and shapes.

        Parameters
        ----------
        request : iterable of str
            Inputs on the request side; all others are the candidates'.
        output : str, (str, int), list of these, optional
            Only what this output needs; by default what all outputs need.
        by : str, optional
            Only what this expression needs; see `top_k`.
        passes : bool
            Whether to list what each step of the compiler changed: nodes and work before and after. The
            model is read and compiled again for that.

        Returns
        -------
        Explanation
            ``str()`` gives text, ``as_dict()`` plain data.

        Raises
        ------
        ModelError
            With ``passes``, if the model's file has changed since it was loaded.

        Examples
        --------
        >>> import pyrec_infer as pi
        >>> from pyrec_infer.bundled import MODEL, users
        >>> made = pi.load(MODEL).explain(users(1, 1)[0].request, output="logit", passes=True).as_dict()
        >>> [step["step"] for step in made["passes"] if step["stage"] == "select"]
        ['select_scores']
        """
        explained = self._ranking.explained(as_names("request", request), output, by)
        runners = runner_names(explained.plan, self._backend)
        made = explain_plan(explained.plan, self._backend, runners, self._notes)
        if not passes:
            return made
        return with_changes(made, self._ranking.changes(self._kept.origin.read().graph, explained))


__all__ = ["Model", "Source"]
